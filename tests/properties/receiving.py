"""The laws of reading: a device gets nothing that it may not see, and everything that it does, as its profile shows it.

A document that it gets is a revision of the source in its dress, the bare deletion of a document that it could see, or
a graft: a deletion that the source does not have, after a revision that it does.
"""

from __future__ import annotations

from typing import Any

from proxy.core import revisions
from proxy.core.revisions import Revisions
from proxy.fetch import ANCESTORS
from tests.properties.device import Doc, Held
from tests.properties.dressed import Dressed
from tests.properties.truth import IDS, Key, Truth, content, law, path_in

SECRETS = {
    "phone": (b"#ssn", b"#iban", b"#private", b"#cost", b'"!'),
    "tablet": (b"#private",),
    "slim": (b"#", b'"!'),
    "office": (b"#ssn",),
    "ward": (b"#cost",),
    "board": (b"#ssn",),
}
"""What no answer to a device in this dress may have in it, wherever."""


def check_received(truth: Truth, device: Dressed, grafts: set[Key]) -> None:
    """The documents that a device got since the last time; `grafts` among them are added. Raises Broken."""
    for doc in device.received:
        path = path_in(doc)
        law(doc["_rev"] == str(path.newest), "_rev and _revisions:", doc)
        whole = truth.history.get((doc["_id"], path.newest))
        if whole is None:
            _check_deletion(device, doc, path)
            grafts.add((doc["_id"], path.newest))
            path = Revisions(path.start - 1, path.ids[1:])
        elif (shown := device.shape(whole)) is not None:
            law(content(shown) == content(doc), device, "got", doc, "instead of", shown)
        else:
            law(whole.get("_deleted"), device, "got what it may not see:", doc)
            _check_deletion(
                device, doc, path, is_known=not _is_bare(whole) or _is_known(truth, device, doc["_id"], path)
            )
        law(revisions.path_of(truth.trees[doc["_id"]], path.newest) == path, "the path of", doc)
    device.received.clear()


def _check_deletion(device: Dressed, doc: Doc, path: Revisions, *, is_known: bool = True) -> None:
    """`is_known`: whether it is, whom the deletion concerns; otherwise all are told for whom nothing else decides."""
    law(content(doc) == {"_deleted": True}, device, "got more than a deletion:", doc)
    if is_known or device.dress != "board":
        law(device.saw_one_of(doc["_id"], path.revs()[1:]), device, "hears of what it never saw:", doc)


def _is_bare(whole: Doc) -> bool:
    return content(whole) == {"_deleted": True}


def _is_known(truth: Truth, device: Dressed, doc_id: str, path: Revisions) -> bool:
    above = [truth.history.get((doc_id, rev)) for rev in path.revs()[1:]]
    return not device.may_be_forgotten and not all(whole is None or _is_bare(whole) for whole in above)


def check_answers(truth: Truth, device: Dressed) -> None:
    """Every byte of the answers since the last time. Raises Broken."""
    strange = [doc_id for doc_id in IDS if doc_id not in device.docs and not _knows(truth, device, doc_id)]
    for request, answer in device.heard:
        for secret in (*SECRETS[device.dress], *map(str.encode, strange)):
            law(secret not in answer, device, request, "tells", secret, answer)
    device.heard.clear()


def _knows(truth: Truth, device: Dressed, doc_id: str) -> bool:
    return device.saw_one_of(doc_id, [rev for other, rev in truth.history if other == doc_id])


def check_held(truth: Truth, device: Dressed, doc_id: str, grafts: set[Key]) -> None:
    """What a device holds once all have replicated: what it is to see, and no more, but for edits that were denied.

    After compaction a device may keep what it was shown, unless an index knows that it was; and also where more than
    ANCESTORS revisions followed before the device asked. Raises Broken.
    """
    view, held = device.view(doc_id), device.docs.get(doc_id, Held())
    for rev, whole in view.items():
        law(rev in held.bodies, device, "lacks", doc_id, rev)
        law(content(held.bodies[rev]) == content(device.shape(whole) or {}), device, "has", held.bodies[rev])
    newest = max((rev.generation for other, rev in truth.history if other == doc_id), default=0)
    far = {rev for rev in held.live if rev not in view and newest - rev.generation > ANCESTORS}
    denied = {rev for rev in held.tree if (doc_id, str(rev)) in device.denied}
    for rev in revisions.leaves(held.tree) if held.tree else ():
        known = truth.history.get((doc_id, rev))
        if held.tree[rev].deleted:
            gone = (doc_id, rev) in grafts or (known and known.get("_deleted"))
            law(gone or rev in denied, device, "deleted", doc_id, rev)
        else:
            stale = known and (device.may_be_forgotten or rev in far)
            law(rev in view or rev in denied or stale, device, "still has", held.bodies[rev])
    if not denied and not device.may_be_forgotten:
        live = [rev for rev in held.live if rev not in far]
        law(list(view) == live, device, "has", doc_id, held.live, "instead of", list(view))


async def check_listing(device: Dressed) -> None:
    """`_all_docs` has the documents that the device is to see. Raises Broken."""
    answer = await device.ask("GET", "/_all_docs?include_docs=true&conflicts=true")
    listed = {
        row["id"]: [row["value"]["rev"], *row["doc"].get("_conflicts", ())]
        for row in answer.json["rows"]
        if row["doc"]["_rev"] == row["value"]["rev"]
    }
    expected = {doc_id: list(map(str, view)) for doc_id in IDS if (view := device.view(doc_id))}
    law(listed == expected, device, "lists", listed, "instead of", expected)


async def check_paging(device: Dressed) -> None:
    """Pages of any size have the rows of the whole feed, which has all that the device is to see. Raises Broken."""
    path = "/_changes?style=all_docs"
    rows = (await device.ask("GET", path)).json["results"]
    for limit in (1, 2):
        paged: list[Doc] = []
        since: Any = 0
        while True:
            page = (await device.ask("GET", f"{path}&since={since}&limit={limit}")).json["results"]
            paged += page
            if len(page) < limit:
                break
            since = page[-1]["seq"]
        law(paged == rows, device, "gets pages of", limit, paged, "instead of", rows)
    announced = {(row["id"], change["rev"]) for row in rows for change in row["changes"]}
    lacking = {(doc_id, str(rev)) for doc_id in IDS for rev in device.view(doc_id)} - announced
    law(not lacking, device, "is not told of", lacking)
