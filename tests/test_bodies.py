"""Documents that are kept: within their room, read once, and never in place of what a client is to get."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.bodies import Bodies, Found, Key, TooMany
from proxy.contract import Doc
from proxy.core import jsonio
from tests.support.inprocess import Site, profile, site

PHONE = profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))


def document(key: Key, size: int = 10) -> Doc:
    return {"_id": key[0], "_rev": key[1], "text": "x" * size}


class Source:
    """Documents by key; `asked` are those that were read."""

    def __init__(self, size: int = 10) -> None:
        self.asked: list[Key] = []
        self.go = asyncio.Event()
        self.go.set()
        self._size = size

    async def read(self, keys: list[Key]) -> Found:
        self.asked += keys
        await self.go.wait()
        return {key: document(key, self._size) for key in keys if key[0] != "absent"}


async def test_what_is_kept_is_not_read_again() -> None:
    bodies, source = Bodies(10_000), Source()
    keys = [("a", "1-a"), ("absent", "1-x")]
    for _ in range(2):
        assert await bodies.fetch(keys, source.read) == {("a", "1-a"): document(("a", "1-a"))}
    # what is not there now may be there later
    assert source.asked == [*keys, ("absent", "1-x")]
    bodies.clear()
    assert bodies.get(("a", "1-a")) is None


async def test_what_many_ask_for_at_once_is_read_once() -> None:
    bodies, source = Bodies(10_000), Source()
    source.go.clear()
    asking = [asyncio.ensure_future(bodies.fetch([("a", "1-a")], source.read)) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()  # whoever began may hang up
    await asyncio.sleep(0)
    source.go.set()
    assert all(("a", "1-a") in found for found in await asyncio.gather(*asking[1:]))
    assert source.asked == [("a", "1-a")]


async def test_a_failure_is_that_of_all_who_wait_and_of_nobody_after() -> None:
    bodies, source = Bodies(10_000), Source()

    async def fail(keys: list[Key]) -> Found:
        await asyncio.sleep(0)
        raise ConnectionError("gone")

    failed = await asyncio.gather(*(bodies.fetch([("a", "1-a")], fail) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in failed] == [ConnectionError] * 3
    assert ("a", "1-a") in await bodies.fetch([("a", "1-a")], source.read)


async def test_what_is_too_much_for_others_is_read_for_oneself() -> None:
    bodies, source = Bodies(10_000), Source()
    mine, other = ("a", "1-a"), ("b", "1-b")

    async def too_many(keys: list[Key]) -> Found:
        await asyncio.sleep(0)
        raise TooMany

    asking = asyncio.ensure_future(bodies.fetch([mine, other], too_many))
    await asyncio.sleep(0)
    assert set(await bodies.fetch([mine], source.read)) == {mine}
    with pytest.raises(TooMany):
        await asking
    assert source.asked == [mine]


async def test_no_more_is_kept_than_there_is_room_for() -> None:
    bodies, source = Bodies(100_000), Source(size=1000)
    for number in range(100):
        await bodies.fetch([(f"d{number}", "1-a")], source.read)
        await bodies.fetch([("d0", "1-a")], source.read)
    kept = [number for number in range(100) if bodies.get((f"d{number}", "1-a")) is not None]
    assert kept[0] == 0  # used all the time
    assert 30 < len(kept) < 80
    assert kept[1:] == list(range(100 - len(kept) + 1, 100))
    assert source.asked.count(("d0", "1-a")) == 1


async def test_what_takes_a_large_part_of_the_room_is_not_kept() -> None:
    bodies, source = Bodies(100_000), Source(size=10_000)
    await bodies.fetch([("a", "1-a")], source.read)
    assert bodies.get(("a", "1-a")) is None


async def test_what_was_forgotten_while_it_was_read_is_not_kept() -> None:
    bodies, source = Bodies(10_000), Source()
    source.go.clear()
    asking = asyncio.ensure_future(bodies.fetch([("a", "1-a")], source.read))
    await asyncio.sleep(0)
    bodies.clear()
    source.go.set()
    assert ("a", "1-a") in await asking
    assert bodies.get(("a", "1-a")) is None


def test_what_was_being_read_when_all_was_forgotten_is_not_kept() -> None:
    bodies, key = Bodies(100_000), ("a", "1-a")
    keep = bodies.keeper
    keep(key, document(key))
    assert bodies.get(key) is not None
    bodies.clear()
    keep(key, document(key))
    assert bodies.get(key) is None
    bodies.keeper(key, document(key))
    assert bodies.get(key) is not None


# ---- what profiles make of them


async def test_a_profile_shapes_what_is_kept_once() -> None:
    bodies, source = Bodies(100_000), Source()
    doc = (await bodies.fetch([("a", "1-a")], source.read))["a", "1-a"]
    shaped: list[Doc] = []

    def shape(given: Doc) -> Doc | None:
        shaped.append(given)
        return {"_id": given["_id"], "_rev": given["_rev"]}

    first = bodies.shaped(doc, "phone", shape)
    assert bodies.shaped(doc, "phone", shape) is first
    assert shaped == [doc]
    assert bodies.shaped(doc, "tablet", lambda given: None) is None
    assert bodies.shaped(doc, "tablet", shape) is None  # that it is invisible is kept as well
    asked_otherwise = {**doc, "_revisions": {"start": 1, "ids": ["a"]}}
    assert bodies.shaped(asked_otherwise, "phone", shape) == first
    assert shaped == [doc, asked_otherwise]
    assert bodies.shaped(document(("b", "1-b")), "phone", shape) == {"_id": "b", "_rev": "1-b"}  # which is not kept


async def test_what_is_no_json_is_not_kept() -> None:
    bodies, source = Bodies(100_000), Source()
    doc = (await bodies.fetch([("a", "1-a")], source.read))["a", "1-a"]
    before = bodies.size
    for _ in range(2):
        assert bodies.shaped(doc, "phone", lambda given: {**given, "tags": {1}}) == {**doc, "tags": {1}}
    assert bodies.size == before
    assert bodies.shaped(doc, "phone", lambda given: given) is doc


async def test_what_profiles_make_takes_room() -> None:
    bodies, source = Bodies(100_000), Source(size=1000)
    for number in range(100):
        key = (f"d{number}", "1-a")
        doc = (await bodies.fetch([key], source.read))[key]
        for profile_name in ("phone", "tablet"):
            bodies.shaped(doc, profile_name, lambda given: dict(given))
    kept = [number for number in range(100) if bodies.get((f"d{number}", "1-a")) is not None]
    assert 10 < len(kept) < 27
    assert bodies.size <= 100_000
    for number in range(100, 200):
        await bodies.fetch([(f"d{number}", "1-a")], source.read)
    assert 10 < sum(bodies.get((f"d{number}", "1-a")) is not None for number in range(200)) < 80  # all was given back


class Counting(Select):
    """Counts the documents that it is given."""

    given = 0

    def shape(self, doc: Doc, client: Any) -> Doc | None:
        type(self).given += 1
        return super().shape(doc, client)


class CountingForAll(Counting):
    """As it, with the word that it shows all clients the same."""

    def shape(self, doc: Doc, client: Any) -> Doc | None:
        return super().shape(doc, client)

    def depends_on_client(self) -> bool:
        return False


async def test_what_may_depend_on_the_client_is_shaped_for_each(tmp_path: Path) -> None:
    docs = [{"_id": f"d{n}", "facility": f"f{1 + n % 2}"} for n in range(10)]
    profiles = [
        profile("phone", Counting(where="facility == client.facility")),
        profile("wall", CountingForAll(where="facility == 'f1'")),
    ]
    async with site(*profiles, docs=docs, data=tmp_path) as served:
        await served.indexed()
        for name, counting in (("phone", Counting), ("wall", CountingForAll)):
            seen, given = [], []
            for user in ("ann", "bob", "ann"):
                before = counting.given
                answer = await served.ask("GET", f"/clinic-{name}/_changes?style=all_docs", user=(user, user))
                seen.append([int(row["id"][1:]) % 2 for row in answer.json["results"]])
                given.append(counting.given - before)
            assert seen == [[0] * 5, [1] * 5 if name == "phone" else [0] * 5, [0] * 5]
            assert given[1:] == ([given[0]] * 2 if name == "phone" else [0, 0])
            assert given[0] > 0


# ---- _bulk_get


async def bulk_get(served: Site, *wanted: tuple[str, str], query: str = "?revs=true&latest=true") -> list[list[Any]]:
    docs = [{"id": doc_id, "rev": rev} for doc_id, rev in wanted]
    answer = await served.ask("POST", f"/clinic-phone/_bulk_get{query}", {"docs": docs})
    assert answer.status == 200
    results = answer.json["results"]
    assert [result["id"] for result in results] == [doc_id for doc_id, _ in wanted]
    return [[each.get("ok", {}).get("_rev", "error") for each in result["docs"]] for result in results]


async def test_bulk_get_gives_what_feeds_have_read_and_the_rest_in_order(tmp_path: Path) -> None:
    docs = [{"_id": f"d{n}", "facility": f"f{1 + n % 2}", "ssn": "secret"} for n in range(10)]
    async with site(PHONE, docs=docs, data=tmp_path) as served:
        hub = await served.indexed()
        rows = (await served.ask("GET", "/clinic-phone/_changes?limit=3")).json["results"]
        first = {row["id"]: row["changes"][0]["rev"] for row in rows}
        assert all(hub.bodies.get(item) is not None for item in first.items())
        everything = {doc["_id"]: (await served.at_source("GET", f"/clinic/{doc['_id']}")).json["_rev"] for doc in docs}
        found = await bulk_get(served, *everything.items(), ("none", "1-" + "a" * 32))
        seen = [[rev] if int(doc_id[1:]) % 2 == 0 else ["error"] for doc_id, rev in everything.items()]
        assert found == [*seen, ["error"]]
        assert found == await bulk_get(served, *everything.items(), ("none", "1-" + "a" * 32))
        plain = await served.ask("POST", "/clinic-phone/_bulk_get", {"docs": [{"id": "d0", "rev": everything["d0"]}]})
        [result] = plain.json["results"]
        assert result["docs"] == [{"ok": {"_id": "d0", "_rev": everything["d0"], "facility": "f1"}}]
        assert b"secret" not in plain.body


async def test_the_latest_is_not_what_was_kept(tmp_path: Path) -> None:
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1"}], data=tmp_path) as served:
        await served.indexed()
        [row] = (await served.ask("GET", "/clinic-phone/_changes")).json["results"]
        old = row["changes"][0]["rev"]
        assert await bulk_get(served, ("a", old)) == [[old]]
        new = await served.put({"_id": "a", "_rev": old, "facility": "f1", "weight": 1})
        assert (await served.ask("GET", "/clinic-phone/_changes")).json["results"][0]["changes"] == [{"rev": new}]
        assert await bulk_get(served, ("a", old)) == [[new]]
        assert await bulk_get(served, ("a", old), query="") == [[old]]
        moved = await served.put({"_id": "a", "_rev": new, "facility": "f2"})
        [row] = (await served.ask("GET", "/clinic-phone/_changes")).json["results"]
        graft = row["changes"][0]["rev"]
        assert row["deleted"]
        assert await bulk_get(served, ("a", graft), ("a", moved)) == [[graft], ["error"]]


@pytest.mark.parametrize("attachments", ["", "&attachments=true"])
async def test_attachments_come_with_documents_that_were_kept(tmp_path: Path, attachments: str) -> None:
    files = {"a.txt": {"content_type": "text/plain", "data": "cGxhaW4="}}
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1", "_attachments": files}], data=tmp_path) as served:
        await served.indexed()
        [row] = (await served.ask("GET", "/clinic-phone/_changes")).json["results"]
        wanted = {"docs": [{"id": "a", "rev": row["changes"][0]["rev"]}]}
        answer = await served.ask("POST", f"/clinic-phone/_bulk_get?latest=true{attachments}", wanted)
        [entry] = jsonio.loads(answer.body)["results"][0]["docs"]
        stub = entry["ok"]["_attachments"]["a.txt"]
        assert ("data" in stub) == bool(attachments)
        assert stub["content_type"] == "text/plain"


async def test_what_fails_when_nobody_waits_any_more_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    bodies, source = Bodies(10_000), Source()
    source.go.clear()

    async def fail(keys: list[Key]) -> Found:
        await source.read(keys)
        raise OSError("The source is away.")

    asking = asyncio.ensure_future(bodies.fetch([("a", "1-a")], fail))
    while not source.asked:
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    source.go.set()
    while bodies._coming:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert caplog.messages == []
