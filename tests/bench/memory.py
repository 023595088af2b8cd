"""Memory of the proxy: at idle, and the most it holds above that while much streams through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from proxy.core import jsonio
from proxy.http_client import Sized
from proxy.upstream import JSON_HEADERS
from tests.bench.lanes import DOCS
from tests.bench.pushes import new_documents
from tests.bench.report import Report
from tests.bench.servers import DATABASE, Stage
from tests.bench.speed import fill

_MIB = 1024 * 1024
_DEVICES, _PUSHED = 200, 1000
"""Those that push at once, and how many documents each."""
_LARGE = {
    "type": "patient",
    "facility": "f1",
    "ssn": [{"a": number, "b": [number, str(number)]} for number in range(9000)],
}
"""A document of which all but a little is hidden. Decoded it takes more than ten times its JSON, as few do."""


async def measure_memory(stage: Stage, report: Report, *, full: bool) -> None:
    """An attachment up and down, a long feed, a large `_bulk_get`, large documents: where each document is judged."""
    size = 1024 * _MIB if full else 256 * _MIB
    rows = 1_000_000 if full else 100_000
    idle = stage.proxy.resident
    lines = [["idle", "", f"{idle / _MIB:.0f}", ""]]
    database = f"/{DATABASE}-drop"
    rev = (await stage.request("PUT", stage.source_url, f"/{DATABASE}/large", {"type": "patient"}))["rev"]
    up = await _peak(stage, _send(stage, f"{database}/large/film.bin?rev={rev}", size))
    lines.append(["attachment up", f"{size // _MIB:,} MiB", *_cells(up, idle)])
    down = await _peak(stage, _receive(stage, "GET", f"{database}/large/film.bin", None, size))
    lines.append(["attachment down", f"{size // _MIB:,} MiB", *_cells(down, idle)])
    row = f"{database}/_changes?include_docs=true&attachments=true&filter=_doc_ids&doc_ids=%5B%22large%22%5D"
    within = await _peak(stage, _receive(stage, "GET", row, None, size))
    lines.append(["attachment within a row of _changes", f"{size // _MIB:,} MiB", *_cells(within, idle)])
    await fill(stage, rows - DOCS, start=DOCS)
    for profile in ("none", "phone"):
        feed = await _peak(stage, _receive(stage, "GET", f"/{DATABASE}-{profile}/_changes", None, rows * 40))
        lines.append([f"_changes ({profile})", f"{rows:,} rows", *_cells(feed, idle)])
    entries = {"docs": [{"id": f"patient:{number:07}"} for number in range(10_000)]}
    bulk = await _peak(stage, _receive(stage, "POST", f"/{DATABASE}-phone/_bulk_get", entries, 10_000 * 200))
    lines.append(["_bulk_get (phone)", "10,000 documents", *_cells(bulk, idle)])
    revs = await _fill_large(stage)
    title = f"{len(revs)} of {len(jsonio.dumps(_LARGE)) // 1024} KiB"
    last = {doc_id: [f"2-{'b' * 32}"] for doc_id in revs}
    for name, method, path, body in (
        ("_changes with documents", "GET", "_changes?include_docs=true", None),
        ("_all_docs with documents, by key", "POST", "_all_docs?include_docs=true", {"keys": list(revs)}),
        ("_bulk_get", "POST", "_bulk_get?revs=true&latest=true", {"docs": [{"id": doc_id} for doc_id in revs]}),
        ("_revs_diff", "POST", "_revs_diff", last),
    ):
        peak = await _peak(stage, _receive(stage, method, f"/{DATABASE}-phone/{path}", body, len(revs) * 40))
        lines.append([f"{name} (phone)", title, *_cells(peak, idle)])
    shown = {"type": "patient", "facility": "f1"}
    edits = [{"_id": doc_id, **_second(rev), **shown} for doc_id, rev in revs.items()]
    push = {"docs": edits, "new_edits": False}
    wrote = await _peak(stage, _receive(stage, "POST", f"/{DATABASE}-phone/_bulk_docs", push, 2))
    lines.append(["_bulk_docs, edits (phone)", title, *_cells(wrote, idle)])
    pushed = [{"docs": new_documents(_PUSHED), "new_edits": False} for _ in range(_DEVICES)]
    mib = sum(len(jsonio.dumps(each)) for each in pushed) / _DEVICES / _MIB
    pushes = (_receive(stage, "POST", f"/{DATABASE}-phone/_bulk_docs", each, 2) for each in pushed)
    wrote = await _peak(stage, asyncio.gather(*pushes))
    lines.append(["_bulk_docs (phone)", f"{_DEVICES} of {mib:.1f} MiB at once", *_cells(wrote, idle)])
    report.add_table("Memory of the proxy", ["what", "how much", "resident MiB, at most", "above idle"], lines)


async def _fill_large(stage: Stage) -> dict[str, str]:
    """The revisions of 200 large documents by id, in a database in which small ones were read last."""
    await stage.prepare()
    await fill(stage, DOCS)
    small = {f"patient:{number:07}": [f"2-{'b' * 32}"] for number in range(500)}
    await _receive(stage, "POST", f"/{DATABASE}-phone/_revs_diff", small, 1)
    revs: dict[str, str] = {}
    for first in range(0, 200, 20):
        docs = [{"_id": f"patient:large{number:03}", **_LARGE} for number in range(first, first + 20)]
        rows = await stage.request("POST", stage.source_url, f"/{DATABASE}/_bulk_docs", {"docs": docs})
        revs |= {row["id"]: row["rev"] for row in rows}
    return revs


def _second(first: str) -> dict[str, Any]:
    """The place of an edit of a first revision."""
    return {"_rev": f"2-{'b' * 32}", "_revisions": {"start": 2, "ids": ["b" * 32, first[2:]]}}


def _cells(peak: int, idle: int) -> list[str]:
    return [f"{peak / _MIB:.0f}", f"{(peak - idle) / _MIB:.0f}"]


async def _peak(stage: Stage, doing: Any) -> int:
    """The most memory that the proxy holds while something is done."""
    task = asyncio.ensure_future(doing)
    peak = stage.proxy.resident
    while not task.done():
        await asyncio.wait([task], timeout=0.02)
        peak = max(peak, stage.proxy.resident)
    await task
    return peak


async def _send(stage: Stage, path: str, size: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // _MIB):
            yield b"x" * _MIB

    client = stage.client(stage.proxy.url)
    headers = {"Authorization": stage.authorization, "Content-Type": "application/octet-stream"}
    async with await client.request("PUT", path, headers=headers, body=Sized(size, pieces())) as reply:
        if reply.status != 201:
            raise RuntimeError(f"upload: {reply.status} {(await reply.read())!r}")
    client.close()


async def _receive(stage: Stage, method: str, path: str, body: Any, least: int) -> None:
    client = stage.client(stage.proxy.url)
    data = None if body is None else jsonio.dumps(body)
    headers = {**JSON_HEADERS, "Accept": "*/*", "Authorization": stage.authorization}
    got = 0
    async with await client.request(method, path, headers=headers, body=data) as reply:
        async for piece in reply.chunks():
            got += len(piece)
    client.close()
    if got < least:
        raise RuntimeError(f"{path}: only {got} bytes")
