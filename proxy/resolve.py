"""Which revisions of a document a view shows: its own tree, cut from the source's.

Rules, for each leaf of the source's tree (the revision in hand is judged, never only the winner):

    its body is visible                       the leaf itself, shaped
    else, a deletion whose newest judgeable   the leaf itself, as a bare tombstone: the client could see the document,
      ancestors include a visible one           and may know that it is gone. If the newest of them is visible, one that
                                                may say too little of whom it reached has its own fields
    else, a deletion that may say too little  the leaf itself, as its own fields have it: nothing is known of what it
      of whom it reached, and no ancestor       deleted, and devices may have that
      that could be judged
    else, live, with such an ancestor         a graft: a deletion that only this view has, child of that ancestor
    else                                      nothing: the document is as good as absent

Of a feed that begins anew, since rules or roles have changed, leaves that were visible before count as what the client
has: a live one has a graft as its child, a deletion is a bare tombstone.

Ancestors are judged newest first: ANCESTORS of them at most by their bodies, as far as the source still has them, and
all by what the feed index has kept. A graft goes above those of them without a body that follow the visible one (see
`_last_held`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from proxy.contract import Doc
from proxy.core.grafts import Graft, may_be_graft
from proxy.core.revisions import descends, parse_rev, rank
from proxy.errors import Unavailable
from proxy.fetch import ANCESTORS, Revision, ancestry, fetch_leaves, fetch_revisions, look_at, path_of
from proxy.sizes import in_parts
from proxy.turns import Turn, in_turns
from proxy.view import View


class Shown(NamedTuple):
    """A revision as a view shows it. `origin`: the source's revision to read attachments from, None if it has none."""

    doc: Doc
    origin: str | None
    departed: bool = False
    """Whether the view shows it for an ancestor that it could see: as long as the source has the body of that."""
    closes: bool = False
    """Whether it is the deletion of a revision that was shown again."""
    all_attachments: bool = False
    """Whether it is known that the view hides none of its attachments."""

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
    return await judge(view, await fetch_leaves(view, ids), None)


Told = Callable[[View, Doc], bool]
"""Whether a client is to be told that an invisible leaf is gone, since former rules have shown it."""


def no_leaf(view: View, doc: Doc) -> bool:
    """Whatever the client has, it is no live leaf that only former rules have shown."""
    return doc.get("_deleted") is True and view.was_shown(doc)


async def judge(view: View, leaves: dict[str, list[Doc]], told: Told | None = no_leaf) -> dict[str, list[Shown]]:
    """What the view shows for the source's leaves (with `_revisions`), the view's winner first.

    `told`: None if nothing that former rules have shown matters, be it leaves or what they grew out of.
    """
    shown: dict[str, list[Shown]] = defaultdict(list)
    dark: list[Doc] = []
    turn = Turn()
    for doc_id, docs in leaves.items():
        for doc in docs:
            shaped = view.shape(doc)
            if shaped is None:
                dark.append(doc)
            else:
                shown[doc_id].append(Shown(shaped, doc["_rev"]))
            if turn.is_over():
                await turn.pass_on()
    # tombstones, then grafts, the newest first: what may supersede one comes before it, in any order of leaves
    departed = await departures(view, dark, told)
    for leaf in sorted(departed, key=lambda leaf: (leaf.origin is None, -precedence(leaf.rev, True)[1])):
        others = shown[leaf.doc["_id"]]
        if leaf.origin is not None or not _superseded(leaf, others):
            others.append(leaf)
    return {doc_id: in_order(docs) for doc_id, docs in shown.items() if docs}


def shown_as(doc: Doc, shaped: Doc) -> Shown:
    """A source's document, of which the view shows what is `shaped`."""
    held = doc.get("_attachments")
    return Shown(
        shaped, doc["_rev"], all_attachments=not held or held.keys() == (shaped.get("_attachments") or {}).keys()
    )


def in_order(leaves: list[Shown]) -> list[Shown]:
    """The leaves of one document, the view's winner first."""
    if not leaves[1:]:
        return leaves
    return sorted(leaves, key=lambda leaf: precedence(leaf.rev, leaf.deleted), reverse=True)


def _superseded(graft: Shown, leaves: list[Shown]) -> bool:
    """Whether the client will learn what became of a graft's parent from another leaf that descends from it."""
    parents = ancestry(graft.doc)[:1]
    return any(descends(leaf.doc, parent) for parent in parents for leaf in leaves)


