"""TouchDB of iOS."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.compatibility.drivers import check, multipart
from tests.compatibility.drivers.replica import Doc, File, Held, generation
from tests.compatibility.drivers.touchdb import HEARTBEAT, JSON, TouchDB
from tests.compatibility.drivers.wire import dumps, query, segment


class IOS(TouchDB):
    """Pages of 100, of all leaves; a shorter page is the end. First generations come from `_all_docs`."""

    agent = "TouchDB/1.0 (iOS)"
    LIMIT: ClassVar[int] = 100
    LARGE: ClassVar[int] = 500
    """Bytes from which on an attachment is sent by multipart. The real limit is 16 KiB."""

    async def pull(self) -> int:
        """Until caught up. Returns how many revisions came."""
        since = await self._since("pull")
        got = 0
        while True:
            rows = await self.changes(since, "normal")
            got += await self._fetch(rows)
            if rows:
                since = dumps(rows[-1]["seq"]).decode().strip('"')
                await self._save("pull", since)
            if len(rows) < self.LIMIT:
                return got

    async def changes(self, since: str | None, feed: str) -> list[Doc]:
        """One page. Where it goes on comes from its last row; `last_seq` is not looked at."""
        options: dict[str, Any] = {"feed": feed, "heartbeat": HEARTBEAT, "style": "all_docs"}
        options |= {} if since is None else {"since": since}
        reply = await self._send("GET", f"/_changes?{query(**options, limit=str(self.LIMIT))}")
        check(reply.status == 200, f"_changes: {reply.status}")
        rows: list[Doc] = reply.json["results"]
        check(len(rows) <= self.LIMIT, f"{len(rows)} rows")
        check(feed == "normal" or rows, "an empty longpoll: asked again at once from the same place, for ever")
        return rows

    async def _fetch(self, rows: list[Doc]) -> int:
        wanted = [(row["id"], rev) for row in rows for rev in self._missing(row)]
        first = [each for each in wanted if generation(each[1]) == 1]
        got = await self._all_docs(first) if first else set()
        for each in wanted:
            if each not in got:
                await self._get(*each)
        return len(wanted)

    def _missing(self, row: Doc) -> list[str]:
        return self.replica.missing(row["id"], [each["rev"] for each in row["changes"]])

    async def _all_docs(self, wanted: list[tuple[str, str]]) -> set[tuple[str, str]]:
        """Taken only if it is the very revision, and has no attachments."""
        keys = dumps({"keys": [doc_id for doc_id, _ in wanted]})
        reply = await self._send("POST", "/_all_docs?include_docs=true", JSON, keys)
        check(reply.status == 200, f"_all_docs: {reply.status}")
        got = set()
        for row in reply.json["rows"]:
            doc = row.get("doc") or {}
            key = (doc.get("_id"), doc.get("_rev"))
            if key in wanted and "_attachments" not in doc:
                self._insert(doc, {})
                got.add(key)
        return got

    async def _get(self, doc_id: str, rev: str) -> None:
        options: dict[str, Any] = {"rev": rev, "revs": "true", "attachments": "true"}
        if known := [each for each in self.replica.leaves(doc_id) if generation(each) < generation(rev)]:
            options["atts_since"] = known
        accept = {"Accept": "multipart/related, application/json"}
        reply = await self._send("GET", f"/{segment(doc_id)}?{query(**options)}", accept)
        check(reply.status == 200, f"{doc_id} {rev}: {reply.status}")
        if reply.header("content-type").startswith("multipart/"):
            doc, data = multipart.document(reply.header("content-type"), reply.body)
        else:
            doc, data = reply.json, {}
        check(doc["_id"] == doc_id and doc["_rev"] == rev, f"another document than {doc_id} {rev}")
        entries = doc.get("_attachments", {})
        files = {
            name: File(entries[name]["content_type"], each, entries[name].get("encoding"))
            for name, each in data.items()
        }
        self._insert(doc, files)

    async def _write(self, revisions: list[tuple[str, Held]]) -> int:
        """Large attachments by multipart; a server that answers 415 would get JSON from then on."""
        large = [(doc_id, held) for doc_id, held in revisions if self._is_large(doc_id, held)]
        for doc_id, held in large:
            await self._put(doc_id, held)
        rest = [each for each in revisions if each not in large]
        return len(large) + await super()._write(rest)

    def _is_large(self, doc_id: str, held: Held) -> bool:
        return any(
            len(file.data) >= self.LARGE and self._revpos(doc_id, held, name) == generation(held.rev)
            for name, file in held.files.items()
        )

    async def _put(self, doc_id: str, held: Held) -> None:
        doc = self._inline(doc_id, held)
        for name, entry in doc["_attachments"].items():
            if entry.pop("data", None) is not None:
                file = held.files[name]
                entry |= {"follows": True, "length": len(file.plain), "digest": multipart.md5(file.data)}
                entry |= {"encoding": file.encoding, "encoded_length": len(file.data)} if file.encoding else {}
        kind, body = multipart.related(doc, held.files)
        reply = await self._send("PUT", f"/{segment(doc_id)}?new_edits=false", {"Content-Type": kind}, body)
        check(reply.status == 201, f"PUT of {doc_id}: {reply.status} {reply.body!r}")
