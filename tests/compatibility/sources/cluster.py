"""A cluster behind a load balancer, at its worst that CouchDB allows.

Documents lie in shards, and a feed mixes those in any order. A sequence says how far it has got in each shard, in words
that differ from node to node. A node that takes over for another one has not seen all of what that one has: it begins
some shards again. Rows are repeated.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from random import Random
from typing import Any
from zlib import crc32

from proxy.core import jsonio
from tests.compatibility.sources import Asked, Forward, Given

SHARDS = 3
NODES = ("n1", "n2", "n3")
Vector = list[int]


class Cluster:
    """The script. `calm`: nodes no longer fail, and rows come once."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.calm = False

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        if asked.endpoint != "_changes":
            return await forward(asked)
        whole = await forward(asked.with_query(since="0", limit=None, feed=None, heartbeat=None))
        if whole.status != 200:
            return whole
        reached = self._begin(asked.query.get("since", "0"))
        waiting = [
            [row for row in whole.json["results"] if _shard(row["id"]) == shard and _number(row) > reached[shard]]
            for shard in range(SHARDS)
        ]
        limit = int(asked.query.get("limit", "1000000"))
        rows: list[Any] = []
        while len(rows) < limit and any(waiting):
            shard = self._random.choice([shard for shard in range(SHARDS) if waiting[shard]])
            row = waiting[shard].pop(0)
            reached[shard] = _number(row)
            rows.append({**row, "seq": self._say(reached)})
            if not self.calm and len(rows) < limit and self._random.random() < 0.3:
                rows.append({**self._random.choice(rows), "seq": self._say(reached)})
        pending = sum(map(len, waiting))
        return whole.with_json({"results": rows, "last_seq": self._say(reached), "pending": pending})

    def _begin(self, since: str) -> Vector:
        if since == "0":
            return [0] * SHARDS
        _, _, words = since.partition("-")
        vector: Vector = jsonio.loads(urlsafe_b64decode(words))["reached"]
        if not self.calm and self._random.random() < 0.4:
            lost = self._random.randrange(SHARDS)
            vector[lost] = self._random.randint(0, vector[lost])
        return vector

    def _say(self, reached: Vector) -> str:
        words = {"node": self._random.choice(NODES), "reached": reached, "pad": "x" * self._random.choice((0, 3, 300))}
        text = jsonio.dumps(words)
        return f"{sum(reached)}-{urlsafe_b64encode(text + b' ' * (-len(text) % 3)).decode()}"


def _shard(doc_id: str) -> int:
    return crc32(doc_id.encode()) % SHARDS


def _number(row: Any) -> int:
    return int(row["seq"].partition("-")[0])
