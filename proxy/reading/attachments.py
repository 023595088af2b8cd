"""Attachment bodies. The source is only asked for attachments of a revision that was judged: one by one, or for all of
one that is wanted with all of them and of which a view hides none. So what is hidden is never fetched. Every form in
which documents carry attachments is composed here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from aiohttp import web

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.errors import CouchError, NotFound, Unavailable
from proxy.exchange import Exchange
from proxy.fetch import attachments_of, path_of
from proxy.http_client import TooLong
from proxy.leaves import revisions_are_in_bulk
from proxy.reading.read_ahead import ReadAhead, Wanted
from proxy.reading.visible import named_rev, visible_document
from proxy.reply import Reply
from proxy.resolve import Shown
from proxy.sizes import LONGEST, are_large
from proxy.upstream import JSON_HEADERS
from proxy.view import View

_MD5 = re.compile("[A-Za-z0-9+/]{22}==")
_REV = re.compile("[0-9]+-[0-9a-f]{32}")
_PASSED = (
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Content-Range",
    "Content-MD5",
    "Content-Disposition",
    "Content-Security-Policy",
    "Accept-Ranges",
    "ETag",
)
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\Z")


async def get_attachment(exchange: Exchange) -> web.StreamResponse:
    """GET and HEAD of an attachment: authorised by the revision that it belongs to, then streamed, with ranges."""
    target = exchange.target
    shown = await visible_document(exchange.view, target.doc_id, named_rev(exchange.query))
    entry = attachments_of(shown.doc).get(target.attachment)
    if shown.origin is None or entry is None:
        raise NotFound("Document is missing attachment")
    asked = {
        name: value
        for name in ("Accept", "Accept-Encoding", "Range", "If-Range", "If-None-Match")
        if (value := exchange.request.headers.get(name)) is not None
    }
    asked.setdefault("Accept-Encoding", "identity")
    async with await open_attachment(exchange.view, shown, target.attachment, asked, exchange.method) as reply:
        headers = {name: reply.headers[name] for name in _PASSED if name in reply.headers}
        if reply.status >= 300 and reply.status != 304:
            raise await reply.error()
        if reply.status not in ((200, 206, 304) if "Range" in asked else (200, 304)):
            raise Unavailable(f"The source answered {reply.status} where an attachment was asked for.")
        if exchange.method == "HEAD" or reply.status == 304:
            response = await exchange.stream(headers, reply.status)
        else:
            body = whole_body(reply, target.attachment, entry)
            response = await exchange.stream(headers, reply.status)
            async for chunk in body:
                await response.write(chunk)
        await response.write_eof()
        return response


async def open_attachment(
    view: View, shown: Shown, name: str, headers: Mapping[str, str], method: str = "GET"
) -> Reply:
    """A request to the source for one attachment of a shown revision. Raises Unavailable if another thing is given."""
    assert shown.origin is not None
    if not name:
        raise Unavailable("The source has an attachment without a name, which cannot be asked for.")
    reply = await view.upstream.request(
        method,
        view.document_path(str(shown.doc["_id"]), name),
        [("rev", shown.origin)],
        headers={**view.headers, **headers},
    )
    if _is_of_another(reply.headers.get("ETag", ""), shown.doc["_attachments"][name].get("digest")):
        reply.release()
        raise Unavailable(f"The source answered with something else than the attachment {name!r}.")
    return reply


def _is_of_another(etag: str, digest: Any) -> bool:
    """Whether an entity tag is of a document, or of an attachment with another digest: what was judged is not that.

    Attachments without a digest, of very old databases, have the tag of their document in CouchDB.
    """
    tag = etag.strip('"')
    if not (isinstance(digest, str) and digest.startswith("md5-")):
        return False
    return _REV.fullmatch(tag) is not None or (_MD5.fullmatch(tag) is not None and digest != f"md5-{tag}")


def whole_body(reply: Reply, name: str, entry: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """The body of a reply, of the length that it must have. Raises Unavailable, as soon as it can be told.

    What cannot be counted has to say itself where it ends: what lasts until the connection ends may be cut short.
    """
    headers = reply.headers
    length = _part_length(headers, entry) if reply.status == 206 else _length(headers, entry)
    if reply.status == 200 and "Transfer-Encoding" in headers:
        length = None  # it can be stored compressed: CouchDB may know no other length of that, and sends it in chunks
    if length is None:
        if not ("Content-Length" in headers or "Transfer-Encoding" in headers):
            raise Unavailable(f"The source does not say where the attachment {name!r} ends.")
        return reply.chunks()
    if headers.get("Content-Length", str(length)) != str(length):
        raise _of_another_length(name)
    return _counted(reply, name, length)


def _length(headers: Mapping[str, str], entry: Mapping[str, Any]) -> int | None:
    """Bytes of an attachment, as its document announces them; None for what comes compressed."""
    length = entry.get("length")
    return length if isinstance(length, int) and "encoding" not in entry and "Content-Encoding" not in headers else None


def _part_length(headers: Mapping[str, str], entry: Mapping[str, Any]) -> int | None:
    """Bytes of a part, as its Content-Range says; None for several parts in one body. Raises Unavailable."""
    if headers.get("Content-Type", "").lower().startswith("multipart/byteranges"):
        return None
    found = _RANGE.match(headers.get("Content-Range", ""))
    if found is not None:
        first, last, total = int(found[1]), int(found[2]), found[3]
        known = _length(headers, entry)
        if first <= last and (total == "*" or (last < int(total) and known in (None, int(total)))):
            return last - first + 1
    raise Unavailable("The source's part of an attachment is not the one that it says.")


async def _counted(reply: Reply, name: str, length: int) -> AsyncIterator[bytes]:
    left = length
    async for chunk in reply.chunks():
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise _of_another_length(name)


def _of_another_length(name: str) -> Unavailable:
    return Unavailable(f"The source's attachment {name!r} is not of the length that it announced.")


def following(doc: Doc, atts_since: list[str] | None, everything: bool) -> list[str]:
    """The names of the attachments whose bodies go with `doc` (with `_revisions` if `atts_since` is given).

    With `atts_since`, those that changed after the newest of these revisions that is an ancestor or the document's own;
    without, all or none of them. One without a name stays a stub: there is no way to ask a source for it alone.
    """
    entries = attachments_of(doc)
    if not everything and atts_since is None:
        return []
    # CouchDB takes a revpos of 0 from those who send one, or send none
    threshold = (_newest_generation(doc, atts_since) if atts_since else 0) or -1
    return [name for name, entry in entries.items() if name and entry.get("revpos", 1) > threshold]


def _newest_generation(doc: Doc, atts_since: list[str]) -> int:
    start, ids = path_of(doc)
    path = {f"{start - index}-{digest}" for index, digest in enumerate(ids)}
    return max((int(rev.partition("-")[0]) for rev in atts_since if rev in path), default=0)


async def inline_json(
    view: View, shown: Shown, doc: Doc, names: list[str], bodies: ReadAhead | None = None
) -> AsyncIterator[bytes]:
    """`doc` as JSON with the bodies of the named attachments inline, base64, streamed one by one: out of `bodies`, if
    those of more documents are wanted.
    """
    if not names or shown.origin is None:
        yield jsonio.dumps(doc)
    elif bodies is not None:
        async for piece in _inline(shown, doc, names, bodies):
            yield piece
    else:
        async with await coded_bodies(view, [(shown, names)]) as bodies:
            async for piece in _inline(shown, doc, names, bodies):
                yield piece


async def coded_bodies(view: View, documents: Iterable[tuple[Shown, list[str]]]) -> ReadAhead:
    """The bodies of the named attachments of documents in base64, as they stand in JSON."""
    wanted = [(shown, names) for shown, names in documents if shown.origin is not None and names]
    together = bool(wanted) and not are_large(view) and await revisions_are_in_bulk(view)
    return ReadAhead(partial(_coded_body, view), wanted, partial(_coded_bodies, view) if together else None)


async def _inline(shown: Shown, doc: Doc, names: list[str], bodies: ReadAhead) -> AsyncIterator[bytes]:
    marks = {name: uuid4().hex for name in names}
    entries = {
        name: _inline_entry(entry, marks[name]) if name in marks else entry
        for name, entry in attachments_of(doc).items()
    }
    rest = jsonio.dumps({**doc, "_attachments": entries})
    for name in entries:
        if name in marks:
            before, _, rest = rest.partition(marks[name].encode())
            yield before
            async for piece in bodies.of(shown, name):
                yield piece
    yield rest


def _inline_entry(entry: dict[str, Any], mark: str) -> dict[str, Any]:
    kept = {key: value for key, value in entry.items() if key not in ("stub", "length")}
    return {**kept, "data": mark}


async def _coded_body(view: View, shown: Shown, name: str) -> AsyncIterator[bytes]:
    async with await open_attachment(view, shown, name, {"Accept-Encoding": "identity", "Accept": "*/*"}) as reply:
        if reply.status != 200:
            raise Unavailable(f"The source does not give out the attachment {name!r} that it announced.")
        kept = b""
        async for chunk in whole_body(reply, name, shown.doc["_attachments"][name]):
            data = kept + chunk if kept else chunk
            whole = len(data) - len(data) % 3
            kept = data[whole:]
            if whole:
                yield b64encode(data[:whole])
        if kept:
            yield b64encode(kept)


async def _coded_bodies(view: View, wanted: Sequence[Wanted]) -> list[bytes | None]:
    """All attachments of some documents by one `_bulk_get`, as far as its answer has what was announced."""
    docs = [{"id": doc_id, "rev": rev} for doc_id, rev in dict.fromkeys(_revision(shown) for shown, _ in wanted)]
    found: dict[tuple[Any, Any], Any] = {}
    try:
        async with await view.upstream.request(
            "POST",
            view.path("_bulk_get"),
            [("attachments", "true")],
            headers={**JSON_HEADERS, **view.headers},
            body=jsonio.dumps({"docs": docs}),
        ) as reply:
            if reply.status == 200:
                for result in (await reply.json(LONGEST))["results"]:
                    for each in result["docs"]:
                        doc = each.get("ok") or {}
                        found[doc.get("_id"), doc.get("_rev")] = doc.get("_attachments")
    except (CouchError, TooLong, TypeError, KeyError, AttributeError):
        found = {}  # they are asked for one by one, which fails in words of its own
    return [_coded_in(found.get(_revision(shown)), shown, name) for shown, name in wanted]


_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _revision(shown: Shown) -> tuple[str, str]:
    assert shown.origin is not None
    return shown.doc["_id"], shown.origin


def _coded_in(entries: Any, shown: Shown, name: str) -> bytes | None:
    """An attachment's body out of a document that has it inline; None if it is not the one that was announced."""
    try:
        entry, announced = entries[name], shown.doc["_attachments"][name]
        coded: bytes = entry["data"].encode("ascii")
        digests = entry.get("digest"), announced.get("digest")
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    filled = len(coded) - len(coded.rstrip(b"="))
    is_base64 = filled < 3 and len(coded) % 4 == 0 and not coded[: len(coded) - filled].translate(None, _BASE64)
    is_whole = len(coded) // 4 * 3 - filled == announced.get("length")
    return coded if is_base64 and is_whole and digests[0] == digests[1] else None


def stored_bodies(view: View, shown: Shown, names: Sequence[str]) -> ReadAhead:
    """The bodies of attachments as the source stores them."""
    return ReadAhead(partial(stored_body, view), [(shown, names)])


async def stored_body(view: View, shown: Shown, name: str) -> AsyncIterator[bytes]:
    """The bytes of an attachment as the source stores them (gzip where `encoding` says so), of exactly that length."""
    entry = shown.doc["_attachments"][name]
    coding = entry.get("encoding", "identity")
    async with await open_attachment(view, shown, name, {"Accept-Encoding": coding, "Accept": "*/*"}) as reply:
        if reply.status != 200:
            raise Unavailable(f"The source does not give out the attachment {name!r} that it announced.")
        async for chunk in _counted(reply, name, stored_length(entry)):
            yield chunk


def stored_length(entry: dict[str, Any]) -> int:
    """Bytes of an attachment as it is stored."""
    length = entry.get("encoded_length", entry.get("length"))
    if not isinstance(length, int):
        raise Unavailable("The source announced an attachment without a length.")
    return length
