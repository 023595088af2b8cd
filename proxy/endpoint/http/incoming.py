"""Multipart request bodies: a document with its attachments, or an HTML form. Attachments go straight to storage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.header import boundary_of, parse_header
from proxy.core.wire.multipart import End, MultipartDecoder, PartBegin, PartData, PartEnd
from proxy.endpoint.database import Database, Upload
from proxy.endpoint.http.call import INVALID_JSON, Call, too_large
from proxy.errors import BadRequest

_MOST_FILES = 1000


@asynccontextmanager
async def related(call: Call, database: Database) -> AsyncIterator[tuple[Any, dict[str, Upload]]]:
    """The document of a multipart/related body and the bytes of its attachments marked `follows`.

    CouchDB matches parts by the order of the `_attachments` members, not by their headers; so does this. Uploads that
    no write took are discarded at the end. Raises BadRequest for a malformed body, a part too few or too many.
    """
    async with AsyncExitStack() as stack:
        parts = _parts(call)
        doc = await _json_part(call, parts)
        uploads: dict[str, Upload] = {}
        for name in _following(doc):
            upload = await stack.enter_async_context(database.new_upload())
            await _store_part(parts, upload)
            uploads[name] = upload
        await _no_more(parts)
        yield doc, uploads


@asynccontextmanager
async def form(
    call: Call, database: Database
) -> AsyncIterator[tuple[dict[str, bytes], dict[str, Any], dict[str, Upload]]]:
    """The plain fields of a multipart/form-data body, `_attachments` members for its files, and the files' bytes."""
    async with AsyncExitStack() as stack:
        fields: dict[str, bytes] = {}
        files: dict[str, Any] = {}
        uploads: dict[str, Upload] = {}
        parts = _parts(call)
        async for part in parts:
            if not isinstance(part, PartBegin):
                continue
            name, filename = _form_names(part)
            if name != "_attachments":
                fields[name] = await _small_part(call, parts)
            elif not filename:
                await _small_part(call, parts)  # a file field that was left empty
            elif len(uploads) >= _MOST_FILES or filename in uploads:
                raise BadRequest("too many files, or two of the same name, in a form")
            else:
                uploads[filename] = upload = await stack.enter_async_context(database.new_upload())
                await _store_part(parts, upload, begun=True)
                kind = part.headers.get("content-type", "application/octet-stream")
                files[filename] = {"follows": True, "content_type": kind, "length": upload.length}
        yield fields, files, uploads


def _form_names(part: PartBegin) -> tuple[str, str]:
    try:
        params = parse_header(part.headers.get("content-disposition", "")).params
    except WireError as error:
        raise BadRequest(error.reason) from None
    return params.get("name", ""), params.get("filename", "")


_Events = AsyncGenerator[PartBegin | PartData | PartEnd, None]


async def _parts(call: Call) -> _Events:
    """The events of the body up to its end. Raises BadRequest if it is malformed or cut short."""
    try:
        decoder = MultipartDecoder(boundary_of(call.headers.get("Content-Type", "")))
        async for chunk in call.chunks():
            for event in decoder.feed(chunk):
                if not isinstance(event, End):
                    yield event
        decoder.close()
    except WireError as error:
        raise BadRequest(error.reason) from None


async def _json_part(call: Call, parts: _Events) -> Any:
    await _begin(parts)
    try:
        return jsonio.loads(await _small_part(call, parts))
    except ValueError:
        raise BadRequest(INVALID_JSON) from None


def _following(doc: Any) -> list[str]:
    attachments = doc.get("_attachments") if isinstance(doc, dict) else None
    if not isinstance(attachments, dict):
        return []
    return [name for name, stub in attachments.items() if isinstance(stub, dict) and stub.get("follows") is True]


async def _begin(parts: _Events) -> None:
    async for part in parts:
        if isinstance(part, PartBegin):
            return
    raise BadRequest("The multipart body has fewer parts than its document announces.")


async def _no_more(parts: _Events) -> None:
    async for part in parts:
        if isinstance(part, PartBegin):
            raise BadRequest("The multipart body has more parts than its document announces.")


async def _small_part(call: Call, parts: _Events) -> bytes:
    """The bytes of a part that has begun, within the limit for JSON bodies."""
    pieces: list[bytes] = []
    room = call.endpoint.max_body
    async for part in parts:
        if isinstance(part, PartEnd):
            break
        if isinstance(part, PartData):
            pieces.append(part.data)
            room -= len(part.data)
            if room < 0:
                raise too_large()
    return b"".join(pieces)


async def _store_part(parts: _Events, upload: Upload, *, begun: bool = False) -> None:
    if not begun:
        await _begin(parts)
    async for part in parts:
        if isinstance(part, PartEnd):
            break
        if isinstance(part, PartData):
            await upload.write(part.data)
    await upload.finish()
