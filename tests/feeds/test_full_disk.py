"""A disk without room for the index: the proxy serves from the source, says so once, and goes on when there is room."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.feeds.conftest import PASSWORD
from tests.support.family import children
from tests.support.http import Http, basic, eventually
from tests.support.proxy import Proxy
from tests.support.sources import SourceDatabase

FULL = "cannot be written, feeds are read from the source"


def _write_on(file: FileIO, size: int) -> None:
    while True:
        file.write(b"\0" * size)


class Disk:
    """A small file system of its own, in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], capture_output=True, text=True
        )
        if mounted.returncode != 0:
            pytest.skip(f"only who may mount can fill a file system: {mounted.stderr.strip()}")
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no room at all."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with pytest.raises(OSError, match="No space left"):
                    _write_on(file, size)

    def free(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


def write(database: SourceDatabase, name: str, count: int) -> set[str]:
    """Write documents of both users; the ids of ann's."""
    ids = [f"{name}-{number}-{'x' * 300}" for number in range(count)]
    docs = [{"_id": f"{owner}-{doc_id}", "owner": owner} for doc_id in ids for owner in ("ann", "bob")]
    database.json("POST", "_bulk_docs", {"docs": docs})
    return {f"ann-{doc_id}" for doc_id in ids}


def told(proxy: Proxy) -> set[str]:
    """What a feed from the beginning tells ann of. It is right whether or not there is an index."""
    page: Any = Http(proxy.url, basic("ann", PASSWORD)).json("GET", "/clinic-own/_changes")
    return {row["id"] for row in page["results"]}


def from_index(proxy: Proxy) -> bool:
    """Whether a feed comes out of the index: its tokens are longer by a position."""
    page: Any = Http(proxy.url, basic("ann", PASSWORD)).json("GET", "/clinic-own/_changes?limit=1")
    return len(str(page["last_seq"]).partition("-")[2]) == 16 + 19 + 16


def indexed(proxy: Proxy) -> Proxy:
    eventually(lambda: "is complete" in proxy.process.output(), "the index is complete")
    return proxy


def ended_well(proxy: Proxy) -> bool:
    """Whether the log has one message of the trouble, and one of its end, and no other."""
    troubles = [line for line in proxy.process.output().splitlines() if " INFO " not in line and "listens" not in line]
    assert [line.partition(": ")[0].split()[-2:] for line in troubles] == [
        ["[follower]", "couch_tailor.follower"],
        ["[follower]", "couch_tailor.follower"],
    ]
    return FULL in troubles[0] and troubles[1].endswith("clinic is followed again")


def serve_without_room(
    proxy: Proxy, database: SourceDatabase, fill: Callable[[], None], free: Callable[[], None]
) -> None:
    """Feeds are right before the disk fills, while it is full, and when there is room again."""
    ids = write(database, "before", 50)
    assert told(proxy) == ids
    assert from_index(proxy)
    fill()
    for number in count():
        ids |= write(database, f"full{number}", 20)
        assert told(proxy) == ids
        if FULL in proxy.process.output():
            break
    eventually(lambda: not from_index(proxy), "feeds come from the source")
    # it is tried again and again, and the log does not fill up
    for number in range(30):
        ids |= write(database, f"more{number}", 2)
        assert told(proxy) == ids
    free()
    eventually(lambda: from_index(proxy), "the index goes on")
    assert told(proxy) == ids
    assert ended_well(proxy)


def test_a_disk_that_fills(make: Callable[..., Proxy], database: SourceDatabase, disk: Disk) -> None:
    proxy = indexed(make(data=str(disk.path / "data")).start())
    serve_without_room(proxy, database, disk.fill, disk.free)


def test_a_file_that_must_not_grow(make: Callable[..., Proxy], database: SourceDatabase, tmp_path: Path) -> None:
    """What a quota does, and who may not mount can try."""
    proxy = indexed(make(data=str(tmp_path / "data")).start())
    follower = children(proxy.process.pid)["follower"]

    def limit(size: int) -> None:
        resource.prlimit(follower, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    serve_without_room(proxy, database, lambda: limit(100_000), lambda: limit(resource.RLIM_INFINITY))


def test_a_disk_that_is_full_at_the_start(make: Callable[..., Proxy], database: SourceDatabase, disk: Disk) -> None:
    ids = write(database, "before", 50)
    disk.fill()
    proxy = make(data=str(disk.path)).start()
    eventually(lambda: FULL in proxy.process.output(), "the log says so")
    assert told(proxy) == ids
    disk.free()
    eventually(lambda: from_index(proxy), "there is an index")
    assert told(proxy) == ids
    assert ended_well(proxy)


def test_a_restart_on_a_full_disk(make: Callable[..., Proxy], database: SourceDatabase, disk: Disk) -> None:
    """Of processes that were killed with the last changes still in the write-ahead log."""
    proxy = indexed(make(data=str(disk.path)).start())
    ids = write(database, "before", 50)
    assert told(proxy) == ids
    disk.fill()
    proxy.kill()
    proxy.process.start()
    assert told(proxy) == ids
    ids |= write(database, "more", 50)
    eventually(lambda: FULL in proxy.process.output(), "the log says so")
    assert told(proxy) == ids
    disk.free()
    eventually(lambda: from_index(proxy), "there is an index")
    assert told(proxy) == ids
    assert ended_well(proxy)
