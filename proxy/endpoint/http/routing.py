"""Which handler answers: by the decoded pieces of the path, then by the method. HEAD runs as GET.

A path that no table has is a document (`/{db}/{id}`) or an attachment (`/{db}/{id}/{name...}`). `_changes` and `_find`
ignore what follows them in the path, as in CouchDB.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from proxy.core.query import encode
from proxy.endpoint.database import Database
from proxy.endpoint.http import (
    attachments,
    bulk,
    changes,
    databases,
    documents,
    find,
    listing,
    permissions,
    server,
    session,
    writing,
)
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.reply import Reply, line
from proxy.errors import BadRequest, CouchError, MethodNotAllowed, NotFound

ServerHandler = Callable[[Call], Awaitable[Reply]]
NameHandler = Callable[[Call, str], Awaitable[Reply]]
DatabaseHandler = Callable[[Call, Database], Awaitable[Reply]]
DocumentHandler = Callable[[Call, Database, str], Awaitable[Reply]]
AttachmentHandler = Callable[[Call, Database, str, str], Awaitable[Reply]]
Handler = TypeVar("Handler")


async def answer(call: Call) -> Reply:
    """The reply to a request whose identity is known. Raises CouchError."""
    path = call.path
    if not path:
        return await _pick(ROOT, call.method)(call)
    if path[0] in SERVER and len(path) == 1:
        return await _pick(SERVER[path[0]], call.method)(call)
    if len(path) == 1 and call.method in DATABASE_BY_NAME:
        return await DATABASE_BY_NAME[call.method](call, path[0])
    permissions.need_lister_of_users(call.identity, path)
    database = call.endpoint.server.database(path[0])
    permissions.need_member(call.identity, database)
    if len(path) == 1:
        return await _pick(DATABASE, call.method)(call, database)
    if path[1].startswith("_"):
        return await _reserved(call, database, path[1:])
    if len(path) == 2:
        return await _pick(DOCUMENT, call.method)(call, database, path[1])
    return await _pick(ATTACHMENT, call.method)(call, database, path[1], "/".join(path[2:]))


async def _reserved(call: Call, database: Database, rest: list[str]) -> Reply:
    """A path below a database whose next piece begins with an underscore."""
    methods = IN_DATABASE.get(rest[0])
    if methods is not None:
        if len(rest) == 1 or rest[0] in _TAIL_IGNORED:
            return await _pick(methods, call.method)(call, database)
        if rest[1:] == ["queries"] and rest[0] in QUERIES:
            return await _pick(QUERIES[rest[0]], call.method)(call, database)
        raise NotFound("missing")
    if rest[0] in _NOT_HERE:
        raise _absent(rest[0])
    if rest[0].startswith("_design/") and call.reads:
        return _unescaped(call, database, rest)
    if rest[0] in ("_design", "_local"):
        if len(rest) == 1:
            return await _bare_prefix(call, database, rest[0])
        rest = [f"{rest[0]}/{rest[1]}", *rest[2:]]
    return await _reserved_document(call, database, rest[0], rest[1:])


def _unescaped(call: Call, database: Database, rest: list[str]) -> Reply:
    """Where CouchDB sends who escapes the slash of `_design/`."""
    prefix, _, name = rest[0].partition("/")
    query = f"?{encode(call.query.pairs)}" if call.raw_query else ""
    return Reply(301, line("Location", call.location(database.name, prefix, name, *rest[1:]) + query))


async def _bare_prefix(call: Call, database: Database, prefix: str) -> Reply:
    if prefix == "_local":
        raise BadRequest("Invalid _local document id.")
    return await _pick(DOCUMENT, call.method)(call, database, prefix)


async def _reserved_document(call: Call, database: Database, doc_id: str, tail: list[str]) -> Reply:
    if not tail:
        return await _pick(DOCUMENT, call.method)(call, database, doc_id)
    if doc_id.startswith("_local/"):
        raise BadRequest("_local documents do not accept attachments.")
    if doc_id.startswith("_design/") and tail[0].startswith("_"):
        database.get(doc_id)  # functions of a design document that is not there are not found
        raise _absent(tail[0])
    return await _pick(ATTACHMENT, call.method)(call, database, doc_id, "/".join(tail))


def _absent(name: str) -> CouchError:
    return CouchError(f"{name} is not available here.", error="not_implemented", status=501)


@dataclass(frozen=True)
class Methods(Generic[Handler]):
    """The handlers of a path by method, and how CouchDB lists its methods in a 405."""

    handlers: Mapping[str, Handler]
    allowed: str


def _pick(methods: Methods[Handler], method: str) -> Handler:
    handler = methods.handlers.get("GET" if method == "HEAD" else method)
    if handler is None:
        raise MethodNotAllowed(methods.allowed)
    return handler


_TAIL_IGNORED = frozenset(("_changes", "_find"))

_NOT_HERE = frozenset(
    (
        "_explain",
        "_nouveau_cleanup",
        "_partition",
        "_purge",
        "_purged_infos",
        "_purged_infos_limit",
        "_search_cleanup",
        "_shards",
        "_sync_shards",
        "_temp_view",
        "_view_cleanup",
    )
)
"""What CouchDB has in a database, and the endpoint has not."""

ROOT: Methods[ServerHandler] = Methods({"GET": server.greeting}, "GET,HEAD")

SERVER: dict[str, Methods[ServerHandler]] = {
    "_up": Methods({"GET": server.up}, "GET,HEAD"),
    "_uuids": Methods({"GET": server.uuids}, "GET"),
    "_all_dbs": Methods({"GET": server.all_dbs}, "GET,HEAD"),
    "_dbs_info": Methods({"GET": server.dbs_info, "POST": server.dbs_info}, "GET,HEAD,POST"),
    "_session": Methods(
        {"GET": session.who, "POST": session.log_in, "DELETE": session.log_out}, "GET,HEAD,POST,DELETE"
    ),
}

DATABASE_BY_NAME: dict[str, NameHandler] = {"PUT": databases.create, "DELETE": databases.delete}
"""What can be done with a database that does not exist or may not be read."""

DATABASE: Methods[DatabaseHandler] = Methods(
    {"GET": databases.info, "POST": databases.new_document}, "DELETE,GET,HEAD,POST"
)

QUERIES: dict[str, Methods[DatabaseHandler]] = {
    "_all_docs": Methods({"POST": listing.all_docs_queries}, "POST"),
    "_design_docs": Methods({"POST": listing.design_docs_queries}, "POST"),
    "_local_docs": Methods({"POST": listing.local_docs_queries}, "POST"),
}
"""The `/queries` of listings."""

IN_DATABASE: dict[str, Methods[DatabaseHandler]] = {
    "_all_docs": Methods({"GET": listing.all_docs, "POST": listing.all_docs}, "GET,HEAD,POST"),
    "_design_docs": Methods({"GET": listing.design_docs, "POST": listing.design_docs}, "GET,HEAD,POST"),
    "_local_docs": Methods({"GET": listing.local_docs, "POST": listing.local_docs}, "GET,HEAD,POST"),
    "_changes": Methods({"GET": changes.changes, "POST": changes.changes}, "GET,POST,HEAD"),
    "_bulk_docs": Methods({"POST": bulk.bulk_docs}, "POST"),
    "_bulk_get": Methods({"POST": bulk.bulk_get}, "POST"),
    "_revs_diff": Methods({"POST": bulk.revs_diff}, "POST"),
    "_missing_revs": Methods({"POST": bulk.missing_revs}, "POST"),
    "_find": Methods({"POST": find.find}, "POST"),
    "_index": Methods({"GET": find.indexes}, "GET"),
    "_security": Methods({"GET": databases.security, "PUT": databases.set_security}, "PUT,GET"),
    "_revs_limit": Methods({"GET": databases.revs_limit, "PUT": databases.set_revs_limit}, "PUT,GET"),
    "_compact": Methods({"POST": databases.compact}, "POST"),
    "_ensure_full_commit": Methods({"POST": databases.ensure_full_commit}, "POST"),
}

DOCUMENT: Methods[DocumentHandler] = Methods(
    {
        "GET": documents.read,
        "PUT": writing.write,
        "DELETE": writing.remove,
        "COPY": writing.copy,
        "POST": writing.form,
    },
    "DELETE,GET,HEAD,POST,PUT,COPY",
)

ATTACHMENT: Methods[AttachmentHandler] = Methods(
    {"GET": attachments.read, "PUT": attachments.write, "DELETE": attachments.delete}, "DELETE,GET,HEAD,PUT"
)
