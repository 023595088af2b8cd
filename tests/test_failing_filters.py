"""Whatever a filter raises, it withholds the document that it raised it for, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from filters.project import Project
from filters.select import Select
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter
from proxy.core.audience import EVERYBODY, audience_of
from proxy.core.lens import Chain, Link, Withheld
from proxy.reading.index_feed import keys_of
from tests.reading.served import profile as view_profile
from tests.reading.served import view_of
from tests.support.inprocess import Site, profile, site

ANN = Client("ann")


class OfARust(BaseException):
    """As extensions raise it: no Exception, so that nobody takes it for one."""


WHAT: list[type[BaseException]] = [
    ValueError,
    StopIteration,
    RecursionError,
    MemoryError,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    OfARust,
]


class Raising(Filter):
    """Raises where a document is bad, wherever it meets it."""

    declares_audience = True

    def __init__(self, what: type[BaseException]) -> None:
        self.what = what

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return self._good(doc, "shape")

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return self._good(edited, "restore")

    def audience(self, doc: Doc) -> Iterable[str]:
        self._good(doc, "audience")
        return ["all"]

    def client_keys(self, client: Client) -> Iterable[str]:
        if client.name == "nobody":
            raise self.what
        return ["all"]

    def _good(self, doc: Doc, where: str) -> Doc:
        if doc.get("bad") == where:
            raise self.what
        return doc


@pytest.mark.parametrize("what", WHAT)
def test_it_is_a_failure_of_the_filter(what: type[BaseException]) -> None:
    chain = Chain([Link("raising", Raising(what)), Link("other", Filter())])
    with pytest.raises(Withheld, match=what.__name__):
        chain.shape({"_id": "d", "bad": "shape"}, ANN)
    with pytest.raises(Withheld, match=what.__name__):
        chain.restore({"_id": "d", "bad": "restore"}, None, ANN)
    with pytest.raises(Withheld, match=what.__name__):
        chain.restore({"_id": "d"}, {"_id": "d", "bad": "shape"}, ANN)


@pytest.mark.parametrize("what", WHAT)
def test_a_document_whose_audience_cannot_be_told_is_for_everybody_to_be_judged(what: type[BaseException]) -> None:
    chain = Chain([Link("raising", Raising(what))])
    audience = audience_of(chain)
    assert audience is not None
    assert audience.of({"_id": "d", "bad": "audience"}) == {EVERYBODY}
    view = view_of("http://127.0.0.1:9", None, view_profile(chain), "nobody")  # type: ignore[arg-type]  # not asked
    assert keys_of(view) is None


def test_who_interrupts_the_process_ends_it() -> None:
    chain = Chain([Link("raising", Raising(KeyboardInterrupt))])
    with pytest.raises(KeyboardInterrupt):
        chain.shape({"_id": "d", "bad": "shape"}, ANN)
    with pytest.raises(KeyboardInterrupt):
        chain.restore({"_id": "d", "bad": "restore"}, None, ANN)
    audience = audience_of(chain)
    assert audience is not None
    with pytest.raises(KeyboardInterrupt):
        audience.of({"_id": "d", "bad": "audience"})


async def _ids(at: Site, method: str, path: str, body: Any = None) -> list[str]:
    answer = await at.ask(method, f"/clinic-phone{path}", body)
    assert answer.status == 200, answer.body
    return [row["id"] for row in next(iter(answer.json[name] for name in ("results", "rows") if name in answer.json))]


@pytest.mark.parametrize("what", [asyncio.CancelledError, GeneratorExit, OfARust])
@pytest.mark.parametrize("indexed", [False, True])
async def test_other_documents_are_served(what: type[BaseException], indexed: bool, tmp_path: Path) -> None:
    docs = [{"_id": "a"}, {"_id": "b", "bad": "shape"}, {"_id": "c", "bad": "audience"}, {"_id": "d"}]
    options: dict[str, Any] = {"data": tmp_path} if indexed else {}
    async with site(profile("phone", Raising(what)), docs=docs, **options) as at:
        if indexed:
            assert await (await at.indexed()).fresh()
        assert await _ids(at, "GET", "/_changes") == ["a", "c", "d"]
        assert await _ids(at, "GET", "/_changes?include_docs=true&limit=3") == ["a", "c", "d"]
        assert await _ids(at, "GET", "/_all_docs") == ["a", "c", "d"]
        assert (await at.ask("GET", "/clinic-phone/b")).status == 404
        sent = [{"_id": "e"}, {"_id": "f", "bad": "restore"}, {"_id": "b"}, {"_id": "g"}]
        stored = await at.ask("POST", "/clinic-phone/_bulk_docs", {"docs": sent})
        assert [row.get("error") for row in stored.json][:2] == [None, "forbidden"]
        assert "error" not in stored.json[3]
        found = await at.ask("POST", "/clinic-phone/_bulk_get", {"docs": [{"id": "a"}, {"id": "b"}]})
        assert [list(result["docs"][0]) for result in found.json["results"]] == [["ok"], ["error"]]


async def test_a_filter_that_always_fails_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each document is named, and where the filter failed is told once."""
    docs = [{"_id": name, "bad": "shape"} for name in "abc"]
    async with site(profile("phone", Raising(ValueError)), docs=docs) as at:
        caplog.clear()
        assert await _ids(at, "GET", "/_all_docs") == []
        assert (await at.ask("GET", "/clinic-phone/a")).status == 404
    told = [record for record in caplog.records if record.name == "couch_tailor.view"]
    assert [record.getMessage().split()[2] for record in told][:4] == ["a", "b", "c", "a"]
    assert [number for number, record in enumerate(told) if record.exc_info] == [0]


