"""What all of Python's libraries are asked for, and the words of their rows."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from tests.compatibility.clients.driver import Driver
from tests.compatibility.clients.place import Place
from tests.support.clinic import BIG, SMALL, body, patient

PHOTO = b"\x89PNG small"
PHOTO_IN_BASE64 = b64encode(PHOTO).decode()
LOSER = "2-" + "a" * 32

FEED = "changes feed with `include_docs`, from the start and while it goes on"
FUNCTIONS = "views and indexes"
FORBIDDEN = "`forbidden`: they run in the source, on what is hidden; `find` works on what is shown"


def fresh(number: int) -> dict[str, Any]:
    return {"_id": f"patient:{number}", "facility": "f1", "name": f"Name {number}", "notes": []}


def by_id(docs: list[Any]) -> dict[str, Any]:
    return {doc["_id"]: body(doc) for doc in docs}


def with_functions(place: Place) -> None:
    """A design document that tells what is hidden to whoever may call it."""
    place.database.put({"_id": "_design/mine", "views": {"all": {"map": "function (doc) { emit(doc.ssn); }"}}})
    place.fill()


def follows(place: Place, client: Driver, *args: Any) -> list[Any]:
    """The rows of a feed that began before the change that it ends with."""
    client.follow(*args)
    client.until_row("patient:5", "right")
    place.database.edit("patient:3", name="changed")
    rows: list[Any] = client.until_row("patient:3", "changed")
    assert by_id([each["doc"] for each in rows if not each.get("deleted")]) == place.cut()
    place.assert_nothing_hidden()
    return rows


def attachments_work(place: Place, client: Driver, *rev: str) -> None:
    """One is read, another one added, beside one that it does not see."""
    assert b64decode(client.attachment("patient:1", "note.txt")) == SMALL
    client.attach("patient:1", "photo.png", PHOTO_IN_BASE64, "image/png", *rev)
    assert place.database.get_attachment("patient:1", "photo.png") == PHOTO
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    assert place.whole("patient:1") == patient(1)
