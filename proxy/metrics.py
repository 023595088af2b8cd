"""What can be counted, in Prometheus' text format.

A sample is a name of METRICS, labels and a number. Each process has samples of its own, told apart by the label
`process`: if they were added up, the end of one process would look like work that was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from proxy.core.endpoints import Kind
from proxy.feeds.hub import Hub

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

METRICS = {
    "couch_tailor_requests_total": ("counter", "requests answered, by kind of endpoint and status"),
    "couch_tailor_requests_open": ("gauge", "requests that are being answered, by kind; feeds are of the kind changes"),
    "couch_tailor_feeds_waiting": ("gauge", "feeds that sleep until the index has something new for them"),
    "couch_tailor_index_usable": ("gauge", "1 while feeds come from the index, 0 while they come from the source"),
    "couch_tailor_index_position": ("gauge", "the last position of the index"),
    "couch_tailor_index_left": ("gauge", "changes that are still to be read, while a long reading lasts"),
    "couch_tailor_index_rate": ("gauge", "changes read in a second, while a long reading lasts"),
    "couch_tailor_cache_hits_total": ("counter", "documents that were looked for and kept"),
    "couch_tailor_cache_misses_total": ("counter", "documents that had to be read from the source"),
    "couch_tailor_cache_bytes": ("gauge", "about how much memory is taken by documents and pages that are kept"),
    "couch_tailor_pages_hits_total": ("counter", "pages of feeds that were given out as they had been written before"),
    "couch_tailor_process_starts_total": ("counter", "how often a process was started"),
}


class Sample(NamedTuple):
    """`labels` are names and values."""

    name: str
    labels: dict[str, str]
    value: float


class Requests:
    """Counts a process's requests."""

    def __init__(self) -> None:
        self._done: Counter[tuple[str, str]] = Counter()
        self._open: Counter[str] = Counter()

    def began(self, kind: Kind) -> None:
        """A request is of this kind."""
        self._open[kind.name.lower()] += 1

    def ended(self, kind: Kind | None, status: str) -> None:
        """It was answered. `kind`: None if it was not even that of an endpoint."""
        name = "none" if kind is None else kind.name.lower()
        self._done[name, status] += 1
        if kind is not None:
            self._open[name] -= 1

    def samples(self) -> Iterator[Sample]:
        for (kind, status), count in self._done.items():
            yield Sample("couch_tailor_requests_total", {"kind": kind, "status": status}, count)
        for kind, count in self._open.items():
            yield Sample("couch_tailor_requests_open", {"kind": kind}, count)


def hub_samples(hubs: Mapping[str, Hub]) -> Iterator[Sample]:
    """What a serving process knows of its indexes."""
    for database, hub in hubs.items():
        values = {
            "couch_tailor_feeds_waiting": hub.waiting,
            "couch_tailor_index_usable": int(hub.index is not None),
            "couch_tailor_index_position": 0 if hub.index is None else hub.end,
            "couch_tailor_cache_hits_total": hub.bodies.hits,
            "couch_tailor_cache_misses_total": hub.bodies.misses,
            "couch_tailor_cache_bytes": hub.bodies.size + hub.pages.size,
            "couch_tailor_pages_hits_total": hub.pages.hits,
        }
        for name, value in values.items():
            yield Sample(name, {"database": database}, value)


def of_process(process: str, samples: Iterable[Sample | list[Any]]) -> Iterator[Sample]:
    """Samples with the name of their process; also those that came as JSON."""
    for name, labels, value in samples:
        yield Sample(name, {**labels, "process": process}, value)


def render(samples: Iterable[Sample]) -> bytes:
    """The text of a scrape."""
    by_name: dict[str, list[Sample]] = {name: [] for name in METRICS}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines: list[str] = []
    for name, found in by_name.items():
        kind, meaning = METRICS[name]
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"] if found else []
        for _, labels, value in found:
            text = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels.items())
            lines.append(f"{name}{{{text}}} {value:.15g}")
    return "".join(f"{line}\n" for line in lines).encode()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
