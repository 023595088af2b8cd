"""Index files that are not as they were written: what is read from them is right, or refused. And an index that lies,
in good order: nobody gets what they may not see.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.feeds.follower import Follower
from proxy.feeds.index import Damaged, Entry, Full, IndexReader, IndexWriter, remove
from proxy.feeds.index.damage import damage as saying
from tests.support.inprocess import Site, basic, profile, site

SETTINGS = {"source": "http://source/db", "rules": "a,b", "incarnation": "1"}
KEYS = range(1, 9)
DOCS = 250
PHONE = profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))


def entry(random: Random, number: int, seq: int) -> Entry:
    keys = frozenset(random.sample(KEYS, random.randint(1, 3)))
    return Entry(f"document {number:04}", f"{seq}-{random.randbytes(16).hex()}", f"{seq}-abc", keys)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole index, some of whose documents have moved. All of it is in the one file."""
    path, random = tmp_path_factory.mktemp("original") / "clinic.index", Random(1)
    with IndexWriter(path, SETTINGS) as writer:
        for seq in range(0, 2 * DOCS, 10):
            numbers = [random.randrange(DOCS) if seq > DOCS else seq + place for place in range(10)]
            batch = [entry(random, number, seq + place) for place, number in enumerate(numbers)]
            writer.apply(batch, batch[-1].seq)
        writer.set_meta("complete", 1)
        writer.check()
    return path


def content(path: Path) -> Any:
    """All that a feed can read."""
    with IndexReader(path) as reader:
        return (
            reader.since,
            reader.end,
            [reader.rows(keys, 0, reader.end, 10_000) for keys in (None, *([key] for key in KEYS), [1, 5])],
            [reader.position(at).seq for at in range(0, 2 * DOCS, 7)],
            reader.leaves_of([f"document {number:04}" for number in range(DOCS)]),
        )


def flip(random: Random, data: bytearray) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def zero(random: Random, data: bytearray) -> None:
    start, size = random.randrange(len(data)), random.choice((1, 16, 512, 4096))
    data[start : start + size] = bytes(len(data[start : start + size]))


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (sqlite3.SQLITE_FULL, Full),
        (sqlite3.SQLITE_IOERR_WRITE, Full),
        (sqlite3.SQLITE_READONLY, Full),
        (sqlite3.SQLITE_READONLY_DIRECTORY, Full),
        (sqlite3.SQLITE_READONLY_DBMOVED, Full),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, Full),
        (sqlite3.SQLITE_BUSY_RECOVERY, Full),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, Full),
        (sqlite3.SQLITE_IOERR_READ, Damaged),
        (sqlite3.SQLITE_CORRUPT_INDEX, Damaged),
        (sqlite3.SQLITE_NOTADB, Damaged),
        (None, Damaged),
    ],
)
def test_a_file_that_cannot_be_used_at_present_is_not_damaged(code: int | None, raised: type[Exception]) -> None:
    error = sqlite3.OperationalError("what SQLite says")
    if code is not None:
        error.sqlite_errorcode = code
    with pytest.raises(raised, match="what SQLite says"), saying():
        raise error


@pytest.mark.parametrize("damage", [flip, zero])
def test_damage_to_a_closed_file_is_found_when_it_is_opened(
    original: Path, tmp_path: Path, damage: Callable[[Random, bytearray], None]
) -> None:
    random, whole, expected = Random(2), original.read_bytes(), content(original)
    path, found = tmp_path / "clinic.index", 0
    for _ in range(300):
        data = bytearray(whole)
        damage(random, data)
        remove(path)
        path.write_bytes(data)
        try:
            with IndexWriter(path, SETTINGS) as writer:
                writer.check()
        except (Damaged, Full):
            found += 1
        else:  # it was nothing that counts
            assert content(path) == expected
    assert found > 150


