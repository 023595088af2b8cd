"""`python -m tests.bench [--url URL --user NAME:PASSWORD] [--full] [--plots] [--write]`: see docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

import uvloop

from tests.bench import workers
from tests.bench.curves import measure_curves
from tests.bench.feeds import measure_feeds
from tests.bench.filters_bench import predicates
from tests.bench.filters_bench import table as filter_table
from tests.bench.live import allow_many_connections
from tests.bench.memory import measure_memory
from tests.bench.plots import draw
from tests.bench.report import Report
from tests.bench.servers import Stage
from tests.bench.speed import measure_speed

_PAGE = Path("docs/performance.md")
_PLOTS = Path("docs/plots")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--url", help="a CouchDB to measure in front of, instead of the embedded endpoint")
    parser.add_argument("--user", default="admin:secret", help="its administrator, NAME:PASSWORD")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median counts (default 5)")
    parser.add_argument("--full", action="store_true", help="1 GB attachment, 1,000,000 documents, 10,000 live feeds")
    parser.add_argument("--write", action="store_true", help="write the result into docs/performance.md")
    parser.add_argument("--plots", action="store_true", help="draw how costs grow, into docs/plots, instead")
    options = parser.parse_args()
    if options.plots and find_spec("matplotlib") is None:
        parser.error("--plots needs matplotlib: `make plots` installs it")
    allow_many_connections()
    report = uvloop.run(_run(options))
    print(report.introduction)
    if options.write:
        report.write(_PAGE, "plots" if options.plots else "couchdb" if options.url else "endpoint")
    return 0


async def _run(options: argparse.Namespace) -> Report:
    report = Report(f"Python {platform.python_version()}, {platform.machine()}", " ".join(sys.argv[1:]))
    name, _, password = options.user.partition(":")
    async with Stage(options.url, (name, password)) as stage:
        report.source = await stage.describe()
        if options.plots:
            for path in draw(await measure_curves(stage, report, full=options.full), _PLOTS):
                print(path)
            return report
        await measure_speed(stage, report, options.rounds)
        rates = await workers.measure_workers(stage, (1, 2, 4))
        report.add_table("Workers", workers.HEAD, workers.lines(rates))
        await measure_memory(stage, report, full=options.full)
        await measure_feeds(stage, report, full=options.full)
    report.add_table("Filters", *filter_table())
    report.add_table("Predicates", *predicates())
    return report


if __name__ == "__main__":
    asyncio.set_event_loop_policy(None)
    sys.exit(main())
