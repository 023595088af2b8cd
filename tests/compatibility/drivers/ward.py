"""The documents and the profile that all drivers are tried with, what a client must have in the end, and what never.

Everything hidden says HUSH: a field of each document, an attachment and its name, documents of another facility, a
branch of a conflict.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from filters.attachments import Attachments
from filters.drop import Drop
from tests.compatibility.drivers.replica import File, Held, Replica
from tests.compatibility.drivers.wire import Wire
from tests.support.inprocess import Site, profile, site
from tests.support.lenses import OwnFacility

Doc = dict[str, Any]

PHONE = profile("phone", OwnFacility(), Drop(paths=["secret"]), Attachments(deny=["image/*"]), design_docs=True)
PULL = "pull: documents, conflicts, tombstones, attachments, awkward ids; checkpoints resumed"
PUSH = "push: edits, a losing branch, a deletion, new attachments"
REFUSED = "a write that is refused"
"""What is run, in the words of the table."""
DATABASE = "clinic-phone"
USER = ("ann", "ann")

A, B, C, D, E, F = (letter * 32 for letter in "abcdef")
ODD = ["%25", "+plus", "a/b", "h#y", "q?x", "with space", "ünï ☃"]
PLAIN = [f"p:{number:03}" for number in range(130)]
"""More than any of the clients takes in one page of 100. Between each and the next there is one of the others."""
VISIBLE = sorted([*PLAIN, *ODD, "conflict:1", "conflict:2", "photo:1"])
NOTE, BINARY, SCAN = b"hello " * 50, bytes(range(256)), b"HUSH" * 100
ODD_FILE = "sub/ü +%25 ☃.bin"
FILES = {"note.txt": NOTE, ODD_FILE: BINARY, "empty.txt": b"", "empty.bin": b""}
"""The visible attachments of `photo:1`."""
WRITTEN = b"written on the way " * 20


def doc(doc_id: str, facility: str = "f1", **fields: Any) -> Doc:
    return {"_id": doc_id, "facility": facility, "secret": f"HUSH {doc_id}", "n": len(doc_id), **fields}


def branch(doc_id: str, *digests: str, **fields: Any) -> Doc:
    return doc(doc_id, _revisions={"start": len(digests), "ids": list(digests)}, **fields)


def attachment(content_type: str, data: bytes) -> Doc:
    return {"content_type": content_type, "data": b64encode(data).decode()}


PHOTO = doc(
    "photo:1",
    _attachments={
        "note.txt": attachment("text/plain", NOTE),
        "HUSH.png": attachment("image/png", SCAN),
        ODD_FILE: attachment("application/octet-stream", BINARY),
        "empty.txt": attachment("text/plain", b""),
        "empty.bin": attachment("application/octet-stream", b""),
    },
)
DESIGN = {"_id": "_design/app", "views": {"all": {"map": "function (doc) { emit(doc._id) }"}}}


def _branches() -> Iterator[Doc]:
    """`conflict:2` has a branch in another facility; `gone:1` kept its body, `gone:2` did not."""
    yield branch("conflict:1", B, A, side="left")
    yield branch("conflict:1", D, C, A, side="right")
    yield branch("conflict:2", B, A, side="left")
    yield branch("conflict:2", E, A, facility="f2", side="HUSH")
    yield branch("gone:1", F, A, _deleted=True)


async def fill(there: Site) -> None:
    """Put everything into the source's database `clinic`."""
    others = [doc(f"HUSH:{number}", "f2") for number in range(len(PLAIN))]
    mixed = [each for pair in zip(others, map(doc, PLAIN), strict=True) for each in pair]
    stored = await there.at_source("POST", "/clinic/_bulk_docs", {"docs": [*mixed, *map(doc, ODD), PHOTO, DESIGN]})
    assert all(row.get("ok") for row in stored.json)
    replicated = await there.at_source("POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": list(_branches())})
    assert replicated.json == []
    rev = await there.put(doc("gone:2"))
    assert (await there.at_source("DELETE", f"/clinic/gone:2?rev={rev}")).status == 200


