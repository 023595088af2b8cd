"""Handlers of a database as such."""

from __future__ import annotations

import re

from proxy.core.query import Query
from proxy.endpoint.database import Database
from proxy.endpoint.http import permissions
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.reply import Reply, json_reply, line
from proxy.endpoint.http.writing import need_writer, written
from proxy.errors import BadRequest

_OK = {"ok": True}
_POSITIVE = re.compile(r"\+?0*[1-9][0-9]*")
_SHARDING = {
    "n": (_POSITIVE, "The `n` value should be a positive integer."),
    "q": (_POSITIVE, "The `q` value should be a positive integer."),
    "placement": (
        re.compile(rf"[^:,]+:{_POSITIVE.pattern}(,[^:,]+:{_POSITIVE.pattern})*"),
        "The `placement` value should be in a format `zone:n`.",
    ),
    "partitioned": (re.compile("true|false"), "Invalid `partitioned` parameter"),
}


async def create(call: Call, name: str) -> Reply:
    """How it is to be sharded is checked, and without effect."""
    permissions.need_server_admin(call.identity)
    _check_sharding(call.query)
    await call.endpoint.server.create(name)
    return json_reply(_OK, 201, line("Location", call.location(name)))


def _check_sharding(query: Query) -> None:
    for option, (form, reason) in _SHARDING.items():
        value = query.first(option)
        if value is not None and form.fullmatch(value) is None:
            raise BadRequest(reason)


async def delete(call: Call, name: str) -> Reply:
    permissions.need_server_admin(call.identity)
    if "rev" in call.query:
        raise BadRequest(
            "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?"
        )
    await call.endpoint.server.delete(name)
    return json_reply(_OK)


async def info(call: Call, database: Database) -> Reply:
    return json_reply(database.info())


async def new_document(call: Call, database: Database) -> Reply:
    """`POST /{db}`: a document that may leave its id to the server."""
    call.need_json_type()
    doc = await call.json()
    if isinstance(doc, dict):  # what is no document, or has no id of one, is refused with the rest of what is wrong
        need_writer(call, database, str(doc.get("_id")))
    updated = await database.post(doc, call.endpoint.server.uuids(1)[0])
    return written(call, updated, 201, line("Location", call.location(database.name, updated.id)))


async def security(call: Call, database: Database) -> Reply:
    return json_reply(database.security())


async def set_security(call: Call, database: Database) -> Reply:
    permissions.need_admin(call.identity, database)
    permissions.need_editable(database)
    await database.set_security(await call.json())
    return json_reply(_OK)


async def revs_limit(call: Call, database: Database) -> Reply:
    return json_reply(database.revs_limit())


async def set_revs_limit(call: Call, database: Database) -> Reply:
    permissions.need_admin(call.identity, database)
    await database.set_revs_limit(await call.json())
    return json_reply(_OK)


async def ensure_full_commit(call: Call, database: Database) -> Reply:
    """Every acknowledged write is durable already; replicators compare the start time with the database's."""
    call.need_json_type()
    await call.body()
    return json_reply({"ok": True, "instance_start_time": database.instance_start_time}, 201)


async def compact(call: Call, database: Database) -> Reply:
    """Runs on after the answer; `compact_running` in the database's information says how long."""
    permissions.need_admin(call.identity, database)
    call.need_json_type()
    await call.body()
    database.compact()
    return json_reply(_OK, 202)
