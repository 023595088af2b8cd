"""The exception of a write that is refused."""

from __future__ import annotations


class Refused(Exception):
    """Raised by `restore` to refuse a write: the client gets `forbidden` for this document with this reason."""

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path
