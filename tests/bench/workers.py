"""What more than one serving process brings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.bench.servers import DATABASE, Stage
from tests.bench.speed import requests_a_second

_ROUNDS = 3
_SECONDS = 2

HEAD = ["ways", "GET document, requests/s", "to one worker"]
SOURCE = "source"


async def measure_workers(stage: Stage, counts: Sequence[int]) -> dict[int | str, float]:
    """Requests a second by the number of workers, and of SOURCE: in turn, round by round, the medians.

    The database holds the documents of `speed.fill`.
    """
    proxies = {count: await stage.start_proxy(stage.configure(), workers=count) for count in counts}
    ways: dict[int | str, tuple[str, str]] = {SOURCE: (stage.source_url, DATABASE)}
    ways |= {count: (proxy.url, f"{DATABASE}-phone") for count, proxy in proxies.items()}
    rates: dict[int | str, list[float]] = {way: [] for way in ways}
    for _ in range(_ROUNDS + 1):
        for way, (url, database) in ways.items():
            rates[way].append(await requests_a_second(stage, url, database, _SECONDS))
    for proxy in proxies.values():
        await proxy.stop()
    return {way: statistics.median(found[1:]) for way, found in rates.items()}


def lines(found: dict[int | str, float]) -> list[list[str]]:
    """A table."""
    one = next(rate for way, rate in found.items() if way != SOURCE)
    return [
        [f"{way} worker{'' if way == 1 else 's'}" if way != SOURCE else SOURCE, f"{rate:,.0f}", f"{rate / one:.2f}"]
        for way, rate in found.items()
    ]
