"""Handlers of the server itself: greeting, health, ids, the list of databases."""

from __future__ import annotations

from proxy.core import jsonio
from proxy.endpoint.http import etag, options
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.permissions import need_server_admin
from proxy.endpoint.http.reply import JSON, Reply, json_reply
from proxy.errors import BadRequest, CouchError

_MOST_UUIDS = 1000


async def greeting(call: Call) -> Reply:
    info = call.endpoint.server.info()
    return json_reply({"couchdb": "Welcome", "version": "3.5.0", "features": ["scheduler"], **info})


async def up(call: Call) -> Reply:
    return json_reply({"status": "ok", "seeds": {}})


async def uuids(call: Call) -> Reply:
    count = call.query.first("count", "1") or "1"
    if not (count.isascii() and count.isdigit()):
        raise BadRequest("count must be a positive integer")
    if len(count) > 9 or int(count) > _MOST_UUIDS:
        raise BadRequest("count parameter too large")
    found = call.endpoint.server.uuids(int(count))
    text = jsonio.dumps({"uuids": found}) + b"\n"
    fresh = b"Cache-Control: no-cache\r\nPragma: no-cache\r\nExpires: Mon, 01 Jan 1990 00:00:00 GMT\r\n"
    return Reply(200, fresh + JSON + etag.header(etag.base36(text)), text)


async def all_dbs(call: Call) -> Reply:
    need_server_admin(call.identity)
    asked = options.from_query(call.query)
    names = [name for name in call.endpoint.server.names() if asked.covers(name)]
    if asked.descending:
        names.reverse()
    return json_reply(names[asked.skip : None if asked.limit is None else asked.skip + asked.limit])


async def dbs_info(call: Call) -> Reply:
    """What `GET /{db}` says of all databases, or of those in the body."""
    need_server_admin(call.identity)
    if call.reads:
        names = call.endpoint.server.names()
    else:
        call.need_json_type()
        names = _keys(await call.json_object())
    return json_reply([_info(call, name) for name in names])


def _keys(body: dict[str, object]) -> list[str]:
    keys = body.get("keys")
    if keys is None:
        raise BadRequest("`keys` member must exist.")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadRequest("`keys` member must be an array.")
    return keys


def _info(call: Call, name: str) -> dict[str, object]:
    try:
        return {"key": name, "info": call.endpoint.server.database(name).info()}
    except CouchError:
        return {"key": name, "error": "not_found"}
