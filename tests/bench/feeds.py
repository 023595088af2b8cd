"""Feeds out of an index: what a device's own documents cost in a large database, building, pulling, waiting."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from typing import Any

from proxy.core import jsonio
from tests.bench import pages
from tests.bench.indexed import OWN, ask, fill, indexed, users
from tests.bench.live import measure_live
from tests.bench.report import Report
from tests.bench.servers import DATABASE, Process, Stage

_PULLED = 10_000
_MIB = 1024 * 1024


async def measure_feeds(stage: Stage, report: Report, *, full: bool) -> None:
    """All measures, each with a proxy of its own, whose index is built before."""
    sizes = (100_000, 1_000_000) if full else (20_000, 100_000)
    sets: list[pages.PageSet] = []
    build: list[list[str]] = []
    await stage.prepare()
    for place, size in enumerate(sizes):
        await fill(stage, sizes, place)
        build.append(await _build(stage, size))
        sets.append(await pages.measure_pages(stage, sizes, place))
    report.add_table("Building an index", _BUILD_HEAD, build)
    report.add_table(f"Pages of a user with {OWN} documents", pages.HEAD, pages.lines(sets))
    live = await measure_live(stage, 10_000 if full else 2_000, users(sizes, 0, 100))
    report.add_table("Live feeds", ["measure", "result"], live)
    pulls, rows = await _pulls(stage)
    report.add_table(f"Pull of {_PULLED:,} documents, as PouchDB does", _PULL_HEAD, pulls)
    report.add_table(f"All {_PULLED:,} rows of _changes, out of an index, judging profile (phone)", _ROWS_HEAD, rows)


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
        reply = await ask(stage, client, "POST", f"/{DATABASE}/_bulk_get?revs=true", docs)
        if reply.count(b'"ok"') != 1000:
            raise RuntimeError("the source did not give out all documents")
    client.close()
    return count / (time.perf_counter() - began)


# ---- pulls

_PULL_HEAD = ["way", "docs/s", "to direct"]
_ROWS_HEAD = ["way", "rows/s", "to direct"]
_DEVICES = ("first device", "second device")


async def _pulls(stage: Stage) -> tuple[list[list[str]], list[list[str]]]:
    """Pulls, and readings of all rows at once, with a proxy that knows no document before the first device."""
    await stage.prepare()
    await fill(stage, (_PULLED,), 0)
    found = []
    for measure in (_pull, _rows):
        rates: dict[str, list[float]] = {"source": [], **{f"proxy, {device}": [] for device in _DEVICES}}
        for _ in range(3):
            await stage.settle()
            rates["source"].append(await measure(stage, stage.source_url, f"/{DATABASE}"))
            async with indexed(stage) as proxy:
                for device in _DEVICES:
                    rates[f"proxy, {device}"].append(await measure(stage, proxy.url, f"/{DATABASE}-phone"))
        found.append(_to_direct(rates))
    return found[0], found[1]


def _to_direct(rates: dict[str, list[float]]) -> list[list[str]]:
    direct = rates["source"]
    return [
        [
            way,
            f"{statistics.median(found):,.0f}",
            f"{statistics.median(a / b for a, b in zip(found, direct, strict=True)):.2f}",
        ]
        for way, found in rates.items()
    ]


async def _rows(stage: Stage, url: str, path: str) -> float:
    """Rows a second of one feed from the beginning."""
    client = stage.client(url)
    began = time.perf_counter()
    reply = await ask(stage, client, "GET", f"{path}/_changes?style=all_docs")
    elapsed = time.perf_counter() - began
    client.close()
    if (count := reply.count(b'"changes":')) != _PULLED:
        raise RuntimeError(f"{url} gave {count} rows instead of {_PULLED}")
    return count / elapsed


async def _pull(stage: Stage, url: str, path: str) -> float:
    """Documents a second: pages of 100, the documents of each, a checkpoint for each."""
    client = stage.client(url)
    began = time.perf_counter()
    since: Any = 0
    count = 0
    while True:
        page = jsonio.loads(await ask(stage, client, "GET", f"{path}/_changes?style=all_docs&limit=100&since={since}"))
        rows = page["results"]
        if not rows:
            break
        since = rows[-1]["seq"]
        docs = {"docs": [{"id": row["id"], "rev": row["changes"][0]["rev"]} for row in rows]}
        reply = await ask(stage, client, "POST", f"{path}/_bulk_get?revs=true&latest=true", docs)
        count += reply.count(b'"ok"')
        await ask(stage, client, "GET", f"{path}/_local/checkpoint", None, {}, 404)
    client.close()
    if count != _PULLED:
        raise RuntimeError(f"{url} gave {count} documents instead of {_PULLED}")
    return count / (time.perf_counter() - began)
