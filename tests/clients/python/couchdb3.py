"""couchdb3, on httpx: its `Database` method by method, in a session by cookie as it has it by default."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import couchdb3

from tests.clients.python.lines import Rows, serve

server: couchdb3.Server
db: couchdb3.Database
rows: Rows


def open(url: str, name: str) -> list[str]:
    """The databases that there are."""
    global server, db
    server = couchdb3.Server(url)
    db = server.get(name, check=True)
    names: list[str] = server.all_dbs()
    return names


def database(method: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(db, method)(*args, **kwargs)


def contains(doc_id: str) -> bool:
    return doc_id in db


def up() -> bool:
    alive: bool = server.up()
    return alive


def attachment(doc_id: str, name: str) -> bytes:
    data: bytes = db.get_attachment(doc_id, name).content
    return data


def attach(doc_id: str, name: str, data: str, content_type: str, rev: str) -> Any:
    return db.put_attachment(doc_id, name, content=b64decode(data), content_type=content_type, rev=rev)


def follow() -> None:
    def feed() -> Any:
        with db.changes_stream(include_docs=True, heartbeat=1000) as stream:
            yield from stream

    global rows
    rows = Rows(feed())


def until_row(doc_id: str, name: str) -> Any:
    return rows.until(doc_id, name)


if __name__ == "__main__":
    serve(open, database, contains, up, attachment, attach, follow, until_row)
