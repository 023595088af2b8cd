"""What `selector` is made of: field paths, the normal form of selectors, their conditions, regular expressions."""

from __future__ import annotations

from proxy.errors import BadRequest


class SelectorError(BadRequest):
    """The selector, field list or sort is invalid: CouchDB's own `error` and `reason`, status 400."""
