"""Who keeps a directory of indexes: one couch-tailor at a time, for as long as it lives."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

_NAME = "couch-tailor.lock"


class InUse(Exception):
    """Another process keeps the directory."""


def lock(directory: Path) -> IO[str]:
    """Keep a directory until the file is closed, here and in all children that have it.

    If there is none it is made, for its owner alone. Raises InUse, and OSError if it cannot be written.
    """
    directory.mkdir(0o700, parents=True, exist_ok=True)
    file = (directory / _NAME).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(32).strip()
        file.close()
        raise InUse(f"process {holder}" if holder.isdecimal() else "another process") from None
    with suppress(OSError):  # who it is, is only for messages: a full disk is no reason not to serve
        file.truncate(0)
        os.write(file.fileno(), f"{os.getpid()}\n".encode())
    return file


def holder(directory: Path) -> str | None:
    """Who keeps the directory, in words; None if nobody does. Raises OSError."""
    try:
        file = (directory / _NAME).open("r")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            found = file.read(32).strip()
            return f"process {found}" if found.isdecimal() else "another process"
    return None
