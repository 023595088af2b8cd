"""A streamed JSON object with one big array member, split into the elements of that array."""

from __future__ import annotations

from typing import Any

DEFAULT_MAX_ITEM = 64 * 1024 * 1024


class ArraySplitter:
    """Splits `{..., "rows": [element, element, ...], ...}` as it arrives; the whole is never held.

    `head` and `tail` hold the other members, before and after the array, decoded: `head` is complete when
    the first element is handed out, `tail` after `close`. An element is handed out when the comma or
    bracket after it is seen.
    """

    def __init__(self, member: str | None, max_item: int = DEFAULT_MAX_ITEM) -> None:
        """`member`: the array's name ("results", "rows", "docs"), or None if the array itself is at the top.

        `max_item`: bytes of an element, or of another member's value; a larger one raises WireError.
        """
        self.head: dict[str, Any] = {}
        self.tail: dict[str, Any] = {}

    def feed(self, data: bytes) -> list[bytes]:
        """The raw elements that `data` completes, each checked to be JSON. Raises WireError if malformed."""
        raise NotImplementedError

    def feed_decoded(self, data: bytes) -> list[Any]:
        """As `feed`, decoded (as jsonio.loads would): the faster way for whoever decodes them anyway."""
        raise NotImplementedError

    def close(self) -> None:
        """Tells of the end. Raises WireError if the object is not complete or the array was missing."""
        raise NotImplementedError