async def departures(view: View, dark: Sequence[Doc], told: Told | None = no_leaf) -> list[Shown]:
    """For invisible leaves: the deletion by which the view learns that the document is gone, where it could see it.
    `told` as in `judge`.
    """
    candidates: dict[Revision, Sequence[str]] = {}
    lost: list[Revision] = []
    formerly = told is not None and bool(view.past.formers)
    for doc in dark:
        if view.profile.design_docs or not doc["_id"].startswith("_design/"):
            leaf = (doc["_id"], doc["_rev"])
            if told is not None and formerly and told(view, doc):
                lost.append(leaf)
            else:
                candidates[leaf] = ancestry(doc, None if view.traces else ANCESTORS)
    seen = await _seen(view, candidates, formerly=formerly)
    held = {(doc_id, rev): _last_held(doc_id, revs, seen) for (doc_id, rev), revs in candidates.items()}
    held |= {leaf: leaf[1] for leaf in lost}
    found = []
    for doc in dark:
        doc_id, rev = doc["_id"], doc["_rev"]
        last, own = held.get((doc_id, rev)), view.undecided(doc)
        if own is not None and last is None and (doc_id, rev) in candidates:
            last = rev if all(seen.get((doc_id, each)) is None for each in candidates[doc_id, rev]) else None
        if last is not None:
            above = candidates.get((doc_id, rev), ())
            found.append(_departure(view, doc, last, None if _was_hidden(doc_id, above, seen) else own))
    return found


def _departure(view: View, doc: Doc, held: str, own: Doc | None) -> Shown:
    """`own`: what a deletion has itself to tell."""
    if own is not None:
        return Shown(own, doc["_rev"], departed=True)
    return bare_tombstone(doc) if doc.get("_deleted") else graft(view, doc, held)


def _was_hidden(doc_id: str, revs: Iterable[str], seen: Mapping[Revision, bool | None]) -> bool:
    """Whether the nearest of these ancestors of which that is known was hidden: so may be what a deletion has of it."""
    return next((visible for rev in revs if (visible := seen.get((doc_id, rev))) is not None), True) is False


async def _seen(view: View, paths: Mapping[Revision, Sequence[str]], *, formerly: bool) -> dict[Revision, bool | None]:
    """Whether the client could see the ancestors of revisions, nearest first, as far as that is known: by the bodies of
    the nearest, or by what the index kept. `formerly`: or could see them by former rules.
    """
    near = dict.fromkeys((doc_id, rev) for (doc_id, _), revs in paths.items() for rev in revs[:ANCESTORS])
    # what this process happens to have kept is no reason to answer otherwise than another would, unless the index knows
    visible = partial(_is_visible, view, formerly)
    seen: dict[Revision, bool | None] = await look_at(view, near, visible, kept=view.traces)
    open_ones = [
        (doc_id, newest, revs)
        for (doc_id, newest), revs in paths.items()
        if not any(seen.get((doc_id, rev)) for rev in revs) and any((doc_id, rev) not in seen for rev in revs)
    ]
    if open_ones:
        asked = [(doc_id, rev) for doc_id, newest, revs in open_ones for rev in (newest, *revs)]
        traced = view.traced(asked, formerly=formerly)
        for doc_id, newest, revs in open_ones if traced else ():
            known = _by_traces([newest, *revs], {rev: told for (of, rev), told in traced.items() if of == doc_id})
            seen |= {(doc_id, rev): visible for rev, visible in known.items() if (doc_id, rev) not in seen}
    return seen


def _by_traces(path: Sequence[str], traced: Mapping[str, tuple[bytes, bool | None]]) -> dict[str, bool | None]:
    """Whether the client could see the revisions of a path, nearest first, by the traces of some: between two that are
    the same, all were.
    """
    known: dict[str, bool | None] = {}
    between: list[str] = []
    last: bytes | None = None
    for rev in path:
        if rev not in traced:
            between.append(rev)
            continue
        text, visible = traced[rev]
        known[rev] = visible
        if text == last:
            known |= dict.fromkeys(between, visible)
        between, last = [], text
    return known


def _is_visible(view: View, formerly: bool, body: Doc) -> bool | None:
    """None for a deletion that may say too little of whom it reached."""
    if view.undecided(body) is not None:
        return None
    return view.shape(body) is not None or (formerly and view.was_shown(body))


def _last_held(doc_id: str, revs: Iterable[str], seen: Mapping[Revision, bool | None]) -> str | None:
    """The newest of `revs`, which are newest first, that a client may hold; None if it could see none of them.

    That is the newest one that it could see, or what follows that without a body: a device that pushed several edits
    at once sent the body of the last, and one that made the same edits has the same revisions. `seen`: of what has a
    body, whether the client could see it.
    """
    held: str | None = None
    for rev in revs:
        visible = seen.get((doc_id, rev))
        if visible:
            return held or rev
        held = None if visible is False else held or rev
    return None


