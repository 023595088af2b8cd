"""Which revisions of a document a view shows: its own tree, cut from the source's.

Rules, for each leaf of the source's tree (the revision in hand is judged, never only the winner):

    its body is visible                       the leaf itself, shaped
    else, a deletion whose newest judgeable   the leaf itself, as a bare tombstone: the client could see the document,
      ancestors include a visible one         and may know that it is gone
    else, live, with such an ancestor         a graft: a deletion that only this view has, child of that ancestor
    else                                      nothing: the document is as good as absent

Ancestors are judged newest first, as far as the source still has their bodies, ANCESTORS of them at most. A graft goes
above those of them without a body that follow the visible one (see `_last_held`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from proxy.contract import Doc
from proxy.core.grafts import may_be_graft
from proxy.core.revisions import descends, parse_rev, rank
from proxy.errors import Unavailable
from proxy.fetch import ANCESTORS, ancestry, fetch_leaves, fetch_revisions
from proxy.sizes import at_once
from proxy.view import View


class Shown(NamedTuple):
    """A revision as a view shows it. `origin`: the source's revision to read attachments from, None if it has none."""

    doc: Doc
    origin: str | None
    departed: bool = False
    """Whether the view shows it for an ancestor that it could see: as long as the source has the body of that."""

    @property
    def rev(self) -> str:
        rev: str = self.doc["_rev"]
        return rev

    @property
    def deleted(self) -> bool:
        return self.doc.get("_deleted") is True


def precedence(rev: str, deleted: bool) -> tuple[bool, int, bytes]:
    """Orders a source's leaves: the winner is the greatest. Raises Unavailable for what is no revision."""
    try:
        return (not deleted, *rank(parse_rev(rev)))
    except ValueError:
        raise Unavailable("The source gives a revision that is none.") from None


async def view_leaves(view: View, ids: Iterable[str]) -> dict[str, list[Shown]]:
    """The leaves of each document in this view, the view's winner first; ids without any are absent."""
    return await judge(view, await fetch_leaves(view, ids))


async def judge(view: View, leaves: dict[str, list[Doc]]) -> dict[str, list[Shown]]:
    """What the view shows for the source's leaves (with `_revisions`), the view's winner first."""
    shown: dict[str, list[Shown]] = defaultdict(list)
    dark: list[Doc] = []
    for doc_id, docs in leaves.items():
        for doc in docs:
            shaped = view.shape(doc)
            if shaped is None:
                dark.append(doc)
            else:
                shown[doc_id].append(Shown(shaped, doc["_rev"]))
    # tombstones, then grafts, the newest first: what may supersede one comes before it, in any order of leaves
    departed = await departures(view, dark)
    for leaf in sorted(departed, key=lambda leaf: (leaf.origin is None, -precedence(leaf.rev, True)[1])):
        others = shown[leaf.doc["_id"]]
        if leaf.origin is not None or not _superseded(leaf, others):
            others.append(leaf)
    return {
        doc_id: sorted(docs, key=lambda leaf: precedence(leaf.rev, leaf.deleted), reverse=True) if docs[1:] else docs
        for doc_id, docs in shown.items()
        if docs
    }


def _superseded(graft: Shown, leaves: list[Shown]) -> bool:
    """Whether the client will learn what became of a graft's parent from another leaf that descends from it."""
    parents = ancestry(graft.doc)[:1]
    return any(descends(leaf.doc, parent) for parent in parents for leaf in leaves)


async def departures(view: View, dark: Sequence[Doc]) -> list[Shown]:
    """For invisible leaves: the deletion by which the view learns that the document is gone, where it could see it."""
    candidates = {
        (doc["_id"], doc["_rev"]): ancestry(doc, ANCESTORS)
        for doc in dark
        if view.profile.design_docs or not doc["_id"].startswith("_design/")
    }
    held: dict[tuple[str, str], str | None] = {}
    for some in _together(view, [(key, revs) for key, revs in candidates.items() if revs]):
        bodies = await fetch_revisions(view, [(key[0], rev) for key, revs in some for rev in revs], kept=True)
        held |= {key: _last_held(view, key[0], revs, bodies) for key, revs in some}
    return [
        bare_tombstone(doc) if doc.get("_deleted") else graft(view, doc, last)
        for doc in dark
        if (last := held.get((doc["_id"], doc["_rev"]))) is not None
    ]


_Candidate = tuple[tuple[str, str], list[str]]
"""A leaf, by id and revision, and its ancestors."""


def _together(view: View, candidates: Sequence[_Candidate]) -> Iterator[Sequence[_Candidate]]:
    """The candidates in parts, of so many ancestors each as are to be read at once, or a few more."""
    part: list[_Candidate] = []
    count = 0
    for candidate in candidates:
        part.append(candidate)
        count += len(candidate[1])
        if count >= at_once(view):
            yield part
            part, count = [], 0
    if part:
        yield part


def _last_held(view: View, doc_id: str, revs: Iterable[str], bodies: Mapping[tuple[str, str], Doc]) -> str | None:
    """The newest of `revs`, which are newest first, that a client may hold; None if it could see none of them.

    That is the newest one that it could see, or what follows that without a body: a device that pushed several edits
    at once sent the body of the last, and one that made the same edits has the same revisions.
    """
    held: str | None = None
    for rev in revs:
        body = bodies.get((doc_id, rev))
        if body is None:
            held = held or rev
        elif view.shape(body) is not None:
            return held or rev
        else:
            held = None
    return None


