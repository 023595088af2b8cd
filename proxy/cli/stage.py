"""Plays the server's side of a recording, for `couch-tailor replay --serve`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from proxy.core import jsonio
from proxy.http_server import served
from proxy.listening import listen
from proxy.traffic.exchange import Exchange, Reply
from proxy.traffic.script import Script

logger = logging.getLogger("couch_tailor.replay")

_FRAMING = frozenset(("connection", "content-length", "transfer-encoding", "keep-alive"))


class Stage:
    """Answers as recorded, chunk for chunk, at once or `paced` as in the recording.

    A request that is like none of the recorded gets a 404, and is in `unknown`.
    """

    def __init__(self, exchanges: Sequence[Exchange], *, paced: bool = False) -> None:
        self._script = Script(exchanges)
        self._paced = paced
        self.unknown: list[str] = []

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve at an address; the port. Raises OSError."""
        async with served(web.Server(self._handle), listen(host, port)) as (_, given):
            yield given

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        found = self._script.answer(request.method, request.raw_path, body)
        if found is None:
            self.unknown.append(f"{request.method} {request.raw_path}")
            logger.warning("not in the recording: %s %s", request.method, request.raw_path)
            reason = {"error": "not_found", "reason": "The recording has no such request."}
            return web.Response(status=404, body=jsonio.dumps(reason), content_type="application/json")
        reply, whole = found
        if self._paced and reply.chunks_ms is None:
            await asyncio.sleep(reply.after_ms / 1000)
        return await self._play(request, reply, whole)

    async def _play(self, request: web.BaseRequest, reply: Reply, whole: bool) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status)
        for name, value in reply.headers:
            if name.lower() not in _FRAMING:
                response.headers.add(name, value)
        if whole and reply.chunks is None:
            response.content_length = _length(request, reply)
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method != "HEAD":
            await self._write(response, reply)
        if not whole:  # the client hung up on this one, so it will again
            await asyncio.Event().wait()
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, reply: Reply) -> None:
        times = reply.chunks_ms or ()
        at, now = 0, 0
        for index, length in enumerate([*(reply.chunks or ()), len(reply.body)]):
            if self._paced and index < len(times):
                await asyncio.sleep(max(0, times[index] - now) / 1000)
                now = times[index]
            if piece := reply.body[at : at + length]:
                await response.write(piece)
            at += length


def _length(request: web.BaseRequest, reply: Reply) -> int:
    """Of the body; what was announced where HEAD has none."""
    announced = next((value for name, value in reply.headers if name.lower() == "content-length"), "")
    return int(announced) if request.method == "HEAD" and announced.isdigit() else len(reply.body)
