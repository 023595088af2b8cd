"""A source of which documents are purged: no feed of it tells of that, and nobody is given them any more."""

from __future__ import annotations

import asyncio
import logging
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.core import jsonio
from proxy.endpoint.memory import MemoryRepository
from proxy.feeds import follower
from proxy.feeds.index import Full
from proxy.feeds.purges import Counts, added, counts_of, fell_back, together
from tests.compatibility.sources import Asked, Forward, Given, World, given_json, refusal, world
from tests.support.inprocess import profile

PHONE = profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))
ALL = profile("all")
DOCS = [{"_id": f"d{n}", "facility": f"f{n % 2}"} for n in range(6)]
FORGETS = "documents of clinic were purged: its index forgets"
ANEW = "clinic has purged documents, and does not say which: its index is made anew"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(follower, "_PAUSES", (0.01,))
    monkeypatch.setattr(follower, "_LOOK_SECONDS", 0.01)
    caplog.set_level(logging.WARNING)


def packed(node: bytes, number: int) -> str:
    """A `purge_seq` of one shard, as CouchDB packs it."""
    bounds = b"l" + (2).to_bytes(4, "big") + bytes([97, 0, 97, 255]) + b"j"
    atom = b"d" + len(node).to_bytes(2, "big") + node
    term = b"\x83l" + (1).to_bytes(4, "big") + b"h\x03" + atom + bounds + bytes([97, number]) + b"j"
    return f"{number}-{urlsafe_b64encode(term).decode().rstrip('=')}"


class Purging:
    """In front of an endpoint that cannot purge. `limit`: None, where the source does not say what was purged.
    `admins`: what it says to its administrators only.

    `held`: while it is set, nobody hears of purges. `more`: each look tells of another one.
    """

    def __init__(self, limit: int | None = 1000, *, more: bool = False, admins: Sequence[str] = ()) -> None:
        self.nodes = [b"one@host"]
        self.purged: list[str] = []
        self.held = False
        self.number = 0
        self._limit = limit
        self._more = more
        self._admins = admins

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        if asked.endpoint in ("_purged_infos", "_purged_infos_limit"):
            if asked.endpoint in self._admins:
                return refusal(401, "unauthorized", "You are not a server admin.")
            if self._limit is None:
                return refusal(404, "not_found", "missing")
            if asked.endpoint == "_purged_infos_limit":
                return given_json(200, self._limit)
            return given_json(200, {"purged_infos": [{"id": each, "revs": ["1-x"]} for each in self.purged]})
        given = await forward(asked)
        if asked.path != "/clinic" or given.status != 200:
            return given
        self.number += self._more
        self.nodes = self.nodes[1:] + self.nodes[:1]
        return given.with_json({**given.json, "purge_seq": packed(self.nodes[0], 0 if self.held else self.number)})

    def purge(self, at: World, *ids: str) -> None:
        assert at.server is not None
        repository = at.server.database("clinic")._repository
        assert isinstance(repository, MemoryRepository)
        for doc_id in ids:
            del repository._at[repository._records.pop(doc_id).seq]
            repository._ids.remove(doc_id)
            for key in [key for key in repository._bodies if key[0] == doc_id]:
                del repository._bodies[key]
        self.purged += ids
        self.number += 1


async def page(at: World, dress: str, since: Any = 0) -> tuple[list[str], Any]:
    answer = await at.ask("GET", f"/clinic-{dress}/_changes?style=all_docs&limit=50&since={since}")
    assert answer.status == 200, answer.body
    return sorted(row["id"] for row in answer.json["results"]), answer.json["last_seq"]


async def found(at: World, dress: str, rev: str) -> list[str]:
    """Whether `d1` is there: "ok" or "error"."""
    asked = {"docs": [{"id": "d1", "rev": rev}]}
    answer = await at.ask("POST", f"/clinic-{dress}/_bulk_get?revs=true&latest=true", asked)
    return [name for result in answer.json["results"] for each in result["docs"] for name in each]


