"""How costs grow: with the database, with the feeds that wait, with the workers. The points of the plots."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.bench import pages, speed, workers
from tests.bench.indexed import OWN, fill
from tests.bench.lanes import DOCS
from tests.bench.live import measure_memory_of
from tests.bench.report import Report
from tests.bench.servers import Stage

SIZES = (10_000, 30_000, 100_000, 300_000)
_LARGEST = 1_000_000
_FEEDS = (500, 1_000, 2_000, 5_000, 9_000)
_WORKERS = (1, 2, 3, 4)
_MIB = 1024 * 1024


@dataclass
class Curves:
    """What was measured. `memory`: bytes, by feeds; `rates`: requests a second, as `workers` has them."""

    pages: list[pages.PageSet] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)
    rates: dict[int | str, float] = field(default_factory=dict)


async def measure_curves(stage: Stage, report: Report, *, full: bool) -> Curves:
    """Measure all points, and tell of them in tables."""
    found = Curves()
    await speed.fill(stage, DOCS)
    found.rates = await workers.measure_workers(stage, _WORKERS)
    report.add_table("Workers", workers.HEAD, workers.lines(found.rates))
    sizes = (*SIZES, _LARGEST) if full else SIZES
    await stage.prepare()
    for place in range(len(sizes)):
        await fill(stage, sizes, place)
        found.pages.append(await pages.measure_pages(stage, sizes, place))
        if not place:
            found.memory = [point async for point in measure_memory_of(stage, _FEEDS)]
            lines = [[f"{count:,}", f"{size / _MIB:.0f}", f"{size / count / 1024:.1f}"] for count, size in found.memory]
            report.add_table("Memory for live feeds", ["feeds", "MiB", "KiB for each"], lines)
    report.add_table(f"Pages of a user with {OWN} documents", pages.HEAD, pages.lines(found.pages))
    return found
