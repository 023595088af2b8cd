"""What `couch-tailor check --connect` asks of the sources: mistakes that no look at the file can find."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from proxy.account import service_headers
from proxy.config.lines import Path
from proxy.config.model import Config, Database, Source
from proxy.config.problems import Problems
from proxy.core.endpoints import path
from proxy.errors import CouchError
from proxy.identify import towards
from proxy.reply import Reply
from proxy.standing import refusal
from proxy.upstream import Upstream

_PATIENCE_SECONDS = 10.0
_JSON = {"Accept": "application/json"}
_SECRETS = {"service": "password", "cookie": "password", "iam": "api_key", "proxy": "proxy_secret"}
"""The key by which an account is taken, or not."""
_WELCOME = {"couchdb", "version"}


def ask(config: Config, problems: Problems) -> list[str]:
    """Note what is wrong with the sources, their accounts and databases; what is right, in a line for each source."""
    logging.getLogger("couch_tailor").addHandler(logging.NullHandler())  # all of it is said as a mistake
    return asyncio.run(_ask_all(config, problems))


async def _ask_all(config: Config, problems: Problems) -> list[str]:
    timeout = min(config.server.timeout, _PATIENCE_SECONDS)
    told = await asyncio.gather(
        *(
            _ask(source, [each for each in config.databases.values() if each.source is source], timeout, problems)
            for source in config.sources.values()
        )
    )
    return [line for line in told if line is not None]


async def _ask(source: Source, databases: Iterable[Database], timeout: float, problems: Problems) -> str | None:
    """Ask one source. None: something is wrong."""
    at: Path = ("sources", source.name)
    with closing(Upstream(source, timeout)) as upstream:
        fault = await _fault(upstream)
        if fault is not None:
            problems.add((*at, "url"), f"{fault}; start what is to answer at {source.url}, or mend the address")
            return None
        refused = await _refused(upstream)
        if refused is not None:
            problems.add((*at, _SECRETS[source.auth]), refused)
        known = refused is None and source.one_account
        missing = [
            (database, why)
            for database in databases
            if (why := await _missing(upstream, database, _headers(source, known), known)) is not None
        ]
    for database, why in missing:
        problems.add(("databases", database.name, "name"), why)
    if refused is not None or missing:
        return None
    account = ", takes the proxy's account" if source.auth != "client" else ""
    return f"sources.{source.name} answers{account} and has its databases"


async def _fault(upstream: Upstream) -> str | None:
    """Why a source is none; None: it is one. Some welcome nobody without credentials: that is an answer, too."""
    try:
        async with await upstream.request("GET", "/", headers=_JSON) as reply:
            if reply.status in (401, 403):
                return None
            if reply.status >= 300:
                return _told(await reply.error(verbatim=True))
            found: Any = await reply.json()
    except CouchError as error:
        return _told(error)
    return None if isinstance(found, dict) and _WELCOME & found.keys() else "what answers there is no CouchDB"


async def _refused(upstream: Upstream) -> str | None:
    try:
        told = await refusal(upstream)
    except CouchError as error:
        return _told(error)
    return None if told is None else told.rstrip(".")


def _headers(source: Source, known: bool) -> Mapping[str, str]:
    """As whom databases are asked for. Without an account of its own the proxy may have one for other commands."""
    if known:
        return towards(source, source.username, frozenset(), {})
    return service_headers(source) if source.auth == "client" else {}


async def _missing(upstream: Upstream, database: Database, headers: Mapping[str, str], known: bool) -> str | None:
    """Why a database cannot be used; None if it can, or if that cannot be told. `known`: by an account that is taken,
    so that a refusal is about the database.
    """
    where = f'"{database.source_db}" of sources.{database.source.name}'
    try:
        async with await upstream.request("GET", path(database.source_db), headers={**_JSON, **headers}) as reply:
            if reply.status == 404:
                return f"there is no database {where}; make it there, or mend its name"
            if reply.status < 300 or (reply.status in (401, 403) and not known):
                return None
            return f"the database {where} cannot be used: {await _words(reply)}"
    except CouchError as error:
        return f"the database {where} cannot be used: {_told(error)}"


async def _words(reply: Reply) -> str:
    error = await reply.error(verbatim=True)
    return _told(error) if error.details is not None else f"{error.status} {error.error}: {error.reason}"


def _told(error: CouchError) -> str:
    return str(error).rstrip(".")
