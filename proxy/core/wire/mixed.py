"""Whole multipart/mixed bodies of JSON: how some servers answer for documents, whatever the client accepts."""

from __future__ import annotations

from typing import Any, NamedTuple

from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.header import boundary_of, parse_header
from proxy.core.wire.multipart import MultipartDecoder, PartBegin, PartData, PartEnd

KIND = "multipart/mixed"


class JsonPart(NamedTuple):
    """`error`: the part says so of itself, as CouchDB's `{"missing": rev}` does in the answer to `open_revs`."""

    value: Any
    error: bool


def is_mixed(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == KIND


def json_parts(content_type: str, body: bytes) -> list[JsonPart]:
    """The parts in order. Raises WireError if the body is not of that form, or has anything else than JSON in it."""
    decoder = MultipartDecoder(boundary_of(content_type))
    events = decoder.feed(body)
    decoder.close()
    parts: list[JsonPart] = []
    error, data = False, b""
    for event in events:
        match event:
            case PartBegin(headers):
                kind, params = parse_header(headers.get("content-type", ""))
                if kind != "application/json":
                    raise WireError(f"a part of {kind or 'no type'} instead of JSON")
                error, data = params.get("error") == "true", b""
            case PartData(piece):
                data += piece
            case PartEnd():
                parts.append(JsonPart(_loads(data), error))
    return parts


def _loads(data: bytes) -> Any:
    try:
        return jsonio.loads(data)
    except ValueError as error:
        raise WireError(f"a part that is not JSON: {error}") from error
