"""TouchDB, which became Couchbase Lite 1.x.

What those of iOS and of Android have in common. Both keep `{"lastSequence": text}` as their checkpoint on the server,
and go on from there only if their own copy says the same. Both refuse documents with unknown underscore members, with a
`revpos` above the generation, and any from the second generation on without `_revisions`.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from tests.compatibility.drivers import check, multipart
from tests.compatibility.drivers.replica import Doc, File, Held, Replica, generation, outgoing
from tests.compatibility.drivers.wire import Reply, Wire, basic, dumps

JSON = {"Content-Type": "application/json"}
HEARTBEAT = "300000"


@dataclass
class TouchDB:
    """What both have in common. `database` is opened as `user`."""

    wire: Wire
    database: str
    user: tuple[str, str]
    replica: Replica

    agent: ClassVar[str]

    def __post_init__(self) -> None:
        self._auth = basic(*self.user)
        self._checkpoint_rev = ""
        self.refused: list[Doc] = []

    async def log_in(self) -> None:
        """Ask who one is, and say so if one is nobody. From then on with a cookie."""
        asked = await self.wire.send("GET", "/_session", {"User-Agent": self.agent, "Accept": "application/json"})
        check(asked.status == 200 and asked.json["userCtx"]["name"] is None, f"GET _session: {asked.status}")
        form = urlencode({"name": self.user[0], "password": self.user[1]}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form))}
        reply = await self.wire.send("POST", "/_session", {"User-Agent": self.agent, **headers}, form)
        check(reply.status == 200, f"POST _session: {reply.status}")
        self._auth = {"Cookie": reply.header("Set-Cookie").partition(";")[0]}
        again = await self.wire.send("GET", "/_session", {"Accept": "application/json", **self._auth})
        check(again.json["userCtx"]["name"] == self.user[0], f"{again.body!r}")

    def checkpoint(self, direction: str) -> str:
        key = {"remote": self.database, "push": direction == "push"}
        return hashlib.sha1(dumps(key)).hexdigest()

    async def _since(self, direction: str) -> str | None:
        """What both copies of the checkpoint say, if they say the same."""
        name = self.checkpoint(direction)
        reply = await self._send("GET", f"/_local/{name}")
        check(reply.status in (200, 404), f"checkpoint: {reply.status}")
        remote = reply.json if reply.status == 200 else {}
        self._checkpoint_rev = remote.get("_rev", "")
        last = remote.get("lastSequence")
        return last if last == self.replica.local.get(name, {}).get("lastSequence") else None

    async def _save(self, direction: str, last: str) -> None:
        name = self.checkpoint(direction)
        rev = {"_rev": self._checkpoint_rev} if self._checkpoint_rev else {}
        reply = await self._send("PUT", f"/_local/{name}", JSON, dumps({"lastSequence": last, **rev}))
        check(reply.status == 201, f"checkpoint: {reply.status}")
        self._checkpoint_rev = reply.json["rev"]
        self.replica.local[name] = {"lastSequence": last}

    def _insert(self, doc: Doc, files: dict[str, File]) -> None:
        for name, entry in doc.get("_attachments", {}).items():
            check(1 <= entry["revpos"] <= generation(doc["_rev"]), f"{doc['_id']}/{name}: revpos {entry['revpos']}")
        self.replica.insert(doc, files, needs_path=generation(doc["_rev"]) > 1)

    # pushing

    async def push(self) -> int:
        """What `_revs_diff` says is missing, in one batch. Returns how many revisions were taken."""
        since = int(await self._since("push") or 0)
        rows = self.replica.written[since:]
        if not rows:
            return 0
        asked: dict[str, list[str]] = {}
        for doc_id, _ in rows:
            asked[doc_id] = list(self.replica.leaves(doc_id))
        reply = await self._send("POST", "/_revs_diff", JSON, dumps(asked))
        check(reply.status == 200, f"_revs_diff: {reply.status}")
        wrote = await self._write(
            [(doc_id, self.replica.docs[doc_id][rev]) for doc_id, diff in reply.json.items() for rev in diff["missing"]]
        )
        await self._save("push", str(len(self.replica.written)))
        return wrote

    async def _write(self, revisions: list[tuple[str, Held]]) -> int:
        return await self._bulk_docs([self._inline(doc_id, held) for doc_id, held in revisions])

    async def _bulk_docs(self, docs: list[Doc]) -> int:
        if not docs:
            return 0
        reply = await self._send("POST", "/_bulk_docs", JSON, dumps({"docs": docs, "new_edits": False}))
        check(reply.status == 201, f"_bulk_docs: {reply.status}")
        errors = [row for row in reply.json if "error" in row]
        check(all(row["error"] in ("forbidden", "unauthorized") for row in errors), f"{errors}")
        self.refused += errors
        return len(docs) - len(errors)

    def _inline(self, doc_id: str, held: Held) -> Doc:
        """With attachments in Base64, those of an ancestor as stubs."""
        doc = outgoing(doc_id, held)
        if held.files:
            doc["_attachments"] = {name: self._entry(doc_id, held, name) for name in held.files}
        return doc

    def _entry(self, doc_id: str, held: Held, name: str) -> Doc:
        file = held.files[name]
        entry: Doc = {"content_type": file.content_type, "revpos": self._revpos(doc_id, held, name)}
        if entry["revpos"] < generation(held.rev):
            return {**entry, "stub": True, "length": len(file.plain), "digest": multipart.md5(file.data)}
        if file.encoding:
            return {**entry, "data": b64encode(file.plain).decode()}
        return {**entry, "data": b64encode(file.data).decode()}

    def _revpos(self, doc_id: str, held: Held, name: str) -> int:
        known = self.replica.docs[doc_id]
        had = [rev for rev in held.path if rev in known and known[rev].files.get(name) == held.files[name]]
        return min(map(generation, had))

    async def _send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        sent = {"User-Agent": self.agent, "Accept": "application/json", **(headers or {}), **self._auth}
        if body:
            sent["Content-Length"] = str(len(body))
        return await self.wire.send(method, f"/{self.database}{path}", sent, body)
