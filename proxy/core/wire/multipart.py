"""Incremental decoder for multipart/related, /mixed and /form-data bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins. `headers` by lower-case name; of duplicates the last wins."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """A piece of the part's body: never empty; how it is cut says nothing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is complete."""


@dataclass(frozen=True, slots=True)
class End:
    """The closing delimiter was seen: the body is complete, whatever follows is ignored."""


MultipartEvent = PartBegin | PartData | PartEnd | End


class MultipartDecoder:
    """Turns a multipart body into events: (PartBegin PartData* PartEnd)* End.

    A part that is itself multipart is fed to a decoder of its own, with the boundary in the part's
    Content-Type.
    """

    def __init__(self, boundary: bytes, *, max_header: int = 16 * 1024, max_parts: int = 10_000) -> None:
        """`boundary`: see header.boundary_of. `max_header`: bytes of one part's header."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[MultipartEvent]:
        """The events that `data` completes. Raises WireError if malformed or beyond a limit."""
        raise NotImplementedError

    def close(self) -> None:
        """Tells of the end. Raises WireError unless the closing delimiter was seen (an empty body has
        none).
        """
        raise NotImplementedError
