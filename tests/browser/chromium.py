"""Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",  # which root cannot have; only pages of the tests are opened
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
_STARTUP = 60
"""Seconds that the browser may take until it can be driven, on a busy machine."""
_ANSWER = 60
"""Seconds after which a page that does not answer is given up."""
_GRACE = 5


def find() -> str | None:
    """The browser's command: what `CHROMIUM` names, or else an installed one. NO_BROWSER=1: there is none."""
    if os.environ.get("NO_BROWSER"):
        return None
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in _NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._events: list[str] = []

    async def open(self, url: str) -> None:
        """Go there, and wait until everything is loaded."""
        await self.call("Page.enable")
        self._events.clear()
        await self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            await self._receive()

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise. What it throws fails the test."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while (message := await self._receive()).get("id") != self._number:
            pass
        assert "error" not in message, (method, message)
        return dict(message["result"])

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json(timeout=_ANSWER)
        self._events.append(message.get("method", ""))
        return message


@asynccontextmanager
async def chromium(command: str, directory: Path) -> AsyncIterator[Page]:
    """A browser that keeps its data in `directory`, with an empty page; it ends with the context."""
    directory.mkdir(parents=True, exist_ok=True)
    port_file = directory / "DevToolsActivePort"
    with (directory.parent / f"{directory.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [command, *_FLAGS, f"--user-data-dir={directory}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # its helpers end with it
        )
    try:
        async with asyncio.timeout(_STARTUP):
            while not (port_file.exists() and port_file.read_text().count("\n")):
                assert process.poll() is None, Path(log.name).read_text(errors="replace")
                await asyncio.sleep(0.02)
        port = port_file.read_text().partition("\n")[0]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.put("/json/new?about:blank") as made:
                address = (await made.json(content_type=None))["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        await asyncio.to_thread(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
