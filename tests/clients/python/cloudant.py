"""python-cloudant, no longer maintained and still in use: a session by cookie; its databases and documents."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from cloudant.client import Cloudant
from cloudant.document import Document
from cloudant.result import Result

from tests.clients.python.lines import Rows, serve

client: Cloudant
db: Any
rows: Rows


def open(url: str, name: str, user: str, password: str) -> list[str]:
    """The databases that there are."""
    global client, db
    client = Cloudant(user, password, url=url, connect=True, auto_renew=True)
    assert client.session()["userCtx"]["name"] == user
    assert client.session_cookie()
    db = client[name]
    names: list[str] = client.all_dbs()
    return names


def database(method: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(db, method)(*args, **kwargs)


def all_of(page_size: int) -> list[Any]:
    """The documents, page by page in each of its two ways."""
    result = Result(db.all_docs, include_docs=True, page_size=page_size)
    db._fetch_limit = page_size
    return [[row["doc"] for row in result], [dict(doc) for doc in db]]


def result(*key: Any) -> Any:
    """Rows by a key, or by a slice of keys."""
    found = Result(db.all_docs)
    return found[key[0]] if len(key) == 1 else found[key[0] : key[1]]


def find(selector: Any, page_size: int) -> Any:
    return list(db.get_query_result(selector, page_size=page_size))


def get(doc_id: str) -> Any:
    """What is there now, not what it remembers."""
    with_it = Document(db, doc_id)
    with_it.fetch()
    return with_it


def contains(doc_id: str) -> bool:
    return doc_id in db


def create(doc: Any) -> Any:
    return db.create_document(doc, throw_on_exists=True)


def edit(doc_id: str, name: str) -> None:
    with Document(db, doc_id) as doc:
        doc["name"] = name


def update_field(doc_id: str, field: str, value: Any) -> None:
    doc = Document(db, doc_id)
    doc.update_field(action=doc.field_set, field=field, value=value)


def delete(doc_id: str) -> None:
    doc = Document(db, doc_id)
    doc.fetch()
    doc.delete()


def attachment(doc_id: str, name: str) -> Any:
    return Document(db, doc_id).get_attachment(name, attachment_type="binary")


def attach(doc_id: str, name: str, data: str, content_type: str) -> Any:
    return Document(db, doc_id).put_attachment(name, content_type, b64decode(data))


def detach(doc_id: str, name: str) -> Any:
    return Document(db, doc_id).delete_attachment(name)


def changes(**options: Any) -> Any:
    feed = db.changes(**options)
    return [list(feed), feed.last_seq]


def follow() -> None:
    global rows
    rows = Rows(db.infinite_changes(include_docs=True, heartbeat=1000, chunk_size=1))


def until_row(doc_id: str, name: str) -> Any:
    return rows.until(doc_id, name)


def disconnect() -> None:
    client.disconnect()


if __name__ == "__main__":
    serve(
        open, database, all_of, result, find, get, contains, create, edit, update_field, delete, attachment, attach,
        detach, changes, follow, until_row, disconnect,
    )  # fmt: skip
