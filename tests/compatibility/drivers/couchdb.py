"""CouchDB's replicator, of 1.x, 2.3 to 3.2, and 3.3 on.

The proxy's database is one end, a `Replica` the other. Requests are those of recordings of 3.5, with what the older
ones did otherwise. The client's checkpoint id is a digest of its own; what matters is that both ends hold the same
document.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.compatibility.drivers import Rejected, check, multipart
from tests.compatibility.drivers.replica import Doc, File, Held, Replica, generation, outgoing
from tests.compatibility.drivers.wire import Json, Reply, Wire, basic, dumps, query, segment

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Release:
    """What differs from release to release."""

    agent: str
    opens: tuple[str, str]
    waits: tuple[str, str]
    checkpoint_versions: int
    logs_in: bool = True
    quotes_since: bool = True
    bulk_get: bool = False
    counts_pending: bool = True


V1 = Release(
    "CouchDB-Replicator/1.6.1", ("HEAD", "GET"), ("heartbeat", "10000"), 3, logs_in=False, counts_pending=False
)
V2 = Release("CouchDB-Replicator/2.3.1", ("GET", "GET"), ("timeout", "10000"), 4)
V3 = Release("CouchDB-Replicator/3.5.0", ("GET", "GET"), ("timeout", "10000"), 4, quotes_since=False, bulk_get=True)


@dataclass
class Replicator:
    """One job between `database` at the wire and a replica, as `user`."""

    wire: Wire
    database: str
    user: tuple[str, str]
    replica: Replica
    release: Release
    filtered: tuple[str, Doc] | None = None
    """`_doc_ids` or `_selector`, and what goes with it in the body of `_changes`."""

    def __post_init__(self) -> None:
        self._cookie = ""
        self._started = ""
        self.skipped: list[Doc] = []
        """Documents that the target refused with `forbidden` or `unauthorized`: the job goes on without them."""

    async def pull(self) -> int:
        """From the proxy. Returns how many revisions came."""
        await self._open()
        name = self._checkpoint("pull")
        remote = await self._remote_checkpoint("pull")
        since = _common(remote, self.replica.local.get(name))
        changes = await self._changes(since)
        if self.release.counts_pending:
            await self._pending(since)
        got = 0
        for start in range(0, len(changes["results"]), 100):
            got += await self._fetch(changes["results"][start : start + 100])
        if changes["last_seq"] != since:
            await self._commit("pull", changes["last_seq"], remote)
        return got

    async def follow(self) -> AsyncGenerator[Doc, None]:
        """The rows of a continuous job's feed, each fetched before the next is read."""
        await self._open()
        options = query(feed="continuous", style="all_docs", since="0", **dict([self.release.waits]))
        headers = {"User-Agent": self.release.agent, "Accept": "application/json", **self._auth()}
        async with aclosing(self.wire.lines(f"/{self.database}/_changes?{options}", headers)) as lines:
            async for line in lines:
                if line:
                    row = json.loads(line)
                    await self._fetch([row])
                    yield row

    async def push(self) -> int:
        """To the proxy. Returns how many revisions were written."""
        await self._open()
        remote = await self._remote_checkpoint("push")
        since = _common(remote, self.replica.local.get(self._checkpoint("push"))) or 0
        rows = self.replica.written[since:]
        missing = await self._diff(rows)
        wrote = 0
        batch: list[Doc] = []
        for doc_id, revs in missing.items():
            for rev in revs["missing"]:
                held = self.replica.docs[doc_id][rev]
                if held.files or doc_id.startswith("_design/"):
                    wrote += await self._put(doc_id, held, revs.get("possible_ancestors", []))
                else:
                    batch.append(outgoing(doc_id, held))
        wrote += await self._bulk_docs(batch)
        if rows:
            await self._commit("push", len(self.replica.written), remote)
        return wrote

    # opening

    async def _open(self) -> None:
        if self.release.logs_in and not self._cookie:
            await self._log_in()
        for method in self.release.opens:
            reply = await self._send(method, "/")
            check(reply.status == 200, f"{method} of the database: {reply.status}")
        info = reply.json
        check("update_seq" in info, "no update_seq")
        self._started = info["instance_start_time"]

    async def _log_in(self) -> None:
        form = urlencode({"name": self.user[0], "password": self.user[1]}).encode()
        headers = {
            "User-Agent": self.release.agent,
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(form)),
        }
        reply = await self.wire.send("POST", "/_session", headers, form)
        check(reply.status == 200, f"_session: {reply.status}")
        self._take_cookie(reply)
        check(self._cookie, "no session cookie")

    # checkpoints

    def _checkpoint(self, direction: str, version: int = 4) -> str:
        job = f"{self.release.agent} {direction} {self.database} {self.filtered} {version}"
        return hashlib.md5(job.encode()).hexdigest()

    async def _remote_checkpoint(self, direction: str) -> Doc | None:
        """The newest version's; those of older versions are looked for and would be taken over."""
        for version in range(4, 4 - self.release.checkpoint_versions, -1):
            reply = await self._send("GET", f"/_local/{self._checkpoint(direction, version)}")
            check(reply.status in (200, 404), f"checkpoint: {reply.status}")
            if reply.status == 200:
                found: Doc = reply.json
                return found
            check(reply.json["error"] == "not_found", f"{reply.body!r}")
        return None

    async def _commit(self, direction: str, seq: Json, remote: Doc | None) -> None:
        reply = await self._send("POST", "/_ensure_full_commit", JSON)
        check(reply.status == 201, f"_ensure_full_commit: {reply.status}")
        check(reply.json["instance_start_time"] in (self._started, "0"), "the target was restarted")
        name, session = self._checkpoint(direction), secrets.token_hex(16)
        history = {"session_id": session, "start_last_seq": 0, "end_last_seq": seq, "recorded_seq": seq}
        past = remote["history"] if remote else []
        doc = {
            "_id": f"_local/{name}",
            **({"_rev": remote["_rev"]} if remote else {}),
            "session_id": session,
            "source_last_seq": seq,
            "replication_id_version": self.release.checkpoint_versions,
            "history": [history, *past][:50],
        }
        if direction == "push":
            doc["_revisions"] = {"start": 0, "ids": [remote["_rev"].partition("-")[2] if remote else "0"]}
        put = await self._send("PUT", f"/_local/{name}", {"X-Couch-Full-Commit": "false", **JSON}, dumps(doc))
        check(put.status == 201 and put.json["rev"], f"checkpoint: {put.status}")
        self.replica.local[name] = {name: value for name, value in doc.items() if name != "_revisions"}

    # reading

    async def _changes(self, since: Json) -> Doc:
        options = query(feed="normal", style="all_docs", since=self._seq(since), **dict([self.release.waits]))
        if self.filtered:
            name, body = self.filtered
            reply = await self._send("POST", f"/_changes?filter={name}&{options}", JSON, dumps(body))
        else:
            reply = await self._send("GET", f"/_changes?{options}")
        check(reply.status == 200, f"_changes: {reply.status}")
        changes: Doc = reply.json
        check(next(iter(changes)) == "results", "results are not first")
        for row in changes["results"]:
            check(row["id"] and "seq" in row, f"{row}")
            check(all(generation(each["rev"]) for each in row["changes"]), f"{row}")
        return changes

    async def _pending(self, since: Json) -> None:
        reply = await self._send("GET", f"/_changes?{query(since=self._seq(since), limit='0')}")
        check(reply.status == 200 and reply.json["results"] == [], "pending changes")

    def _seq(self, since: Json) -> str:
        return since if isinstance(since, str) and not self.release.quotes_since else dumps(since or 0).decode()

    async def _fetch(self, rows: Iterable[Doc]) -> int:
        wanted: dict[str, list[str]] = {}
        for row in rows:
            if revs := self.replica.missing(row["id"], [each["rev"] for each in row["changes"]]):
                wanted[row["id"]] = revs
        if not wanted:
            return 0
        left = await self._bulk_get(wanted) if self.release.bulk_get else wanted
        for doc_id, revs in left.items():
            await self._open_revs(doc_id, revs)
        return sum(map(len, wanted.values()))

    async def _bulk_get(self, wanted: dict[str, list[str]]) -> dict[str, list[str]]:
        """Takes documents without attachments; returns what must be fetched one by one."""
        bulk = [(doc_id, rev) for doc_id, revs in sorted(wanted.items()) for rev in sorted(revs)]
        bulk = [each for each in bulk if not each[0].startswith("_design/")]
        asked = [{"rev": rev, "id": doc_id, "atts_since": self._ancestors(doc_id)} for doc_id, rev in bulk]
        body = dumps({"revs": True, "latest": True, "docs": asked, "attachments": False})
        target = "/_bulk_get?latest=true&revs=true&attachments=false"
        reply = await self._send("POST", target, JSON, body)
        check(reply.status == 200, f"_bulk_get: {reply.status}")
        check(list(reply.json) == ["results"], "_bulk_get: more than results")
        results = reply.json["results"]
        check([each["id"] for each in results] == [doc_id for doc_id, _ in bulk], "_bulk_get: other results or order")
        left = {doc_id: revs for doc_id, revs in wanted.items() if doc_id.startswith("_design/")}
        for (doc_id, rev), result in zip(bulk, results, strict=True):
            (entry,) = result["docs"]
            check(list(entry) in (["ok"], ["error"]), f"{entry}")
            if "error" in entry or entry["ok"].get("_attachments"):
                left.setdefault(doc_id, []).append(rev)
            else:
                self.replica.insert(entry["ok"])
        return left

    async def _open_revs(self, doc_id: str, revs: list[str]) -> None:
        """Every part is a document, or a revision that is missing: which the job does not survive."""
        options: dict[str, Any] = {"revs": "true", "open_revs": revs, "latest": "true"}
        if ancestors := self._ancestors(doc_id):
            options["atts_since"] = ancestors
        target = f"/{segment(doc_id)}?{query(**options)}"
        reply = await self._send("GET", target, {"Accept": "multipart/mixed"})
        check(reply.status == 200, f"{target}: {reply.status}")
        for part in multipart.split(reply.header("Content-Type"), reply.body, "multipart/mixed"):
            self._take(part, target)
        check(not self.replica.missing(doc_id, revs), f"{target}: not all that was asked for")

    def _take(self, part: multipart.Part, target: str) -> None:
        media, parameters = multipart.parsed(part.headers["content-type"])
        if media == "multipart/related":
            doc, data = multipart.document(part.headers["content-type"], part.body)
            entries = doc["_attachments"]
            files = {
                name: File(entries[name]["content_type"], each, entries[name].get("encoding"))
                for name, each in data.items()
            }
            self.replica.insert(doc, files)
            return
        check(media == "application/json" and not parameters, f"{target}: {part.headers} {part.body!r}")
        self.replica.insert(json.loads(part.body))

    def _ancestors(self, doc_id: str) -> list[str]:
        return list(self.replica.leaves(doc_id))

    # writing

    async def _diff(self, rows: list[tuple[str, str]]) -> dict[str, Doc]:
        asked: dict[str, list[str]] = {}
        for doc_id, _ in rows:
            asked[doc_id] = list(self.replica.leaves(doc_id))
        if not asked:
            return {}
        reply = await self._send("POST", "/_revs_diff", JSON, dumps(asked))
        check(reply.status == 200, f"_revs_diff: {reply.status}")
        diff: dict[str, Doc] = reply.json
        for doc_id, entry in diff.items():
            check(set(entry["missing"]) <= set(asked[doc_id]), f"{doc_id}: {entry}")
            check(all(generation(rev) for rev in entry.get("possible_ancestors", [])), f"{doc_id}: {entry}")
        return diff

    async def _put(self, doc_id: str, held: Held, ancestors: list[str]) -> int:
        """One document with its attachments; those that a possible ancestor has go as stubs."""
        doc = outgoing(doc_id, held)
        files = {}
        if held.files:
            had = self._files_of(doc_id, ancestors, held)
            doc["_attachments"] = {name: _entry(file, stub=had.get(name) == file) for name, file in held.files.items()}
            files = {name: file for name, file in held.files.items() if had.get(name) != file}
        kind, body = multipart.related(doc, files) if files else ("application/json", dumps(doc))
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        reply = await self._send("PUT", f"/{segment(doc_id)}?new_edits=false", headers, body)
        if reply.status in (401, 403):
            self.skipped.append({"id": doc_id, **reply.json})
            return 0
        check(reply.status in (200, 201), f"PUT of {doc_id}: {reply.status} {reply.body!r}")
        check(reply.json["rev"] == held.rev, f"PUT of {doc_id}: {reply.body!r}")
        return 1

    def _files_of(self, doc_id: str, ancestors: list[str], held: Held) -> dict[str, File]:
        shared = [rev for rev in held.path[1:] if rev in ancestors and rev in self.replica.docs[doc_id]]
        return dict(self.replica.docs[doc_id][shared[0]].files) if shared else {}

    async def _bulk_docs(self, docs: list[Doc]) -> int:
        if not docs:
            return 0
        body = b'{"new_edits":false,"docs":[' + b",".join(map(dumps, docs)) + b"]}"
        headers = {"X-Couch-Full-Commit": "false", **JSON, "Content-Length": str(len(body))}
        reply = await self._send("POST", "/_bulk_docs", headers, body)
        check(reply.status == 201, f"_bulk_docs: {reply.status}")
        rows = [row for row in reply.json if "error" in row]
        for row in rows:
            check(row["error"] in ("forbidden", "unauthorized") and row["id"] and row["rev"], f"{row}")
        self.skipped += rows
        return len(docs) - len(rows)

    # requests

    async def _send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        """A request to the database. Its length is always sent, even of nothing."""
        sent = {"User-Agent": self.release.agent, **(headers or {})}
        sent.setdefault("Accept", "application/json")
        sent.update(self._auth())
        sent.setdefault("Content-Length", str(len(body)))
        reply = await self.wire.send(method, f"/{self.database}{path}", sent, body)
        self._take_cookie(reply)
        if reply.status >= 500:
            raise Rejected(f"{method} {path}: {reply.status} {reply.body!r}")
        return reply

    def _auth(self) -> dict[str, str]:
        return {"Cookie": self._cookie} if self._cookie else basic(*self.user)

    def _take_cookie(self, reply: Reply) -> None:
        if "AuthSession=" in (cookie := reply.header("Set-Cookie")):
            self._cookie = cookie.partition(";")[0]


def _common(source: Doc | None, target: Doc | None) -> Json:
    """The sequence to go on from: that of the newest session which both ends know, 0 without one."""
    if source is None or target is None:
        return 0
    if source["session_id"] == target["session_id"]:
        return source["source_last_seq"]
    known = {each["session_id"] for each in target["history"]}
    return next((each["recorded_seq"] for each in source["history"] if each["session_id"] in known), 0)


def _entry(file: File, *, stub: bool) -> Doc:
    entry: Doc = {"content_type": file.content_type, "revpos": 1, "digest": multipart.md5(file.data)}
    entry["length"] = len(file.plain)
    entry["stub" if stub else "follows"] = True
    if file.encoding and not stub:
        entry |= {"encoding": file.encoding, "encoded_length": len(file.data)}
    return entry