def bare_tombstone(doc: Doc) -> Shown:
    """A deletion of the source without anything that its body may hold."""
    bare = {"_id": doc["_id"], "_rev": doc["_rev"], "_deleted": True}
    if "_revisions" in doc:
        bare["_revisions"] = doc["_revisions"]
    return Shown(bare, doc["_rev"], departed=True)


def graft(view: View, doc: Doc, held: str) -> Shown:
    """The view's own deletion after `held`, an ancestor of `doc` (with `_revisions`)."""
    revisions = doc["_revisions"]
    generation = int(held.partition("-")[0])
    return _grown(view, doc["_id"], held, revisions["ids"][revisions["start"] - generation :])


def _grown(view: View, doc_id: str, held: str, path: list[str]) -> Shown:
    """The deletion after `held`; `path` is its path, hashes, newest first."""
    rev = view.grafts.departure(doc_id, held)
    generation, _, digest = rev.partition("-")
    revisions = {"start": int(generation), "ids": [digest, *path]}
    return Shown({"_id": doc_id, "_rev": rev, "_deleted": True, "_revisions": revisions}, None, departed=True)


async def resolve(
    view: View, wanted: Sequence[tuple[str, str | None]], latest: bool, *, encodings: bool = False
) -> list[list[Shown]]:
    """For each (id, rev) what the view shows: all its leaves for rev None, with `latest` the leaves that descend from
    rev, otherwise that revision. An empty list: nothing that this client may know of. `encodings`: with the encodings
    of attachments.
    """
    extra = [("att_encoding_info", "true")] if encodings else []
    by_leaves = [doc_id for doc_id, rev in wanted if rev is None or latest]
    raw = await fetch_leaves(view, by_leaves, extra=extra) if by_leaves else {}
    leaves = await judge(view, raw) if raw else {}
    exact = [(doc_id, rev) for doc_id, rev in wanted if rev is not None and not latest]
    named = await _resolve_exact(view, exact, extra) if exact else {}
    unknown: list[tuple[str, str]] = []
    results: list[list[Shown]] = []
    for doc_id, rev in wanted:
        if rev is None:
            found = leaves.get(doc_id, [])
        elif latest:
            found = [leaf for leaf in leaves.get(doc_id, ()) if descends(leaf.doc, rev)]
        else:
            found = [named[doc_id, rev]] if (doc_id, rev) in named else []
        if not found and rev is not None:
            unknown.append((doc_id, rev))
        results.append(found)
    if unknown:
        await _fill_grafts(view, wanted, results, unknown)
    return results


async def _resolve_exact(
    view: View, wanted: list[tuple[str, str]], extra: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Shown]:
    named: dict[tuple[str, str], Shown] = {}
    dark = []
    for key, doc in (await fetch_revisions(view, wanted, extra=extra)).items():
        shaped = view.shape(doc)
        if shaped is not None:
            named[key] = Shown(shaped, doc["_rev"])
        elif doc.get("_deleted"):
            dark.append(doc)
    for departed in await departures(view, dark):
        named[departed.doc["_id"], departed.rev] = departed
    return named


async def _fill_grafts(
    view: View,
    wanted: Sequence[tuple[str, str | None]],
    results: list[list[Shown]],
    unknown: list[tuple[str, str]],
) -> None:
    """Put the grafts among revisions that the source does not know into `results`."""
    grafts = await find_grafts(view, unknown)
    for index, (doc_id, rev) in enumerate(wanted):
        if rev is not None and not results[index] and (doc_id, rev) in grafts:
            results[index] = [grafts[doc_id, rev]]


async def find_grafts(view: View, revs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Shown]:
    """Those of (id, rev) pairs that are grafts of this view: recognised by the key, on any path of the document."""
    asked = [(doc_id, rev) for doc_id, rev in revs if may_be_graft(rev)]
    if not asked:
        return {}
    leaves = await fetch_leaves(view, [doc_id for doc_id, _ in asked])
    paths: dict[tuple[str, str], list[str]] = {}
    for doc_id, rev in asked:
        for leaf in leaves.get(doc_id, ()):
            path = view.grafts.find_departure(doc_id, rev, leaf["_revisions"]["start"], leaf["_revisions"]["ids"])
            if path is not None:
                paths[doc_id, rev] = path
    below = {(doc_id, rev): _named(rev, path)[:ANCESTORS] for (doc_id, rev), path in paths.items()}
    bodies = await fetch_revisions(view, [(key[0], rev) for key, revs in below.items() for rev in revs], kept=True)
    return {
        (doc_id, rev): _grown(view, doc_id, revs[0], paths[doc_id, rev])
        for (doc_id, rev), revs in below.items()
        if _last_held(view, doc_id, revs, bodies) == revs[0]
    }


def _named(graft: str, path: Iterable[str]) -> list[str]:
    """The revisions of a path, hashes from the parent of `graft` on."""
    newest = int(graft.partition("-")[0]) - 1
    return [f"{newest - age}-{digest}" for age, digest in enumerate(path)]
