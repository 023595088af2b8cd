"""The standard streams of a command, whatever it was started with: some may be closed, and output may fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from proxy.cli.errors import RunError


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


@contextmanager
def output() -> Iterator[None]:
    """Within it RunError says that output failed: as OSError, commands would take it for a failure of what they do.

    At the end all is written. BrokenPipeError is left as it is.
    """
    given = sys.stdout
    if not isinstance(given, TextIOWrapper):
        yield
        return
    given.flush()
    told = _Output(
        given.buffer,
        encoding=given.encoding,
        errors="backslashreplace",  # as standard error has it: a name must not end a command
        line_buffering=given.line_buffering,
        write_through=given.write_through,
    )
    sys.stdout = told
    try:
        try:
            yield
        finally:
            told.flush()
    except (BrokenPipeError, OutputError):  # what is left would fail again when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), told.fileno())
        raise
    finally:
        told.detach()
        sys.stdout = given


class OutputError(RunError):
    """Standard output cannot be written."""


class _Output(TextIOWrapper):
    def write(self, text: str, /) -> int:
        with _told():
            return super().write(text)

    def flush(self) -> None:
        with _told():
            super().flush()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write the output: {error.strerror or error}") from error
