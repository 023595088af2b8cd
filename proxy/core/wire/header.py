"""Header values of the form `type/subtype; name=value; name="quoted value"` (RFC 9110, 5.6.6)."""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.core.wire import WireError

_PARAMETER = re.compile(r';\s*(?:([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*)))?\s*(?=;|$)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class HeaderValue(NamedTuple):
    """A parsed value: `value` without parameters, lower case; `params` by lower-case name, the first one
    wins.
    """

    value: str
    params: dict[str, str]


def parse_header(text: str) -> HeaderValue:
    """`text` split into its value and parameters. Raises WireError if a parameter is malformed."""
    head, _, _ = text.partition(";")
    params: dict[str, str] = {}
    at = len(head)
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            raise WireError(f"malformed parameter in header value {text!r}")
        name, quoted, token = found.groups()
        if name is not None:
            value = _ESCAPE.sub(r"\1", quoted) if quoted is not None else token.strip()
            params.setdefault(name.lower(), value)
        at = found.end()
    return HeaderValue(head.strip().lower(), params)


def boundary_of(content_type: str) -> bytes:
    """The boundary of a `multipart/...` Content-Type. Raises WireError if it is no multipart type or has
    none.

    RFC 2046 allows 1 to 70 characters; CouchDB's own are 32 or 34.
    """
    value, params = parse_header(content_type)
    if not value.startswith("multipart/"):
        raise WireError(f"Content-Type {value!r} is not multipart")
    boundary = params.get("boundary", "").rstrip()
    if not 1 <= len(boundary) <= 200 or not boundary.isascii() or not boundary.isprintable():
        raise WireError("a multipart Content-Type needs a boundary of 1 to 200 printable ASCII characters")
    return boundary.encode("ascii")
