"""A Prometheus that hangs up while its answer is made."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.loop import run_loop
from proxy.scrapes import scraped


def test_who_hangs_up_while_the_answer_is_made_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        asked, made = asyncio.Event(), asyncio.Event()

        async def collect() -> bytes:
            asked.set()
            await made.wait()
            return b"couch_tailor_requests_total 1\n" * 10_000

        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = listening.getsockname()[:2]
            async with scraped([listening], collect):
                _, writer = await asyncio.open_connection(*address)
                writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
                await asked.wait()
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                writer.transport.abort()
                await asyncio.sleep(0.05)
                made.set()
                await asyncio.sleep(0.05)

    run_loop(work())
    assert caplog.messages == []