async def test_nor_does_one_that_always_fails_on_the_way_in(caplog: pytest.LogCaptureFixture) -> None:
    async with site(profile("phone", Raising(ValueError))) as at:
        caplog.clear()
        docs = [{"_id": name, "bad": "restore"} for name in "abc"]
        rows = (await at.ask("POST", "/clinic-phone/_bulk_docs", {"docs": docs})).json
        assert [row["error"] for row in rows] == ["forbidden"] * 3
    told = [record for record in caplog.records if record.name == "couch_tailor.writing"]
    assert [record.getMessage().split()[3] for record in told] == ["a", "b", "c"]
    assert [bool(record.exc_info) for record in told] == [True, False, False]


async def test_a_request_that_is_cancelled_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every cancellation is a filter's own."""
    chain = Chain([Link("raising", Raising(asyncio.CancelledError))])
    begun = asyncio.Event()

    async def work() -> None:
        with pytest.raises(Withheld):
            chain.shape({"_id": "d", "bad": "shape"}, ANN)
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Counting(Filter):
    """Takes for granted that there are visits."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return {"count": len(doc["visits"]), **{name: doc[name] for name in doc if name not in ("visits", "count")}}

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        hidden = {"visits": original["visits"]} if original and "visits" in original else {}
        return {**hidden, **{name: value for name, value in edited.items() if name != "count"}}


COUNTING: list[Filter] = [Counting(), Project(body="{name: name, ward: ward, count: length(visits)}")]


@pytest.mark.parametrize("counting", COUNTING)
@pytest.mark.parametrize("sends", ["DELETE", "all", "nothing", "replicated"])
async def test_a_document_can_be_deleted_although_a_filter_fails_on_deletions(sends: str, counting: Filter) -> None:
    ward = Select(where="ward == 'w1'")
    stone = {"_id": "x", "_deleted": True}
    async with site(profile("phone", ward, counting), profile("strict", Validate(where="!_deleted"), counting)) as at:
        rev = (await at.at_source("PUT", "/clinic/x", {"name": "n", "ward": "w1", "visits": [1]})).json["rev"]
        for name, is_stored in (("strict", False), ("phone", True)):
            at_x = f"/clinic-{name}/x?rev={rev}"
            if sends == "DELETE":
                await at.ask("DELETE", at_x)
            elif sends == "all":
                await at.ask("PUT", at_x, {**(await at.ask("GET", at_x)).json, "_deleted": True})
            elif sends == "nothing":
                await at.ask("POST", f"/clinic-{name}/_bulk_docs", {"docs": [{**stone, "_rev": rev}]})
            else:
                ids = ["b" * 32, rev.partition("-")[2]]
                doc = {**stone, "_rev": f"2-{ids[0]}", "_revisions": {"start": 2, "ids": ids}, "name": "secret"}
                await at.ask("POST", f"/clinic-{name}/_bulk_docs", {"new_edits": False, "docs": [doc]})
            [leaf] = (await at.at_source("GET", "/clinic/x?open_revs=all")).json
            assert (leaf["ok"].get("_deleted") is True) is is_stored
        assert {name: leaf["ok"][name] for name in leaf["ok"] if name[0] != "_"} == {"ward": "w1"}


class Stripping(Filter):
    """Takes a note for a text."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return {**doc, "note": doc["note"].strip()} if "note" in doc else doc


class Pinned(Filter):
    """Hides the owner of what has a pin."""

    passes_all = True

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return {name: doc[name] for name in doc if name != "pin" and not (name == "owner" and "pin" in doc)}


@pytest.mark.parametrize("body", [{}, {"note": "bye"}, {"note": 5}])
async def test_nothing_is_shown_by_a_deletion_that_was_made_for_a_filter_to_fail(body: Doc) -> None:
    own = Select(where="owner == client.name || shared")
    async with site(profile("phone", own, Stripping(), Pinned())) as at:
        doc = {"note": "n", "pin": 1, "owner": "bob", "shared": True}
        rev = (await at.at_source("PUT", "/clinic/x", doc)).json["rev"]
        answer = await at.ask("PUT", f"/clinic-phone/x?rev={rev}", {**body, "_deleted": True})
        assert answer.status == 403
        assert (await at.at_source("GET", "/clinic/x")).json["owner"] == "bob"
