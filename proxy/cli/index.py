"""`couch-tailor index`: how the feed indexes are, and building them without a proxy."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.cli.errors import RunError, UsageError
from proxy.cli.files import add_config_option, config_path, load_config, print_warnings
from proxy.config.model import Config, Database
from proxy.config.problems import did_you_mean

if TYPE_CHECKING:  # `check` and `shape` need neither a network library nor a database
    from proxy.feeds.follower import Follower
    from proxy.feeds.index import IndexReader
    from proxy.feeds.progress import Progress

_ACTIONS = {
    "status": "say how they are; status 1 if one of them cannot be used at present",
    "build": "bring them up to date with the source, and exit",
    "rebuild": "the same, from the beginning",
}
_FRESH_SECONDS = 30.0
"""How old a note of progress may be for a reading to be going on."""
_SHORT = 40
_CLEAR = "\r\x1b[K"


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "index",
        help="look at the feed indexes, or build them",
        description="Look at the feed indexes, or build them.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, purpose in _ACTIONS.items():
        action = actions.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        add_config_option(action)
        action.add_argument("databases", metavar="DATABASE", nargs="*", help="those to look at; without any, all")
        action.set_defaults(run=run, action=name)


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config)
    print_warnings(config.warnings)
    databases = _chosen(config, arguments.databases)
    assert config.server.data is not None
    if arguments.action == "status":
        return asyncio.run(_status(config, config.server.data, databases))
    from proxy.cli.processes import keep
    from proxy.loop import run_loop, tune

    tune()
    with keep(config.server.data, config_path(arguments.config)):
        run_loop(_build(config, databases, anew=arguments.action == "rebuild"))
    return 0


def _chosen(config: Config, names: Sequence[str]) -> list[Database]:
    """The databases that are meant. Raises UsageError."""
    if config.server.data is None:
        raise UsageError("index: there are no indexes without server.data, the directory where they are kept")
    if not config.indexed:
        reasons = dict.fromkeys(filter(None, map(config.unindexed, config.databases.values())))
        raise UsageError(f"index: no database has one: {', or '.join(reasons)}")
    indexed = {database.name: database for database in config.indexed}
    for name in names:
        if name not in config.databases:
            raise UsageError(f'index: there is no database "{name}"{did_you_mean(name, config.databases)}')
        if name not in indexed:
            raise UsageError(f'index: the database "{name}" has no index: {config.unindexed(config.databases[name])}')
    return [indexed[name] for name in dict.fromkeys(names)] or list(indexed.values())


@asynccontextmanager
async def _follower(config: Config, database: Database, printer: _Printer | None = None) -> AsyncIterator[Follower]:
    from proxy.feeds.local import make_follower
    from proxy.feeds.watcher import Watcher
    from proxy.upstream import Upstream

    watcher = Watcher()
    if printer is not None:
        watcher.progressed = printer.tell  # type: ignore[method-assign]
    upstream = Upstream(database.source, config.server.timeout, largest=config.server.largest_reply)
    try:
        yield make_follower(config, database, upstream, watcher)
    finally:
        upstream.close()


# ---- build


class _Printer:
    """One line of progress: on a terminal always the same one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._terminal = sys.stdout.isatty()

    def tell(self, progress: Progress | None) -> None:
        if progress is not None:
            print(self._line(str(progress)), end="" if self._terminal else "\n", flush=True)

    def end(self, text: str) -> None:
        print(self._line(text), flush=True)

    def _line(self, text: str) -> str:
        return f"{_CLEAR if self._terminal else ''}{self._name}: {text}"


