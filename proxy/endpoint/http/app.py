"""The endpoint as an HTTP server: who asks, which handler, its reply or CouchDB's words for what went wrong."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from aiohttp import ClientError, web

from proxy.endpoint.http.auth import Authenticator
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.reply import CLOSE, Reply, error_reply, send
from proxy.endpoint.http.routing import answer
from proxy.endpoint.server import Server
from proxy.errors import CouchError
from proxy.http_server import HttpServer
from proxy.sent import Sent

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024 * 1024


class Endpoint:
    """Serves the databases of `server`. `handle` is for `aiohttp.web.Server`; `web_server` makes one.

    `open_to_all`: everybody is an administrator. `proxy_secret`: believe CouchDB's proxy authentication headers that
    are signed with it. `max_body`: bytes of a JSON body, inflated; attachments are not limited. `session_seconds`: the
    life of a session cookie. `host`: for `Location`, where a client sends no Host.
    """

    def __init__(
        self,
        server: Server,
        *,
        open_to_all: bool = False,
        proxy_secret: str | None = None,
        max_body: int = MAX_BODY,
        session_seconds: int = 600,
        host: str = "127.0.0.1",
    ) -> None:
        self.server = server
        self.max_body = max_body
        self.host = host
        self._writes: set[asyncio.Task[Reply]] = set()
        self.authenticator = Authenticator(
            server, open_to_all=open_to_all, proxy_secret=proxy_secret, session_seconds=session_seconds
        )

    def web_server(self) -> web.Server:
        """Bodies are inflated here, not by aiohttp; a client that hangs up ends its handler at the next await."""
        return HttpServer(self.handle)

    async def finish(self) -> None:
        """Wait for writes whose clients have hung up."""
        if self._writes:
            await asyncio.wait(self._writes)

    async def handle(self, request: web.BaseRequest) -> Sent:
        method, extra = request.method, b""
        try:
            call = Call(request, self)
            method = call.method
            call.identity = await self.authenticator.identify(call)
            extra = call.identity.set_cookie
            reply = await (answer(call) if call.reads else self._unhurried(call))
        except CouchError as error:
            reply = error_reply(error)
        except (ConnectionError, ClientError):
            return CLOSE  # the client hung up before its request was complete
        except Exception as error:
            if _is_of_storage(error):
                log.error("%s %s failed: %s", method, request.raw_path, error)
                reply = error_reply(CouchError(f"{_STORAGE}: {error}", error="service_unavailable", status=503))
            else:
                log.exception("%s %s failed", method, request.raw_path)
                reply = _internal_error()
        if b"Set-Cookie" in reply.head:
            extra = b""  # a log-in or log-out decides about the cookie itself
        try:
            return await send(request, method, reply, extra)
        except ConnectionError:
            return CLOSE
        except CouchError as error:
            log.info("%s %s ended early: %s", method, request.raw_path, error.reason)
        except Exception as error:
            log.error("%s %s failed half-way: %s", method, request.raw_path, error, exc_info=not _is_of_storage(error))
        return CLOSE

    async def _unhurried(self, call: Call) -> Reply:
        """The answer to what may write: a client that hangs up does not stop it between two steps."""
        task = asyncio.create_task(answer(call))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_note_failure)
            raise
        finally:
            del task  # its error refers to this frame


def _note_failure(task: asyncio.Task[Reply]) -> None:
    """What became of a write whose client has hung up: it may have failed for that very reason."""
    if not task.cancelled():
        error = task.exception()
        if error is not None and not isinstance(error, (CouchError, ConnectionError, ClientError)):
            trace = None if _is_of_storage(error) else error
            log.error("a write failed whose client was gone: %s", error, exc_info=trace)


_STORAGE = "The database's files cannot be read or written"


def _is_of_storage(error: BaseException) -> bool:
    """Whether it is the disk's trouble (it is full, a file is locked or damaged), of which a traceback says nothing."""
    if isinstance(error, OSError):
        return error.errno is not None
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def _internal_error() -> Reply:
    return error_reply(CouchError("The server could not answer; its log says why.", error="unknown_error"))
