"""What a trusted profile may ask of the source directly: views, list, show, update, search, `_index`, `_explain`, ...

The request is sent again from its decoded pieces and parameters, with the headers that matter, and the reply is
streamed as it is, with two exceptions: the source may refuse the proxy's own account by it; and what is always JSON is
passed as JSON alone, since another answer, or a redirect, is one of something in front of the source. For everybody
else it is `forbidden`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import SplitResult, unquote, urlsplit

from aiohttp import web

from proxy.core.endpoints import path
from proxy.errors import Forbidden
from proxy.exchange import Exchange
from proxy.reply import Reply
from proxy.writing.answer import location

_ASKED = (
    "Accept",
    "Accept-Encoding",
    "Content-Type",
    "Content-Encoding",
    "If-Match",
    "If-None-Match",
    "Destination",
)
_FUNCTIONS = frozenset(("_show", "_list", "_update"))
"""What of a design document answers as it likes: with any status, and with what need not be JSON."""
_READING_POSTS = frozenset(("_view", "_search", "_nouveau", "_list", "_show"))
"""What of a design document changes nothing, whatever is posted to it."""
_READING_POSTS_OF_PARTITION = frozenset(("_find", "_explain", "_all_docs"))
_JSON_TYPES = ("application/json", "text/plain")
"""How CouchDB calls JSON: the latter for clients that do not ask for the former."""
_PORTS = {"http": 80, "https": 443}
_PASSED = (
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "ETag",
    "Location",
    "X-Couch-Update-NewRev",
    "X-Couch-Id",
)


async def pass_through(exchange: Exchange) -> web.StreamResponse:
    """Pass a request of a trusted profile to the source. Raises Forbidden for other profiles, and Unavailable for
    answers that are not for clients.
    """
    view, target = exchange.view, exchange.target
    if not view.profile.trusted:
        raise Forbidden(f"{'/'.join(target.rest)} is not available through this proxy.")
    if not (view.profile.write or _reads(target.method, target.rest)):
        raise Forbidden("This profile only reads.")
    sent = exchange.request.headers
    headers = {**view.headers, **{name: sent[name] for name in _ASKED if name in sent}}
    has_body = exchange.request.body_exists
    body: AsyncIterator[bytes] | None = exchange.incoming() if has_body else None
    async with await view.upstream.request(
        target.method,
        path(view.database.source_db, *target.rest),
        list(target.pairs),
        headers=headers,
        body=body,
    ) as reply:
        said = await _said(reply, is_head=target.method == "HEAD", is_function=_is_function(target.rest))
        answer = {name: reply.headers[name] for name in _PASSED if name in reply.headers}
        if "Location" in answer:
            answer |= _location(exchange, answer.pop("Location"))
        response = await exchange.stream(answer, reply.status)
        if said is not None:
            await response.write(said)
        elif target.method != "HEAD":
            async for chunk in reply.chunks():
                await response.write(chunk)
        await response.write_eof()
        return response


def _reads(method: str, rest: tuple[str, ...]) -> bool:
    """Whether the request changes nothing. Of POSTs that has to be known."""
    if method != "POST":
        return method in ("GET", "HEAD")
    if not all(rest):
        return False  # CouchDB drops empty pieces, and takes the next one for the name of the design document
    if rest in (("_explain",), ("_design_docs", "queries")):
        return True
    if rest[0] == "_partition":
        rest = rest[2:]
        if len(rest) == 1 and rest[0] in _READING_POSTS_OF_PARTITION:
            return True
    if len(rest) < 3 or rest[0] != "_design":
        return False
    # a slash in the name would lead elsewhere, if what stands before the source undoes its escape
    return "/" not in rest[1] and rest[2] in _READING_POSTS


def _is_function(rest: tuple[str, ...]) -> bool:
    return len(rest) > 2 and rest[0] == "_design" and rest[2] in _FUNCTIONS


async def _said(reply: Reply, *, is_head: bool, is_function: bool) -> bytes | None:
    """The body, where it had to be read to tell whom the source refuses; None: it comes yet. Raises Unavailable."""
    if not is_function:
        await _check(reply)
    if not reply.of_account or not _is_json(reply):
        return None
    if is_head or not is_function:
        raise await reply.error()
    said = await reply.within()
    refusal = reply.refusal_in(said)
    if refusal is not None:
        raise refusal
    return said


def _is_json(reply: Reply) -> bool:
    return reply.headers.get("Content-Type", "").partition(";")[0].strip().lower() in _JSON_TYPES


async def _check(reply: Reply) -> None:
    """Raise the error that the answer is none that CouchDB gives where it only gives JSON."""
    if reply.status == 304:
        return
    if 300 <= reply.status < 400 or not _is_json(reply):
        raise await reply.error() if reply.status >= 300 else reply.unusable("answered with something that is not JSON")


def _location(exchange: Exchange, found: str) -> dict[str, str]:
    """The header `Location` for clients. What lies in the database has the name there that they know; elsewhere at the
    source there is nothing for them, not even its address.
    """
    source = urlsplit(exchange.view.upstream.source.url)
    try:
        named = urlsplit(found)
        same_origin = _origin(named, source.scheme) == _origin(source, "")
    except ValueError:
        return {}
    if named.netloc and named.hostname != source.hostname:
        return {"Location": found}
    if same_origin or not (named.scheme or named.netloc):
        database, slash, rest = named.path.removeprefix(f"{source.path.rstrip('/')}/").partition("/")
        if named.path.startswith("/") and unquote(database) == exchange.view.database.source_db:
            return {"Location": named._replace(scheme="", netloc="", path=location(exchange) + slash + rest).geturl()}
    return {} if named.netloc else {"Location": found}


def _origin(url: SplitResult, scheme: str) -> tuple[str, str | None, int | None]:
    scheme = url.scheme or scheme
    return scheme, url.hostname, url.port or _PORTS.get(scheme)
