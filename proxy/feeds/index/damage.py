"""What can be wrong with the file of an index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


class Damaged(Exception):
    """The file is not an index, or not a whole one: it has to be made anew."""


class Full(Exception):
    """The file cannot be read or written at present: there is no room, or another process has locked it."""


@contextmanager
def damage() -> Iterator[None]:
    """What SQLite says of a file, as Damaged or Full."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # text that is none has no code
        if _is_passing(getattr(error, "sqlite_errorcode", None)):
            raise Full(str(error)) from error
        raise Damaged(str(error)) from error


def _is_passing(code: int | None) -> bool:
    """Whether what a code says can be over later: an extended one counts as its primary one."""
    return code is not None and (code == sqlite3.SQLITE_IOERR_WRITE or code & 0xFF in _AT_PRESENT)


_AT_PRESENT = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,  # a process that died left something to be put in order, among others
    sqlite3.SQLITE_LOCKED,
)
