"""Cloudant Sync for Java, for Android apps. Any redirect and any element in the reply to a push is fatal to it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from tests.compatibility.drivers import check, multipart
from tests.compatibility.drivers.replica import Doc, File, Held, Replica, generation, outgoing
from tests.compatibility.drivers.wire import Reply, Wire, basic, dumps, query, segment

JSON = {"Content-Type": "application/json"}
AGENT = "CloudantSync/2.4.0 Java"
OPTIONS = "revs=true&latest=true&attachments=false&att_encoding_info=true"


@dataclass
class CloudantSync:
    """`database`, opened as `user`. `page`: rows for each `_changes`, 1000 unless the app says otherwise."""

    wire: Wire
    database: str
    user: tuple[str, str]
    replica: Replica
    page: int = 1000

    async def pull(self) -> int:
        """Until a page is shorter than was asked for. Returns how many revisions came.

        The checkpoint of a pull never leaves the device.
        """
        await self._supports_bulk_get()
        check((await self._send("GET", "")).json["db_name"], "no db_name")
        name = self._checkpoint("pull")
        got = 0
        while True:
            changes = await self._changes(self.replica.local.get(name, {}).get("lastSequence"))
            got += await self._fetch(changes["results"])
            self.replica.local[name] = {"lastSequence": changes["last_seq"]}
            if len(changes["results"]) < self.page:
                return got

    async def push(self) -> int:
        """Returns how many revisions were written. The checkpoint of a push is on the server alone."""
        name = f"/_local/{self._checkpoint('push')}"
        found = await self._send("GET", name)
        check(found.status in (200, 404), f"checkpoint: {found.status}")
        remote: Doc = found.json if found.status == 200 else {}
        rows = self.replica.written[int(remote.get("lastSequence", 0)) :]
        if not rows:
            return 0
        wrote = await self._write(await self._missing(rows))
        rev = {"_rev": remote["_rev"]} if remote else {}
        saved = {"_id": name[1:], **rev, "lastSequence": str(len(self.replica.written))}
        check((await self._send("PUT", name, JSON, dumps(saved))).status == 201, "the checkpoint was not taken")
        return wrote

    def _checkpoint(self, direction: str) -> str:
        return hashlib.sha1(f"{direction} {self.database}".encode()).hexdigest()

    # reading

    async def _supports_bulk_get(self) -> None:
        """Asked by a method that it does not have: anything but 405 and 404 is fatal, 404 means one by one."""
        reply = await self._send("GET", "/_bulk_get")
        check(reply.status == 405, f"GET of _bulk_get: {reply.status}")
        check("error" in reply.json, f"{reply.body!r}")

    async def _changes(self, since: str | None) -> Doc:
        options = query(style="all_docs", feed="normal", **({"since": since} if since else {}))
        reply = await self._send("GET", f"/_changes?{options}&limit={self.page}&seq_interval={self.page}")
        check(reply.status == 200, f"_changes: {reply.status}")
        changes: Doc = reply.json
        check(len(changes["results"]) <= self.page and changes["last_seq"], f"{reply.body[:200]!r}")
        return changes

    async def _fetch(self, rows: Iterable[Doc]) -> int:
        wanted = [
            {"id": row["id"], "rev": rev}
            for row in rows
            for rev in self.replica.missing(row["id"], [each["rev"] for each in row["changes"]])
        ]
        if not wanted:
            return 0
        reply = await self._send("POST", f"/_bulk_get?{OPTIONS}", JSON, dumps({"docs": wanted}))
        check(reply.status == 200, f"_bulk_get: {reply.status}")
        for result in reply.json["results"]:
            for entry in result["docs"]:
                check("ok" in entry, f"{entry}")
                await self._take(entry["ok"])
        left = [each for each in wanted if self.replica.missing(each["id"], [each["rev"]])]
        check(not left, f"announced, but not served: {left}")
        return len(wanted)

    async def _take(self, doc: Doc) -> None:
        held = {} if doc["_id"] not in self.replica.docs else self.replica.winner(doc["_id"]).files
        files = {
            name: await self._attachment(doc, name, entry)
            for name, entry in doc.get("_attachments", {}).items()
            if name not in held or multipart.md5(held[name].data) != entry["digest"]
        }
        self.replica.insert(doc, files)

    async def _attachment(self, doc: Doc, name: str, entry: Doc) -> File:
        """As stored, where the store's coding is one that the client accepts."""
        target = f"/{segment(doc['_id'])}/{segment(name)}?rev={doc['_rev']}"
        reply = await self._send("GET", target, {"Accept": "*/*", "Accept-Encoding": "gzip"})
        check(reply.status == 200, f"{target}: {reply.status}")
        encoding = entry.get("encoding")
        check(reply.header("content-encoding") == (encoding or ""), f"{target}: {reply.headers}")
        data = gzip.decompress(reply.body) if encoding == "gzip" else reply.body
        check(len(data) == entry["length"], f"{target}: {len(data)} bytes, not {entry['length']}")
        check(not encoding or len(reply.body) == entry["encoded_length"], f"{target}: encoded_length")
        return File(entry["content_type"], reply.body, encoding)

    # writing

    async def _missing(self, rows: Iterable[tuple[str, str]]) -> list[tuple[str, Held]]:
        asked = {doc_id: list(self.replica.leaves(doc_id)) for doc_id, _ in rows}
        reply = await self._send("POST", "/_revs_diff", JSON, dumps(asked))
        check(reply.status == 200, f"_revs_diff: {reply.status}")
        return [
            (doc_id, self.replica.docs[doc_id][rev]) for doc_id, entry in reply.json.items() for rev in entry["missing"]
        ]

    async def _write(self, revisions: list[tuple[str, Held]]) -> int:
        """Documents with new attachments by multipart, the rest in one request."""
        batch = []
        for doc_id, held in revisions:
            doc = outgoing(doc_id, held)
            had = self._parent_files(doc_id, held)
            if held.files:
                doc["_attachments"] = {name: _entry(file, held, had.get(name)) for name, file in held.files.items()}
            if held.files.items() - had.items():
                await self._put(doc, held)
            else:
                batch.append(doc)
        if batch:
            reply = await self._send("POST", "/_bulk_docs", JSON, dumps({"new_edits": False, "docs": batch}))
            check(reply.status == 201 and reply.json == [], f"_bulk_docs: {reply.status} {reply.body!r}")
        return len(revisions)

    async def _put(self, doc: Doc, held: Held) -> None:
        kind, body = multipart.related(doc, held.files)
        reply = await self._send("PUT", f"/{segment(doc['_id'])}?new_edits=false", {"Content-Type": kind}, body)
        check(reply.status in (200, 201) and reply.json["ok"], f"PUT of {doc['_id']}: {reply.status} {reply.body!r}")

    def _parent_files(self, doc_id: str, held: Held) -> dict[str, File]:
        known = [rev for rev in held.path[1:] if rev in self.replica.docs[doc_id]]
        return dict(self.replica.docs[doc_id][known[0]].files) if known else {}

    async def _send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        sent = {"User-Agent": AGENT, "Accept": "application/json", **basic(*self.user), **(headers or {})}
        if body:
            sent["Content-Length"] = str(len(body))
        reply = await self.wire.send(method, f"/{self.database}{path}", sent, body)
        check(reply.status < 300 or reply.status >= 400, f"{method} {path}: {reply.status}")
        return reply


def _entry(file: File, held: Held, had: File | None) -> Doc:
    entry: Doc = {"content_type": file.content_type, "revpos": generation(held.rev), "length": len(file.plain)}
    if had == file:
        return {"stub": True, "content_type": file.content_type, "revpos": 1}
    if file.encoding:
        entry |= {"encoding": file.encoding, "encoded_length": len(file.data)}
    return {**entry, "follows": True}
