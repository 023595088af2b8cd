"""Sockets that listen."""

from __future__ import annotations

import errno
import gc
import socket

import pytest

from proxy.listening import authority, listen


async def test_it_listens_at_all_addresses_of_a_host() -> None:
    sockets = listen("localhost", 0)
    try:
        for each in sockets:
            with socket.create_connection(each.getsockname()[:2]):
                pass
    finally:
        for each in sockets:
            each.close()
    assert sockets


def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    (taken,) = listen("127.0.0.1", 0)
    with taken, pytest.raises(OSError, match="in use") as caught:
        listen("127.0.0.1", taken.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE
    gc.collect()  # an open socket would be a warning, and warnings are errors


def test_an_address_as_it_stands_in_a_url() -> None:
    assert [authority(host, 80) for host in ("::1", "127.0.0.1", "localhost")] == [
        "[::1]:80",
        "127.0.0.1:80",
        "localhost:80",
    ]
