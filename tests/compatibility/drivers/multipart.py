"""MIME bodies, as strict as the strictest of the clients: exact delimiters, nothing before, between or after the parts.

CouchDB gives attachments to a document by the order of its `_attachments`, whatever the parts' headers say; it takes as
many bytes as `encoded_length` or else `length` says, and compares their MD5 with `digest`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Mapping
from email.message import Message
from typing import Any, NamedTuple

from tests.compatibility.drivers import check
from tests.compatibility.drivers.replica import File

Doc = dict[str, Any]
CRLF = b"\r\n"


class Part(NamedTuple):
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


def split(content_type: str, body: bytes, kind: str) -> list[Part]:
    """The parts of a body whose type must be `kind`."""
    media, parameters = parsed(content_type)
    check(media == kind, f"{media} instead of {kind}")
    delimiter = b"--" + parameters["boundary"].encode()
    pieces = (CRLF + body).split(CRLF + delimiter)
    check(pieces[0] == b"" and pieces[-1] in (b"--", b"--\r\n"), f"not delimited as announced: {body[:80]!r}")
    return [_part(piece) for piece in pieces[1:-1]]


def document(content_type: str, body: bytes) -> tuple[Doc, dict[str, bytes]]:
    """The document of a `multipart/related` and the bytes of its attachments, by order, length and digest."""
    first, *rest = split(content_type, body, "multipart/related")
    check(first.headers.get("content-type") == "application/json", f"a document as {first.headers}")
    doc = json.loads(first.body)
    entries: Mapping[str, Doc] = doc.get("_attachments", {})
    follow = [name for name, entry in entries.items() if entry.get("follows")]
    check(len(follow) == len(rest), f"{follow} follow in {len(rest)} parts")
    for name, part in zip(follow, rest, strict=True):
        verify(name, entries[name], part.body)
    return doc, {name: part.body for name, part in zip(follow, rest, strict=True)}


def verify(name: str, entry: Doc, data: bytes) -> None:
    """The length and digest of attachment bytes as sent."""
    length = entry.get("encoded_length", entry["length"])
    check(length == len(data), f"{name} has {len(data)} bytes, not {length}")
    check(entry["digest"] == md5(data), f"{name} is not {entry['digest']}")


def related(doc: Doc, files: Mapping[str, File]) -> tuple[str, bytes]:
    """Content-Type and body of a document with the attachments that follow, in the order of `_attachments`."""
    boundary = secrets.token_hex(16)
    parts = [b"Content-Type: application/json\r\n\r\n" + json.dumps(doc, separators=(",", ":")).encode()]
    parts += [_attachment(name, files[name]) for name, entry in doc["_attachments"].items() if entry.get("follows")]
    delimiter = b"--" + boundary.encode()
    body = delimiter + CRLF + (CRLF + delimiter + CRLF).join(parts) + CRLF + delimiter + b"--"
    return f'multipart/related; boundary="{boundary}"', body


def md5(data: bytes) -> str:
    """The digest that CouchDB gives for attachment bytes."""
    return "md5-" + b64encode(hashlib.md5(data).digest()).decode()


def parsed(content_type: str) -> tuple[str, dict[str, str]]:
    """Media type and parameters."""
    message = Message()
    message["content-type"] = content_type
    (media, _), *parameters = message.get_params(failobj=[("", "")])
    return media, dict(parameters)


def _part(piece: bytes) -> Part:
    head, gap, body = piece.partition(CRLF + CRLF)
    check(gap and head.startswith(CRLF), f"a part without head: {piece[:80]!r}")
    lines = [line.partition(":") for line in head.decode().split("\r\n") if line]
    return Part({name.lower(): value.strip() for name, _, value in lines}, body)


def _attachment(name: str, file: File) -> bytes:
    lines = [
        f'Content-Disposition: attachment; filename="{name}"',
        f"Content-Type: {file.content_type}",
        f"Content-Length: {len(file.data)}",
        *([f"Content-Encoding: {file.encoding}"] if file.encoding else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + file.data
