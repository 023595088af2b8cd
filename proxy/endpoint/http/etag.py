"""Entity tags."""

from __future__ import annotations

import hashlib

from proxy.endpoint.http.call import Call
from proxy.endpoint.http.reply import Reply, line

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def base36(data: bytes) -> str:
    """A digest the way CouchDB writes tags that are no revisions: MD5 as a number to the base of 36."""
    number = int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest())
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def of_local(rev: str, body: bytes) -> str:
    """The tag of a local document: of its revision and its body, as in CouchDB."""
    return base36(rev.encode() + b"\0" + body)


def header(tag: str) -> bytes:
    """The `ETag` line of a tag without quotes."""
    return line("ETag", f'"{tag}"')


def not_modified(call: Call, tag: str) -> Reply | None:
    """304 if the client has what `tag` stands for. A weak mark counts; `*` does not, as in CouchDB."""
    known = call.headers.get("If-None-Match")
    if known is None:
        return None
    quoted = f'"{tag}"'
    if not any(one.strip().removeprefix("W/") == quoted for one in known.split(",")):
        return None
    return Reply(304, header(tag))
