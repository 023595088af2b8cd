"""Attachments of an orphan: copied from the leaf onto which it was restored.

A stub stands for an attachment of an ancestor. An orphan has none whose body the source still holds, so the source
would take the stubs of what is hidden for an error (412 `missing_stub`) of the whole request. Their bytes go along
instead.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from proxy.contract import Doc
from proxy.errors import Forbidden, Unavailable
from proxy.reading.attachments import open_attachment, whole_body
from proxy.resolve import Shown
from proxy.view import View
from proxy.writing.rules import Send

_TOO_LARGE = "The revision that was edited is gone, and the document's attachments are too large to copy."


async def with_lent(view: View, send: Send, limit: int) -> Doc:
    """The document to send, with the attachments of its lender inline.

    Raises Forbidden if they have more than `limit` bytes, and Unavailable if the source does not give them out.
    """
    names = _lent(send)
    if not names or send.lender is None:
        return send.doc
    if lent_size(send) > limit:
        raise Forbidden(_TOO_LARGE)
    lent = {name: await _inline(view, send.lender, name, limit) for name in names}
    own: dict[str, Any] = send.doc["_attachments"]
    return {**send.doc, "_attachments": {name: lent.get(name, entry) for name, entry in own.items()}}


def lent_size(send: Send) -> int:
    """How many bytes of attachments go along with the document."""
    entries: dict[str, Any] = (send.lender or {}).get("_attachments") or {}
    return sum(entries[name].get("length", 0) for name in _lent(send))


def _lent(send: Send) -> list[str]:
    """The stubs that stand for an attachment of the lender; one with another digest is the client's mistake."""
    if send.lender is None:
        return []
    entries: dict[str, Any] = send.lender.get("_attachments") or {}
    own: dict[str, Any] = send.doc.get("_attachments") or {}
    return [
        name
        for name, entry in own.items()
        if name in entries and entry.get("stub") is True and entry.get("digest") in (None, entries[name].get("digest"))
    ]


async def _inline(view: View, lender: Doc, name: str, limit: int) -> dict[str, Any]:
    asked = {"Accept-Encoding": "identity", "Accept": "*/*"}
    async with await open_attachment(view, Shown(lender, lender["_rev"]), name, asked) as reply:
        if reply.status != 200:
            raise Unavailable("The source does not give out an attachment that it announced.")
        data = bytearray()
        entry: dict[str, Any] = lender["_attachments"][name]
        async for chunk in whole_body(reply, name, entry):
            data += chunk
            if len(data) > limit:  # stored compressed, it may have no length that says so before
                raise Forbidden(_TOO_LARGE)
    kept = {key: entry[key] for key in ("revpos",) if key in entry}  # without one CouchDB would store 0
    content_type = entry.get("content_type", "application/octet-stream")
    return {"content_type": content_type, "data": b64encode(data).decode(), **kept}
