"""A streamed answer that is sent whole if it turns out to be small."""

from __future__ import annotations

from aiohttp import web

from proxy.exchange import Exchange

PIECE = 64 * 1024
"""Bytes that are collected before they are written: small writes cost more than the wait."""


class Answer:
    """An answer in pieces. Nothing is sent before there are 64 KB of it or it is complete: until then an error can
    still be told with its status, and a small answer has a Content-Length, as CouchDB gives it."""

    def __init__(self, exchange: Exchange, content_type: str) -> None:
        self._exchange = exchange
        self._content_type = content_type
        self._pieces: list[bytes] = []
        self._size = 0
        self._response: web.StreamResponse | None = None

    async def write(self, piece: bytes) -> None:
        """Add bytes to the answer; waits while the client does not read."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size < PIECE:
            return
        if self._response is None:
            self._response = await self._exchange.stream({"Content-Type": self._content_type})
        await self._response.write(self._take())

    async def finish(self) -> web.StreamResponse:
        """Send what is left and end the answer."""
        if self._response is None:
            headers = self._exchange.headers({"Content-Type": self._content_type})
            return self._exchange.whole(self._take(), 200, headers)
        await self._response.write_eof(self._take())
        return self._response

    def _take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return taken
