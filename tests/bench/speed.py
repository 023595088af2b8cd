"""Throughput of the proxy beside the source and nginx: rounds in turn, medians, and the ratios of each round."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import statistics
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from proxy.core import jsonio
from proxy.upstream import JSON_HEADERS
from tests.bench import pushes, replicator
from tests.bench.lanes import DOCS, Lane, document
from tests.bench.report import Report
from tests.bench.servers import DATABASE, Stage

_SECONDS = 3
_CONNECTIONS = 16
_ALBUMS = 100


async def fill(stage: Stage, count: int, start: int = 0) -> None:
    """Put documents into the source."""
    for first in range(start, start + count, 1000):
        docs = [document(number) for number in range(first, min(first + 1000, start + count))]
        await stage.request("POST", stage.source_url, f"/{DATABASE}/_bulk_docs", {"docs": docs})


async def measure_speed(stage: Stage, report: Report, rounds: int) -> None:
    """Fill the source and measure reading and writing."""
    await fill(stage, DOCS)
    rows = [
        await _measure(stage, rounds, "GET document", "requests/s", _get_document, ("phone",)),
        await _measure(stage, rounds, "_bulk_get, 1,000 documents", "docs/s", _bulk_get, ("phone",)),
        await _measure(stage, rounds, "_changes, shaping profile", "rows/s", _changes, ("drop",)),
        await _measure(stage, rounds, "_changes, judging profile", "rows/s", _changes, ("phone",)),
        await _measure(stage, rounds, "_changes?include_docs=true", "rows/s", _changes_docs, ("phone",)),
        await _measure(stage, rounds, "_all_docs?include_docs=true", "rows/s", _all_docs, ("phone",)),
    ]
    pouchdb = replicator.PouchDB() if replicator.is_installed() else None
    if pouchdb is not None:  # before there are the tombstones of what is written
        rows.append(await _measure(stage, rounds, "pull by PouchDB 9, by 100", "docs/s", pouchdb.pull, ("phone",)))
    rows += [
        await _measure(stage, 3 * rounds, "_bulk_docs, 500 created", "docs/s", pushes.create, ("none",)),
        await _measure(stage, 3 * rounds, "_bulk_docs, 500 created", "docs/s", pushes.create, ("phone",)),
        await _measure(stage, 3 * rounds, "_bulk_docs, 500 replicated", "docs/s", pushes.push, ("phone",)),
        await _measure(stage, 3 * rounds, "both, and _revs_diff before", "docs/s", pushes.replicate, ("none",)),
        await _measure(stage, 3 * rounds, "both, and _revs_diff before", "docs/s", pushes.replicate, ("phone",)),
        await _measure(stage, 3 * rounds, "the same, 500 edits", "docs/s", pushes.edit, ("phone",)),
        await _measure(
            stage, 3 * rounds, "both, by 4 devices at once", "docs/s", pushes.replicate_together, ("phone",)
        ),
    ]
    if pouchdb is not None:
        for size in (100, 500):  # its own way, and that of other replicators
            push, title = partial(pouchdb.push, size), f"push by PouchDB 9, by {size}"
            rows.append(await _measure(stage, 2 * rounds, title, "docs/s", push, ("phone",)))
        pouchdb.close()
    photos = await _fill_photos(stage)
    title = f"_bulk_get, {_ALBUMS} documents with 3 photos of 20 KB"
    rows.append(await _measure(stage, 2 * rounds, title, "docs/s", _bulk_get_photos, ("phone",)))
    await pushes.remove(stage, photos)
    head = ["measure", "unit", "source", "nginx", "proxy", "proxy / source", "proxy / nginx"]
    report.add_table("Throughput (medians; ratios round by round)", head, [row for row, _ in rows])
    latencies = [latency for _, latency in rows if latency]
    if latencies:
        report.add_table("Latency of GET document, 16 connections", ["way", "p50 ms", "p99 ms"], latencies[0])


Measure = Callable[[Stage, Lane], Awaitable[float]]


async def _measure(
    stage: Stage, rounds: int, title: str, unit: str, measure: Measure, profiles: tuple[str, ...]
) -> tuple[list[str], list[list[str]]]:
    lanes = [Lane("source", stage.source_url, DATABASE)]
    if stage.nginx is not None:
        lanes.append(Lane("nginx", stage.nginx.url, DATABASE))
    lanes += [Lane(f"proxy ({profile})", stage.proxy.url, f"{DATABASE}-{profile}") for profile in profiles]
    for lane in lanes:
        await measure(stage, lane)  # warm
        lane.samples.clear()
        lane.latencies.clear()
    for _ in range(rounds):
        for lane in lanes:
            await stage.settle()
            lane.samples.append(await measure(stage, lane))
    proxy, source = lanes[-1], lanes[0]
    nginx = lanes[1] if stage.nginx is not None else None
    cells = [f"{title} ({profiles[-1]})", unit, _median(source), _median(nginx), _median(proxy), _ratio(proxy, source)]
    latencies = [
        [lane.name, *(f"{statistics.median(values):.2f}" for values in zip(*lane.latencies, strict=True))]
        for lane in lanes
        if lane.latencies
    ]
    return [*cells, _ratio(proxy, nginx)], latencies


def _median(lane: Lane | None) -> str:
    return "" if lane is None else f"{statistics.median(lane.samples):,.0f}"


def _ratio(lane: Lane, other: Lane | None) -> str:
    if other is None:
        return ""
    return f"{statistics.median(a / b for a, b in zip(lane.samples, other.samples, strict=True)):.2f}"


async def requests_a_second(stage: Stage, url: str, database: str, seconds: int = _SECONDS) -> float:
    """How many times a second a document can be read."""
    return await _get_document(stage, Lane("", url, database), seconds)


async def _get_document(stage: Stage, lane: Lane, seconds: int = _SECONDS) -> float:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is not installed: apt-get install wrk")
    script = stage.directory / "any.lua"
    script.write_text(_ANY_DOCUMENT)
    process = await asyncio.create_subprocess_exec(
        wrk,
        *("-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "--latency"),
        *("-H", f"Authorization: {stage.authorization}", "-H", "Accept: application/json"),
        *("-s", str(script)),
        f"{lane.url}/{lane.database}",
        stdout=asyncio.subprocess.PIPE,
    )
    text = (await process.communicate())[0].decode()
    if "Non-2xx" in text or "Requests/sec" not in text:
        raise RuntimeError(f"wrk could not measure {lane.name}:\n{text}")
    lane.latencies.append((_milliseconds(text, "50%"), _milliseconds(text, "99%")))
    return float(re.findall(r"Requests/sec:\s+([0-9.]+)", text)[0])


_ANY_DOCUMENT = f"""
function request()
  return wrk.format("GET", wrk.path .. string.format("/patient:%07d", math.random({DOCS}) - 1))