def test_damage_to_the_log_of_a_process_that_died_costs_what_is_in_the_log(original: Path, tmp_path: Path) -> None:
    """Each transaction there has its checksums: SQLite goes back to the last one that is whole."""
    random, files = Random(3), tmp_path / "died"
    states = []
    files.mkdir()
    shutil.copy(original, files / "clinic.index")
    with IndexWriter(files / "clinic.index", SETTINGS) as writer:
        for seq in range(1000, 1040, 10):
            states.append(content(files / "clinic.index"))
            batch = [entry(random, random.randrange(DOCS), seq + place) for place in range(10)]
            writer.apply(batch, batch[-1].seq)
        states.append(content(files / "clinic.index"))
        died = {name: (files / name).read_bytes() for name in ("clinic.index", "clinic.index-wal")}
    path = tmp_path / "clinic.index"
    seen = set()
    for _ in range(100):
        remove(path)
        path.write_bytes(died["clinic.index"])
        log = bytearray(died["clinic.index-wal"])
        flip(random, log)
        path.with_name("clinic.index-wal").write_bytes(log)
        with IndexWriter(path, SETTINGS) as writer:
            writer.check()
            seen.add(states.index(content(path)))
    assert len(seen) > 2


def test_damage_to_a_file_in_use_never_leads_to_a_wrong_row(original: Path, tmp_path: Path) -> None:
    """An entry that is not found is missed, until the file is opened again: then it is found that it is missing."""
    random, path, whole = Random(4), tmp_path / "clinic.index", original.read_bytes()
    with IndexReader(original) as reader:
        expected = {key: reader.rows([key], 0, reader.end, 10_000) for key in KEYS}
    refused = missed = 0
    for _ in range(300):
        remove(path)
        path.write_bytes(whole)
        with IndexReader(path) as reader:
            end = reader.end
            data = bytearray(whole)
            flip(random, data)
            with path.open("r+b") as file:
                file.write(data)
            reader._db.execute("PRAGMA shrink_memory")
            try:
                found = {key: reader.rows([key], 0, end, 10_000) for key in KEYS}
            except (Damaged, Full):
                refused += 1
                continue
        assert all(set(found[key]) <= set(expected[key]) for key in KEYS)
        if found != expected:
            missed += 1
            with pytest.raises(Damaged), IndexWriter(path, SETTINGS) as writer:
                writer.check()
    assert refused > 30
    assert missed < refused


async def _as_far_as_it_comes(at: Site, path: str) -> bytes:
    """What is given before the reply ends, or breaks off since the source has nothing of what is announced."""
    body = b""
    async with at.session.get(at.proxy_url + path, headers=basic(("ann", "ann"))) as reply:
        assert reply.status == 200
        with suppress(aiohttp.ClientPayloadError):
            while piece := await reply.content.readany():
                body += piece
    return body


async def test_an_index_that_lies_gives_nothing_away(tmp_path: Path) -> None:
    """Every document is under every key, at revisions and with deletions that are not its own, in good order."""
    docs = [{"_id": f"d{n}", "facility": f"f{n % 3}", "ssn": "hidden", "text": f"of f{n % 3}"} for n in range(30)]
    async with site(PHONE, docs=docs, data=tmp_path) as at:
        hub = await at.indexed()
        assert await hub.fresh()
        assert hub.index is not None
        follower = getattr(hub.ask, "__self__", None)
        assert isinstance(follower, Follower)
        assert follower._index is not None
        rows = hub.index.rows(None, 0, hub.end, 1000)
        stored = follower._index.known([row.doc_id for row in rows])
        keys = frozenset().union(*(known.keys for known in stored.values()))
        random = Random(5)
        for _ in range(3):
            lies = [
                Entry(row.doc_id, random.choice((row.leaves, other.leaves, f"{row.leaves}!")), "1-abc", keys)
                for row, other in zip(rows, random.sample(rows, len(rows)), strict=True)
            ]
            hub.moved(follower._index.end, follower._index.apply([*lies, Entry("none", "1-a", 1, keys)], "1-abc"))
            for query in (
                "",
                "?include_docs=true",
                "?include_docs=true&descending=true",
                "?include_docs=true&style=all_docs&limit=7",
                "?include_docs=true&feed=longpoll&since=0",
                "?include_docs=true&conflicts=true&attachments=true",
            ):
                body = await _as_far_as_it_comes(at, f"/clinic-phone/_changes{query}")
                assert {text.decode() for text in re.findall(rb'"id":"(.*?)"', body)} <= {
                    f"d{n}" for n in range(1, 30, 3)
                }
                assert not any(text in body for text in (b"of f0", b"of f2", b"hidden"))
            asked = [{"id": lie.doc_id, "rev": lie.leaves.rstrip("!")} for lie in lies]
            for query in ("", "?latest=true"):
                answer = await at.ask("POST", f"/clinic-phone/_bulk_get{query}", {"docs": asked})
                assert not any(text in answer.body for text in (b"of f0", b"of f2", b"hidden"))
