"""What an Accept header lets CouchDB answer.

CouchDB's rule is mochiweb's `accepts_content_type`: a type is acceptable if the header names it, its
`type/*` or `*/*` with a q above zero, and names neither it nor its `type/*` with q=0 (a `*/*;q=0` excludes
nothing). A missing header means `*/*`; an empty one accepts nothing. Only an entry without parameters names
a type. CouchDB crashes on a malformed header; here it accepts nothing, which yields JSON.
"""

from __future__ import annotations

import re

JSON = "application/json"
MIXED = "multipart/mixed"
RELATED = "multipart/related"

_Q = re.compile(r"(?:0|1)(?:\.[0-9]{1,3})?\Z")


def accepts(header: str | None, content_type: str) -> bool:
    """Whether a request with this Accept header (None: it has none) accepts `content_type`
    (`type/subtype`).
    """
    entries = _entries("*/*" if header is None else header)
    wildcard = content_type.partition("/")[0] + "/*"
    names = (content_type, wildcard)
    wanted = any(q > 0 and entry in (*names, "*/*") for entry, q in entries)
    return wanted and not any(q == 0 and entry in names for entry, q in entries)


def open_revs_as_multipart(header: str | None) -> bool:
    """Whether `open_revs` is answered as multipart/mixed: unless Accept rules it out."""
    return accepts(header, MIXED)


def attachments_as_multipart(header: str | None) -> bool:
    """Whether a document with `attachments=true` is answered as multipart/related: unless Accept rules it
    out.
    """
    return accepts(header, RELATED)


def bulk_get_type(header: str | None) -> str:
    """The type of a `_bulk_get` reply: JSON wherever JSON is acceptable, or nothing else is; else
    multipart.
    """
    if accepts(header, JSON):
        return JSON
    if accepts(header, MIXED):
        return MIXED
    return RELATED if accepts(header, RELATED) else JSON


def _entries(header: str) -> list[tuple[str, float]]:
    """The entries with their q, in order; empty if any of them is malformed."""
    found = []
    for item in filter(None, header.lower().split(",")):
        media, *params = [re.sub(r"\s", "", part) for part in item.split(";") if part]
        q = 1.0
        for index, param in enumerate(params):
            name, equals, value = param.partition("=")
            if not name or not equals or not value or "=" in value:
                return []
            if name == "q":
                if _Q.match(value) is None or float(value) > 1:
                    return []
                q = float(value)
                del params[index]
                break
        found.append((";".join([media, *params]), q))
    return found
