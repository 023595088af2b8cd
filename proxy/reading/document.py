"""GET and HEAD of a document, with every parameter that changes the result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Query
from proxy.core.revisions import parse_rev, rank
from proxy.core.wire.accept import accepts
from proxy.errors import BadRequest, NotFound
from proxy.exchange import Exchange, etag_matches
from proxy.fetch import ancestry, attachments_of, look_at
from proxy.reading.attachments import following, inline_json
from proxy.reading.multipart import document_parts, mixed_parts
from proxy.reading.visible import check_rev, named_rev, visible_document
from proxy.resolve import Shown, departures, resolve, view_leaves
from proxy.view import View


@dataclass(frozen=True)
class Wanted:
    """The parameters of a document GET. Of duplicates the last wins, but a flag once `true` stays so, as in CouchDB."""

    rev: str | None
    open_revs: str | list[str] | None
    """"all", or a list of revisions."""
    latest: bool
    revs: bool
    revs_info: bool
    conflicts: bool
    deleted_conflicts: bool
    local_seq: bool
    attachments: bool
    atts_since: list[str] | None
    att_encoding_info: bool

    @property
    def meta(self) -> bool:
        """Whether members are asked for that depend on more than the revision."""
        return self.revs_info or self.conflicts or self.deleted_conflicts or self.local_seq

    @property
    def bodies(self) -> bool:
        return self.attachments or self.atts_since is not None


def parse_wanted(query: Query) -> Wanted:
    """Raises BadRequest for a parameter that CouchDB would refuse."""
    if not query.pairs:
        return _NOTHING_MORE
    latest = query.sticky("latest")
    # of a named revision CouchDB gives no account of the tree, whatever is asked for
    winner = "rev" not in query or latest
    meta = query.sticky("meta")
    return Wanted(
        rev=named_rev(query),
        open_revs=_open_revs_of(query),
        latest=latest,
        revs=query.sticky("revs"),
        revs_info=winner and (meta or query.sticky("revs_info")),
        conflicts=winner and (meta or query.sticky("conflicts")),
        deleted_conflicts=winner and (meta or query.sticky("deleted_conflicts")),
        local_seq=winner and query.sticky("local_seq"),
        attachments=query.sticky("attachments"),
        atts_since=_revs(query, "atts_since") if "atts_since" in query else None,
        att_encoding_info=query.sticky("att_encoding_info"),
    )


_NOTHING_MORE = Wanted(
    rev=None,
    open_revs=None,
    latest=False,
    revs=False,
    revs_info=False,
    conflicts=False,
    deleted_conflicts=False,
    local_seq=False,
    attachments=False,
    atts_since=None,
    att_encoding_info=False,
)


_META = frozenset(["_revs_info", "_local_seq", "_conflicts", "_deleted_conflicts"])


def _open_revs_of(query: Query) -> str | list[str] | None:
    """As in CouchDB an empty list is as if there were none."""
    text = query.last("open_revs")
    return text if text is None or text == "all" else _revs(query, "open_revs") or None


def _revs(query: Query, name: str) -> list[str]:
    value = query.json(name)
    if not isinstance(value, list) or not all(isinstance(rev, str) for rev in value):
        raise BadRequest(f"`{name}` must be a JSON array of revisions.")
    return [check_rev(rev) for rev in value]


async def get_document(exchange: Exchange) -> web.StreamResponse:
    """The document as the view shows it: JSON, or multipart where attachments go with it and the client takes that."""
    wanted = parse_wanted(exchange.query)
    if wanted.open_revs is not None:
        return await _open_revs(exchange, wanted)
    shown = await _find(exchange.view, exchange.target.doc_id, wanted)
    doc = shown.doc
    if wanted.meta:
        doc = await _with_meta(exchange.view, shown, wanted)
    if not wanted.revs:
        doc = _without(doc, "_revisions")
    names = following(shown.doc, wanted.atts_since, wanted.attachments) if wanted.bodies else []
    # as in CouchDB, what depends on more than the revision has no ETag
    headers = {} if doc.keys() & _META else {"ETag": f'"{shown.rev}"', **_caching(exchange.view)}
    if headers and etag_matches(exchange.request.headers.get("If-None-Match"), headers["ETag"]):
        return exchange.whole(b"", 304, exchange.headers(headers))
    in_parts = wanted.bodies and accepts(exchange.request.headers.get("Accept"), "multipart/related")
    if wanted.bodies and not in_parts and not wanted.att_encoding_info:
        doc = without_encoding_info(doc)
    if not names:
        return exchange.json(doc, headers=headers)
    if in_parts:
        parts = document_parts(exchange.view, shown, doc, names)
        headers = {**headers, "Content-Type": parts.content_type, "Content-Length": str(parts.length)}
        return await send(exchange, headers, parts.body)
    body = inline_json(exchange.view, shown, doc, names)
    return await send(exchange, {**headers, "Content-Type": "application/json"}, line(body))


def _caching(view: View) -> dict[str, str]:
    """What others are shown of a revision, or by other rules, has the same ETag: a browser must not keep it for them.

    It would ask again with that ETag, whatever `Vary` says (RFC 9111, 4.3.1), and be told that nothing has changed.
    """
    is_always_the_whole = not view.profile.chain and view.name != view.database.name
    return {} if is_always_the_whole else {"Cache-Control": "no-store"}


async def _find(view: View, doc_id: str, wanted: Wanted) -> Shown:
    extra = []
    if wanted.revs or wanted.revs_info or wanted.atts_since is not None:
        extra.append(("revs", "true"))
    if wanted.att_encoding_info or wanted.bodies:
        extra.append(("att_encoding_info", "true"))
    rev = None if wanted.latest else wanted.rev
    return await visible_document(view, doc_id, rev, extra=extra)


async def send(exchange: Exchange, headers: dict[str, str], body: AsyncIterator[bytes]) -> web.StreamResponse:
    """Stream a body; HEAD gets the headers only."""
    response = await exchange.stream(headers)
    if exchange.method != "HEAD":
        async for piece in body:
            await response.write(piece)
    await response.write_eof()
    return response


async def line(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`body` with the line end that CouchDB puts behind JSON."""
    async for piece in body:
        yield piece
    yield b"\n"