@asynccontextmanager
async def ward() -> AsyncIterator[tuple[Site, Wire]]:
    """The filled site, and a wire to its proxy."""
    async with site(PHONE) as there:
        await fill(there)
        wire = Wire(there.proxy_url)
        try:
            yield there, wire
        finally:
            await wire.close()


def nothing_hidden_in(wire: Wire) -> None:
    """Not in any form: neither the word itself nor its Base64 at any offset."""
    received = bytes(wire.received)
    encoded = [b64encode(SCAN[offset:])[4:12] for offset in range(3)]
    assert [text for text in (b"HUSH", b"secret", *encoded) if text in received] == []


def everything_visible_in(replica: Replica, *, leaves: bool = True) -> None:
    """All documents with the bodies, branches and attachments that the profile shows. `leaves`: not winners only."""
    assert [each for each in replica.ids() if not each.startswith("_design/")] == VISIBLE
    for doc_id in [*PLAIN, *ODD]:
        assert replica.winner(doc_id).body == {"facility": "f1", "n": len(doc_id)}
    both = {f"3-{D}": "right", f"2-{B}": "left"}
    conflict = {rev: held.body["side"] for rev, held in replica.leaves("conflict:1").items()}
    assert conflict == (both if leaves else {f"3-{D}": "right"})
    assert [held.body["side"] for held in replica.leaves("conflict:2").values()] == ["left"]
    assert all(replica.winner(gone).deleted for gone in ("gone:1", "gone:2") if gone in replica.docs)
    assert plain(replica.winner("photo:1")) == FILES


def plain(held: Held) -> dict[str, bytes]:
    """The bytes of a revision's attachments."""
    return {name: file.plain for name, file in held.files.items()}


def edit(replica: Replica) -> dict[str, Held]:
    """Edits as a user makes them: a field, a document with attachments, a deletion, a losing branch, a new document."""
    written = {
        "p:001": replica.edit("p:001", note="edited"),
        "photo:1": replica.edit("photo:1", caption="edited"),
        "p:003": replica.edit("p:003", deleted=True),
        "a/b": replica.edit("a/b", note="edited"),
        "new:1": replica.edit(
            "new:1",
            files={
                "sub/z.txt": File("text/plain", gzip.compress(WRITTEN, mtime=0), "gzip"),
                "a.bin": File("application/octet-stream", BINARY * 3),
            },
            facility="f1",
        ),
    }
    if f"2-{B}" in replica.leaves("conflict:1"):
        written["conflict:1"] = replica.edit("conflict:1", rev=f"2-{B}", side="left, edited")
    return written


async def stored(there: Site, doc_id: str, rev: str) -> Doc:
    """A revision of the source, whole."""
    answer = await there.at_source("GET", f"/clinic/{doc_id}?rev={rev}&attachments=true")
    assert answer.status == 200, answer.body
    body: Doc = answer.json
    return body


async def edits_are_whole(there: Site, written: dict[str, Held]) -> None:
    """The source has each edit under its own revision, with what the client never saw."""
    for doc_id, where in (("p:001", "p:001"), ("a/b", "a%2Fb")):
        edited = await stored(there, where, written[doc_id].rev)
        assert (edited["note"], edited["secret"]) == ("edited", f"HUSH {doc_id}")
    photo = await stored(there, "photo:1", written["photo:1"].rev)
    assert (photo["caption"], photo["secret"]) == ("edited", "HUSH photo:1")
    assert {name: entry["data"] for name, entry in photo["_attachments"].items()} == {
        name: entry["data"] for name, entry in PHOTO["_attachments"].items()
    }
    assert (await stored(there, "p:003", written["p:003"].rev))["_deleted"] is True
    new = await stored(there, "new:1", written["new:1"].rev)
    assert {name: entry["data"] for name, entry in new["_attachments"].items()} == {
        "sub/z.txt": b64encode(WRITTEN).decode(),
        "a.bin": b64encode(BINARY * 3).decode(),
    }
    if "conflict:1" in written:
        left = await stored(there, "conflict:1", written["conflict:1"].rev)
        assert (left["side"], left["secret"]) == ("left, edited", "HUSH conflict:1")
        right = await stored(there, "conflict:1", f"3-{D}")
        assert (right["side"], right["secret"]) == ("right", "HUSH conflict:1")
