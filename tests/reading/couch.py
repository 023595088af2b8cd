"""A small CouchDB for tests: trees of documents that are given whole, answered in CouchDB 3.5's own bytes.

Every request is kept in `requests`; `instead` replaces the answer to one path by a handler of the test's own.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.payload import BytesPayload

from proxy.http_server import HttpServer, served
from proxy.listening import listen

Doc = dict[str, Any]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


_NO_IDS: list[Any] = ["a", [], [1], ["a", None], {"a": 1}]
NO_PATHS: list[Any] = [None, 1, [], {}, {"ids": ["a"]}, {"start": 1}, {"start": "1", "ids": ["a"]}]
NO_PATHS += [{"start": True, "ids": ["a"]}, *({"start": 1, "ids": ids} for ids in _NO_IDS)]
"""What a source could give as `_revisions` that says nothing."""


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def rev(generation: int, letter: str) -> str:
    """A revision id that is easy to read: `2-bbbb...`."""
    return f"{generation}-{letter * 32}"


def revision(doc_id: str, path: str, *, start: int | None = None, **members: Any) -> Doc:
    """A revision by its path, newest letter first: `"ba"` is 2-b on 1-a."""
    start = len(path) if start is None else start
    return {
        "_id": doc_id,
        "_rev": rev(start, path[0]),
        **members,
        "_revisions": {"start": start, "ids": [letter * 32 for letter in path]},
    }


def ancestors(doc: Doc) -> list[str]:
    revisions = doc["_revisions"]
    return [f"{revisions['start'] - age}-{name}" for age, name in enumerate(revisions["ids"])][1:]


def _rank(doc: Doc) -> tuple[bool, int, bytes]:
    """What makes a leaf the winner: of its hash CouchDB holds 16 bytes if it has 32 digits, else the text."""
    generation, _, digest = doc["_rev"].partition("-")
    held = bytes.fromhex(digest) if len(digest) == 32 else digest.encode()
    return not doc.get("_deleted"), int(generation), held


class Couch:
    """One server with one database, `db`."""

    def __init__(self, docs: Iterable[Doc] = ()) -> None:
        self.docs: dict[str, list[Doc]] = {}
        self.bodies: dict[tuple[str, str], bytes] = {}
        """Attachment bodies as stored, by document and name."""
        self.local: dict[str, Doc] = {}
        self.given: list[tuple[str, str]] = []
        """Attachments whose bodies were given, each time."""
        self.requests: list[tuple[str, str, Any]] = []
        self.instead: dict[str, Handler] = {}
        self.url = ""
        for doc in docs:
            self.docs.setdefault(doc["_id"], []).append(doc)

    # ---- trees

    def leaves(self, doc_id: str) -> list[Doc]:
        """The leaves, the winner first."""
        known = self.docs.get(doc_id, [])
        inner = {old for doc in known for old in ancestors(doc)}
        found = [doc for doc in known if doc["_rev"] not in inner]
        return sorted(found, key=_rank, reverse=True)

    def known(self, doc_id: str) -> set[str]:
        return {name for doc in self.docs.get(doc_id, []) for name in (doc["_rev"], *ancestors(doc))}

    def body(self, doc_id: str, name: str) -> Doc | None:
        return next((doc for doc in self.docs.get(doc_id, []) if doc["_rev"] == name), None)

    # ---- HTTP

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        self.requests.append((request.method, request.path_qs, body))
        if request.path in self.instead:
            return await self.instead[request.path](request)
        if request.path == "/":
            return self.json({"couchdb": "Welcome", "version": "3.5.0", "uuid": "source-uuid", "vendor": {"name": "x"}})
        if request.path == "/_up":
            return self.json({"status": "ok", "seeds": {}})
        pieces = request.path.split("/")
        if pieces[1] != "db":
            return self.json({"error": "not_found", "reason": "Database does not exist."}, 404)
        if len(pieces) == 2:
            return self.json(self.info())
        answer = getattr(self, f"do{pieces[2]}", None) if pieces[2].startswith("_") else self.do_document
        if answer is None:
            return self.json({"error": "not_found", "reason": "missing"}, 404)
        response: web.StreamResponse = answer(request, body)
        return response

    def json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        return web.Response(
            body=dump(value) + b"\n", status=status, headers={"Content-Type": "application/json", **(headers or {})}
        )

    def info(self) -> Doc:
        return {
            "instance_start_time": "1795376175",
            "db_name": "db",
            "purge_seq": "0-g1AAAA",
            "update_seq": "55-g1AAAACbeJz",
            "sizes": {"file": 147868, "external": 9529, "active": 18479},
            "props": {},
            "doc_del_count": 2,
            "doc_count": 39,
            "disk_format_version": 8,
            "compact_running": False,
            "cluster": {"q": 2, "n": 1, "w": 1, "r": 1},
        }

    def dress(self, doc: Doc, query: Any) -> Doc:
        """A document with the members that the query asks for."""
        shown = {name: value for name, value in doc.items() if name not in ("_revisions", "_attachments")}
        if query.get("revs") == "true":
            shown["_revisions"] = doc["_revisions"]
        if "_attachments" in doc:
            hidden = () if query.get("att_encoding_info") == "true" else ("encoding", "encoded_length")
            shown["_attachments"] = {
                name: {key: value for key, value in entry.items() if key not in hidden}
                for name, entry in doc["_attachments"].items()
            }
        return shown

    def with_bodies(self, doc: Doc, query: Any) -> Doc:
        """A dressed document, with the bodies of its attachments in it if the query asks for them."""
        entries = doc.get("_attachments", {}) if query.get("attachments") == "true" else {}
        for name, entry in entries.items():
            stored = self.bodies[doc["_id"], name]
            body = gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored
            self.given.append((doc["_id"], name))
            del entry["stub"], entry["length"]
            entry["data"] = b64encode(body).decode()
        return doc

    def do_document(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        doc_id, _, name = request.path.removeprefix("/db/").partition("/")
        if name:
            stored = self.bodies[doc_id, name]
            self.given.append((doc_id, name))
            if stored[:2] == b"\x1f\x8b" and "gzip" not in request.headers.get("Accept-Encoding", ""):
                decoded = web.Response(body=BytesPayload(gzip.decompress(stored)))
                decoded.enable_chunked_encoding()  # as CouchDB, which does not know its length
                return decoded
            return web.Response(body=stored)
        if request.query.get("open_revs") == "all":
            if doc_id not in self.docs:
                return self.json({"error": "not_found", "reason": "missing"}, 404)
            return self.json([{"ok": self.dress(doc, request.query)} for doc in self.leaves(doc_id)])
        wanted = request.query.get("rev")
        doc = self.body(doc_id, wanted) if wanted else next(iter(self.leaves(doc_id)), None)
        if doc is None or (not wanted and doc.get("_deleted")):
            return self.json({"error": "not_found", "reason": "deleted" if doc else "missing"}, 404)
        return self.json(self.dress(doc, request.query), headers={"ETag": f'"{doc["_rev"]}"'})

    def do_bulk_get(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        return self.json({"results": [self.bulk_result(entry, request.query) for entry in body["docs"]]})

    def bulk_result(self, entry: Doc, query: Any) -> Doc:
        doc_id, wanted = entry["id"], entry.get("rev")
        found = self.leaves(doc_id)[::-1] if wanted is None else [self.body(doc_id, wanted)]
        dressed = [self.with_bodies(self.dress(doc, query), query) for doc in found if doc is not None]
        docs: list[Doc] = [{"ok": doc} for doc in dressed]
        error = {"rev": wanted or "undefined", "reason": "missing", "id": doc_id, "error": "not_found"}
        return {"id": doc_id, "docs": docs or [{"error": error}]}

    def be_pouchdb_server(self) -> None:
        """Answer `_bulk_get` as PouchDB Server does: by document, and without `rev` with the winner, if it is live."""

        async def bulk_get(request: web.BaseRequest) -> web.StreamResponse:
            asked: dict[str, list[str]] = {}
            for entry in (await request.json())["docs"]:
                asked.setdefault(entry["id"], []).extend([entry["rev"]] if "rev" in entry else [])
            return self.json({"results": [self.pouchdb_result(*each, request.query) for each in asked.items()]})

        self.instead["/db/_bulk_get"] = bulk_get

    def pouchdb_result(self, doc_id: str, revs: list[str], query: Any) -> Doc:
        docs: list[Doc] = []
        for name in revs:
            doc = self.body(doc_id, name)
            docs.append({"missing": name} if doc is None else {"ok": self.dress(doc, query)})
        if not revs:
            live = [doc for doc in self.leaves(doc_id)[:1] if not doc.get("_deleted")]
            docs = [{"ok": self.dress(doc, query)} for doc in live] or [{}]
        return {"id": doc_id, "docs": docs}

    def do_revs_diff(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        diff: Doc = {}
        for doc_id, revs in body.items():
            missing = [name for name in revs if name not in self.known(doc_id)]
            if missing:
                diff[doc_id] = {"missing": missing[::-1]}
                highest = max(int(name.partition("-")[0]) for name in missing)
                possible = [d["_rev"] for d in self.leaves(doc_id) if d["_revisions"]["start"] < highest]
                if possible:
                    diff[doc_id]["possible_ancestors"] = possible
        return self.json(diff)

    def do_ensure_full_commit(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        return self.json({"ok": True, "instance_start_time": "1795376175"}, 201)

    def do_revs_limit(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        return self.json(777)

    def do_local(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        doc_id = request.path.removeprefix("/db/")
        tag = {"ETag": '"LOCALTAG"'}
        if request.method == "PUT":
            known = self.local.get(doc_id, {"_rev": "0-0"})
            number = int(known["_rev"][2:]) + 1
            self.local[doc_id] = {**body, "_id": doc_id, "_rev": f"0-{number}"}
            return self.json({"ok": True, "id": doc_id, "rev": f"0-{number}"}, 201, tag)
        if doc_id not in self.local:
            return self.json({"error": "not_found", "reason": "missing"}, 404)
        if request.method == "DELETE":
            del self.local[doc_id]
            return self.json({"ok": True, "id": doc_id, "rev": "0-0"}, headers=tag)
        if request.headers.get("If-None-Match") == tag["ETag"]:
            return web.Response(status=304, headers=tag)
        return self.json(self.local[doc_id], headers=tag)

    def do_local_docs(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        rows = [self.row(doc_id, doc, request.query) for doc_id, doc in sorted(self.local.items())]
        return self.listing(rows, request.query, None)

    def do_all_docs(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        query = request.query
        winners = {doc_id: self.leaves(doc_id)[0] for doc_id in self.docs}
        live = {doc_id: doc for doc_id, doc in sorted(winners.items(), key=_by_bytes) if not doc.get("_deleted")}
        if body and "keys" in body:
            rows = [
                self.row(key, winners[key], query) if key in winners else {"key": key, "error": "not_found"}
                for key in body["keys"]
            ]
        else:
            rows = [self.row(doc_id, doc, query) for doc_id, doc in live.items()]
        return self.listing(rows, query, len(live), keyed=bool(body))

    def row(self, doc_id: str, doc: Doc, query: Any) -> Doc:
        row: Doc = {"id": doc_id, "key": doc_id, "value": {"rev": doc["_rev"]}}
        if doc.get("_deleted"):
            row["value"]["deleted"] = True
        if query.get("include_docs") == "true":
            row["doc"] = None if doc.get("_deleted") else self.dress(doc, query) if "_revisions" in doc else doc
            others = [d["_rev"] for d in self.leaves(doc_id)[1:] if not d.get("_deleted")]
            if row["doc"] and others and query.get("conflicts") == "true":
                row["doc"]["_conflicts"] = others
        return row

    def listing(self, rows: list[Doc], query: Any, total: int | None, keyed: bool = False) -> web.StreamResponse:
        if not keyed:
            rows = _in_range(rows, query)
        skip, limit = int(query.get("skip", 0)), int(query.get("limit", 10**9))
        head = {"total_rows": total, "offset": None if keyed or total is None else skip}
        if query.get("update_seq") == "true":
            head["update_seq"] = "55-g1AAAACbeJz"  # type: ignore[assignment]
        text = dump(head)[:-1] + b',"rows":[\r\n' + b",\r\n".join(map(dump, rows[skip : skip + limit])) + b"\r\n]}\n"
        return web.Response(body=text, headers={"Content-Type": "application/json"})


def _by_bytes(item: tuple[str, Any]) -> bytes:
    return item[0].encode()


def _in_range(rows: list[Doc], query: Any) -> list[Doc]:
    rows = sorted(rows, key=lambda row: str(row["key"]).encode(), reverse=query.get("descending") == "true")
    low, high = query.get("startkey"), query.get("endkey")
    sign = -1 if query.get("descending") == "true" else 1
    inclusive = query.get("inclusive_end") != "false"

    def compare(row: Doc, bound: str) -> int:
        key, other = str(row["key"]).encode(), str(json.loads(bound)).encode()
        return sign * (int(key > other) - int(key < other))

    if low is not None:
        rows = [row for row in rows if compare(row, low) >= 0]
    if high is not None:
        rows = [row for row in rows if compare(row, high) < (1 if inclusive else 0)]
    return rows


@asynccontextmanager
async def serving(couch: Couch) -> AsyncIterator[Couch]:
    """`couch`, listening on a port of its own."""
    async with served(HttpServer(couch.handle), listen("127.0.0.1", 0)) as (host, port):
        couch.url = f"http://{host}:{port}"
        yield couch
