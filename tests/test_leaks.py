"""No hidden value and no id of a hidden document leaves, whatever is asked for.

The corpus knows everything that a client must not get. Every endpoint is asked with every parameter and content type
that changes what an answer holds, and every byte of every answer, headers included, is searched.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from filters.attachments import Attachments
from filters.drop import Drop
from filters.redact import Redact
from filters.select import Select
from tests.support.inprocess import Answer, Site, profile, site

HIDDEN_BODY = b"HIDDENBYTES-" * 40
SHOWN_BODY = b"plain and visible " * 40

PHONE = profile(
    "phone",
    Select(where="facility == client.facility"),
    Drop(paths=["ssn", "notes[?private]", "deep.*.secret", "billing"]),
    Redact(paths=["phone"], mode="constant"),
    Attachments(deny=["image/*"]),
)

JSON = {"Accept": "application/json"}
MULTIPART = {"Accept": "multipart/mixed, multipart/related"}
ANYTHING = {"Accept": "*/*"}


@dataclass
class Corpus:
    """What is stored, and what of it ann may not get."""

    docs: list[dict[str, Any]] = field(default_factory=list)
    visible: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    values: set[str] = field(default_factory=set)

    def add(self, doc_id: str, facility: str, **more: Any) -> None:
        secret = f"SECRET-{doc_id}-"
        self.docs.append(
            {
                "_id": doc_id,
                "facility": facility,
                "title": f"title of {doc_id}",
                "ssn": secret + "ssn",
                "phone": secret + "phone",
                "billing": {"owed": secret + "owed", secret + "key": 1},
                "notes": [{"text": secret + "note", "private": True}, {"text": "public", "private": False}],
                "deep": {"a": {"secret": secret + "deep"}, "b": {"secret": [secret + "list"]}},
                **more,
            }
        )
        self.values.add(secret)
        if facility == "f1":
            self.visible.append(doc_id)
        else:
            self.hidden.append(doc_id)
            self.values.add(f"title of {doc_id}")


def corpus() -> Corpus:
    made = Corpus()
    for number in range(6):
        made.add(f"seen-{number}", "f1")
        made.add(f"dark-{number}", "f2")
    files = {
        "shown.txt": {"content_type": "text/plain", "data": b64encode(SHOWN_BODY).decode()},
        "hidden.png": {"content_type": "image/png", "data": b64encode(HIDDEN_BODY).decode()},
    }
    made.add("seen-files", "f1", _attachments=files)
    made.add("dark-files", "f2", _attachments=files)
    return made


WHOLE = profile("whole")
"""Looks at everything: what it has read is in the proxy's caches."""


@pytest.fixture(params=["direct", "indexed"])
async def clinic(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Site, Corpus]]:
    """Ann's proxy, with and without a feed index; with one, all documents are in its caches."""
    made = corpus()
    indexed = request.param == "indexed"
    async with site(PHONE, WHOLE, docs=made.docs, data=tmp_path if indexed else None) as served:
        await grow(served, made)
        if indexed:
            await warm(served)
        yield served, made


async def warm(served: Site) -> None:
    """Read everything through the index, as somebody who may, and as ann."""
    hub = await served.indexed()
    rows = (await served.ask("GET", "/clinic-whole/_changes?style=all_docs&include_docs=true")).json["results"]
    wanted = [{"id": row["id"], "rev": change["rev"]} for row in rows for change in row["changes"]]
    found = await served.ask("POST", "/clinic-whole/_bulk_get?revs=true", {"docs": wanted})
    assert found.status == 200
    for entry in wanted:
        assert hub.bodies.get((entry["id"], entry["rev"])) is not None
    assert (await served.ask("GET", "/clinic-phone/_changes")).status == 200
    for style in ("all_docs", "main_only"):
        assert (await served.ask("GET", f"/clinic-whole/_changes?limit=5&style={style}")).status == 200
    assert hub.pages.size > 0


