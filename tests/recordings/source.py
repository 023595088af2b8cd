"""A source that answers from recordings: with the recorded reply where the same request was recorded, and otherwise
from the model of the recorded database, in the same layout. It only reads; `_local` documents alone can be written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.http_server import served
from proxy.listening import listen
from tests.recordings import exchanges
from tests.recordings.exchanges import Exchange, load
from tests.recordings.model import READS, Model, dumps, read_model
from tests.support.clinic import PASSWORD, USERS

USER_ROLES = {"admin": ["_admin"], **USERS}
PASSWORDS = {"admin": "secret"}

_FRAMING = {"content-length", "transfer-encoding", "connection", "date", "keep-alive"}
_NAMESPACE = re.compile(r"tailor-[0-9a-f]+-")
_CP1_TAG = '"4QO1B1Q7MNALHCWPKPTM3WOWM"'
_CUT = 997
"""Bytes of a chunk: rows and characters are cut anywhere."""

_MISSING = {"error": "not_found", "reason": "missing"}


class RecordedSource:
    """Serves `clinic` on loopback from a thread of its own while the context lasts. `use` chooses the recording."""

    def __init__(self) -> None:
        self.use("couchdb35-surface")

    def use(self, recording: str) -> None:
        """Answer as in this recording from now on."""
        self.unknown: list[str] = []
        """Requests that neither the recording nor the model could answer."""
        self.model: Model = read_model(recording)
        self._local: dict[str, tuple[int, Any]] = {"cp1": (1, {"x": 1})}
        self._recorded: dict[tuple[Any, ...], list[Exchange]] = defaultdict(list)
        for exchange in load(recording)[: READS if recording == "couchdb35-surface" else None]:
            key = _key(exchange.method, exchange.path, exchange.target, exchange.body)
            self._recorded[key].append(exchange)

    def forget_recorded(self) -> None:
        """Answer everything from the model."""
        self._recorded.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """The address, without a trailing slash."""
        started: threading.Event = threading.Event()
        place: list[Any] = []
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(place, started)))
        thread.start()
        started.wait()
        port, loop, stop = place
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()

    async def _serve(self, place: list[Any], started: threading.Event) -> None:
        server = web.Server(self._handle, access_log=None)
        async with served(server, listen("127.0.0.1", 0), seconds_to_end=0.2) as (_, port):
            stop = asyncio.Event()
            place += [port, asyncio.get_running_loop(), stop]
            started.set()
            await stop.wait()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target, body = request.raw_path, await request.read()
        path = exchanges.segments(target.partition("?")[0])
        options = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        if path == ("_up",):
            return _json({"status": "ok", "seeds": {}})
        if path == ("_session",) and request.method == "GET":
            return _json(_session(request))
        if len(path) > 2 and path[1] == "_local":
            return self._answer_local(request, path[2], body)
        if path[1:] == ("_bulk_docs",):
            return _json([self._put_local(doc["_id"][7:], doc) for doc in json.loads(body)["docs"]], 201)
        recorded = self._find(request, target, body)
        if recorded is not None:
            return await _replay(request, recorded)
        if path[:1] == ("clinic",):
            answer = await self._answer(request, path[1:], options, body)
            if answer is not None:
                return answer
        self.unknown.append(f"{request.method} {target} {body[:200]!r}")
        return _json({"error": "not_found", "reason": "This request was not recorded."}, 404)

    def _find(self, request: web.BaseRequest, target: str, body: bytes) -> Exchange | None:
        path, _, query = target.partition("?")
        for asked in (target, path) if query.startswith("rev=") else (target,):  # the winner need not be named
            key = _key(request.method, path, asked, body)
            for found in self._recorded.get(key, ()):
                if _fits(request, found):
                    return found
        return None

    def _put_local(self, name: str, doc: dict[str, Any]) -> dict[str, Any]:
        generation = int(doc.pop("_rev", "0-0").partition("-")[2]) + 1
        doc.pop("_id", None)
        self._local[_NAMESPACE.sub("", name)] = generation, doc
        return {"ok": True, "id": f"_local/{name}", "rev": f"0-{generation}"}

    def _answer_local(self, request: web.BaseRequest, asked: str, body: bytes) -> web.Response:
        name, full = _NAMESPACE.sub("", asked), f"_local/{asked}"
        generation, doc = self._local.get(name, (0, None))
        if request.method == "PUT":
            return _json(self._put_local(asked, json.loads(body)), 201)
        if doc is None:
            return _json(_MISSING, 404)
        if request.method == "DELETE":
            del self._local[name]
            return _json({"ok": True, "id": full, "rev": "0-0"})
        tag = _CP1_TAG if (name, generation) == ("cp1", 1) else f'"{name}-{generation}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return _json({"_id": full, "_rev": f"0-{generation}", **doc}, headers={"ETag": tag})

    async def _answer(
        self, request: web.BaseRequest, path: tuple[str, ...], options: dict[str, str], body: bytes
    ) -> web.StreamResponse | None:
        """From the model; None if it does not know this kind of request."""
        method, wanted = request.method, {name for name, value in options.items() if value == "true"}
        match (method, *path):
            case ("POST", "_bulk_get"):
                return _json({"results": self._bulk_get(json.loads(body)["docs"], wanted)})
            case ("POST", "_revs_diff"):
                return _json(self.model.missing(json.loads(body)))
            case ("GET" | "POST", "_changes"):
                return await self._changes(request, options, wanted, json.loads(body) if body else {})
            case ("GET" | "POST", "_all_docs"):
                keys = json.loads(body)["keys"] if body else json.loads(options.get("keys", "null"))
                return await _stream(request, self._all_docs(options, keys, wanted))
            case ("GET" | "POST", "_local_docs"):
                return _json({"total_rows": None, "offset": None, "rows": self._local_docs(options)})
            case ("POST", "_ensure_full_commit"):
                return _json({"ok": True, "instance_start_time": "1795376175"}, 201)
            case ("GET" | "HEAD", "_design", name):
                return self._document(method, f"_design/{name}", options, wanted)
            case ("GET" | "HEAD", doc_id) if not doc_id.startswith("_"):
                return self._document(method, doc_id, options, wanted)
            case ("GET" | "HEAD", doc_id, *name) if not doc_id.startswith("_"):
                return self._attachment(request, doc_id, "/".join(name))
        return None

    def _bulk_get(self, asked: list[dict[str, str]], wanted: set[str]) -> list[Any]:
        results = []
        for entry in asked:
            doc_id = entry["id"]
            revs = [entry["rev"]] if "rev" in entry else sorted(self.model.leaves(doc_id)) or ["undefined"]
            if "latest" in wanted and "rev" in entry:
                paths = self.model.paths.get(doc_id, {}).items()
                revs = [leaf for leaf, path in paths if entry["rev"] in path] or revs
            docs = []
            for rev in revs:
                doc = self.model.document(doc_id, rev, wanted)
                error = {"id": doc_id, "rev": rev, "error": "not_found", "reason": "missing"}
                docs.append({"ok": doc} if doc else {"error": error})
            results.append({"id": doc_id, "docs": docs})
        return results

    def _document(self, method: str, doc_id: str, options: dict[str, str], wanted: set[str]) -> web.Response | None:
        if "open_revs" in options or "attachments" in wanted:
            return None
        winner = next(iter(self.model.leaves(doc_id)), None)
        rev = options.get("rev", winner)
        doc = self.model.document(doc_id, rev, wanted) if rev else None
        if doc is None or ("rev" not in options and doc.get("_deleted")):
            return _json({**_MISSING, "reason": "deleted" if doc else "missing"}, 404)
        return _json(doc, headers={"ETag": f'"{rev}"'})

    def _attachment(self, request: web.BaseRequest, doc_id: str, name: str) -> web.Response:
        content = self.model.files.get((doc_id, name))
        if content is None:
            return _json({"error": "not_found", "reason": "Document is missing attachment"}, 404)
        about = self.model.bodies[doc_id, self.model.leaves(doc_id)[0]]["_attachments"][name]
        headers = {"Content-Type": about["content_type"], "Accept-Ranges": "none"}
        stored = self.model.stored.get((doc_id, name))
        if stored is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=stored, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=content, headers=headers)

    async def _changes(
        self, request: web.BaseRequest, options: dict[str, str], wanted: set[str], body: dict[str, Any]
    ) -> web.StreamResponse | None:
        if "seq_interval" in options or options.get("filter", "").endswith("/x"):
            return None
        since = self.model.last_seq if options.get("since") == "now" else options.get("since", "0")
        after = int(since.strip('"').partition("-")[0])
        rows = [row for row in self.model.feed if int(row["seq"].partition("-")[0]) > after]
        rows = [row for row in rows if self._passes(row["id"], options, body)]
        if options.get("style") != "all_docs":
            rows = [{**row, "changes": row["changes"][:1]} for row in rows]
        if options.get("descending") == "true":
            rows = list(reversed(self.model.feed))
        page = rows[: int(options["limit"])] if "limit" in options else rows
        if "include_docs" in wanted:
            page = [{**row, "doc": self.model.document(row["id"], row["changes"][0]["rev"], wanted)} for row in page]
        last = page[-1]["seq"] if len(page) < len(rows) else self.model.last_seq
        waits = options.get("feed") == "longpoll" and not page
        return await _stream(request, _feed_lines(page, last, len(rows) - len(page), waits))

    def _local_docs(self, options: dict[str, str]) -> list[Any]:
        """Clients' own, under the names that the proxy would have given them: those below the key that it asks from."""
        prefix = json.loads(options.get("startkey", '"_local/"'))
        own = {name: kept for name, kept in sorted(self._local.items()) if not name.startswith("tailor-")}
        ids = [(prefix + name, f"0-{generation}") for name, (generation, _) in own.items()]
        return [{"id": doc_id, "key": doc_id, "value": {"rev": rev}} for doc_id, rev in ids]

    def _passes(self, doc_id: str, options: dict[str, str], body: dict[str, Any]) -> bool:
        """Whether a filter lets a document through; `_design/app` of the recordings has one, and a view by owner."""
        owner = self.model.winner(doc_id).get("owner")
        match options.get("filter"):
            case "_doc_ids":
                return doc_id in body["doc_ids"]
            case "app/own":
                return bool(owner == options.get("owner"))
            case "_view":
                return owner is not None
        return True

    async def _all_docs(
        self, options: dict[str, str], keys: list[str] | None, wanted: set[str]
    ) -> AsyncIterator[bytes]:
        live = self.model.live()
        rows, offset = [self._row(doc_id, wanted) for doc_id in (live if keys is None else keys)], None
        if keys is None:
            downward = options.get("descending") == "true"
            rows = list(reversed(rows)) if downward else rows
            first, last = (json.loads(options.get(name, "null")) for name in ("startkey", "endkey"))
            if "key" in options:
                first = last = json.loads(options["key"])
            inside = [row for row in rows if first is None or (row["id"] >= first) != (downward and row["id"] != first)]
            offset = len(rows) - len(inside) + int(options.get("skip", 0))
            rows = inside[int(options.get("skip", 0)) :]
            rows = [row for row in rows if last is None or (row["id"] <= last) != (downward and row["id"] != last)]
        if "limit" in options:
            rows = rows[: int(options["limit"])]
        yield b'{"total_rows":%d,"offset":%s,"rows":[\r\n' % (len(live), dumps(offset))
        yield b",\r\n".join(dumps(row) for row in rows)
        yield b"\r\n]}\n"

    def _row(self, doc_id: str, wanted: set[str]) -> dict[str, Any]:
        leaves = self.model.leaves(doc_id)
        if not leaves:
            return {"key": doc_id, "error": "not_found"}
        deleted = self.model.bodies[doc_id, leaves[0]].get("_deleted") is True
        value = {"rev": leaves[0], **({"deleted": True} if deleted else {})}
        row: dict[str, Any] = {"id": doc_id, "key": doc_id, "value": value}
        if "include_docs" in wanted:
            row["doc"] = None if deleted else self.model.document(doc_id, leaves[0], wanted)
        return row


