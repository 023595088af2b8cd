"""Local documents of the proxy's own, at the source: what all nodes have to know of a database, and no client."""

from __future__ import annotations

from collections.abc import Callable

from proxy.contract import Doc
from proxy.errors import CouchError, Unavailable
from proxy.place import Place
from proxy.upstream import JSON_HEADERS

_TRIES = 5


async def read(place: Place, doc_id: str) -> Doc | None:
    """The document, None if there is none (or no such database). Raises the source's error."""
    try:
        found = await place.upstream.json("GET", place.document_path(doc_id), headers=place.headers)
    except CouchError as error:
        if error.status == 404:
            return None
        raise
    if not isinstance(found, dict) or found.get("_id") != doc_id:
        raise Unavailable("The source's answer for a local document is not of CouchDB's form.")
    return found


async def update(place: Place, doc_id: str, change: Callable[[Doc | None], Doc | None]) -> Doc | None:
    """Store what `change` makes of the document that is there (None: there is none); if it makes None, nothing.

    Returns what is there then. Raises the source's error.
    """
    for _ in range(_TRIES):
        held = await read(place, doc_id)
        made = change(held)
        if made is None:
            return held
        doc = {**made, "_id": doc_id, **({"_rev": held["_rev"]} if held and "_rev" in held else {})}
        headers = {**JSON_HEADERS, **place.headers}
        try:
            await place.upstream.json("PUT", place.document_path(doc_id), headers=headers, body=doc)
        except CouchError as error:
            if error.status == 409:
                continue
            raise
        return doc
    raise Unavailable("The source goes on to say that somebody else has changed a local document meanwhile.")
