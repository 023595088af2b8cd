"""The table of endpoints: method, path → what may happen. What is not in the table is denied.

A path is read as CouchDB reads it: split on `/`, empty pieces dropped, each piece percent-decoded, case kept. Routing
is by the decoded pieces, so `//db/%5Fall_docs` is `_all_docs`. Dot segments are refused, within names too: CouchDB
takes them as names, HTTP libraries resolve them, and nobody names a document so by accident. The raw text of a request
never goes further than this module; requests to the source are built from the decoded pieces.

Policies:
    SHAPED    served by the proxy, through the profile
    TRUSTED   passed to the source for a profile marked `trusted`, otherwise `forbidden`
    DENIED    `forbidden` for everybody
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from proxy.core import query
from proxy.errors import BadRequest, Forbidden, MethodNotAllowed, NotFound


class Kind(Enum):
    """What a request is about; the handlers are looked up by it."""

    ROOT = auto()
    UP = auto()
    UUIDS = auto()
    SESSION = auto()
    ALL_DBS = auto()
    DATABASE = auto()
    ALL_DOCS = auto()
    ALL_DOCS_QUERIES = auto()
    DESIGN_DOCS = auto()
    LOCAL_DOCS = auto()
    CHANGES = auto()
    BULK_DOCS = auto()
    BULK_GET = auto()
    REVS_DIFF = auto()
    MISSING_REVS = auto()
    FIND = auto()
    ENSURE_FULL_COMMIT = auto()
    SECURITY = auto()
    REVS_LIMIT = auto()
    DOCUMENT = auto()
    ATTACHMENT = auto()
    DESIGN = auto()
    DESIGN_ATTACHMENT = auto()
    LOCAL = auto()
    TRUSTED = auto()


class Target(NamedTuple):
    """A routed request. `rest` are the decoded path pieces after the database, for what passes to the source."""

    kind: Kind
    method: str
    db: str = ""
    doc_id: str = ""
    attachment: str = ""
    rest: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "COPY"))
_OVERRIDES = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "COPY", "TRACE", "CONNECT"))

ALLOWED: dict[Kind, str] = {
    Kind.ROOT: "GET,HEAD",
    Kind.UP: "GET,HEAD",
    Kind.UUIDS: "GET,HEAD",
    Kind.SESSION: "GET,HEAD,POST,DELETE",
    Kind.ALL_DBS: "GET,HEAD",
    Kind.DATABASE: "DELETE,GET,HEAD,POST,PUT",
    Kind.ALL_DOCS: "GET,HEAD,POST",
    Kind.ALL_DOCS_QUERIES: "POST",
    Kind.DESIGN_DOCS: "GET,HEAD,POST",
    Kind.LOCAL_DOCS: "GET,HEAD,POST",
    Kind.CHANGES: "GET,POST,HEAD",
    Kind.BULK_DOCS: "POST",
    Kind.BULK_GET: "POST",
    Kind.REVS_DIFF: "POST",
    Kind.MISSING_REVS: "POST",
    Kind.FIND: "POST",
    Kind.ENSURE_FULL_COMMIT: "POST",
    Kind.SECURITY: "GET,HEAD",
    Kind.REVS_LIMIT: "GET,HEAD",
    Kind.DOCUMENT: "DELETE,GET,HEAD,POST,PUT,COPY",
    Kind.ATTACHMENT: "DELETE,GET,HEAD,PUT",
    Kind.DESIGN: "DELETE,GET,HEAD,POST,PUT,COPY",
    Kind.DESIGN_ATTACHMENT: "DELETE,GET,HEAD,PUT",
    Kind.LOCAL: "DELETE,GET,HEAD,PUT",
}
"""The methods of each kind, as CouchDB lists them in a 405. What is passed to the source (TRUSTED) has any."""
_METHODS_OF = {kind: frozenset(allowed.split(",")) for kind, allowed in ALLOWED.items()}

SERVER = {"_up": Kind.UP, "_uuids": Kind.UUIDS, "_session": Kind.SESSION, "_all_dbs": Kind.ALL_DBS}
"""What there is at the root of the server, by name."""

DATABASE = {
    "_all_docs": Kind.ALL_DOCS,
    "_design_docs": Kind.DESIGN_DOCS,
    "_local_docs": Kind.LOCAL_DOCS,
    "_changes": Kind.CHANGES,
    "_bulk_docs": Kind.BULK_DOCS,
    "_bulk_get": Kind.BULK_GET,
    "_revs_diff": Kind.REVS_DIFF,
    "_missing_revs": Kind.MISSING_REVS,
    "_find": Kind.FIND,
    "_ensure_full_commit": Kind.ENSURE_FULL_COMMIT,
    "_security": Kind.SECURITY,
    "_revs_limit": Kind.REVS_LIMIT,
}
"""What there is in a database beside documents, by name."""

_TRUSTED_DATABASE = frozenset(("_explain", "_index", "_partition", "_design_docs", "_security", "_revs_limit"))
"""Passed to the source for a trusted profile: derived data and settings of the database. Server-level and admin
endpoints (`_replicate`, `_node`, `_purge`, `_compact`, ...) are passed for nobody."""

_TAIL_IGNORED = frozenset(("_changes", "_find"))
"""CouchDB ignores what follows these in the path."""


def route(method: str, target: str, override: str | None = None) -> Target:
    """The routed request for a method and the raw request target. Raises a CouchError for what is denied."""
    if override is not None and method == "POST" and override in _OVERRIDES:
        method = override
    path, raw_query = _split(target)
    pieces = _pieces(path)
    pairs = tuple(query.parse(raw_query)) if raw_query else ()
    if method not in _METHODS:
        raise MethodNotAllowed("DELETE,GET,HEAD,POST,PUT,COPY")
    if not pieces:
        return Target(Kind.ROOT, _allow(method, Kind.ROOT), pairs=pairs)
    first = pieces[0]
    if first.startswith("_"):
        return _route_server(method, pieces, pairs)
    if len(pieces) == 1:
        return Target(Kind.DATABASE, _allow(method, Kind.DATABASE), first, pairs=pairs)
    return _route_database(method, first, pieces[1:], pairs)


def _split(target: str) -> tuple[str, str]:
    """Path and query of a request target in origin or absolute form."""
    if not target.startswith("/"):
        scheme, colon, rest = target.partition("://")
        if not colon or scheme.lower() not in ("http", "https"):
            raise BadRequest("The request target is neither a path nor an http URL.")
        slash = rest.find("/")
        target = rest[slash:] if slash >= 0 else "/"
    path, _, raw_query = target.partition("?")
    return path, raw_query.partition("#")[0]


def _pieces(path: str) -> list[str]:
    pieces = [query.decode(piece) for piece in path.partition("#")[0].split("/") if piece]
    if ("." in path or "%" in path) and any(map(has_dot_segments, pieces)):
        raise BadRequest("Dot segments in the path are not accepted.")
    if "\x00" in path or "%00" in path:
        raise BadRequest("A NUL in the path is not accepted.")
    return pieces


def has_dot_segments(name: str) -> bool:
    """Whether a name would climb in a path, if what stands before the source undoes its escapes."""
    return "." in name and not {".", ".."}.isdisjoint(name.split("/"))


def _route_server(method: str, pieces: list[str], pairs: tuple[tuple[str, str], ...]) -> Target:
    kind = SERVER.get(pieces[0])
    if kind is None or len(pieces) > 1:
        raise Forbidden(f"/{pieces[0]} is not available through this proxy.")
    return Target(kind, _allow(method, kind), pairs=pairs)


def _route_database(method: str, db: str, rest: list[str], pairs: tuple[tuple[str, str], ...]) -> Target:
    first = rest[0]
    if not first.startswith("_"):
        return _route_document(method, db, rest, pairs)
    if first.startswith("_design/") and method in ("GET", "HEAD"):
        rest = [*first.split("/", 1), *rest[1:]]
        first = "_design"
    elif first.startswith(("_design/", "_local/")):
        rest = [*first.split("/", 1), *rest[1:]]
        first = rest[0]
    if first == "_design":
        return _route_design(method, db, rest, pairs)
    if first == "_local":
        if len(rest) < 2:
            raise NotFound("missing")
        if not rest[1]:
            raise BadRequest("Invalid _local document id.")
        if len(rest) > 2:
            raise BadRequest("_local documents do not accept attachments.")
        return Target(Kind.LOCAL, _allow(method, Kind.LOCAL), db, f"_local/{rest[1]}", pairs=pairs)
    if first == "_all_docs" and rest[1:] == ["queries"]:
        return Target(Kind.ALL_DOCS_QUERIES, _allow(method, Kind.ALL_DOCS_QUERIES), db, pairs=pairs)
    kind = DATABASE.get(first)
    if kind is None or (len(rest) > 1 and first not in _TAIL_IGNORED):
        return _trusted(method, db, rest, pairs)
    if kind in (Kind.SECURITY, Kind.REVS_LIMIT) and method == "PUT":
        raise Forbidden(f"{first} cannot be changed through this proxy.")
    return Target(kind, _allow(method, kind), db, rest=tuple(rest), pairs=pairs)


def _route_document(method: str, db: str, rest: list[str], pairs: tuple[tuple[str, str], ...]) -> Target:
    if len(rest) == 1:
        return Target(Kind.DOCUMENT, _allow(method, Kind.DOCUMENT), db, rest[0], rest=tuple(rest), pairs=pairs)
    attachment = "/".join(rest[1:])
    return Target(Kind.ATTACHMENT, _allow(method, Kind.ATTACHMENT), db, rest[0], attachment, tuple(rest), pairs)


def _route_design(method: str, db: str, rest: list[str], pairs: tuple[tuple[str, str], ...]) -> Target:
    if len(rest) == 1 or (not rest[1] and method in ("GET", "HEAD", "DELETE")):
        raise NotFound("missing")
    doc_id = f"_design/{rest[1]}"
    if len(rest) == 2:
        return Target(Kind.DESIGN, _allow(method, Kind.DESIGN), db, doc_id, rest=tuple(rest), pairs=pairs)
    if rest[2].startswith("_"):
        if rest[2] == "_rewrite":
            raise Forbidden("_rewrite is not available through this proxy.")
        return Target(Kind.TRUSTED, method, db, rest=tuple(rest), pairs=pairs)
    return Target(
        Kind.DESIGN_ATTACHMENT,
        _allow(method, Kind.DESIGN_ATTACHMENT),
        db,
        doc_id,
        "/".join(rest[2:]),
        tuple(rest),
        pairs,
    )


def _trusted(method: str, db: str, rest: list[str], pairs: tuple[tuple[str, str], ...]) -> Target:
    if rest[0] in _TRUSTED_DATABASE:
        return Target(Kind.TRUSTED, method, db, rest=tuple(rest), pairs=pairs)
    raise Forbidden(f"{rest[0]} is not available through this proxy.")


def _allow(method: str, kind: Kind) -> str:
    if method not in _METHODS_OF[kind]:
        raise MethodNotAllowed(ALLOWED[kind])
    return method


@lru_cache(maxsize=8192)
def _quoted(piece: str) -> str:
    quoted = quote(piece, safe="")
    return quoted.replace(".", "%2E") if has_dot_segments(piece) else quoted


def path(*pieces: str) -> str:
    """The canonical path of decoded pieces: each fully percent-encoded, joined with `/`."""
    return "/" + "/".join([_quoted(piece) for piece in pieces])


def document_path(db: str, doc_id: str, attachment: str | None = None) -> str:
    """The canonical path of a document, design or local document, or attachment, whose name is not empty.

    Attachment names keep their slashes as separators, unless there are dots or nothing between them: CouchDB joins the
    pieces, but drops empty ones, and so would take the name for another one, or for none: the document itself.
    """
    assert attachment != ""
    if attachment is None and doc_id[:1] != "_":
        return f"/{_quoted(db)}/{_quoted(doc_id)}"
    prefix, slash, name = doc_id.partition("/")
    pieces = [db, prefix, name] if slash and prefix in ("_design", "_local") else [db, doc_id]
    if attachment is not None:
        parts = attachment.split("/")
        pieces += parts if all(parts) and not has_dot_segments(attachment) else [attachment]
    return path(*pieces)