async def told(at: World, caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until the log says so, and there is an index."""
    while text not in caplog.text:
        await asyncio.sleep(0.005)
    await at.indexed()


@pytest.mark.parametrize(
    ("purging", "says"),
    [
        (partial(Purging), FORGETS),
        (partial(Purging, 0), ANEW),
        (partial(Purging, None), ANEW),
        (partial(Purging, admins=["_purged_infos_limit"]), FORGETS),
        (partial(Purging, admins=["_purged_infos_limit", "_purged_infos"]), ANEW),
    ],
)
async def test_what_was_purged_is_given_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, purging: Callable[[], Purging], says: str
) -> None:
    source = purging()
    async with world(source, PHONE, ALL, docs=DOCS, data=tmp_path) as at:
        hub = await at.indexed()
        rev = (await at.at_source("GET", "/clinic/d1")).json["_rev"]
        since: dict[str, Any] = {}
        for dress, ids in (("phone", ["d1", "d3", "d5"]), ("all", [f"d{n}" for n in range(6)])):
            assert (await page(at, dress))[0] == ids
            assert await found(at, dress, rev) == ["ok"]
        assert hub.bodies.get(("d1", rev)) is not None
        source.purge(at, "d1")
        await told(at, caplog, says)
        assert hub.bodies.get(("d1", rev)) is None
        for dress, ids in (("phone", ["d3", "d5"]), ("all", ["d0", "d2", "d3", "d4", "d5"])):
            assert await found(at, dress, rev) == ["error"]
            seen, since[dress] = await page(at, dress)
            assert seen == ids
        await at.put({"_id": "d7", "facility": "f1"})
        for dress, seq in since.items():
            assert (await page(at, dress, seq))[0] == ["d7"]
    assert len([text for text in caplog.messages if says in text]) == 1


async def test_an_account_that_may_not_ask_how_many_are_listed_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Purging(admins=["_purged_infos_limit"])
    async with world(source, PHONE, docs=DOCS, data=tmp_path) as at:
        await at.indexed()
        source.purge(at, "d1", "d3")
        source.number += 5  # the list has lost those
        await told(at, caplog, ANEW)
        assert (await page(at, "phone"))[0] == ["d5"]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("limit", [1000, None])
async def test_what_was_purged_and_put_back_is_told_to_those_who_missed_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, limit: int | None, held: bool
) -> None:
    """With the same revision, as from a backup, whether the purge was heard of in between or not."""
    source = Purging(limit)
    async with world(source, PHONE, docs=DOCS, data=tmp_path) as at:
        await at.indexed()
        doc = (await at.at_source("GET", "/clinic/d1?revs=true")).json
        source.held = held
        source.purge(at, "d1")
        if not held:
            await told(at, caplog, "purged")
        await at.put({"_id": "d7", "facility": "f1"})
        since = (await at.ask("GET", "/clinic-phone/_changes?since=now")).json["last_seq"]
        await at.at_source("POST", "/clinic/_bulk_docs", {"docs": [doc], "new_edits": False})
        late = since
        if held:
            _, late = await page(at, "phone", since)  # the follower has read the row by now, which is no news to it
            source.held = False
            await told(at, caplog, "purged")
        assert "d1" in (await page(at, "phone", since))[0]
        assert "d1" in (await page(at, "phone", late))[0]
        assert (await page(at, "phone"))[0] == ["d1", "d3", "d5", "d7"]
        asked = {"docs": [{"id": "d1", "rev": doc["_rev"]}]}
        answer = await at.ask("POST", "/clinic-phone/_bulk_get?revs=true&latest=true", asked)
        assert answer.json["results"][0]["docs"][0]["ok"]["_rev"] == doc["_rev"]


async def test_who_waits_goes_on_waiting_and_hears_of_what_is_put_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Purging()
    async with world(source, PHONE, docs=DOCS, data=tmp_path) as at:
        hub = await at.indexed()
        doc = (await at.at_source("GET", "/clinic/d1?revs=true")).json
        _, since = await page(at, "phone")
        path = f"/clinic-phone/_changes?feed=longpoll&heartbeat=60000&since={since}"
        waiting = asyncio.ensure_future(at.ask("GET", path))
        while not hub.waiting:
            await asyncio.sleep(0.001)
        source.purge(at, "d1")
        await told(at, caplog, FORGETS)
        await at.at_source("POST", "/clinic/_bulk_docs", {"docs": [doc], "new_edits": False})
        assert [row["id"] for row in (await waiting).json["results"]] == ["d1"]


async def test_a_page_that_was_being_written_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """For the next client, who would be told of what was purged meanwhile."""
    source = Purging()
    async with world(source, ALL, docs=DOCS, data=tmp_path) as at:
        hub = await at.indexed()
        keep = hub.pages.keep
        kept: list[object] = []
        hub.pages.keep = lambda *page: kept.append(page) or keep(*page)  # type: ignore[method-assign,func-returns-value]
        answer = await at.ask("GET", "/clinic-all/_changes?limit=3")
        assert len(answer.json["results"]) == len(kept) * 3 == 3
        read, hub_rows = [], hub.rows

        def rows(*asked: Any) -> Any:
            found = hub_rows(*asked)
            read.append(found)
            hub.forgotten += 1  # right after they were read
            return found

        hub.rows = rows  # type: ignore[method-assign,assignment]
        answer = await at.ask("GET", "/clinic-all/_changes?limit=4")
        assert len(answer.json["results"]) == 4
        assert (len(read), len(kept)) == (1, 1)


async def test_a_conflict_whose_winner_was_purged_has_the_leaves_that_are_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Purging()
    async with world(source, ALL, docs=DOCS, data=tmp_path) as at:
        await at.indexed()
        loser = {"_id": "d1", "_rev": "1-00000000000000000000000000000000", "facility": "f0"}
        source.purge(at, "d1")
        await at.at_source("POST", "/clinic/_bulk_docs", {"docs": [loser], "new_edits": False})
        await told(at, caplog, FORGETS)
        answer = await at.ask("GET", "/clinic-all/_changes?style=all_docs")
        changes = {row["id"]: row["changes"] for row in answer.json["results"]}
        assert changes["d1"] == [{"rev": loser["_rev"]}]


async def test_copies_that_count_for_themselves_are_no_purge(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a cluster another node answers each time."""
    source = Purging()
    source.nodes = [b"one@host", b"two@host", b"three@host"]
    async with world(source, PHONE, docs=DOCS, data=tmp_path) as at:
        hub = await at.indexed()
        assert hub.index is not None
        old, looks = hub.index.index_id, at.count("clinic")
        while at.count("clinic") < looks + 10:
            await asyncio.sleep(0.005)
        assert at.count("_purged_infos") == 0
        source.purge(at, "d1")
        await told(at, caplog, FORGETS)
        looks = at.count("clinic")
        while at.count("clinic") < looks + 10:
            await asyncio.sleep(0.005)
        assert (await page(at, "phone"))[0] == ["d3", "d5"]
        assert hub.index is not None
        assert hub.index.index_id == old
    assert "made anew" not in caplog.text


async def test_fewer_purges_than_there_were_are_an_older_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Purging()
    async with world(source, PHONE, docs=DOCS, data=tmp_path) as at:
        await at.indexed()
        source.purge(at, "d1")
        await told(at, caplog, FORGETS)
        source.number = 0
        await told(at, caplog, "clinic was replaced by an older copy of itself")


async def test_feeds_are_served_while_purges_never_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the source, where each of them makes the index anew."""
    source = Purging(None, more=True)
    async with world(source, PHONE, docs=DOCS, data=tmp_path) as at:
        for number in range(10, 30):
            await at.put({"_id": f"d{number}", "facility": "f1"})
            answer = await at.ask("GET", "/clinic-phone/_changes")
            if answer.status == 200:
                assert len(answer.json["results"]) == 3 + number - 9
        assert ANEW in caplog.text


async def test_purges_while_an_index_is_away_are_heard_of_at_its_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_LOOK_SECONDS", 3600.0)
    source = Purging()
    async with world(source, PHONE, docs=DOCS, data=tmp_path) as at:
        hub = await at.indexed()
        source.purge(at, "d1")
        following = getattr(hub.ask, "__self__", None)
        assert isinstance(following, follower.Follower)
        following._raise_alarm(Full("for a moment"))
        await told(at, caplog, FORGETS)
        assert (await page(at, "phone"))[0] == ["d3", "d5"]
    assert "made anew" not in caplog.text


# ---- numbers


def test_counts_are_by_shard_and_copy() -> None:
    one = counts_of(packed(b"one@host", 3))
    assert [[*copies.values()] for copies in one.values()] == [[3]]
    assert one != counts_of(packed(b"two@host", 3))
    assert jsonio.loads(jsonio.dumps(one)) == one
    assert counts_of(7) == {"": {"": 7}} == counts_of("7-tag")
    assert counts_of(None) == {} == counts_of("opaque")


@pytest.mark.parametrize(
    ("counts", "known", "expected"),
    [
        ({}, {}, 0),
        ({"": {"": 2}}, {}, 2),
        ({"": {"": 2}}, {"": {"": 2}}, 0),
        ({"a": {"one": 4}, "b": {"one": 9}}, {"a": {"one": 2}, "b": {"one": 8}}, 2),
        ({"a": {"two": 2}}, {"a": {"one": 2}}, 0),
        ({"a": {"two": 1}}, {"a": {"one": 2}}, 0),  # it lags, or has counted in another way
        ({"a": {"two": 3}}, {"a": {"one": 2}}, 1),
        ({"a": {"two": 2}}, {"a": {"one": 2, "two": 1}}, 1),
    ],
)
def test_what_was_added(counts: Counts, known: Counts, expected: int) -> None:
    assert added(counts, known) == expected
    assert added(counts, together(known, counts)) == 0
    assert not fell_back(counts, known)


def test_a_copy_that_counts_less_than_before_fell_back() -> None:
    assert fell_back({"a": {"one": 1}}, {"a": {"one": 2}})
    assert not fell_back({"a": {"two": 1}}, {"a": {"one": 2}})


def test_of_shards_that_were_split_nothing_is_known_any_more() -> None:
    assert together({"a": {"one": 2}, "b": {"one": 1}}, {"b": {"two": 1}}) == {"b": {"one": 1, "two": 1}}