async def grow(served: Site, made: Corpus) -> None:
    """Edits, conflicts, moves and deletions, so that there is a hidden revision of every kind."""
    for doc_id in ("seen-1", "dark-1"):
        doc = (await served.at_source("GET", f"/clinic/{doc_id}")).json
        await served.put({**doc, "edited": True})
    for doc_id, branch in (("seen-2", "f2"), ("dark-2", "f2")):
        conflict = {"_id": doc_id, "_rev": "1-" + "e" * 32, "facility": branch, "ssn": f"SECRET-{doc_id}-branch"}
        await served.at_source("POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": [conflict]})
    moved = (await served.at_source("GET", "/clinic/seen-3")).json
    await served.put({**moved, "facility": "f2", "ssn": "SECRET-seen-3-moved", "title": "title after the move"})
    made.values.add("title after the move")
    for doc_id in ("seen-4", "dark-4"):
        rev = (await served.at_source("GET", f"/clinic/{doc_id}")).json["_rev"]
        await served.at_source("DELETE", f"/clinic/{doc_id}?rev={rev}")
    for doc_id, facility in (("seen-5", "f1"), ("dark-5", "f2")):
        rev = (await served.at_source("GET", f"/clinic/{doc_id}")).json["_rev"]
        tombstone = {"_id": doc_id, "_rev": rev, "_deleted": True, "facility": facility, "ssn": f"SECRET-{doc_id}-dead"}
        await served.put(tombstone)
    await served.at_source("PUT", "/clinic/_design/app", {"views": {}, "note": "SECRET-design-"})
    await served.at_source("PUT", "/clinic/_local/other", {"note": "SECRET-local-"})
    await served.ask("PUT", "/clinic-phone/_local/bobs", {"note": "SECRET-bobs-"}, user=("bob", "bob"))
    made.values.update(("SECRET-design-", "SECRET-local-", "SECRET-bobs-", "_design/app", "HIDDENBYTES"))
    made.hidden.append("_design/app")


def flags(*names: str) -> Iterator[str]:
    for chosen in product((False, True), repeat=len(names)):
        yield "&".join(f"{name}=true" for name, on in zip(names, chosen, strict=True) if on)


async def revisions(served: Site, doc_id: str) -> list[str]:
    """Every revision of a document that the source knows."""
    found: list[str] = []
    path = f"/clinic/{quote(doc_id, safe='/')}?revs=true&open_revs=all"
    answer = await served.at_source("GET", path)
    for entry in answer.json if answer.status == 200 else ():
        path_of = entry["ok"]["_revisions"]
        found += [f"{path_of['start'] - index}-{digest}" for index, digest in enumerate(path_of["ids"])]
    return sorted(set(found))


def requests_for(doc_id: str, revs: list[str]) -> Iterator[tuple[str, str, Any]]:
    """(method, path, body) of everything one may ask of one document."""
    base = quote(doc_id, safe="")
    everything = [
        "revs",
        "revs_info",
        "conflicts",
        "deleted_conflicts",
        "local_seq",
        "attachments",
        "att_encoding_info",
        "latest",
    ]
    for method in ("GET", "HEAD"):
        yield method, base, None
    for query in flags("revs", "revs_info", "conflicts", "attachments", "latest"):
        yield "GET", f"{base}?{query}", None
    yield "GET", f"{base}?meta=true&" + "&".join(f"{name}=true" for name in everything), None
    for rev in revs:
        for query in flags("revs", "attachments", "latest"):
            yield "GET", f"{base}?rev={rev}&{query}", None
            yield "GET", f"{base}?open_revs={quote(json.dumps([rev, '9-' + 'f' * 32]))}&{query}", None
        yield "GET", f"{base}?attachments=true&atts_since={quote(json.dumps([rev]))}", None
    for query in flags("revs", "attachments", "latest", "att_encoding_info"):
        yield "GET", f"{base}?open_revs=all&{query}", None
    for name, at in product(("shown.txt", "hidden.png", "nosuch"), ["", *(f"?rev={rev}" for rev in revs)]):
        yield "GET", f"{base}/{name}{at}", None


