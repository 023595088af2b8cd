"""`couch-tailor touch`: every document anew at the source, unchanged, so that devices fetch it as it is shown now.

A device never fetches a revision again. After a change of rules, or of somebody's roles, it goes on with what it was
given before, until there is a new one.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proxy.cli.errors import RunError, UsageError
from proxy.cli.files import add_config_option, load_config, print_warnings
from proxy.config.model import Config, Database
from proxy.config.problems import did_you_mean
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.errors import CouchError, Unavailable

if TYPE_CHECKING:  # other commands need no network library
    from proxy.place import Place

_PAGE = 100


def add(commands: Any) -> None:
    purpose = "write all documents anew at the source, unchanged, so that devices fetch them as they are shown now"
    parser = commands.add_parser(
        "touch", help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", allow_abbrev=False
    )
    add_config_option(parser)
    parser.add_argument("databases", metavar="DATABASE", nargs="+", help="those whose documents are meant")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from proxy.loop import run_loop, tune

    config = load_config(arguments.config)
    print_warnings(config.warnings)
    databases = [_chosen(config, name) for name in dict.fromkeys(arguments.databases)]
    _see_that_nobody_serves(config)
    tune()
    run_loop(_touch_all(config, databases))
    return 0


def _chosen(config: Config, name: str) -> Database:
    database = config.databases.get(name)
    if database is None:
        raise UsageError(f'touch: there is no database "{name}"{did_you_mean(name, config.databases)}')
    if not database.source.one_account:
        raise UsageError(f'touch: the database "{name}" needs a source with an account of its own: auth = "service"')
    return database


def _see_that_nobody_serves(config: Config) -> None:
    """Raises RunError if a couch-tailor is seen to: only where it keeps a directory that can be looked into."""
    from proxy.feeds.lock import holder

    data, kept_by = config.server.data, None
    if data is not None:
        with suppress(OSError):
            kept_by = holder(data)
    if kept_by is not None:
        used = f"the data directory {data} is in use by another couch-tailor ({kept_by})"
        raise RunError(f"touch: {used}; stop the proxy first, on all nodes: no device may write meanwhile")


@dataclass
class Count:
    """Documents that were written anew."""

    written: int = 0
    changed: int = 0
    """Somebody else has written them since they were read, so they are new as well."""
    refused: list[str] = field(default_factory=list)
    """Those that the source's validation refused, and why: they stay as they are."""


async def _touch_all(config: Config, databases: list[Database]) -> None:
    refused: list[str] = []
    for database in databases:
        count = await touched(config, database)
        also = f", {count.changed:,} were changed meanwhile" if count.changed else ""
        print(f"{database.name}: {count.written:,} documents written anew{also}")
        refused += [f"{database.name}: {each}" for each in count.refused]
    if refused:
        raise RunError("\n  ".join(["the source refused some, which stay as devices have them:", *refused]))


async def touched(config: Config, database: Database) -> Count:
    """Touch the documents of one database. Raises RunError, which says how many were written."""
    from proxy.config.archive import Archive
    from proxy.cuts import touches
    from proxy.identify import towards
    from proxy.place import Place
    from proxy.upstream import Upstream

    source, count = database.source, Count()
    with closing(Upstream(source, config.server.timeout)) as upstream:
        headers = towards(source, source.username, frozenset(), {})
        place = Place(database=database, upstream=upstream, headers=headers)
        archive = Archive(config)
        profiles = [profile for profile in config.profiles.values() if database.name in profile.databases]
        rules = [touches.named(each.name, archive.fingerprint(archive.rules_of(each))) for each in profiles]
        try:
            since = (await place.info())["update_seq"]
            async for docs in _pages(place):
                await _write(place, docs, count)
            await touches.begin(place, rules, since)
        except CouchError as error:
            done = f"{count.written:,} documents were written"
            raise RunError(f"{database.name} cannot be touched ({done}): {error}") from error
    return count


async def _pages(place: Place) -> AsyncIterator[list[Doc]]:
    """The documents, but for design documents, in the order of their ids."""
    start: list[tuple[str, str]] = []
    while True:
        pairs = [("include_docs", "true"), ("limit", str(_PAGE)), *start]
        listed = await place.upstream.json("GET", place.path("_all_docs"), pairs, headers=place.headers)
        try:
            rows = listed["rows"]
        except (TypeError, KeyError):
            raise Unavailable("The source's _all_docs is not of CouchDB's form: is it a CouchDB?") from None
        docs = [row["doc"] for row in rows if row.get("doc") and not row["id"].startswith("_")]
        if docs:
            yield docs
        if len(rows) < _PAGE:
            return
        start = [("startkey", jsonio.dumps(rows[-1]["id"]).decode()), ("skip", "1")]


async def _write(place: Place, docs: list[Doc], count: Count) -> None:
    body = {"docs": docs}
    rows = await place.upstream.json("POST", place.path("_bulk_docs"), headers=place.headers, body=body)
    for row in rows:
        if "error" not in row:
            count.written += 1
        elif row["error"] == "conflict":
            count.changed += 1
        else:
            count.refused.append(f"{row.get('id')}: {row.get('reason')}")
