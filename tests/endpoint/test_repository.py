"""Both repositories, by the same tests: scans against a model, all-or-nothing jobs, blobs, what survives a restart."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.endpoint.attachments import PART, Upload
from proxy.endpoint.memory import MemoryRepository
from proxy.endpoint.repository import Counts, LocalDoc, Range, Record, Repository, StoredBody, Transaction
from proxy.endpoint.sqlite import ATTACHMENTS, SqliteRepository
from proxy.endpoint.sqlite_reader import FILE
from proxy.errors import CouchError, NotFound


@pytest.fixture(params=["memory", "sqlite"])
async def repository(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Repository]:
    made = MemoryRepository() if request.param == "memory" else SqliteRepository(tmp_path / "db")
    yield made
    await made.close()


def record(seq: int, doc_id: str, *, deleted: bool = False, body: bytes = b"{}") -> Record:
    return Record(seq, doc_id, f"1-{seq:032x}", deleted, None, b"[]", None, body)


def put(transaction: Transaction, doc_id: str, *, deleted: bool = False, body: bytes = b"{}") -> Record:
    made = record(transaction.counts.seq + 1, doc_id, deleted=deleted, body=body)
    transaction.put(made, transaction.record(doc_id))
    return made


async def test_a_document_is_found_by_id_and_by_sequence(repository: Repository) -> None:
    made = await repository.write(lambda transaction: put(transaction, "a", body=b'{"x":1}'))
    assert repository.record("a") == made
    assert repository.winner("a") == made.stored_body
    assert repository.tree("a") == b"[]"
    assert repository.winner("b") is None
    assert repository.tree("b") is None
    [entry] = repository.by_seq(0, 10, descending=False, bodies=True)
    assert (entry.seq, entry.id, entry.rev, entry.body) == (1, "a", made.rev, b'{"x":1}')
    [bare] = repository.by_id(Range(), 10, bodies=False)
    assert (bare.id, bare.rev, bare.body) == ("a", made.rev, None)


async def test_an_update_moves_the_document_to_the_end(repository: Repository) -> None:
    for doc_id in "aba":
        await repository.write(partial(put, doc_id=doc_id, body=b'{"x":1}'))
    entries = repository.by_seq(0, 10, descending=False, bodies=False)
    assert [(entry.seq, entry.id) for entry in entries] == [(2, "b"), (3, "a")]
    assert repository.counts == Counts(seq=3, live=2, deleted=0, external=14)
    await repository.write(lambda transaction: put(transaction, "b", deleted=True))
    assert repository.counts == Counts(seq=4, live=1, deleted=1, external=9)


async def test_other_bodies_locals_and_settings(repository: Repository) -> None:
    body = StoredBody("1-a", False, None, b'{"x":1}')

    def job(transaction: Transaction) -> None:
        transaction.put_body("a", body)
        transaction.put_body("b", body)
        transaction.drop_body("b", "1-a")
        transaction.put_local(LocalDoc("_local/x", 1, b"{}"))
        transaction.put_local(LocalDoc("_local/x", 2, b'{"n":2}'))
        transaction.put_local(LocalDoc("_local/a", 1, b"{}"))
        transaction.put_local(LocalDoc("_local/gone", 1, b"{}"))
        transaction.drop_local("_local/gone")
        transaction.set("name", b"1")
        transaction.set("name", b"2")

    await repository.write(job)
    assert repository.body("a", "1-a") == body
    assert repository.body("a", "1-b") is None
    assert repository.body("b", "1-a") is None
    assert repository.local("_local/x") == LocalDoc("_local/x", 2, b'{"n":2}')
    assert repository.local("_local/gone") is None
    assert [doc.id for doc in repository.locals()] == ["_local/a", "_local/x"]
    assert repository.setting("name") == b"2"
    assert repository.setting("none") is None


async def test_a_job_that_raises_leaves_nothing(repository: Repository) -> None:
    await repository.write(lambda transaction: put(transaction, "kept", body=b"{1}"))

    def job(transaction: Transaction) -> None:
        put(transaction, "kept", deleted=True)
        put(transaction, "new")
        transaction.put_body("kept", StoredBody("1-x", False, None, b"{}"))
        transaction.put_local(LocalDoc("_local/x", 1, b"{}"))
        transaction.set("name", b"1")
        raise LookupError("after all of this")

    before = repository.counts, repository.record("kept")
    with pytest.raises(LookupError, match="after all of this"):
        await repository.write(job)
    assert (repository.counts, repository.record("kept")) == before
    assert [entry.id for entry in repository.by_seq(0, 9, descending=False, bodies=False)] == ["kept"]
    assert repository.body("kept", "1-x") is None
    assert repository.local("_local/x") is None
    assert repository.setting("name") is None
    assert (await repository.write(lambda transaction: put(transaction, "next"))).seq == 2


async def test_concurrent_jobs_run_one_after_the_other(repository: Repository) -> None:
    def job(transaction: Transaction, number: int) -> int:
        seq = put(transaction, f"doc{number}").seq
        if number % 3 == 0:
            raise LookupError(number)
        return seq

    results = await asyncio.gather(
        *(repository.write(partial(job, number=number)) for number in range(60)),
        return_exceptions=True,
    )
    seqs = [result for result in results if isinstance(result, int)]
    assert seqs == list(range(1, 41))
    assert sum(isinstance(result, LookupError) for result in results) == 20
    assert repository.counts.live == 40


async def test_commits_are_announced_even_if_nobody_waits(repository: Repository) -> None:
    told = asyncio.Event()
    repository.on_commit = told.set
    task = asyncio.ensure_future(repository.write(lambda transaction: put(transaction, "a")))
    await asyncio.sleep(0)
    task.cancel()
    await told.wait()
    assert repository.counts.seq == 1


async def test_blobs(repository: Repository) -> None:
    contents = [b"", b"small", bytes(range(256)) * 2000]

    async def keep(content: bytes) -> str:
        async with repository.new_upload() as upload:
            for at in range(0, len(content), 100_000):
                await upload.write(content[at : at + 100_000])
            await upload.finish()
            await repository.write(lambda transaction: transaction.adopt(upload))
            return upload.key

    for content in contents:
        key = await keep(content)
        assert await keep(content) == key
        assert b"".join([chunk async for chunk in repository.read_blob(key, 0, len(content))]) == content
        part = b"".join([chunk async for chunk in repository.read_blob(key, 2, len(content) - 1)])
        assert part == content[2 : max(2, len(content) - 1)]


async def test_a_discarded_upload_cannot_be_kept(repository: Repository) -> None:
    upload = repository.new_upload()
    await upload.write(b"gone")
    await upload.finish()
    await upload.discard()
    with pytest.raises(CouchError, match="discarded"):
        await repository.write(lambda transaction: transaction.adopt(upload))


IDS = st.text(alphabet="aAé☃😀_/~\x00", min_size=1, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(IDS, st.booleans()), max_size=15),
    start=st.none() | IDS,
    end=st.none() | IDS,
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    limit=st.integers(0, 5),
    after=st.integers(0, 16),
)
async def test_scans_agree_with_a_model(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, bool]],
    start: str | None,
    end: str | None,
    flags: tuple[bool, bool, bool],
    limit: int,
    after: int,
) -> None:
    latest: dict[str, tuple[int, bool]] = {}
    for seq, (doc_id, deleted) in enumerate(steps, 1):
        latest[doc_id] = (seq, deleted)
    wanted = Range(start, end, *flags)
    low, high = (end, start) if wanted.descending else (start, end)
    with_start, with_end = wanted.inclusive_start, wanted.inclusive_end
    live = sorted((doc_id for doc_id, (_, deleted) in latest.items() if not deleted), key=str.encode)
    expected = [
        doc_id
        for doc_id in live
        if (low is None or low.encode() <= doc_id.encode()) and (high is None or doc_id.encode() <= high.encode())
        if (with_start or doc_id != start) and (with_end or doc_id != end)
    ]
    if wanted.descending:
        expected.reverse()
    by_seq = sorted((seq, doc_id) for doc_id, (seq, _) in latest.items())

    for repository in (MemoryRepository(), SqliteRepository(tmp_path_factory.mktemp("db"))):
        for doc_id, deleted in steps:
            await repository.write(partial(put, doc_id=doc_id, deleted=deleted))
        assert [entry.id for entry in repository.by_id(wanted, limit, bodies=False)] == expected[:limit]
        assert repository.count_by_id(wanted) == len(expected)
        ascending = repository.by_seq(after, limit, descending=False, bodies=False)
        assert [(e.seq, e.id) for e in ascending] == [pair for pair in by_seq if pair[0] > after][:limit]
        descending = repository.by_seq(after, limit, descending=True, bodies=False)
        assert [(e.seq, e.id) for e in descending] == [pair for pair in by_seq[::-1] if pair[0] < after][:limit]
        assert repository.count_by_seq(after) == sum(seq > after for seq, _ in by_seq)
        await repository.close()


# ---- SQLite alone


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    first = SqliteRepository(tmp_path)
    first.found({"tag": b"1"})
    upload = Upload.of(b"x" * 100_000)
    await first.write(lambda transaction: transaction.adopt(upload))
    made = await first.write(lambda transaction: put(transaction, "a"))
    await first.close()
    await first.close()

    second = SqliteRepository(tmp_path)
    assert second.record("a") == made
    assert second.counts == first.counts
    assert second.setting("tag") == b"1"
    assert [chunk async for chunk in second.read_blob(upload.key, 0, 3)] == [b"xxx"]
    await second.close()


async def test_a_snapshot_does_not_see_what_is_committed_meanwhile(tmp_path: Path) -> None:
    repository = SqliteRepository(tmp_path)
    await repository.write(lambda transaction: put(transaction, "a"))
    with repository.snapshot():
        before = repository.record("a")
        await repository.write(lambda transaction: put(transaction, "a", deleted=True))
        assert repository.record("a") == before
    assert repository.record("a") != before
    await repository.close()


async def test_a_failed_commit_fails_all_its_jobs_and_keeps_nothing(tmp_path: Path) -> None:
    repository = SqliteRepository(tmp_path)
    await repository.write(lambda transaction: put(transaction, "a"))
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    repository._transaction._execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    jobs = (repository.write(partial(put, doc_id=f"b{n}")) for n in range(3))
    results: list[Any] = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results] == [sqlite3.OperationalError] * 3
    other.execute("ROLLBACK")
    other.close()
    assert repository.counts.seq == 1
    assert (await repository.write(lambda transaction: put(transaction, "c"))).seq == 2
    await repository.close()


async def test_a_transaction_that_sqlite_gives_up_fails_all_its_jobs(tmp_path: Path) -> None:
    repository = SqliteRepository(tmp_path)

    def full(transaction: Transaction) -> None:
        put(transaction, "b")
        repository._transaction._execute("ROLLBACK")  # as it happens by itself when the disk is full
        raise sqlite3.OperationalError("database or disk is full")

    jobs: list[Any] = [partial(put, doc_id="a"), full, partial(put, doc_id="c")]
    results: list[Any] = await asyncio.gather(*map(repository.write, jobs), return_exceptions=True)
    assert isinstance(results[1], sqlite3.OperationalError)
    stored = [entry.id for entry in repository.by_seq(0, 9, descending=False, bodies=False)]
    acknowledged = [result.id for result in results if isinstance(result, Record)]
    assert stored == acknowledged
    assert repository.counts.seq == len(stored)
    assert (await repository.write(partial(put, doc_id="d"))).seq == len(stored) + 1
    await repository.close()


async def test_leftovers_of_uploads_are_removed(tmp_path: Path) -> None:
    repository = SqliteRepository(tmp_path)
    abandoned = repository.new_upload()
    await abandoned.write(b"x" * 1_000_000)
    assert len(list((tmp_path / ATTACHMENTS).glob(f"*{PART}"))) == 1
    await repository.close()
    again = SqliteRepository(tmp_path)
    assert list((tmp_path / ATTACHMENTS).iterdir()) == []
    await again.close()
    await abandoned.discard()


async def test_a_closed_repository_takes_no_writes(tmp_path: Path) -> None:
    repository = SqliteRepository(tmp_path / "db")
    await repository.destroy()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound, match=r"Database does not exist\."):
        await repository.write(lambda transaction: put(transaction, "a"))


async def test_another_format_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(CouchError, match="has format 99; this version reads format 1"):
        SqliteRepository(tmp_path)
