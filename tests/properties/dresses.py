"""Six profiles and what each shows and hides, said a second time without the project's filters.

phone    its facility; no `ssn`, `billing`, private notes, visits' `cost`, tags that begin with `!`, images
tablet   all of its facilities; no `notes`, no attachments but images
slim     its facility; nothing but `facility`, `title` and the days of visits; no attachments
office   everything, `ssn` masked
ward     all of its facilities; `title` as `name`, visits' `cost` masked, two `tags`, attachments of up to 7 bytes
board    a site's own filter, which promises nothing: all but facility `f2`; no `ssn`
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from filters.attachments import Attachments
from filters.drop import Drop
from filters.keep import Keep
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.truncate import Truncate
from proxy.contract import Client, Filter
from tests.properties.truth import content
from tests.support.inprocess import profile

Doc = dict[str, Any]

USERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ann": ("ann", ("nurse", "facility:f1")),
    "bob": ("bob", ("nurse", "facility:f2")),
    "cem": ("cem", ("doctor", "facility:f1", "facility:f2")),
    "eva": ("eva", ("auditor",)),
}
FACILITIES = {"ann": ["f1"], "bob": ["f2"], "cem": ["f1", "f2"], "eva": ["f1", "f2", "f3"]}

_SMALL = 7


class Board(Filter):
    """Shows what does not say that it is hidden: a deletion without fields, to everybody."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return None if doc.get("facility") == "f2" else {name: doc[name] for name in doc if name != "ssn"}


PROFILES = [
    profile(
        "phone",
        Select(where="facility == client.facility"),
        Drop(paths=["ssn", "billing", "notes[?private]", "visits[].cost", "tags[?starts_with(@, '!')]"]),
        Attachments(deny=["image/*"]),
    ),
    profile(
        "tablet",
        Select(where="contains(client.grants.facility, facility)"),
        Drop(paths=["notes"]),
        Attachments(allow=["image/*"]),
    ),
    profile(
        "slim",
        Select(where="facility == client.facility"),
        Keep(paths=["facility", "title", "visits[].id", "visits[].day"]),
        Attachments(allow=[]),
    ),
    profile("office", Redact(paths=["ssn"]), others=["facility"]),
    profile(
        "ward",
        Rename(fields={"title": "name"}),
        Select(where="contains(client.grants.facility, facility)"),
        Redact(paths=["visits[].cost"], mode="hash", key="0123456789abcdef"),
        Truncate(paths=["tags"], items=2),
        Attachments(max_size=_SMALL),
    ),
    profile("board", Board(), others=["facility"]),
]


@dataclass(frozen=True)
class Dress:
    """What a profile makes of documents in the form of `Whole`, without protocol members but `_attachments`.

    `body` gives the visible part, `hidden` what must not change when a client edits, in a form that can be compared.
    """

    body: Callable[[Doc], Doc]
    hidden: Callable[[Doc], Doc]


def _is_image(entry: Doc) -> bool:
    return str(entry["content_type"]).startswith("image/")


def _with(doc: Doc, shown: Callable[[Doc], bool]) -> Doc:
    entries = {name: entry for name, entry in doc.get("_attachments", {}).items() if shown(entry)}
    rest = {name: value for name, value in doc.items() if name != "_attachments"}
    return {**rest, "_attachments": entries} if entries else rest


def _attachments(doc: Doc, hidden: Callable[[Doc], bool]) -> Doc:
    return {name: entry["data"] for name, entry in doc.get("_attachments", {}).items() if hidden(entry)}


def _is_large(entry: Doc) -> bool:
    return len(b64decode(entry["data"])) > _SMALL


def _costs(doc: Doc) -> Doc:
    return {str(visit["id"]): visit["cost"] for visit in doc.get("visits", ()) if "cost" in visit}


def _phone(doc: Doc) -> Doc:
    shown = {name: value for name, value in doc.items() if name not in ("ssn", "billing")}
    if "notes" in doc:
        shown["notes"] = [note for note in doc["notes"] if not note.get("private")]
    if "visits" in doc:
        shown["visits"] = [{n: v for n, v in visit.items() if n != "cost"} for visit in doc["visits"]]
    if "tags" in doc:
        shown["tags"] = [tag for tag in doc["tags"] if not tag.startswith("!")]
    return _with(shown, lambda entry: not _is_image(entry))


def _phone_hidden(doc: Doc) -> Doc:
    return {
        **{name: doc[name] for name in ("ssn", "billing") if name in doc},
        "notes": [note for note in doc.get("notes", ()) if note.get("private")],
        "costs": _costs(doc),
        "tags": [tag for tag in doc.get("tags", ()) if tag.startswith("!")],
        "_attachments": _attachments(doc, _is_image),
    }


def _tablet(doc: Doc) -> Doc:
    return _with({name: value for name, value in doc.items() if name != "notes"}, _is_image)


def _tablet_hidden(doc: Doc) -> Doc:
    return {"notes": doc.get("notes"), "_attachments": _attachments(doc, lambda entry: not _is_image(entry))}


def _slim(doc: Doc) -> Doc:
    shown: Doc = {name: doc[name] for name in ("facility", "title", "_deleted") if name in doc}
    if "visits" in doc:
        shown["visits"] = [{n: visit[n] for n in ("id", "day") if n in visit} for visit in doc["visits"]]
    return shown


def _slim_hidden(doc: Doc) -> Doc:
    rest = {n: v for n, v in doc.items() if n[0] != "_" and n not in ("facility", "title", "visits")}
    return {"rest": rest, "costs": _costs(doc), "_attachments": _attachments(doc, lambda entry: True)}


def _office(doc: Doc) -> Doc:
    return {**doc, "ssn": "***"} if "ssn" in doc else doc


def _office_hidden(doc: Doc) -> Doc:
    return {"ssn": doc.get("ssn")}


def _board(doc: Doc) -> Doc:
    return {name: value for name, value in doc.items() if name != "ssn"}


def _masked(cost: str) -> str:
    return blake2b(json.dumps(cost).encode(), key=b"0123456789abcdef", digest_size=16).hexdigest()


def _ward(doc: Doc) -> Doc:
    shown = {"name" if name == "title" else name: value for name, value in doc.items() if name != "name"}
    if "visits" in doc:
        shown["visits"] = [{n: _masked(v) if n == "cost" else v for n, v in visit.items()} for visit in doc["visits"]]
    if "tags" in doc:
        shown["tags"] = doc["tags"][:2]
    return _with(shown, lambda entry: not _is_large(entry))


def _ward_hidden(doc: Doc) -> Doc:
    return {
        "name": doc.get("name"),
        "tags": doc.get("tags", [])[2:],
        "costs": _costs(doc),
        "_attachments": _attachments(doc, _is_large),
    }


DRESSES = {
    "phone": Dress(_phone, _phone_hidden),
    "tablet": Dress(_tablet, _tablet_hidden),
    "slim": Dress(_slim, _slim_hidden),
    "office": Dress(_office, _office_hidden),
    "ward": Dress(_ward, _ward_hidden),
    "board": Dress(_board, _office_hidden),
}
PROMISING = DRESSES.keys() - {"board"}
"""Those of which an index keeps what decides."""


def shape(doc: Doc, user: str, dress: str) -> Doc | None:
    """What a device of `user` with this dress sees of a body; None if it sees nothing."""
    if dress == "board":
        return None if doc.get("facility") == "f2" or content(doc) == {"_deleted": True} else _board(doc)
    if dress != "office" and doc.get("facility") not in FACILITIES[user]:
        return None
    return DRESSES[dress].body(doc)