def bare_tombstone(doc: Doc) -> Shown:
    """A deletion of the source without anything that its body may hold."""
    bare = {"_id": doc["_id"], "_rev": doc["_rev"], "_deleted": True}
    if "_revisions" in doc:
        bare["_revisions"] = doc["_revisions"]
    return Shown(bare, doc["_rev"], departed=True)


def graft(view: View, doc: Doc, held: str) -> Shown:
    """The view's own deletion after `held`, of the path of `doc` (with `_revisions`)."""
    revisions = doc["_revisions"]
    generation = int(held.partition("-")[0])
    return _tombstone(
        doc["_id"], view.grafts.departure(doc["_id"], held), revisions["ids"][revisions["start"] - generation :]
    )


def returned(view: View, leaf: Shown, doc: Doc, number: int) -> Shown:
    """A visible leaf, which is `doc` (with `_revisions`) at the source, as a return of it."""
    rev = view.grafts.returned(doc["_id"], leaf.rev, number)
    return _again(leaf.doc, rev, leaf.rev, doc["_revisions"]["ids"])


def closed(view: View, doc_id: str, rev: str, numbers: Iterable[int], leaves: Iterable[Doc]) -> list[Shown]:
    """The deletions of returns of a revision, but for those that have been edited. `leaves`: the source's; if none
    descends from the revision, nobody could tell what the deletions are.
    """
    below = int(rev.partition("-")[0])
    path: list[str] = []
    children: set[str] = set()
    for leaf in leaves:
        if descends(leaf, rev):
            start, ids = path_of(leaf)
            path = ids[start - below :]
            children.update(ids[max(start - below - 1, 0) : start - below])
    closings = []
    for number in numbers if path else ():
        again = view.grafts.returned(doc_id, rev, number).partition("-")[2]
        if again not in children:
            closing = _tombstone(doc_id, view.grafts.closing(doc_id, rev, number), [again, *path])
            closings.append(closing._replace(closes=True))
    return closings


def _tombstone(doc_id: str, rev: str, path: list[str]) -> Shown:
    """The graft `rev` as a deletion; `path`: hashes from its parent on, newest first."""
    generation, _, digest = rev.partition("-")
    revisions = {"start": int(generation), "ids": [digest, *path]}
    return Shown({"_id": doc_id, "_rev": rev, "_deleted": True, "_revisions": revisions}, None, departed=True)


def _again(shaped: Doc, rev: str, held: str, path: list[str]) -> Shown:
    """What is shown of the revision `held`, as its return `rev`; `path` as in `_tombstone`."""
    generation, _, digest = rev.partition("-")
    return Shown({**shaped, "_rev": rev, "_revisions": {"start": int(generation), "ids": [digest, *path]}}, held)


async def resolve(
    view: View,
    wanted: Sequence[tuple[str, str | None]],
    latest: bool,
    *,
    encodings: bool = False,
    at_once: bool = False,
) -> list[list[Shown]]:
    """For each (id, rev) what the view shows: all its leaves for rev None, with `latest` the leaves that descend from
    rev, otherwise that revision, as also where none descends from it. An empty list: nothing that this client may know
    of. `encodings`: with the encodings of attachments. `at_once`: raises TooMany if the documents are too large to be
    held together.
    """
    extra = [("att_encoding_info", "true")] if encodings else []
    by_leaves = [doc_id for doc_id, rev in wanted if rev is None or latest]
    raw = await fetch_leaves(view, by_leaves, extra=extra, at_once=at_once) if by_leaves else {}
    named_ones = {doc_id for doc_id, rev in wanted if rev is not None} if latest else set()
    # who names no revision may never have been told of what only former rules have shown
    leaves = await judge(view, {doc_id: raw[doc_id] for doc_id, rev in wanted if rev is None and doc_id in raw}, None)
    latest_leaves = await judge(view, {doc_id: raw[doc_id] for doc_id in named_ones if doc_id in raw})
    exact = [(doc_id, rev) for doc_id, rev in wanted if rev is not None and not latest]
    named = await _resolve_exact(view, exact, extra, at_once) if exact else {}
    unknown: list[tuple[str, str]] = []
    results: list[list[Shown]] = []
    for doc_id, rev in wanted:
        if rev is None:
            found = leaves.get(doc_id, [])
        elif latest:
            found = [leaf for leaf in latest_leaves.get(doc_id, ()) if descends(leaf.doc, rev)]
        else:
            found = [named[doc_id, rev]] if (doc_id, rev) in named else []
        if not found and rev is not None:
            unknown.append((doc_id, rev))
        results.append(found)
    if unknown:
        _fill(wanted, results, await find_grafts(view, unknown, extra))
        if latest:
            _fill(wanted, results, await without_descendants(view, unknown, extra, at_once=at_once))
    return results


