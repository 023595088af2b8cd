"""The tables of docs/compatibility.md, made from the tests.

A test names the row that it stands for, one `row` for each version of the client that it runs:

    @row("npm", "nano", "11.0.7", "insert, get, bulk, find, destroy")
    def test_nano(...): ...

`python -m tests.compatibility.table` writes the rows into the page, each section between its two marks; `test_table`
fails while the page and the tests differ. A result other than `works` is a sentence that says what does not, and why.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

WORKS = "works"
TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "compatibility.md"
PLACES = ("browser", "compatibility", "integration", "recordings", "traffic")
"""Where tests that declare rows may be, below `tests`."""

_SECTION = re.compile(r"(<!-- rows: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_HEAD = "| {} | version | what was run | result |\n|---|---|---|---|\n"
_WHO = {"sources": "source"}
"""What the rows of a section are about, where it is not a client."""

Test = TypeVar("Test", bound=Callable[..., object])


@dataclass(frozen=True, order=True)
class Row:
    """A line of a section's table, and the test that it comes from, as `module::function`. `client`: or the source."""

    section: str
    client: str
    version: str
    run: str
    result: str
    test: str


ALWAYS = {"embedded endpoint": "–", "express-pouchdb": "4.2.0"}
"""The sources that the integration suite runs over wherever it runs, with their versions."""

_rows: set[Row] = set()


def row(section: str, client: str, version: str, run: str, result: str = WORKS) -> Callable[[Test], Test]:
    """Say that a test runs `run` with this client. No text may contain a `|`."""
    assert "|" not in client + version + run + result

    def declare(test: Test) -> Test:
        _rows.add(Row(section, client, version, run, result, f"{test.__module__}::{test.__name__}"))
        return test

    return declare


def every_source(run: str) -> Callable[[Test], Test]:
    """Say that a test of the integration suite runs `run` over each of the sources."""

    def declare(test: Test) -> Test:
        for source, version in ALWAYS.items():
            test = row("sources", source, version, run)(test)
        return test

    return declare


def rows() -> list[Row]:
    """Those of all test modules, sorted by section, client and version, the newest first."""
    for path in sorted(path for place in PLACES for path in (TESTS / place).rglob("test_*.py")):
        importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
    return sorted(_rows, key=lambda each: (each.section, each.client.lower(), _newest_first(each.version), each.run))


def rendered(page: str) -> str:
    """The page with the tables of its sections as the tests have them. Raises KeyError for rows without a section."""
    missing = {each.section for each in rows()} - {name for _, name, _, _ in _SECTION.findall(page)}
    if missing:
        raise KeyError(f"docs/compatibility.md has no section for {sorted(missing)}")
    return _SECTION.sub(lambda found: found[1] + _table(found[2]) + found[4], page)


def _table(section: str) -> str:
    """What was run with one version is one line, and so are versions of one client with which the same was run."""
    runs: dict[tuple[str, str, str], list[str]] = {}
    for each in rows():
        if each.section == section:
            runs.setdefault((each.client, each.version, each.result), []).append(each.run)
    versions: dict[tuple[str, str, str], list[str]] = {}
    for (client, version, result), what in runs.items():
        versions.setdefault((client, "; ".join(what), result), []).append(version)
    lines = [
        f"| {client} | {', '.join(which)} | {run} | {result} |\n" for (client, run, result), which in versions.items()
    ]
    return _HEAD.format(_WHO.get(section, "client")) + "".join(lines)


def _newest_first(version: str) -> list[int]:
    return [-int(number) for number in re.findall(r"\d+", version)]


if __name__ == "__main__":
    # Under its own name: the tests declare their rows in that module, not in `__main__`.
    table = importlib.import_module("tests.compatibility.table")
    PAGE.write_text(table.rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