def _key(method: str, path: str, target: str, body: bytes) -> tuple[Any, ...]:
    return method, exchanges.segments(path), exchanges.query(target), exchanges.canonical_body(body)


def _fits(request: web.BaseRequest, recorded: Exchange) -> bool:
    """Whether what decides the form of a reply, beside the request line, is the same."""
    for name in ("Range", "If-None-Match", "Last-Event-ID"):
        if request.headers.get(name) != recorded.header(name):
            return False
    accept = request.headers.get("Accept", "*/*")
    kind = recorded.reply_header("Content-Type") or ""
    if kind.startswith("multipart/") and "multipart" not in accept and "*/*" not in accept:
        return False
    if kind.startswith("application/json") and "application/json" not in accept and "*/*" not in accept:
        return False
    gzipped = recorded.reply_header("Content-Encoding") == "gzip"
    return not gzipped or "gzip" in request.headers.get("Accept-Encoding", "")


def _session(request: web.BaseRequest) -> Any:
    user = None
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        name, _, password = b64decode(encoded).decode().partition(":")
        if PASSWORDS.get(name, PASSWORD) == password:
            user = name
    elif "AuthSession=" in request.headers.get("Cookie", ""):
        user = "admin"
    context = {"name": user, "roles": USER_ROLES.get(user, []) if user else []}
    info = {"authentication_handlers": ["cookie", "default"], **({"authenticated": "default"} if user else {})}
    return {"ok": True, "userCtx": context, "info": info}


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    kind = {"Content-Type": "application/json", "Cache-Control": "must-revalidate"}
    return web.Response(body=dumps(value) + b"\n", status=status, headers={**kind, **(headers or {})})


