"""What is said of addresses that cannot be listened on."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack

import pytest

from proxy.cli import binding
from proxy.cli.errors import RunError, UsageError

INSTEAD = 'write one that it has, as "127.0.0.1:80"'


def said(error: OSError, monkeypatch: pytest.MonkeyPatch) -> Exception:
    def fail(host: str, port: int) -> None:
        raise error

    monkeypatch.setattr(binding, "listen", fail)
    with ExitStack() as until_end, pytest.raises((UsageError, RunError)) as caught:
        binding.bind_all(until_end, ("a.example", 80), UsageError)
    return caught.value


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EAFNOSUPPORT, f"a.example:80 can be no address of this machine: why; {INSTEAD}"),
        (errno.EACCES, "a.example:80 is not for this user to listen on: why; choose a port from 1024 on"),
    ],
)
def test_what_will_be_wrong_the_next_time_is_a_mistake(
    number: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = said(OSError(number, "why"), monkeypatch)
    assert (type(error), str(error)) == (UsageError, message)


def test_a_name_that_nobody_knows_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    error = said(socket.gaierror(socket.EAI_NONAME, "unknown"), monkeypatch)
    message = f'"a.example" is the name of no address of this machine: unknown; {INSTEAD}'
    assert (type(error), str(error)) == (UsageError, message)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EADDRINUSE, "why"),
        OSError(errno.EADDRNOTAVAIL, "why"),
        OSError(errno.EMFILE, "why"),
        socket.gaierror(socket.EAI_AGAIN, "why"),
    ],
    ids=lambda error: os.strerror(error.errno),
)
def test_what_may_pass_is_none(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    found = said(error, monkeypatch)
    assert (type(found), str(found)) == (RunError, "cannot listen on a.example:80: why")