def database_requests(made: Corpus, revs: dict[str, list[str]]) -> Iterator[tuple[str, str, Any]]:
    """(method, path, body) of everything one may ask of the database."""
    all_ids = [*made.visible, *made.hidden, "nosuch"]
    yield "GET", "", None
    for name in ("_all_docs", "_design_docs", "_local_docs"):
        for query in flags("include_docs", "conflicts", "attachments", "descending", "update_seq"):
            yield "GET", f"{name}?{query}", None
        for query in ("include_docs=true", ""):
            yield "POST", f"{name}?{query}", {"keys": all_ids}
        yield "GET", f"{name}?include_docs=true&startkey=%22seen-2%22&limit=3&skip=1", None
        for doc_id in all_ids:
            yield "GET", f"{name}?include_docs=true&key={quote(json.dumps(doc_id))}", None
    yield "POST", "_all_docs/queries", {"queries": [{"keys": all_ids}, {"include_docs": True, "limit": 5}]}
    for feed, style in product(("normal", "longpoll", "continuous", "eventsource"), ("main_only", "all_docs")):
        for query in flags("include_docs", "conflicts", "attachments", "descending"):
            yield "GET", f"_changes?feed={feed}&style={style}&timeout=50&{query}", None
        yield "GET", f"_changes?feed={feed}&style={style}&limit=5&timeout=50", None
    yield "POST", "_changes?filter=_doc_ids&include_docs=true", {"doc_ids": all_ids}
    for selector in (
        {},
        {"ssn": {"$gt": None}},
        {"ssn": {"$regex": "SECRET"}},
        {"facility": "f2"},
        {"_id": {"$gt": None}},
    ):
        yield "POST", "_changes?filter=_selector&include_docs=true", {"selector": selector}
        yield "POST", "_find", {"selector": selector, "execution_stats": True}
        yield "POST", "_find", {"selector": selector, "fields": ["_id", "ssn", "billing.owed"], "limit": 2}
        yield "POST", "_find", {"selector": selector, "sort": [{"ssn": "asc"}]}
    yield "GET", "_changes?filter=_design&include_docs=true", None
    asked = [{"id": doc_id} for doc_id in all_ids]
    asked += [{"id": doc_id, "rev": rev} for doc_id in all_ids for rev in revs.get(doc_id, ())]
    for query in flags("revs", "latest", "attachments", "att_encoding_info"):
        yield "POST", f"_bulk_get?{query}", {"docs": asked}
    claimed = {doc_id: [*revs.get(doc_id, ()), "9-" + "f" * 32] for doc_id in all_ids}
    yield "POST", "_revs_diff", claimed
    yield "POST", "_missing_revs", claimed
    for path in ("_explain", "_index", "_security", "_revs_limit", "_purged_infos", "_shards", "_partition/x"):
        yield "GET", path, None
    for path in ("_view/x", "_show/x/seen-1", "_list/x/y", "_update/x", "_rewrite/x", "_info", "_search/x"):
        yield "GET", f"_design/app/{path}", None


def leaked(answer: Answer, asked: str, made: Corpus) -> list[str]:
    """The hidden things in an answer; what the client itself has said in its request is no leak."""
    heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items()).encode()
    haystacks = [heads, answer.body, unquote(answer.body.decode("latin-1")).encode("latin-1", "replace")]
    haystacks += [decoded for decoded in _decodings(answer.body) if decoded]
    wanted = [*made.values, *made.hidden, "seen-3-moved"]
    return [
        needle
        for needle in wanted
        if needle not in asked and any(form in hay for hay in haystacks for form in _forms(needle))
    ]


def _forms(needle: str) -> list[bytes]:
    """A value as it is, and as base64 at each of the three alignments."""
    raw = needle.encode()
    shifted = [b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)] if len(raw) > 8 else []
    return [raw, *shifted]


def _decodings(body: bytes) -> Iterator[bytes]:
    """gzip streams within a body, and sequence tokens taken apart."""
    start = 0
    while (start := body.find(b"\x1f\x8b\x08", start)) >= 0:
        with suppress(OSError, EOFError):
            yield gzip.decompress(body[start:].split(b"\r\n--")[0])
        start += 3
    for word in body.replace(b'"', b" ").replace(b"-", b" ").split():
        if 16 <= len(word) <= 4096 and word.isalnum():
            with suppress(ValueError):
                yield b64decode(word + b"=" * (-len(word) % 4))


