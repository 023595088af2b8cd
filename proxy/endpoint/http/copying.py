"""The Destination header of COPY."""

from __future__ import annotations

from proxy.core import query
from proxy.errors import BadRequest


def destination(header: str | None) -> tuple[str, str | None]:
    """Id and revision of the target: `new%20id?rev=1-abc`. Raises BadRequest."""
    if header is None:
        raise BadRequest("Destination header is mandatory for COPY.")
    if "://" in header:
        raise BadRequest("Destination URL must be relative.")
    path, _, parameters = header.partition("?")
    target = query.Query(query.parse(parameters))
    return query.decode(path), target.first("rev")
