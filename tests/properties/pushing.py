"""The laws of writing: what is acknowledged is stored, what is refused is not, and nothing hidden is lost or changed.

A revision that a device wrote has, at the source, exactly the hidden parts of the revision that was edited, and what
the device reads back is what it wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.core.revisions import Revisions
from tests.properties.device import Doc, Push
from tests.properties.dressed import Dressed
from tests.properties.dresses import DRESSES
from tests.properties.truth import Key, Truth, content, law, path_in

Winners = dict[tuple[str, str], Doc | None]
"""By the name of a device and a document's id: what the device saw as winner before."""


def winners(devices: Sequence[Dressed], ids: Sequence[str]) -> Winners:
    """What the devices see now."""
    return {(device.name, doc_id): _winner(device, doc_id) for device in devices for doc_id in ids}


def _winner(device: Dressed, doc_id: str, without: set[Key] | None = None) -> Doc | None:
    view = device.view(doc_id).items()
    return next((doc for rev, doc in view if (doc_id, rev) not in (without or ())), None)


class Pushes:
    """The pushes since the last time. `fresh`: the revisions whose bodies the source got since; `grafts`: all known."""

    def __init__(
        self, truth: Truth, devices: Sequence[Dressed], grafts: set[Key], fresh: set[Key], before: Winners
    ) -> None:
        self._truth = truth
        self._devices = devices
        self._grafts = grafts
        self._fresh = fresh
        self._before = before

    def check(self) -> None:
        """Raises Broken."""
        for device in self._devices:
            for push in device.pushes:
                for doc in push.docs:
                    self._check(device, push, doc, path_in(doc))
        for device in self._devices:
            device.pushes.clear()

    def _check(self, device: Dressed, push: Push, doc: Doc, path: Revisions) -> None:
        key = (doc["_id"], path.newest)
        if key in self._grafts:
            law(key not in self._truth.history, device, "stored a graft", key)
            return
        known = path.newest in self._truth.trees[doc["_id"]]
        if push.rows is not None:
            refused = any((row["id"], row["rev"]) == (doc["_id"], doc["_rev"]) for row in push.rows)
            law(known or refused, "acknowledged to", device, "and not stored:", doc)
            law(not (refused and key in self._fresh and not self._is_others(device, doc)), "refused and stored:", doc)
        if known:
            self._truth.shade(doc["_id"], path, doc.get("_deleted") is True)
        if key in self._fresh:
            written = device.docs[doc["_id"]].bodies[path.newest]
            check_whole(device, self._truth.history[key], written, self._originals(device, doc["_id"], path))

    def _is_others(self, device: Dressed, doc: Doc) -> bool:
        """Whether another device pushed the same revision."""
        return any(
            (one["_id"], one["_rev"]) == (doc["_id"], doc["_rev"])
            for other in self._devices
            for push in other.pushes
            for one in push.docs
            if other is not device
        )

    def _originals(self, device: Dressed, doc_id: str, path: Revisions) -> list[Doc | None]:
        """What a pushed revision edited: its newest ancestor with a body, or else its parent, if the proxy has
        kept that, or what the device saw as winner. Nothing, if the device made all of its path by itself.

        The winner may have changed between the parts of one push.
        """
        for rev in path.revs()[1:]:
            if (doc_id, rev) in self._truth.stored:
                return [self._truth.history[doc_id, rev]]
        if path.start == len(path.ids) and not any((doc_id, rev) in self._truth.history for rev in path.revs()[1:]):
            return [None]
        known = [self._truth.history[doc_id, rev] for rev in path.revs()[1:2] if (doc_id, rev) in self._truth.history]
        return [*known, self._before.get((device.name, doc_id)), _winner(device, doc_id, self._fresh)]


def check_whole(device: Dressed, whole: Doc, written: Doc, originals: Sequence[Doc | None]) -> None:
    """What `written` became at the source; it was an edit of one of `originals`. Raises Broken."""
    law(written.get("_deleted") == whole.get("_deleted"), "deleted:", written, whole)
    if written.get("_deleted"):
        _check_tombstone(device, whole, written, originals)
        return
    shown = device.shape(whole)
    law(shown is not None and content(shown) == content(written), "not read back:", written, "but", shown)
    hidden = DRESSES[device.dress].hidden(whole)
    expected = [_hidden_in(original, device, whole) for original in originals]
    law(hidden in expected, device, "wrote", written, "with", hidden, "instead of", expected)


def _hidden_in(original: Doc | None, device: Dressed, whole: Doc) -> Doc:
    """What is hidden in the original, without what belongs to visits that were removed; of a deletion, nothing."""
    seen = original is not None and device.shape(original) is not None and not original.get("_deleted")
    hidden = DRESSES[device.dress].hidden(original if original is not None and seen else {})
    left = {str(visit["id"]) for visit in whole.get("visits", ())}
    costs = {visit: cost for visit, cost in hidden.get("costs", {}).items() if visit in left}
    return {**hidden, "costs": costs} if "costs" in hidden else hidden


def _check_tombstone(device: Dressed, whole: Doc, written: Doc, originals: Sequence[Doc | None]) -> None:
    """A deletion keeps what was sent, and what tells whom it concerns; one of a deletion is like any other edit."""
    buried = {name for one in originals if one and one.get("_deleted") for name in content(one)}
    renamed = {"title"} if "name" in written else set()
    surplus = content(whole).keys() - content(written).keys() - {"facility"} - buried - renamed
    law(not surplus, "a tombstone keeps", surplus, whole)
    facilities = {None if one is None or device.shape(one) is None else one.get("facility") for one in originals}
    if "facility" not in written:
        law(whole.get("facility") in facilities, "a tombstone lost its audience:", whole)
