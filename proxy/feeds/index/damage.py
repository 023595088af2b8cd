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
        if getattr(error, "sqlite_errorcode", None) in _AT_PRESENT:
            raise Full(str(error)) from error
        raise Damaged(str(error)) from error


_AT_PRESENT = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_BUSY_RECOVERY,  # a process that died left something to be put in order
    sqlite3.SQLITE_BUSY_SNAPSHOT,
    sqlite3.SQLITE_LOCKED,
)
