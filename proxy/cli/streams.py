"""The standard streams of a command, whatever it was started with: some may be closed."""

from __future__ import annotations

import os
import sys


def open_missing() -> None:
    """Open those that are closed on /dev/null. Otherwise the next descriptors that are opened get their numbers: event
    loops do not bear that, and children would take them for their streams.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