async def _build(config: Config, databases: Sequence[Database], *, anew: bool) -> None:
    from proxy.errors import CouchError
    from proxy.feeds.index import Damaged, Full, remove
    from proxy.feeds.local import index_path

    assert config.server.data is not None
    for database in databases:
        path = index_path(config.server.data, database.name)
        printer = _Printer(database.name)
        async with _follower(config, database, printer) as follower:
            began = time.monotonic()
            try:
                if anew:
                    await follower.behind(0)  # nothing is given up before the source answers
                    remove(path)
                try:
                    await follower.build()
                except Damaged as error:
                    printer.end(f"made anew, because {error}")
                    remove(path)
                    await follower.build()
            except (CouchError, Damaged, Full, OSError) as error:
                raise RunError(f"the index of {database.name} cannot be built: {error}") from error
        printer.end(f"{_documents(path)}, up to date after {time.monotonic() - began:.1f} s")


def _documents(path: Path) -> str:
    from proxy.feeds.index import IndexReader

    with IndexReader(path) as index:
        return f"{index.count_documents():,} documents"


# ---- status


async def _status(config: Config, data: Path, databases: Sequence[Database]) -> int:
    from proxy.feeds.lock import holder

    try:
        kept_by = holder(data)
    except OSError as error:
        raise RunError(f"the data directory {data} cannot be read: {error.strerror or error}") from error
    print(f"{data} is used by {kept_by}\n" if kept_by else f"{data} is not in use\n")
    usable = True
    for database in databases:
        print(database.name)
        async with _follower(config, database) as follower:
            usable &= await _tell_of(data, database, follower, kept_by is not None)
        print()
    return 0 if usable else 1


async def _tell_of(data: Path, database: Database, follower: Follower, in_use: bool) -> bool:
    """Print how an index is; whether it can be used."""
    from proxy.feeds.index import Damaged, Full, IndexReader
    from proxy.feeds.local import index_path

    path = index_path(data, database.name)
    _line("file", f"{path}, {_size(path)}")
    if not path.exists():
        _line("state", "there is none yet")
        return False
    try:
        with IndexReader(path) as index:
            usable = _tell_of_content(index, follower, in_use)
            since = index.since
    except Full as error:
        _line("state", f"it cannot be read: {error}")
        return False
    except Damaged as error:
        _line("state", f"it is damaged, and made anew at the next start: {error}")
        return False
    return await _tell_how_far_behind(follower, since) and usable


def _tell_of_content(index: IndexReader, follower: Follower, in_use: bool) -> bool:
    from proxy.feeds.progress import progress_of

    complete = bool(index.meta("complete"))
    progress = progress_of(index)
    going_on = in_use and progress is not None and time.time() - progress.at < _FRESH_SECONDS
    state = "complete" if complete else "being built" if in_use else "incomplete: `index build` goes on with it"
    _line("state", f"{state}; {progress}" if going_on else state)
    _line("documents", f"{index.count_documents():,}, at position {index.end:,}")
    _line("source", f"{index.meta('source')} up to {_shortened(str(index.since))}")
    same = all(index.meta(name) == value for name, value in follower.settings.items())
    rules = ", ".join(each[:8] for each in str(index.meta("rules")).split(",")) or "none"
    _line("rules", rules if same else f"{rules}: not those of the configuration, so it is made anew at the next start")
    return complete and same


async def _tell_how_far_behind(follower: Follower, since: Any) -> bool:
    """Print what an index lacks of its source; whether the source says so: if not, nobody can follow it either."""
    from proxy.errors import CouchError

    try:
        behind = await follower.behind(since)
    except CouchError as error:
        _line("behind", f"nobody can say: {error}")
        return False
    if behind is None:
        _line("behind", "the source has changes, and does not say how many")
    else:
        _line("behind", f"{behind:,} changes of the source" if behind else "nothing")
    return True


def _line(name: str, text: str) -> None:
    print(f"  {name:<10} {text}")


def _size(path: Path) -> str:
    files: Iterator[Path] = (path.with_name(path.name + suffix) for suffix in ("", "-wal"))
    size = float(sum(file.stat().st_size for file in files if file.exists()))
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _shortened(seq: str) -> str:
    return seq if len(seq) <= _SHORT else f"{seq[:_SHORT]}…"
