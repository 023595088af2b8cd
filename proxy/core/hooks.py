"""What filters say of themselves by the hooks of the contract, and what that is called along a chain. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from proxy.contract import Filter, promises
from proxy.core.paths import Paths, compile_steps
from proxy.core.pathtree import Step, parse_paths


def depends_on_client(filter_: Filter) -> bool:
    """Whether what a filter shows may depend on the client."""
    return not promises(filter_, "depends_on_client", "shape") or filter_.depends_on_client() is not False


def sews(filter_: Filter) -> bool:
    """Whether `restore` of a filter promises to refuse nothing for what an edit is."""
    return promises(filter_, "sews", "restore") and filter_.sews


def promised(filter_: Filter, hook: str) -> bool:
    """Whether a filter promises something of what it shows. One that changes nothing need not."""
    if type(filter_).shape is Filter.shape:
        return True
    return promises(filter_, hook, "shape") and getattr(filter_, hook)() is True


def in_source(filters: Sequence[Filter], names_of: Callable[[Filter], Iterable[str]]) -> frozenset[str]:
    """The fields that filters name, as the source's document calls them before the filters ahead of each."""
    found: set[str] = set()
    for position, filter_ in enumerate(filters):
        names = set(names_of(filter_))
        for earlier in reversed(filters[:position]):
            origins = earlier.origins()
            names = {source for name in names for source in origins.get(name, (name,))}
        found |= names
    return frozenset(found)


def names_shown(filters: Sequence[Filter], names_of: Callable[[Filter], Iterable[str]]) -> frozenset[str]:
    """The top-level fields that filters name, as the client is shown them at the end of the chain."""
    found: set[str] = set()
    for filter_ in filters:
        renamed = {name for name, of in filter_.origins().items() if not found.isdisjoint(of)}
        found |= {*renamed, *names_of(filter_)}
    return frozenset(found)


def _steps(filter_: Filter, hook: str) -> list[list[Step]]:
    """The paths that a filter's hook names. Raises OptionError, by the hook's name, if they are none."""
    paths = list(getattr(filter_, hook)())
    return list(parse_paths(paths, hook).values()) if paths else []


def set_fields(filter_: Filter) -> Iterable[str]:
    """The top-level fields in which there is something that a filter sets itself."""
    return [str(steps[0][1]) for steps in _steps(filter_, "sets_fields")]


def paths_shown(filters: Sequence[Filter], hook: str) -> Paths | None:
    """What a hook of the filters names by paths, as the client is shown it at the end of the chain."""
    found: list[list[Step]] = []
    for position, filter_ in enumerate(filters):
        paths = _steps(filter_, hook)
        for later in filters[position + 1 :]:
            origins = later.origins().items()
            paths += [[("name", name), *path[1:]] for path in paths for name, of in origins if path[0][1] in of]
        found.extend(paths)
    return compile_steps(found) if found else None