end
"""


def _milliseconds(text: str, percentile: str) -> float:
    [(number, unit)] = re.findall(rf"{percentile}\s+([0-9.]+)(us|ms|s)", text)
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


async def _timed(stage: Stage, lane: Lane, method: str, path: str, body: Any, expect: bytes, count: int) -> float:
    """Units a second of one request, of which the answer must hold `count` times `expect`."""
    client = stage.client(lane.url)
    data = None if body is None else jsonio.dumps(body)
    headers = {**JSON_HEADERS, "Authorization": stage.authorization}
    began = time.perf_counter()
    pieces = []
    async with await client.request(method, path, headers=headers, body=data) as reply:
        async for piece in reply.chunks():
            pieces.append(piece)
    elapsed = time.perf_counter() - began
    client.close()
    found = b"".join(pieces).count(expect)
    if found != count:
        raise RuntimeError(f"{lane.name} answered {path} with {found} of {count} rows: {b''.join(pieces)[:200]!r}")
    return count / elapsed


async def _bulk_get(stage: Stage, lane: Lane) -> float:
    docs = [{"id": f"patient:{number:07}"} for number in range(1000)]
    rates = [
        await _timed(
            stage, lane, "POST", f"/{lane.database}/_bulk_get?revs=true&latest=true", {"docs": docs}, b'"ok":', 1000
        )
        for _ in range(5)
    ]
    return statistics.median(rates)


async def _fill_photos(stage: Stage) -> list[dict[str, Any]]:
    """Put documents with attachments into the source; their ids and revisions."""
    rows: list[dict[str, Any]] = []
    for number in range(_ALBUMS):
        chance = random.Random(number)
        photos = {f"{n}.jpg": b64encode(chance.randbytes(20_000)).decode() for n in range(3)}
        entries = {name: {"content_type": "image/jpeg", "data": data} for name, data in photos.items()}
        doc = {**document(number), "_id": f"album:{number}", "_attachments": entries}
        rows += await stage.request("POST", stage.source_url, f"/{DATABASE}/_bulk_docs", {"docs": [doc]})
    return rows


async def _bulk_get_photos(stage: Stage, lane: Lane) -> float:
    """As PouchDB asks for documents, with the bodies of their attachments."""
    path = f"/{lane.database}/_bulk_get?revs=true&latest=true&attachments=true"
    docs = [{"id": f"album:{number}"} for number in range(_ALBUMS)]
    return await _timed(stage, lane, "POST", path, {"docs": docs}, b'"data":', 3 * _ALBUMS) / 3


async def _changes(stage: Stage, lane: Lane) -> float:
    return await _timed(stage, lane, "GET", f"/{lane.database}/_changes?style=all_docs", None, b'"changes":', DOCS)


async def _changes_docs(stage: Stage, lane: Lane) -> float:
    return await _timed(stage, lane, "GET", f"/{lane.database}/_changes?include_docs=true", None, b'"changes":', DOCS)


async def _all_docs(stage: Stage, lane: Lane) -> float:
    return await _timed(stage, lane, "GET", f"/{lane.database}/_all_docs?include_docs=true", None, b'"doc":', DOCS)
