"""aiocouch, for asyncio."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Any

import aiocouch

from tests.clients.python.lines import PATIENCE, Row, serve

Doc = dict[str, Any]

couch: aiocouch.CouchDB
database: aiocouch.database.Database
rows: list[Row] = []
arrived = asyncio.Event()
reading: asyncio.Task[None]


async def open(server: str, name: str, user: str, password: str) -> list[str]:
    """The databases that there are."""
    global couch, database
    couch = aiocouch.CouchDB(server, user=user, password=password)
    await couch.check_credentials()
    database = await couch[name]
    names: list[str] = await couch.keys()
    return names


async def info() -> list[Any]:
    return [await couch.info(), await database.info()]


async def ids(**options: Any) -> list[str]:
    return [each async for each in database.akeys(**options)]


async def docs(ids: list[str] | None = None, **options: Any) -> list[Doc]:
    return [_whole(doc) async for doc in database.docs(ids, **options)]


async def find(selector: Doc, **options: Any) -> list[Doc]:
    return [_whole(doc) async for doc in database.find(selector, **options)]


async def get(doc_id: str, rev: str | None = None) -> Doc:
    return _whole(await database.get(doc_id, rev=rev))


async def about(doc_id: str) -> list[Any]:
    """What there is to know of a document: HEAD, conflicts, revisions."""
    doc = await database[doc_id]
    return [await doc.info(), await doc.conflicts(), await doc.revs()]


async def create(doc_id: str, data: Doc) -> Doc:
    doc = await database.create(doc_id, data=data)
    await doc.save()
    return _whole(doc)


async def edit(doc_id: str, fields: Doc, rev: str | None = None) -> Doc:
    doc = await database.get(doc_id, rev=rev)
    doc.update(fields)
    await doc.save()
    return _whole(doc)


async def copy(doc_id: str, new_id: str) -> None:
    await (await database[doc_id]).copy(new_id)


async def delete(doc_id: str) -> None:
    await (await database[doc_id]).delete()


async def bulk(new: list[Doc], edits: dict[str, Doc]) -> list[list[Doc]]:
    """The answers to two bulk operations."""
    async with database.create_docs() as creating:
        for doc in new:
            creating.create(doc["_id"], data=doc)
    async with database.update_docs(list(edits)) as updating:
        async for doc in updating:
            doc.update(edits[doc.id])
    return [creating.response, updating.response]


async def attachment(doc_id: str, name: str) -> bytes | None:
    found = (await database[doc_id]).attachment(name)
    data: bytes | None = await found.fetch() if await found.exists() else None
    return data


async def attach(doc_id: str, name: str, data: str, content_type: str) -> None:
    await (await database[doc_id]).attachment(name).save(b64decode(data), content_type)


async def detach(doc_id: str, name: str) -> None:
    await (await database[doc_id]).attachment(name).delete()


async def changes(last_event_id: str | None = None, **options: Any) -> list[Row]:
    return [event.json async for event in database.changes(last_event_id=last_event_id, **options)]


async def follow() -> None:
    async def read() -> None:
        async for event in database.changes(feed="continuous", include_docs=True):
            rows.append(event.json)
            arrived.set()

    global reading
    reading = asyncio.get_running_loop().create_task(read())


async def until_row(doc_id: str, name: str) -> list[Row]:
    async with asyncio.timeout(PATIENCE):
        while not any(row["id"] == doc_id and row["doc"].get("name") == name for row in rows):
            arrived.clear()
            await arrived.wait()
    return rows


async def view(design_doc: str, name: str) -> list[str]:
    return [each async for each in database.view(design_doc, name).ids()]


async def index(fields: list[str]) -> Any:
    return await database.index({"fields": fields})


async def close() -> None:
    await couch.close()


def _whole(doc: Any) -> Doc:
    """A document; only its id if it does not exist."""
    return doc.data or {"_id": doc.id}


if __name__ == "__main__":
    serve(
        open, info, ids, docs, find, get, about, create, edit, copy, delete, bulk, attachment, attach, detach,
        changes, follow, until_row, view, index, close,
    )  # fmt: skip