def without_encoding_info(doc: Doc) -> Doc:
    """`doc` with the members of its attachments that only `att_encoding_info` asks for left out."""
    entries = attachments_of(doc)
    if not any("encoding" in entry or "encoded_length" in entry for entry in entries.values()):
        return doc
    plain = {
        name: {key: value for key, value in entry.items() if key not in ("encoding", "encoded_length")}
        for name, entry in entries.items()
    }
    return {**doc, "_attachments": plain}


def _without(doc: Doc, name: str) -> Doc:
    return {key: value for key, value in doc.items() if key != name} if name in doc else doc


async def _with_meta(view: View, shown: Shown, wanted: Wanted) -> Doc:
    """The winner's document (with `_revisions`) and what was asked for of its tree, as far as the view shows it."""
    doc = dict(shown.doc)
    if wanted.revs_info:
        doc["_revs_info"] = await _revs_info(view, shown)
    if wanted.local_seq:
        doc.update(await _local_seq(view, shown))
    if wanted.conflicts or wanted.deleted_conflicts:
        others = [leaf for leaf in (await view_leaves(view, [doc["_id"]])).get(doc["_id"], ()) if leaf.rev != shown.rev]
        live = [leaf.rev for leaf in others if not leaf.deleted]
        deleted = [leaf.rev for leaf in others if leaf.deleted]
        if wanted.conflicts and live:
            doc["_conflicts"] = live
        if wanted.deleted_conflicts and deleted:
            doc["_deleted_conflicts"] = deleted
    return doc


async def _revs_info(view: View, shown: Shown) -> list[dict[str, str]]:
    """The revisions of the path; those that the source no longer has, or the view does not show, are missing."""
    path = ancestry(shown.doc)

    def status(body: Doc) -> str | Doc:
        """A deletion that the view does not show itself: what it deleted may tell."""
        if view.shape(body) is None:
            return body if body.get("_deleted") else "missing"
        return "deleted" if body.get("_deleted") else "available"

    seen = await look_at(view, [(shown.doc["_id"], rev) for rev in path], status)
    found = {rev: status for (_, rev), status in seen.items() if isinstance(status, str)}
    told = await departures(view, [body for body in seen.values() if not isinstance(body, str)])
    found |= {each.rev: "deleted" for each in told}
    others = [{"rev": rev, "status": found.get(rev, "missing")} for rev in path]
    return [{"rev": shown.rev, "status": "available"}, *others]


async def _local_seq(view: View, shown: Shown) -> Doc:
    """`_local_seq` as the source has it, which it has of its winner only."""
    path = view.document_path(shown.doc["_id"])
    async with await view.upstream.request(
        "GET", path, [("local_seq", "true")], headers={**view.headers, "Accept": "application/json"}
    ) as reply:
        found = await reply.json()
    if reply.status == 200 and isinstance(found, dict) and found.get("_rev") == shown.origin and "_local_seq" in found:
        return {"_local_seq": found["_local_seq"]}
    return {}


async def _open_revs(exchange: Exchange, wanted: Wanted) -> web.StreamResponse:
    view, doc_id = exchange.view, exchange.target.doc_id
    asked: Sequence[str | None] = [None] if wanted.open_revs == "all" else list(wanted.open_revs or ())
    found = await resolve(view, [(doc_id, rev) for rev in asked], wanted.latest, encodings=True)
    if wanted.open_revs == "all" and not found[0]:
        raise NotFound("missing")
    results: list[Shown | str] = []
    for rev, leaves in zip(asked, found, strict=True):
        results.extend(leaf for leaf in leaves if all(leaf is not r and _rev(r) != leaf.rev for r in results))
        if rev is not None and not leaves:
            results.append(rev)
    results.sort(key=_place)
    if accepts(exchange.request.headers.get("Accept"), "multipart/mixed"):
        parts = mixed_parts(view, results, wanted.revs, wanted.atts_since)
        return await send(exchange, {"Content-Type": parts.content_type}, parts.body)
    return await send(exchange, {"Content-Type": "application/json"}, _open_revs_json(view, results, wanted))


def _rev(result: Shown | str) -> str:
    return result if isinstance(result, str) else result.rev


def _place(result: Shown | str) -> tuple[bool, tuple[int, bytes]]:
    """Where CouchDB lists one of several revisions, however they were asked for: those missing at the end."""
    return isinstance(result, str), rank(parse_rev(_rev(result)))


async def _open_revs_json(view: View, results: list[Shown | str], wanted: Wanted) -> AsyncIterator[bytes]:
    yield b"["
    for index, result in enumerate(results):
        if index:
            yield b","
        if isinstance(result, str):
            yield jsonio.dumps({"missing": result})
            continue
        doc = result.doc if wanted.revs else _without(result.doc, "_revisions")
        names = following(result.doc, wanted.atts_since, wanted.attachments) if wanted.bodies else []
        if not wanted.att_encoding_info:
            doc = without_encoding_info(doc)
        yield b'{"ok":'
        async for piece in inline_json(view, result, doc, names):
            yield piece
        yield b"}"
    yield b"]\n"
