"""The server and the database as a client finds them: `/`, `_up`, `_uuids`, `_all_dbs`, `/db` and its settings."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary

from aiohttp import web

from proxy import __version__
from proxy.errors import BadRequest, CouchError, Forbidden, PreconditionFailed, Unavailable
from proxy.exchange import Exchange
from proxy.identify import Principal
from proxy.standing import refusal
from proxy.upstream import Upstream
from proxy.view import name_or_nobody

log = logging.getLogger("couch_tailor.info")

_MAX_UUIDS = 1000
_UP_TIMEOUT = 5.0
_ACCOUNT_SECONDS = 10.0
"""How long the source's word on the proxy's own account stands: it may compute for a password."""
_DOWN_WORDS = ("maintenance_mode", "nolb", "unhealthy")
_REVS_LIMIT = 1000

_WELCOME = ("couchdb", "express-pouchdb", "version", "git_sha", "features", "features_flags")
"""Members of GET / that say what the source is."""
_HARMLESS = ("instance_start_time", "disk_format_version", "compact_running", "props", "cluster")
"""Members of GET /db that say nothing of what is in the database."""
_COUNTS = ("doc_count", "doc_del_count", "sizes", "disk_size", "data_size", "other")
"""Members that count hidden documents with the visible ones: left out if the view hides any, since a number of the
view's own would take a scan of the whole database, and a wrong one is worse than none. No client needs them."""


async def get_root(exchange: Exchange, upstream: Upstream, principal: Principal) -> web.StreamResponse:
    """GET /: the source's welcome, under a server uuid of the client's own.

    PouchDB and CouchDB name their checkpoints after it: two users on one device must not continue each other's.
    """
    welcome = _object(await upstream.json("GET", "/", headers=principal.headers), "/")
    vendor = {"name": "couch-tailor", "version": __version__}
    identity = f"{welcome.get('uuid')}\0{upstream.source.name}\0{name_or_nobody(principal.name)}"
    uuid = blake2b(identity.encode(), key=exchange.server.secret[:64], digest_size=16, person=b"server uuid")
    kept = {name: welcome[name] for name in _WELCOME if name in welcome}
    return exchange.json({"couchdb": "Welcome", **kept, "uuid": uuid.hexdigest(), "vendor": vendor})


async def get_up(exchange: Exchange, upstreams: Sequence[Upstream]) -> web.StreamResponse:
    """GET _up: 200 if all sources answer, and take the proxy's account; otherwise CouchDB's 404 of maintenance mode, or
    503.
    """
    states = await asyncio.gather(*map(_state, upstreams))
    down = next((state for state in states if state[0] != 200), (200, "ok"))
    return exchange.json({"status": down[1]}, down[0])


async def _state(upstream: Upstream) -> tuple[int, str]:
    """HTTP status and word for one source. Anything that it answers shows that it is up, but for 404 with a status
    (maintenance mode) and errors of its own: some have no `_up`, some want credentials for it."""
    accept = {"Accept": "application/json"}
    try:
        async with asyncio.timeout(_UP_TIMEOUT):
            async with await upstream.request("GET", "/_up", headers=accept) as reply:
                word = None
                with suppress(Unavailable, AttributeError):
                    word = (await reply.json()).get("status")
    except (CouchError, TimeoutError) as error:
        return _down(upstream, _why(error))
    if reply.status >= 500:
        return _down(upstream, f"it answered {reply.status}")
    if reply.status == 404 and word is not None:
        _tell(upstream, None)
        return 404, word if word in _DOWN_WORDS else "maintenance_mode"
    if (trouble := await _of_account(upstream)) is not None:
        return _down(upstream, trouble, of_account=True)
    _tell(upstream, None)
    return 200, "ok"


def _why(error: CouchError | TimeoutError) -> str:
    return str(error) or f"it did not answer within {_UP_TIMEOUT:g} s"


async def _of_account(upstream: Upstream) -> str | None:
    """Why the source does not take the proxy's own account, as of some seconds ago at most. None: it does."""
    known = _ACCOUNTS.get(upstream)
    if known is not None and time.monotonic() < known.until:
        return known.trouble
    # whoever comes meanwhile goes by what was known
    _ACCOUNTS[upstream] = _Account(known and known.trouble, time.monotonic() + _ACCOUNT_SECONDS)
    try:
        async with asyncio.timeout(_UP_TIMEOUT):
            trouble = await refusal(upstream)
    except (CouchError, TimeoutError) as error:
        trouble = _why(error)
    _ACCOUNTS[upstream] = _Account(trouble, time.monotonic() + _ACCOUNT_SECONDS)
    return trouble


class _Account(NamedTuple):
    """What is known of a source's account: `trouble`, until a time."""

    trouble: str | None
    until: float


_ACCOUNTS: WeakKeyDictionary[Upstream, _Account] = WeakKeyDictionary()


