"""Filters for the loader's tests: registered as `drop` and `select`, as a package's entry points would be."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

from proxy.config.modules import GROUP
from proxy.contract import Client, Doc, Filter, OptionError


class Drop(Filter):
    """Leaves out top-level fields."""

    passes_all = True

    def __init__(self, *, paths: Sequence[str], deep: bool = False) -> None:
        for index, path in enumerate(paths):
            if not isinstance(path, str):
                raise OptionError(f"paths[{index}]", f"must be a string, not {path!r}")
        self._paths = frozenset(paths)

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {name: value for name, value in doc.items() if name not in self._paths}


class Select(Filter):
    """Shows the documents whose `type` is `where`."""

    def __init__(self, *, where: str) -> None:
        if "[" in where:
            raise OptionError("where", "a bracket is not closed", text=where, at=where.index("["))
        self._where = where

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return doc if doc.get("type") == self._where else None

    def describe(self) -> str:
        return f"documents of type {self._where}"


class Broken(Filter):
    """Raises what no filter's constructor should."""

    def __init__(self) -> None:
        raise RuntimeError("no luck")


class NoFilter:
    pass


def entry(name: str, cls: str) -> EntryPoint:
    return EntryPoint(name, f"tests.config.sample_filters:{cls}", GROUP)


REGISTERED = {
    "drop": [entry("drop", "Drop")],
    "select": [entry("select", "Select")],
    "broken": [entry("broken", "Broken")],
    "odd": [entry("odd", "NoFilter")],
    "gone": [entry("gone", "Gone")],
    "twice": [entry("twice", "Drop"), entry("twice", "Select")],
}
