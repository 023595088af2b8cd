"""Feeds out of an index: what a device's own documents cost in a large database, building, pulling, waiting."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from proxy.core import jsonio
from proxy.upstream import JSON_HEADERS, Upstream
from tests.bench.report import Report
from tests.bench.servers import DATABASE, Process, Stage
from tests.bench.speed import document, requests_a_second

OWN = 100
"""Documents of each user."""
_PULLED = 10_000
_ROUNDS = 5
_MIB = 1024 * 1024


def owned(number: int, users: int) -> dict[str, Any]:
    """A document of about 500 bytes that one of the users owns."""
    return {**document(number), "owner": f"user{number % users}"}


async def measure_feeds(stage: Stage, report: Report, *, full: bool) -> None:
    """All measures, each with a proxy of its own, whose index is built before."""
    sizes = (100_000, 1_000_000) if full else (20_000, 100_000)
    lines: list[list[str]] = []
    build: list[list[str]] = []
    await stage.prepare()
    filled = 0
    for size in sizes:
        await _fill(stage, filled, size, sizes[-1] // OWN)
        filled = size
        build.append(await _build(stage, size))
        lines += await _page_sets(stage, size)
    report.add_table("Building an index", _BUILD_HEAD, build)
    report.add_table(f"First pages of a user with {OWN} documents", ["database", "way", "ms", "times as fast"], lines)
    report.add_table(f"Pull of {_PULLED:,} documents, as PouchDB does", _PULL_HEAD, await _pulls(stage))
    waiting = await _waiting(stage, 10_000 if full else 2_000)
    report.add_table("Live feeds", ["measure", "result"], waiting)


async def _fill(stage: Stage, start: int, end: int, users: int) -> None:
    for first in range(start, end, 1000):
        docs = [owned(number, users) for number in range(first, min(first + 1000, end))]
        await stage.request("POST", stage.source_url, f"/{DATABASE}/_bulk_docs", {"docs": docs})


# ---- building

_BUILD_HEAD = ["documents", "source, _bulk_get docs/s", "build docs/s", "ratio", "MB of disk", "MiB of memory"]


async def _build(stage: Stage, size: int) -> list[str]:
    """Build an index by the command, and read the same documents from the source."""
    direct = await _read_all(stage, min(size, 100_000))
    data = stage.directory / "built"
    shutil.rmtree(data, ignore_errors=True)
    began = time.perf_counter()
    process = await stage.command("index", "build", "-c", str(stage.configure(data=data)))
    peak = 0
    while process.returncode is None:
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), 0.1)
        except TimeoutError:
            peak = max(peak, Process(process, "").resident)
    elapsed = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"`couch-tailor index build` ended with {process.returncode}")
    disk = sum(file.stat().st_size for file in data.iterdir())
    rate = size / elapsed
    return [
        f"{size:,}",
        f"{direct:,.0f}",
        f"{rate:,.0f}",
        f"{rate / direct:.2f}",
        f"{disk / 1e6:.0f}",
        f"{peak / _MIB:.0f}",
    ]


async def _read_all(stage: Stage, count: int) -> float:
    """Documents a second that the source gives out."""
    client = stage.client(stage.source_url)
    began = time.perf_counter()
    for first in range(0, count, 1000):
        docs = {"docs": [{"id": f"patient:{number:07}"} for number in range(first, first + 1000)]}
        reply = await _ask(stage, client, "POST", f"/{DATABASE}/_bulk_get?revs=true", docs)
        if reply.count(b'"ok"') != 1000:
            raise RuntimeError("the source did not give out all documents")
    client.close()
    return count / (time.perf_counter() - began)


# ---- pages


async def _page_sets(stage: Stage, size: int) -> list[list[str]]:
    async with _indexed(stage) as proxy:
        client = stage.client(proxy.url)
        times = []
        for number in range(_ROUNDS + 1):
            began = time.perf_counter()
            found = await _pages(stage, client, f"/{DATABASE}-own", {"X-Owner": f"user{number}"})
            times.append(time.perf_counter() - began)
            if len(found) != min(OWN, size // (size // OWN)) and len(found) > OWN:
                raise RuntimeError(f"{len(found)} rows instead of {OWN}")
        client.close()
        ours = statistics.median(times[1:])
    client = stage.client(stage.source_url)
    selector = {"selector": {"owner": "user1"}}
    began = time.perf_counter()
    reply = await _ask(stage, client, "POST", f"/{DATABASE}/_changes?filter=_selector&style=all_docs", selector)
    theirs = time.perf_counter() - began
    client.close()
    rows = reply.count(b'"changes"')
    return [
        [f"{size:,}", f"proxy, index ({len(found)} rows)", f"{ours * 1000:.1f}", ""],
        [f"{size:,}", f"source, filter=_selector ({rows} rows)", f"{theirs * 1000:,.0f}", f"{theirs / ours:,.0f}"],
    ]


async def _pages(stage: Stage, client: Upstream, path: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """All rows, in pages of 100 as PouchDB reads them, until one is empty."""
    rows: list[dict[str, Any]] = []
    since: Any = 0
    while True:
        reply = await _ask(
            stage, client, "GET", f"{path}/_changes?style=all_docs&limit=100&since={since}", None, headers
        )
        page = jsonio.loads(reply)["results"]
        if not page:
            return rows
        rows += page
        since = page[-1]["seq"]


# ---- pulls

_PULL_HEAD = ["way", "docs/s", "to direct"]


async def _pulls(stage: Stage) -> list[list[str]]:
    rates: dict[str, list[float]] = {"source": [], "proxy, first device": [], "proxy, second device": []}
    await stage.prepare()
    await _fill(stage, 0, _PULLED, _PULLED // OWN)
    for _ in range(3):
        rates["source"].append(await _pull(stage, stage.source_url, f"/{DATABASE}"))
        async with _indexed(stage) as proxy:
            for device in ("first", "second"):
                rates[f"proxy, {device} device"].append(await _pull(stage, proxy.url, f"/{DATABASE}-phone"))
    direct = rates["source"]
    return [
        [
            way,
            f"{statistics.median(found):,.0f}",
            f"{statistics.median(a / b for a, b in zip(found, direct, strict=True)):.2f}",
        ]
        for way, found in rates.items()
    ]


async def _pull(stage: Stage, url: str, path: str) -> float:
    """Documents a second: pages of 100, the documents of each, a checkpoint for each."""
    client = stage.client(url)
    began = time.perf_counter()
    since: Any = 0
    count = 0
    while True:
        page = jsonio.loads(await _ask(stage, client, "GET", f"{path}/_changes?style=all_docs&limit=100&since={since}"))
        rows = page["results"]
        if not rows:
            break
        since = rows[-1]["seq"]
        docs = {"docs": [{"id": row["id"], "rev": row["changes"][0]["rev"]} for row in rows]}
        reply = await _ask(stage, client, "POST", f"{path}/_bulk_get?revs=true&latest=true", docs)
        count += reply.count(b'"ok"')
        await _ask(stage, client, "GET", f"{path}/_local/checkpoint", None, {}, 404)
    client.close()
    if count != _PULLED:
        raise RuntimeError(f"{url} gave {count} documents instead of {_PULLED}")
    return count / (time.perf_counter() - began)


# ---- waiting


@dataclass
class _Live:
    """One continuous feed. `heard`: when its last row came."""

    owner: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: float = 0.0


async def _waiting(stage: Stage, count: int) -> list[list[str]]:
    users = _PULLED // OWN
    async with _indexed(stage) as proxy:
        quiet = await requests_a_second(stage, proxy.url, f"{DATABASE}-phone")
        before = proxy.tree_resident
        feeds = [await _live(stage, proxy.url, f"user{number % users}") for number in range(count)]
        await asyncio.sleep(2)
        memory = (proxy.tree_resident - before) / count
        readers = [asyncio.ensure_future(_listen(feed)) for feed in feeds]
        delays: list[float] = []
        for number in range(100):
            owner = f"user{random.Random(number).randrange(users)}"
            began = time.perf_counter()
            await _store(stage, f"one:{number}", owner)
            mine = [feed for feed in feeds if feed.owner == owner]
            await _until(mine, began)
            delays += [feed.heard - began for feed in mine]
        began = time.perf_counter()
        await _store(stage, "all", "everybody")
        await _until(feeds, began)
        last = max(feed.heard for feed in feeds) - began
        loaded = await requests_a_second(stage, proxy.url, f"{DATABASE}-phone")
        for each in (*readers, *()):
            each.cancel()
        for feed in feeds:
            feed.writer.close()
        await asyncio.gather(*readers, return_exceptions=True)
    ordered = sorted(delays)
    return [
        ["idle continuous feeds", f"{count:,}"],
        ["memory of each", f"{memory / 1024:.1f} KiB"],
        ["a change for one user, delivered", f"p50 {_ms(ordered, 0.5)} ms, p99 {_ms(ordered, 0.99)} ms"],
        ["a change for all, delivered to the last", f"{last * 1000:,.0f} ms"],
        ["GET document beside them, to without them", f"{loaded / quiet:.2f}"],
    ]


def _ms(ordered: list[float], share: float) -> str:
    return f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000:.0f}"


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


# ---- what they share


@asynccontextmanager
async def _indexed(stage: Stage) -> AsyncIterator[Process]:
    """A proxy whose index is complete, with empty caches."""
    data = stage.directory / "indexes"
    path = stage.configure(data=data)
    build = await stage.command("index", "build", "-c", str(path))
    if await build.wait():
        raise RuntimeError("`couch-tailor index build` failed")
    proxy = await stage.start_proxy(path)
    try:
        direct = await _token(stage, stage.proxy.url)
        # a token out of an index has a position, too
        while len(await _token(stage, proxy.url)) < len(direct) + 15:
            await asyncio.sleep(0.05)
        yield proxy
    finally:
        await proxy.stop()


async def _token(stage: Stage, url: str) -> str:
    client = stage.client(url)
    page = jsonio.loads(await _ask(stage, client, "GET", f"/{DATABASE}-own/_changes?since=now&limit=1"))
    client.close()
    return str(page["last_seq"])


async def _ask(
    stage: Stage,
    client: Upstream,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    status: int = 200,
) -> bytes:
    data = None if body is None else jsonio.dumps(body)
    sent = {**JSON_HEADERS, "Authorization": stage.authorization, **(headers or {})}
    async with await client.request(method, path, headers=sent, body=data) as reply:
        answer = await reply.read()
    if reply.status != status:
        raise RuntimeError(f"{method} {path}: {reply.status} {answer[:200]!r}")
    return answer


def allow_many_connections() -> None:
    """So many files may be open, here and in what is started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 30_000:
        print(f"only {hard} files may be open: fewer live feeds can be measured", file=sys.stderr)
