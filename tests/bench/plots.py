"""The curves as pictures. Needs matplotlib: `pip install couch-tailor[bench]`, which `make plots` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.curves import Curves
from tests.bench.indexed import OWN
from tests.bench.workers import SOURCE

_OURS, _THEIRS = "#1f6feb", "#8c959f"
_MIB = 1024 * 1024


def draw(curves: Curves, directory: Path) -> list[Path]:
    """Write one file for each curve. Those of the same points are the same, byte by byte."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "couch-tailor", "svg.fonttype": "none", "font.family": "sans-serif"})
    directory.mkdir(parents=True, exist_ok=True)
    return [
        _written(directory / "feed-time.svg", _feed_time(curves)),
        _written(directory / "feed-memory.svg", _feed_memory(curves)),
        _written(directory / "workers.svg", _workers(curves)),
    ]


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="#d0d7de", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _feed_time(curves: Curves) -> Any:
    figure, axes = _axes(f"Changes of a user with {OWN} documents", "documents in the database", "milliseconds")
    sizes = [each.size for each in curves.pages]
    axes.plot(sizes, [each.theirs for each in curves.pages], "s--", color=_THEIRS, label="source, filter=_selector")
    axes.plot(sizes, [each.ours for each in curves.pages], "o-", color=_OURS, label="proxy, feed index")
    axes.set_xscale("log")
    axes.set_yscale("log")
    _ticks(axes, sizes)
    axes.legend(frameon=False)
    return figure


def _feed_memory(curves: Curves) -> Any:
    figure, axes = _axes("Memory of the proxy for live feeds", "idle continuous feeds", "MiB")
    counts = [count for count, _ in curves.memory]
    axes.plot(counts, [size / _MIB for _, size in curves.memory], "o-", color=_OURS)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    _ticks(axes, counts[1:])  # the first would be printed over the second
    return figure


def _workers(curves: Curves) -> Any:
    figure, axes = _axes("GET of a document, shaped, 16 connections", "workers", "requests a second")
    counts = [way for way in curves.rates if way != SOURCE]
    axes.plot(counts, [curves.rates[count] for count in counts], "o-", color=_OURS, label="proxy")
    axes.axhline(curves.rates[SOURCE], linestyle="--", color=_THEIRS, label="source")
    axes.set_ylim(bottom=0)
    axes.set_xticks(counts)
    axes.legend(frameon=False)
    return figure


def _ticks(axes: Any, values: Sequence[int]) -> None:
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.minorticks_off()


def _written(path: Path, figure: Any) -> Path:
    from matplotlib import pyplot

    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path
