"""CouchDB-Python, the oldest of them, no longer maintained and still in use: dictionaries, and its `couchdb-dump`."""

from __future__ import annotations

import io
from base64 import b64decode
from typing import Any

import couchdb
from couchdb.tools.dump import dump_db

from tests.clients.python.lines import Rows, serve

server: couchdb.Server
db: Any
rows: Rows


def open(url: str, name: str) -> list[str]:
    """The databases that there are."""
    global server, db
    server = couchdb.Server(url)
    assert name in server
    db = server[name]
    return list(server)


def login(user: str, password: str) -> bool:
    """Whether the token of a session is taken."""
    taken: bool = server.verify_token(server.login(user, password))
    return taken


def database(method: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(db, method)(*args, **kwargs)


def names() -> list[str]:
    return [doc_id for doc_id in db]  # noqa: C416 - list(db) asks for its length as well


def count() -> int:
    return len(db)


def contains(doc_id: str) -> bool:
    return doc_id in db


def listed(*args: Any, **options: Any) -> list[Any]:
    """`_all_docs`, in one answer and page by page."""
    whole = [dict(row) for row in db.view("_all_docs", *args, **options)]
    return [whole, [dict(row) for row in db.iterview("_all_docs", 2, **options)]]


def revisions(doc_id: str) -> list[str]:
    return [doc.rev for doc in db.revisions(doc_id)]


def set(doc_id: str, content: Any) -> Any:
    db[doc_id] = content
    return content


def update(docs: list[Any]) -> list[Any]:
    """Success and id of each."""
    return [row[:2] for row in db.update(docs)]


def remove(doc_id: str) -> None:
    del db[doc_id]


def attachment(doc_id: str, name: str) -> bytes:
    data: bytes = db.get_attachment(doc_id, name).read()
    return data


def attach(doc_id: str, name: str, data: str, content_type: str) -> None:
    db.put_attachment(db[doc_id], b64decode(data), name, content_type)


def detach(doc_id: str, name: str) -> None:
    db.delete_attachment(db[doc_id], name)


def view(name: str) -> list[Any]:
    return list(db.view(name))


def replicate(source: str, target: str) -> Any:
    return server.replicate(source, target)


def dump(url: str) -> str:
    output = io.BytesIO()
    dump_db(url, output=output)
    return output.getvalue().decode()


def follow() -> None:
    def feed() -> Any:
        yield from db.changes(feed="continuous", include_docs=True, heartbeat=1000)

    global rows
    rows = Rows(feed())


def until_row(doc_id: str, name: str) -> Any:
    return rows.until(doc_id, name)


if __name__ == "__main__":
    serve(
        open, login, database, names, count, contains, listed, revisions, set, update, remove, attachment, attach,
        detach, view, replicate, dump, follow, until_row,
    )  # fmt: skip