def _down(upstream: Upstream, trouble: str, *, of_account: bool = False) -> tuple[int, str]:
    _tell(upstream, trouble, of_account=of_account)
    return 503, "unavailable"


def _tell(upstream: Upstream, trouble: str | None, *, of_account: bool = False) -> None:
    """Say in the log why a source is not up, once for either reason; and that it is again. None: it is."""
    known = _TROUBLES.get(upstream)
    if trouble is None and known is not None:
        log.warning("sources.%s is up again", upstream.source.name)
        del _TROUBLES[upstream]
    elif trouble is not None and known is not of_account:
        log.warning("sources.%s is not up: %s", upstream.source.name, trouble)
        _TROUBLES[upstream] = of_account


_TROUBLES: WeakKeyDictionary[Upstream, bool] = WeakKeyDictionary()
"""Sources of which the log says that they are not up, and whether that is because of the account."""


def get_uuids(exchange: Exchange) -> web.StreamResponse:
    """GET _uuids: random ones, at most 1000."""
    text = exchange.query.last("count", "1")
    if not (text and text.isascii() and text.isdigit()):
        raise BadRequest("count must be a positive integer")
    if len(text) > 4 or int(text) > _MAX_UUIDS:
        raise BadRequest("count parameter too large")
    headers = {"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "Mon, 01 Jan 1990 00:00:00 GMT"}
    return exchange.json({"uuids": [uuid4().hex for _ in range(int(text))]}, headers=headers)


def get_all_dbs(exchange: Exchange, names: Sequence[str]) -> web.StreamResponse:
    """GET _all_dbs: of the databases that the client may use, those that the query selects."""
    query = exchange.query
    descending = query.flag("descending")
    start, end = query.json("startkey", "start_key", "key"), query.json("endkey", "end_key", "key")
    low, high = (end, start) if descending else (start, end)
    listed = [
        name
        for name in sorted(names, reverse=descending)
        if (not isinstance(low, str) or name >= low) and (not isinstance(high, str) or name <= high)
    ]
    skip, limit = query.whole("skip") or 0, query.whole("limit")
    return exchange.json(listed[skip:] if limit is None else listed[skip : skip + limit])


async def get_database(exchange: Exchange) -> web.StreamResponse:
    """GET /db. CouchDB's replicator insists on `instance_start_time` and `update_seq`."""
    view = exchange.view
    found = await view.info()
    kept = _HARMLESS if view.hides else (*_HARMLESS, *_COUNTS)
    answer = {
        "db_name": view.name,
        # sequences of the source are for the proxy alone; nothing can be purged through it
        "purge_seq": 0 if isinstance(found.get("purge_seq"), int) else "0",
        "update_seq": view.tokens.encode(found.get("update_seq", 0)),
        **{name: found[name] for name in kept if name in found},
    }
    answer.setdefault("instance_start_time", "0")
    return exchange.json(answer)


async def put_database(exchange: Exchange) -> web.StreamResponse:
    """PUT /db: what clients try before they look; the database is there."""
    raise PreconditionFailed("The database could not be created, the file already exists.", error="file_exists")


async def delete_database(exchange: Exchange) -> web.StreamResponse:
    """DELETE /db."""
    raise Forbidden("Databases cannot be deleted through this proxy.")


async def get_security(exchange: Exchange) -> web.StreamResponse:
    """GET _security: who else has access is not the client's business."""
    nobody: dict[str, list[str]] = {"names": [], "roles": []}
    return exchange.json({"admins": nobody, "members": nobody})


async def get_revs_limit(exchange: Exchange) -> web.StreamResponse:
    """GET _revs_limit: the source's, CouchDB's default where the source has none."""
    view = exchange.view
    try:
        limit = await view.upstream.json("GET", view.path("_revs_limit"), headers=view.headers)
    except CouchError as error:
        if error.status not in (404, 405, 501):
            raise
        limit = _REVS_LIMIT
    return exchange.json(limit if isinstance(limit, int) else _REVS_LIMIT)


async def ensure_full_commit(exchange: Exchange) -> web.StreamResponse:
    """POST _ensure_full_commit: passed to the source, which before 3.0 may hold writes back until then.

    The start time is the one of GET /db: CouchDB's replicator compares them, and not every source repeats it.
    """
    view = exchange.view
    async with await view.upstream.request(
        "POST",
        view.path("_ensure_full_commit"),
        headers={"Accept": "application/json", "Content-Type": "application/json", **view.headers},
        body=b"",
    ) as reply:
        if reply.status >= 300 and reply.status not in (404, 405, 501):
            raise await reply.error()
        await reply.skip()
    started = (await view.info()).get("instance_start_time", "0")
    return exchange.json({"ok": True, "instance_start_time": started}, 201)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unavailable(f"The source's answer for {what} is not an object: is it a CouchDB?")
    return value
