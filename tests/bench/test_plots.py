"""The pictures of the measures, where there is matplotlib."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.curves import Curves
from tests.bench.pages import PageSet
from tests.bench.plots import draw
from tests.bench.workers import SOURCE

pytest.importorskip("matplotlib")

CURVES = Curves(
    pages=[PageSet(10_000, 10.0, 100.0), PageSet(100_000, 11.0, 1000.0)],
    memory=[(500, 12_000_000), (2_000, 48_000_000)],
    rates={SOURCE: 12_000.0, 1: 9_000.0, 2: 11_000.0},
)


def test_the_same_points_give_the_same_files(tmp_path: Path) -> None:
    first, again = (draw(CURVES, tmp_path / name) for name in ("first", "again"))
    assert [path.name for path in first] == ["feed-time.svg", "feed-memory.svg", "workers.svg"]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert all(text in first[0].read_text() for text in ("<svg", "10,000", "100,000", "feed index"))
