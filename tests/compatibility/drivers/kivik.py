"""kivik, for Go: no checkpoints, and ways of its own of moving documents."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass

from tests.compatibility.drivers import check, multipart
from tests.compatibility.drivers.replica import Doc, File, Held, Replica, outgoing
from tests.compatibility.drivers.wire import Json, Reply, Wire, basic, dumps, query, segment


@dataclass
class Kivik:
    """Sends all JSON gzipped; takes a document's revision from its ETag, by cutting off the quotes."""

    wire: Wire
    database: str
    user: tuple[str, str]

    async def get_rev(self, doc_id: str) -> str:
        reply = await self._send("HEAD", f"/{segment(doc_id)}")
        check(reply.status == 200, f"HEAD of {doc_id}: {reply.status}")
        return _rev(reply)

    async def get(self, doc_id: str, **options: Json) -> tuple[Doc, dict[str, bytes]]:
        """The document, and its attachments if they came along. Its ETag must be its revision."""
        accept = {"Accept": "multipart/mixed, multipart/related, application/json"}
        reply = await self._send("GET", f"/{segment(doc_id)}?{query(**options)}".rstrip("?"), accept)
        check(reply.status == 200, f"{doc_id}: {reply.status}")
        media, _ = multipart.parsed(reply.header("content-type"))
        check(media in ("application/json", "multipart/related"), f"{doc_id}: {media}")
        if media == "application/json":
            doc = reply.json
            data: dict[str, bytes] = {}
        else:
            doc, data = multipart.document(reply.header("content-type"), reply.body)
        check(_rev(reply) == doc["_rev"], f"{reply.header('etag')} for {doc['_rev']}")
        return doc, data

    async def put(self, doc: Doc, **options: Json) -> str:
        """Returns the new revision."""
        reply = await self._json("PUT", f"/{segment(doc['_id'])}?{query(**options)}".rstrip("?"), doc)
        check(reply.status == 201 and reply.json["id"] == doc["_id"], f"{reply.status} {reply.body!r}")
        return str(reply.json["rev"])

    async def delete(self, doc_id: str, rev: str) -> str:
        reply = await self._send("DELETE", f"/{segment(doc_id)}?rev={rev}")
        check(reply.status == 200, f"{reply.status} {reply.body!r}")
        return str(reply.json["rev"])

    async def replicate_into(self, replica: Replica) -> int:
        """Everything that is missing, by `open_revs`. Returns how many revisions came."""
        changes = await self._send("GET", "/_changes?feed=normal&style=all_docs")
        asked = {row["id"]: [each["rev"] for each in row["changes"]] for row in changes.json["results"]}
        missing = {doc_id: replica.missing(doc_id, revs) for doc_id, revs in asked.items()}
        for doc_id, revs in missing.items():
            if revs:
                await self._open_revs(replica, doc_id, revs)
        return sum(map(len, missing.values()))

    async def replicate_from(self, replica: Replica) -> int:
        """What `_revs_diff` says is missing, one by one, attachments in multipart. Returns how many were written."""
        asked = {doc_id: list(replica.leaves(doc_id)) for doc_id, _ in replica.written}
        diff = (await self._json("POST", "/_revs_diff", asked)).json
        missing = [(doc_id, rev) for doc_id, entry in diff.items() for rev in entry["missing"]]
        for doc_id, rev in missing:
            await self._replicated(doc_id, replica.docs[doc_id][rev])
        return len(missing)

    async def _open_revs(self, replica: Replica, doc_id: str, revs: list[str]) -> None:
        accept = {"Accept": "multipart/mixed, multipart/related, application/json"}
        target = f"/{segment(doc_id)}?{query(revs='true', open_revs=revs, latest='true')}"
        reply = await self._send("GET", target, accept)
        check(reply.status == 200, f"{target}: {reply.status}")
        for part in multipart.split(reply.header("content-type"), reply.body, "multipart/mixed"):
            media, parameters = multipart.parsed(part.headers["content-type"])
            check("error" not in parameters, f"{target}: {part.body!r}")
            if media == "application/json":
                replica.insert(json.loads(part.body))
                continue
            doc, data = multipart.document(part.headers["content-type"], part.body)
            entries = doc["_attachments"]
            types = {name: (entries[name]["content_type"], entries[name].get("encoding")) for name in data}
            replica.insert(doc, {name: File(types[name][0], data[name], types[name][1]) for name in data})

    async def _replicated(self, doc_id: str, held: Held) -> None:
        doc = outgoing(doc_id, held)
        target = f"/{segment(doc_id)}?new_edits=false"
        if not held.files:
            reply = await self._json("PUT", target, doc)
        else:
            doc["_attachments"] = {name: _follows(file) for name, file in held.files.items()}
            plain = {name: File(file.content_type, file.plain) for name, file in held.files.items()}
            kind, body = multipart.related(doc, plain)
            reply = await self._send("PUT", target, {"Content-Type": kind, "Content-Length": str(len(body))}, body)
        check(reply.status in (200, 201) and reply.json["rev"] == held.rev, f"{doc_id}: {reply.status} {reply.body!r}")

    async def _json(self, method: str, path: str, value: Json) -> Reply:
        """In chunks, since the length of what is compressed while it is sent is not known."""
        body = gzip.compress(dumps(value), mtime=0)
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
        return await self._send(method, path, headers, chunks)

    async def _send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        sent = {"User-Agent": "Kivik/4.0.0", "Accept": "application/json", **(headers or {}), **basic(*self.user)}
        return await self.wire.send(method, f"/{self.database}{path}", sent, body)


def _rev(reply: Reply) -> str:
    etag = reply.header("etag")
    check(etag.startswith('"') and etag.endswith('"'), f"ETag {etag}")
    return etag[1:-1]


def _follows(file: File) -> Doc:
    return {"content_type": file.content_type, "length": len(file.plain), "follows": True}
