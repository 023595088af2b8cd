"""Live feeds that mostly wait: what they cost, how soon they tell, and what is left for others, also during a build."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from proxy.feeds.index import Damaged, Full, IndexReader, remove
from proxy.feeds.local import index_path
from tests.bench.indexed import data_directory, indexed
from tests.bench.servers import AGAIN, DATABASE, Process, Stage
from tests.bench.speed import requests_a_second

_ROUNDS = 9
_SECONDS = 2
"""For which requests are counted: less than an index takes to be built."""


@dataclass
class _Live:
    """One continuous feed. `heard`: when its last row came."""

    owner: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: float = 0.0


async def measure_live(stage: Stage, count: int, owners: Sequence[str]) -> list[list[str]]:
    """A table. `owners`: users of the database, among whom the feeds are shared out.

    Requests are counted in turn with those that another proxy answers, which has no feeds: machines are not as fast at
    one time as at another.
    """
    async with indexed(stage, twice=True) as proxy:
        await _rate(stage, proxy)  # as much memory as it takes to serve at all, and all that it keeps
        quiet = await _to_another(stage, proxy, _rate)
        before = proxy.tree_resident
        async with _feeds(stage, proxy, [owners[number % len(owners)] for number in range(count)]) as feeds:
            await asyncio.sleep(2)
            memory = (proxy.tree_resident - before) / count
            delays, last = await _deliveries(stage, feeds, owners)
            beside = await _to_another(stage, proxy, _rate)
            building = await _to_another(stage, proxy, _rate_during_a_build)
    return [
        ["idle continuous feeds", f"{count:,}"],
        ["memory of each", f"{memory / 1024:.1f} KiB"],
        ["a change for one user, delivered", f"p50 {_ms(delays, 0.5)} ms, p99 {_ms(delays, 0.99)} ms"],
        ["a change for all, delivered to the last", f"{last * 1000:,.0f} ms"],
        ["GET document beside them, to without them", f"{beside / quiet:.2f}"],
        ["GET document while an index is built, too", f"{building / quiet:.2f}"],
    ]


async def measure_memory_of(stage: Stage, counts: Sequence[int]) -> AsyncIterator[tuple[int, int]]:
    """Bytes that the proxy takes for so many feeds, beside what it takes without any."""
    async with indexed(stage) as proxy:
        await _rate(stage, proxy)  # as much as it takes to serve at all
        before = proxy.tree_resident
        for count in counts:
            async with _feeds(stage, proxy, [f"nobody{number}" for number in range(count)]):
                await asyncio.sleep(2)
                yield count, proxy.tree_resident - before


async def _to_another(stage: Stage, proxy: Process, rate: Callable[[Stage, Process], Awaitable[float]]) -> float:
    """The median ratio of a rate of one proxy to the usual one of another, before and after."""
    ratios = []
    usual = await _rate(stage, stage.proxy)
    for _ in range(_ROUNDS):
        before, found, usual = usual, await rate(stage, proxy), await _rate(stage, stage.proxy)
        ratios.append(2 * found / (before + usual))
    return statistics.median(ratios)


async def _rate(stage: Stage, proxy: Process) -> float:
    return await requests_a_second(stage, proxy.url, f"{DATABASE}-phone", _SECONDS)


async def _rate_during_a_build(stage: Stage, proxy: Process) -> float:
    """Take away the other index, so that a new follower begins it anew: what does that leave for requests?"""
    path = index_path(data_directory(stage), AGAIN)
    remove(path)
    os.kill(proxy.child("follower"), signal.SIGKILL)
    while _is_complete(path) is None:
        await asyncio.sleep(0.01)
    rate = await _rate(stage, proxy)
    if _is_complete(path):
        raise RuntimeError("the index was complete before the requests were counted: more documents are needed")
    while not _is_complete(path):
        await asyncio.sleep(0.1)
    return rate


def _is_complete(path: Path) -> bool | None:
    """None: there is no index yet."""
    with suppress(Damaged, Full), IndexReader(path) as index:
        return bool(index.meta("complete"))
    return None


async def _deliveries(stage: Stage, feeds: list[_Live], owners: Sequence[str]) -> tuple[list[float], float]:
    """How long it took until each feed told of a change for its user, in order; until all told of one for everybody."""
    delays: list[float] = []
    for number in range(100):
        chosen = random.Random(number).choice(owners)
        began = time.perf_counter()
        await _store(stage, f"one:{number}", chosen)
        mine = [feed for feed in feeds if feed.owner == chosen]
        await _until(mine, began)
        delays += [feed.heard - began for feed in mine]
    began = time.perf_counter()
    await _store(stage, "all", "everybody")
    await _until(feeds, began)
    return sorted(delays), max(feed.heard for feed in feeds) - began


def _ms(ordered: list[float], share: float) -> str:
    return f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000:.0f}"


@asynccontextmanager
async def _feeds(stage: Stage, proxy: Process, owners: Sequence[str]) -> AsyncIterator[list[_Live]]:
    """A feed for each of the users, listened to."""
    feeds: list[_Live] = []
    readers: list[asyncio.Future[None]] = []
    try:
        for owner in owners:
            feeds.append(await _live(stage, proxy.url, owner))
            readers.append(asyncio.ensure_future(_listen(feeds[-1])))
        yield feeds
    finally:
        for reader in readers:
            reader.cancel()
        for feed in feeds:
            feed.writer.close()
        await asyncio.gather(*readers, return_exceptions=True)


async def _live(stage: Stage, url: str, owner: str) -> _Live:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**14)
    path = f"/{DATABASE}-own/_changes?feed=continuous&heartbeat=60000&since=now"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {stage.authorization}\r\nX-Owner: {owner}\r\n\r\n"
    writer.write(head.encode())
    status = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in status:
        raise RuntimeError(f"a live feed was refused: {status!r}")
    return _Live(owner, reader, writer)


async def _listen(feed: _Live) -> None:
    while line := await feed.reader.readline():
        if b'"changes"' in line:
            feed.heard = time.perf_counter()


async def _until(feeds: list[_Live], since: float) -> None:
    while any(feed.heard < since for feed in feeds):
        await asyncio.sleep(0.001)


async def _store(stage: Stage, doc_id: str, owner: str) -> None:
    await stage.request("PUT", stage.source_url, f"/{DATABASE}/{doc_id}", {"type": "patient", "owner": owner})


def allow_many_connections() -> None:
    """So many files may be open, here and in what is started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 30_000:
        print(f"only {hard} files may be open: fewer live feeds can be measured", file=sys.stderr)
