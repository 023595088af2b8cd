"""TouchDB of Android."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator

from tests.compatibility.drivers import Rejected, check
from tests.compatibility.drivers.replica import Doc, File
from tests.compatibility.drivers.touchdb import HEARTBEAT, TouchDB
from tests.compatibility.drivers.wire import query, segment


class Android(TouchDB):
    """Reads `_changes` line by line; winners only; every revision by itself, with attachments in Base64."""

    agent = "TouchDB/1.0 (Android)"

    async def pull(self) -> int:
        """The whole feed at once. Returns how many revisions came."""
        local = self.replica.local.get(self.checkpoint("pull"))
        since = await self._since("pull") if local else None
        rows = await self.changes(since, "normal")
        got = 0
        for row in rows:
            for rev in self.replica.missing(row["id"], [row["changes"][0]["rev"]]):
                await self._get(row["id"], rev)
                got += 1
        if rows:
            await self._save("pull", str(rows[-1]["seq"]))
        return got

    async def changes(self, since: str | None, feed: str) -> list[Doc]:
        """All there is, or up to 50 rows as soon as there are any."""
        options = {"feed": feed, **({"limit": "50"} if feed == "longpoll" else {}), "heartbeat": HEARTBEAT}
        options |= {} if since is None else {"since": since}
        reply = await self._send("GET", f"/_changes?{query(**options)}")
        check(reply.status == 200, f"_changes: {reply.status}")
        return list(rows_by_line(reply.body.decode().splitlines()))

    async def _get(self, doc_id: str, rev: str) -> None:
        options = query(rev=rev, revs="true", attachments="true")
        reply = await self._send("GET", f"/{segment(doc_id)}?{options}")
        check(reply.status == 200, f"{doc_id} {rev}: {reply.status}")
        doc = reply.json
        files = {}
        for name, entry in doc.get("_attachments", {}).items():
            check("data" in entry, f"{doc_id}/{name} without data")
            files[name] = File(entry["content_type"], b64decode(entry["data"]))
        self._insert(doc, files)


def rows_by_line(lines: Iterable[str]) -> Iterator[Doc]:
    """The rows of a feed of which the first line, those between the rows' and the last are known by their text."""
    place = iter(line for line in lines if line)
    check(next(place, "") == '{"results":[', "another first line")
    for line in place:
        if line == "],":
            break
        check(line.startswith("{"), f"neither row nor end: {line}")
        yield json.loads(line.removesuffix(","))
    else:
        raise Rejected("no end of the rows")
    check(next(place, "").startswith('"last_seq":'), "no last_seq after the rows")