async def without_descendants(
    view: View, revs: Sequence[Revision], extra: Sequence[tuple[str, str]], *, at_once: bool = False
) -> dict[Revision, Shown]:
    """Those of the revisions that the view shows, though none of its leaves descends from them: deletions that are
    shown bare, of documents that were made anew and are hidden. Whoever was told of one asks for it.
    """
    return await _resolve_exact(view, [*revs], extra, at_once)


async def _resolve_exact(
    view: View, wanted: list[Revision], extra: Sequence[tuple[str, str]], at_once: bool
) -> dict[Revision, Shown]:
    named: dict[Revision, Shown] = {}
    dark = []
    found = await fetch_revisions(view, wanted, extra=extra, at_once=at_once)
    for (key, doc), shaped in zip(found.items(), await in_turns(found.values(), view.shape), strict=True):
        if shaped is not None:
            named[key] = Shown(shaped, doc["_rev"])
        elif doc.get("_deleted"):
            dark.append(doc)
    for departed in await departures(view, dark):
        named[departed.doc["_id"], departed.rev] = departed
    return named


def _fill(
    wanted: Sequence[tuple[str, str | None]], results: list[list[Shown]], found: Mapping[Revision, Shown]
) -> None:
    """Put what was found of revisions into `results`, where there is nothing."""
    for index, (doc_id, rev) in enumerate(wanted):
        if rev is not None and not results[index] and (doc_id, rev) in found:
            results[index] = [found[doc_id, rev]]


async def find_grafts(
    view: View, revs: Iterable[Revision], extra: Sequence[tuple[str, str]] = ()
) -> dict[Revision, Shown]:
    """Those of (id, rev) pairs that are grafts of this view: recognised by the key, on any path of the document.
    `extra` as in `fetch_revisions`, for what returns.
    """
    asked = [(doc_id, rev) for doc_id, rev in revs if may_be_graft(rev)]
    grafts = await graft_paths(view, asked)
    found = await _returned(view, {of: graft for of, graft in grafts.items() if graft.returns}, extra)
    departed = {of: graft for of, graft in grafts.items() if not (graft.returns or graft.closes)}
    below = {(doc_id, rev): _named(rev, graft.path) for (doc_id, rev), graft in departed.items()}
    seen = await _seen(view, below, formerly=True) if below else {}
    for (doc_id, rev), graft in grafts.items():
        held = below.get((doc_id, rev))
        if graft.closes or (held and _last_held(doc_id, held, seen) == graft.held):
            found[doc_id, rev] = _tombstone(doc_id, rev, graft.path)
    return found


async def _returned(
    view: View, grafts: Mapping[Revision, Graft], extra: Sequence[tuple[str, str]]
) -> dict[Revision, Shown]:
    """Those of the returns whose revisions the source still has, and the view shows."""
    if not grafts:
        return {}
    held = [(doc_id, graft.held) for (doc_id, _), graft in grafts.items()]
    shown = await look_at(view, held, view.shape, extra=extra, kept=True)
    return {
        (doc_id, rev): _again(shaped, rev, graft.held, graft.path)
        for (doc_id, rev), graft in grafts.items()
        if (shaped := shown.get((doc_id, graft.held))) is not None
    }


async def graft_paths(view: View, asked: Sequence[Revision]) -> dict[Revision, Graft]:
    """Those of the revisions that are grafts of this database."""

    async def some(part: Sequence[Revision]) -> dict[Revision, Graft]:
        leaves = await fetch_leaves(view, [doc_id for doc_id, _ in part], at_once=len(part) > 1)
        return {
            (doc_id, rev): graft
            for doc_id, rev in part
            for leaf in leaves.get(doc_id, ())
            if (graft := graft_path(view, doc_id, rev, leaf)) is not None
        }

    paths: dict[Revision, Graft] = {}
    async with aclosing(in_parts(view, asked, some)) as parts:
        async for part in parts:
            paths |= part
    return paths


def graft_path(view: View, doc_id: str, rev: str, leaf: Doc) -> Graft | None:
    """The graft that `rev` is, if it grew out of a leaf's path."""
    return view.grafts.find(doc_id, rev, leaf["_revisions"]["start"], leaf["_revisions"]["ids"])


def _named(graft: str, path: Iterable[str]) -> list[str]:
    """The revisions of a path, hashes from the parent of `graft` on."""
    newest = int(graft.partition("-")[0]) - 1
    return [f"{newest - age}-{digest}" for age, digest in enumerate(path)]
