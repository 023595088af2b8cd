"""How long a user waits for all of its documents' changes, in a small database and in a large one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from proxy.core import jsonio
from proxy.upstream import Upstream
from tests.bench.indexed import OWN, ask, indexed, users
from tests.bench.servers import DATABASE, Stage

_ROUNDS = 15


class PageSet(NamedTuple):
    """Milliseconds for the changes of a user's documents: out of the index, and from the source."""

    size: int
    ours: float
    theirs: float


async def measure_pages(stage: Stage, sizes: Sequence[int], place: int) -> PageSet:
    """In a database that has grown to `sizes[place]`, for users who own exactly OWN documents in it."""
    async with indexed(stage) as proxy:
        client = stage.client(proxy.url)
        times = []
        for user in users(sizes, place, _ROUNDS + 1):
            began = time.perf_counter()
            found = await _pages(stage, client, f"/{DATABASE}-own", {"X-Owner": user})
            times.append(time.perf_counter() - began)
            if len(found) != OWN:
                raise RuntimeError(f"{len(found)} rows instead of {OWN}")
        client.close()
    client = stage.client(stage.source_url)
    selector = {"selector": {"owner": users(sizes, place, 1)[0]}}
    began = time.perf_counter()
    reply = await ask(stage, client, "POST", f"/{DATABASE}/_changes?filter=_selector&style=all_docs", selector)
    theirs = time.perf_counter() - began
    client.close()
    if (rows := reply.count(b'"changes"')) != OWN:
        raise RuntimeError(f"{rows} rows instead of {OWN}")
    return PageSet(sizes[place], statistics.median(times[1:]) * 1000, theirs * 1000)


async def _pages(stage: Stage, client: Upstream, path: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """All rows, in pages of 100 as PouchDB reads them, until one is empty."""
    rows: list[dict[str, Any]] = []
    since: Any = 0
    while True:
        reply = await ask(
            stage, client, "GET", f"{path}/_changes?style=all_docs&limit=100&since={since}", None, headers
        )
        page = jsonio.loads(reply)["results"]
        if not page:
            return rows
        rows += page
        since = page[-1]["seq"]


HEAD = ["database", "index, ms", "to the smallest", "source, filter=_selector, ms", "to the smallest", "times as fast"]


def lines(found: Sequence[PageSet]) -> list[list[str]]:
    """A table, with how the times grow with the database."""
    first = found[0]
    return [
        [
            f"{each.size:,}",
            f"{each.ours:.1f}",
            f"{each.ours / first.ours:.2f}",
            f"{each.theirs:,.0f}",
            f"{each.theirs / first.theirs:.2f}",
            f"{each.theirs / each.ours:,.0f}",
        ]
        for each in found
    ]