async def _replay(request: web.BaseRequest, recorded: Exchange) -> web.StreamResponse:
    headers = [(name, value) for name, value in recorded.reply_headers if name.lower() not in _FRAMING]
    if recorded.reply_header("Transfer-Encoding") == "chunked":

        async def cut() -> AsyncIterator[bytes]:
            for start in range(0, len(recorded.reply_body), _CUT):
                yield recorded.reply_body[start : start + _CUT]

        return await _stream(request, cut(), recorded.status, headers)
    body = recorded.reply_body
    response = web.Response(status=recorded.status, body=body)
    response.headers.clear()
    for name, value in headers:
        response.headers.add(name, value)
    if request.method == "HEAD" and (length := recorded.reply_header("Content-Length")):
        response.headers["Content-Length"] = length
    return response


async def _stream(
    request: web.BaseRequest,
    chunks: AsyncIterator[bytes],
    status: int = 200,
    headers: list[tuple[str, str]] | None = None,
) -> web.StreamResponse:
    response = web.StreamResponse(status=status)
    for name, value in headers or [("Content-Type", "application/json")]:
        response.headers.add(name, value)
    response.enable_chunked_encoding()
    with contextlib.suppress(ConnectionError):  # the proxy has read enough
        await response.prepare(request)
        async for chunk in chunks:
            if chunk:
                await response.write(chunk)
        await response.write_eof()
    return response


async def _feed_lines(rows: list[Any], last_seq: str, pending: int, waits: bool) -> AsyncIterator[bytes]:
    yield b'{"results":[\n'
    while waits:  # nothing ever happens in a recorded database
        await asyncio.sleep(0.2)
        yield b"\n"
    yield b",\r\n".join(dumps(row) for row in rows)
    yield b'\n],\n"last_seq":%s,"pending":%d}\n' % (dumps(last_seq), pending)
