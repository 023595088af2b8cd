"""Handlers of one attachment. Its bytes are streamed in both directions."""

from __future__ import annotations

from proxy.endpoint.database import Attachment, Database, Document, MissingRev, Updated
from proxy.endpoint.http import etag, outgoing, writing
from proxy.endpoint.http.accept import accepts_gzip
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.ranges import parse_ranges
from proxy.endpoint.http.reply import REVALIDATE, Reply, Stream, json_reply, line
from proxy.endpoint.http.revs import claimed_rev
from proxy.errors import BadContentType, Conflict, NotFound

_MISSING = "Document is missing attachment"
_SANDBOX = b"Content-Security-Policy: sandbox\r\n"


async def read(call: Call, database: Database, doc_id: str, name: str) -> Reply:
    """`GET /{db}/{id}/{name}`: of the winner or of `rev`; a range if the bytes are not stored gzipped."""
    attachment = _find(database, doc_id, call.query.last("rev"), name)
    tag = attachment.digest.removeprefix("md5-")
    unchanged = etag.not_modified(call, tag)
    if unchanged:
        return unchanged
    if attachment.encoding is not None:
        return _encoded(call, database, attachment, tag)
    head = REVALIDATE + _SANDBOX + b"Accept-Ranges: bytes\r\n" + etag.header(tag)
    ranges = parse_ranges(call.headers.get("Range"), attachment.length)
    if ranges is not None and len(ranges) > 1:
        return _several(database, attachment, ranges)
    status, start, end = 200, 0, attachment.length
    if ranges:
        start, end = ranges[0]
        status = 206
        head += b"Content-Range: bytes %d-%d/%d\r\n" % (start, end - 1, attachment.length)
    head += line("Content-Type", attachment.content_type)
    stream = _bytes(database, attachment, start, end)
    return Reply(status, head, stream, length=end - start)


def _find(database: Database, doc_id: str, rev: str | None, name: str) -> Attachment:
    for attachment in database.get(doc_id, rev).attachments:
        if attachment.name == name:
            return attachment
    raise NotFound(_MISSING)


def _encoded(call: Call, database: Database, attachment: Attachment, tag: str) -> Reply:
    """Stored gzipped: as it is for who accepts that, inflated for the others. No ranges."""
    head = REVALIDATE + _SANDBOX + b"Accept-Ranges: none\r\n" + etag.header(tag)
    head += line("Content-Type", attachment.content_type)
    accepted = attachment.encoding == "gzip" and accepts_gzip(call.headers.get("Accept-Encoding"))
    if accepted:
        head += b"Content-Encoding: gzip\r\n"
    length = attachment.encoded_length if accepted else _plain_length(attachment)
    return Reply(200, head, _bytes(database, attachment, decode=not accepted), length=length)


def _plain_length(attachment: Attachment) -> int | None:
    """None if it is not known: the attachment was uploaded gzipped, and counted as it came."""
    return None if attachment.length == attachment.encoded_length else attachment.length


async def _bytes(
    database: Database, attachment: Attachment, start: int = 0, end: int | None = None, *, decode: bool = False
) -> Stream:
    async for chunk in database.read_attachment(attachment, start=start, end=end, decode=decode):
        yield chunk


def _several(database: Database, attachment: Attachment, ranges: list[tuple[int, int]]) -> Reply:
    boundary = outgoing.new_boundary().decode()
    head = line("Content-Type", f'multipart/byteranges; boundary="{boundary}"')
    return Reply(206, head, _byteranges(database, attachment, ranges, boundary))


async def _byteranges(
    database: Database, attachment: Attachment, ranges: list[tuple[int, int]], boundary: str
) -> Stream:
    delimiter = f"--{boundary}\r\n".encode() + line("Content-Type", attachment.content_type)
    for start, end in ranges:
        yield delimiter + b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (start, end - 1, attachment.length)
        async for chunk in database.read_attachment(attachment, start=start, end=end):
            yield chunk
        yield b"\r\n"
    yield f"--{boundary}--".encode()


async def write(call: Call, database: Database, doc_id: str, name: str) -> Reply:
    """`PUT /{db}/{id}/{name}`: the body, as it comes, becomes the attachment in a new revision."""
    writing.check_id(doc_id)
    writing.need_writer(call, database, doc_id)
    rev = claimed_rev(call)
    content_type = _content_type(call.headers.get("Content-Type"))
    encoding = _encoding(call.headers.get("Content-Encoding"))
    _refuse_early(database, doc_id, rev)
    async with database.new_upload() as upload:
        async for chunk in call.chunks():
            await upload.write(chunk)
        updated = await database.put_attachment(
            doc_id,
            name,
            upload,
            rev=rev,
            content_type=content_type,
            encoding=encoding,
        )
    return _accepted(updated, 201, line("Location", call.location(database.name, doc_id, name)))


def _content_type(header: str | None) -> str:
    if header and not header.isprintable():
        raise BadContentType("The Content-Type header is not UTF-8 text.")
    return "application/octet-stream" if header is None else header


def _encoding(header: str | None) -> str | None:
    encoding = "identity" if header is None else header.lower()
    if encoding in ("identity", "gzip"):
        return None if encoding == "identity" else encoding
    raise BadContentType("Only gzip and identity content-encodings are supported")


def _refuse_early(database: Database, doc_id: str, rev: str | None) -> None:
    """What is plain already is answered before a gigabyte is uploaded in vain: a conflict, or a revision that is not
    there, for which CouchDB has an error of its own.
    """
    leaves = [leaf for leaf in database.open_revs(doc_id, None) if isinstance(leaf, Document)]
    if rev is None:
        if not all(leaf.deleted for leaf in leaves):
            raise Conflict
        return
    [named] = database.open_revs(doc_id, [rev])
    if isinstance(named, MissingRev):
        raise NotFound("missing_rev", status=409)
    if named.rev not in [leaf.rev for leaf in leaves]:
        raise Conflict


async def delete(call: Call, database: Database, doc_id: str, name: str) -> Reply:
    """`DELETE /{db}/{id}/{name}`: a new revision without the attachment."""
    writing.need_writer(call, database, doc_id)
    updated = await database.delete_attachment(doc_id, name, rev=claimed_rev(call))
    return _accepted(updated, 200, b"")


def _accepted(updated: Updated, status: int, head: bytes) -> Reply:
    return json_reply({"ok": True, "id": updated.id, "rev": updated.rev}, status, head)
