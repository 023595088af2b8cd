"""Writing: batches of new documents, as applications and as replicators send them."""

from __future__ import annotations

import asyncio
import time
from hashlib import md5
from typing import Any

from proxy.core import jsonio
from proxy.upstream import JSON_HEADERS
from tests.bench.lanes import DOCS, Lane, document
from tests.bench.servers import DATABASE, Stage

COUNT = 500
"""Documents of a batch: what CouchDB's own replicator sends."""
DEVICES = 4
"""Those that push at once."""
_written = _edited = 0


async def create(stage: Stage, lane: Lane) -> float:
    """Documents a second, of which the source makes the revisions."""
    docs = [without_revision(doc) for doc in new_documents(COUNT)]
    rate, rows = await _write(stage, lane, {"docs": docs})
    if len(rows) != COUNT or not all(row.get("ok") for row in rows):
        raise RuntimeError(f"{lane.name} did not store all: {str(rows)[:300]}")
    await remove(stage, rows)
    return rate


async def push(stage: Stage, lane: Lane) -> float:
    """Documents a second, of which the revisions were made elsewhere."""
    return await _replicate(stage, lane, asking=False)


async def replicate(stage: Stage, lane: Lane) -> float:
    """As `push`, after the question that replicators ask first."""
    return await _replicate(stage, lane, asking=True)


async def replicate_together(stage: Stage, lane: Lane) -> float:
    """Documents a second of several devices at once, each of which does what `replicate` does."""
    lots = [new_documents(COUNT) for _ in range(DEVICES)]
    batches = [({"docs": docs, "new_edits": False}, _question(docs)) for docs in lots]
    rate, answers = await _write_together(stage, lane, batches)
    if any(answers):
        raise RuntimeError(f"{lane.name} did not store all: {str(answers)[:300]}")
    await remove(stage, [{"id": doc["_id"], "rev": doc["_rev"]} for docs in lots for doc in docs])
    return rate


async def edit(stage: Stage, lane: Lane) -> float:
    """Documents a second that were edited elsewhere, after the question that replicators ask first.

    Whoever writes to the source itself has the whole document; a device has it as the profile `phone` shows it.
    """
    global _edited
    ids = [{"id": f"patient:{(_edited + number) % DOCS:07}"} for number in range(COUNT)]
    _edited += COUNT
    url, path = stage.source_url, f"/{DATABASE}/_bulk_get?revs=true"
    found = await stage.request("POST", url, path, {"docs": ids})
    docs = [_edit(result["docs"][0]["ok"], whole=lane.database == DATABASE) for result in found["results"]]
    rate, rows = await _write(stage, lane, {"docs": docs, "new_edits": False}, _question(docs))
    if rows:
        raise RuntimeError(f"{lane.name} did not store all: {str(rows)[:300]}")
    return rate


def _edit(leaf: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """The next revision of a document."""
    doc = leaf if whole else _shown(leaf)
    generation, ids = leaf["_revisions"]["start"] + 1, leaf["_revisions"]["ids"]
    digest = md5(leaf["_rev"].encode(), usedforsecurity=False).hexdigest()
    rev = {"_rev": f"{generation}-{digest}", "_revisions": {"start": generation, "ids": [digest, *ids]}}
    return {**doc, "weight": doc["weight"] + 0.1, **rev}


async def _replicate(stage: Stage, lane: Lane, *, asking: bool) -> float:
    docs = new_documents(COUNT)
    rate, rows = await _write(stage, lane, {"docs": docs, "new_edits": False}, _question(docs) if asking else None)
    if rows:
        raise RuntimeError(f"{lane.name} did not store all: {str(rows)[:300]}")
    await remove(stage, [{"id": doc["_id"], "rev": doc["_rev"]} for doc in docs])
    return rate


def _question(docs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What is asked by `_revs_diff` before the documents are pushed."""
    return {doc["_id"]: [doc["_rev"]] for doc in docs}


async def _write(stage: Stage, lane: Lane, batch: Any, question: Any = None) -> tuple[float, Any]:
    """Documents a second, and the rows. `question`: of `_revs_diff`."""
    rate, [rows] = await _write_together(stage, lane, [(batch, question)])
    return rate, rows


async def _write_together(stage: Stage, lane: Lane, batches: list[tuple[Any, Any]]) -> tuple[float, list[Any]]:
    """Documents a second, and the rows of each batch, which is sent with its question by a client of its own."""
    texts = [(jsonio.dumps(batch), None if question is None else jsonio.dumps(question)) for batch, question in batches]
    await stage.settle()
    began = time.perf_counter()
    answers = await asyncio.gather(*(_push(stage, lane, *each) for each in texts))
    return len(batches) * COUNT / (time.perf_counter() - began), answers


async def _push(stage: Stage, lane: Lane, batch: bytes, question: bytes | None) -> Any:
    """The rows."""
    client = stage.client(lane.url)
    headers = {**JSON_HEADERS, "Authorization": stage.authorization}

    async def post(path: str, body: bytes) -> Any:
        async with await client.request("POST", f"/{lane.database}/{path}", headers=headers, body=body) as reply:
            answer = jsonio.loads(await reply.read())
        if reply.status >= 300:
            raise RuntimeError(f"{lane.name} refused {path}: {answer}")
        return answer

    if question is not None:
        missing = await post("_revs_diff", question)
        if len(missing) != COUNT:
            raise RuntimeError(f"{lane.name} misses {len(missing)} of {COUNT} new documents")
    rows = await post("_bulk_docs", batch)
    client.close()
    return rows


async def remove(stage: Stage, rows: list[dict[str, Any]]) -> None:
    """Delete at the source what was written: `id` and `rev` of each."""
    gone = [{"_id": row["id"], "_rev": row["rev"], "_deleted": True} for row in rows]
    await stage.request("POST", stage.source_url, f"/{DATABASE}/_bulk_docs", {"docs": gone})


def without_revision(doc: dict[str, Any]) -> dict[str, Any]:
    """The document as it is before it is written."""
    return {name: value for name, value in doc.items() if name[:4] != "_rev"}


def new_documents(count: int) -> list[dict[str, Any]]:
    """Documents as the profile `phone` shows them, with a revision made elsewhere."""
    global _written
    docs = []
    for _ in range(count):
        _written += 1
        digest = md5(str(_written).encode(), usedforsecurity=False).hexdigest()
        rev = {"_rev": f"1-{digest}", "_revisions": {"start": 1, "ids": [digest]}}
        docs.append({**_shown(document(_written)), "_id": f"written:{_written:07}", **rev})
    return docs


def _shown(doc: dict[str, Any]) -> dict[str, Any]:
    """A document as the profile `phone` shows it."""
    visible = {key: value for key, value in doc.items() if key not in ("ssn", "billing")}
    return {**visible, "notes": [note for note in visible["notes"] if not note["private"]]}