async def test_nothing_hidden_leaves(clinic: tuple[Site, Corpus]) -> None:
    served, made = clinic
    revs = {doc_id: await revisions(served, doc_id) for doc_id in (*made.visible, *made.hidden)}
    requests = list(database_requests(made, revs))
    for doc_id in (*made.visible, *made.hidden, "nosuch"):
        requests += requests_for(doc_id, revs.get(doc_id, []))
    leaks = []
    for method, path, body in requests:
        for headers in (JSON, MULTIPART, ANYTHING):
            answer = await served.ask(method, f"/clinic-phone/{path}", body, headers=headers)
            assert answer.status < 500, (method, path, headers, answer.body[:300])
            asked = path + json.dumps(body)
            if found := leaked(answer, asked + unquote(path), made):
                leaks.append((method, path, headers["Accept"], answer.status, found))
    assert not leaks, leaks[:10]
    assert len(requests) > 500


async def test_the_search_would_find_a_leak(clinic: tuple[Site, Corpus]) -> None:
    served, made = clinic
    whole = await served.at_source("GET", "/clinic/_all_docs?include_docs=true")
    found = leaked(whole, "", made)
    assert "SECRET-seen-0-" in found
    assert "dark-0" in found
    inline = await served.at_source("GET", "/clinic/seen-files?attachments=true")
    assert "HIDDENBYTES" in leaked(inline, "", made)


@pytest.mark.parametrize("headers", [JSON, MULTIPART, ANYTHING])
async def test_a_hidden_document_is_answered_as_one_that_does_not_exist(
    clinic: tuple[Site, Corpus], headers: dict[str, str]
) -> None:
    served, made = clinic
    everything = [rev for doc_id in made.hidden for rev in await revisions(served, doc_id)]

    def blind(answer: Answer, doc_id: str) -> tuple[int, bytes, list[str]]:
        boundary = answer.headers.get("Content-Type", "").partition("boundary=")[2].strip('"').encode()
        body = answer.body.replace(doc_id.encode(), b"ID").replace(quote(doc_id, safe="").encode(), b"ID")
        body = body.replace(boundary, b"BOUNDARY") if boundary else body
        kept = [f"{name}: {value}" for name, value in answer.headers.items() if name not in _CHANGING]
        return answer.status, body, kept

    for doc_id in made.hidden:
        for (method, path, body), (_, other, _) in zip(
            requests_for(doc_id, everything[:4]), requests_for("absent", everything[:4]), strict=True
        ):
            hidden = await served.ask(method, f"/clinic-phone/{path}", body, headers=headers)
            absent = await served.ask(method, f"/clinic-phone/{other}", body, headers=headers)
            assert blind(hidden, doc_id) == blind(absent, "absent"), (method, path)


_CHANGING = {"Date", "X-Couch-Request-ID", "Content-Type", "Content-Length"}


async def test_writes_and_their_answers_tell_nothing(clinic: tuple[Site, Corpus]) -> None:
    served, made = clinic
    leaks = []
    for doc_id in (*made.visible, *made.hidden):
        for rev in [None, *(await revisions(served, doc_id))]:
            doc = {"_id": doc_id, "facility": "f1", "title": "mine", **({"_rev": rev} if rev else {})}
            for method, path, body in (
                ("PUT", quote(doc_id, safe=""), doc),
                ("POST", "_bulk_docs", {"docs": [doc]}),
                ("POST", "_bulk_docs", {"docs": [{**doc, "_rev": "3-" + "c" * 32}], "new_edits": False}),
                ("DELETE", quote(doc_id, safe="") + (f"?rev={rev}" if rev else ""), None),
                ("PUT", quote(doc_id, safe="") + "/hidden.png" + (f"?rev={rev}" if rev else ""), {"x": 1}),
                ("COPY", quote(doc_id, safe=""), None),
            ):
                headers = {"Destination": "copied"} if method == "COPY" else {}
                answer = await served.ask(method, f"/clinic-phone/{path}", body, headers=headers)
                assert answer.status < 500, (method, path, answer.body[:300])
                if found := leaked(answer, path + json.dumps(body), made):
                    leaks.append((method, path, answer.status, found))
    assert not leaks, leaks[:10]
    deleted = {"dark-4", "dark-5"}  # ids that are free again, as in CouchDB
    for doc_id in set(made.hidden) - deleted:
        kept = (await served.at_source("GET", f"/clinic/{quote(doc_id, safe='/')}?conflicts=true")).json
        assert kept.get("title") != "mine", doc_id
        assert "3-" + "c" * 32 not in kept.get("_conflicts", []), doc_id
