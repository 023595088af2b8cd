"""Revision trees: what CouchDB's `couch_key_tree` and `couch_doc` do, one pure function for each question.

A document is a forest of revisions. A revision is a generation and a hash (`3-abc`); its parent has the
generation below. A revision without children is a leaf; deletion is a leaf marked deleted (a tombstone). Of
several leaves one is the winner, and every replica that has the same leaves picks the same: live beats
deleted, then the higher generation, then the greater hash. The other live leaves are conflicts.

Replicas exchange *paths*: a leaf's body with the hashes from it towards the root (`_revisions`). Merging a
path grafts it where its ancestors are known. Ancestors that were unknown become nodes without a body. A
revision has one parent: a path that claims another for a known revision is believed only down to there.

Trees do not grow for ever. Stemming keeps `limit` revisions of each leaf's path and forgets the older ones;
the oldest that is left becomes a root. Two replicas that are apart for longer than that no longer share a
revision, and the path from one becomes an unrelated root in the other, until a longer path comes by that
connects them.

A story: Ann writes `1-a`, Bob's device replicates it. Offline, Ann writes `2-b` and `3-c`, Bob `2-d`.

    1-a ─┬─ 2-b ─── 3-c     winner: longer
         └─ 2-d             conflict

Bob deletes `3-c`, not knowing better: `4-e` is a tombstone, and the winner is now `2-d`, the only live leaf.
He deletes that as well (`3-f`); both leaves are deleted, so is the document, and `4-e` is its winning
tombstone. When Ann creates the document anew, her revision extends that: `5-g`. A replica with a limit of 2
has by now stemmed the tree to

    4-e ─── 5-g             its root is of generation 4
    2-d ─── 3-f             another root, of generation 2

and a peer that knows all of the history brings `1-a`, `2-b` and `3-c` back with the path `5-g … 1-a` (until
stemmed).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

_USUAL = re.compile(r"([1-9][0-9]{0,8})-([0-9a-f]{32})")
_USUAL_HASH = re.compile("[0-9a-f]{32}")
_GENERATION = re.compile(r"[0-9]{1,100}")
_HEXADECIMAL = re.compile("[0-9A-Fa-f]*")
_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class Rev(NamedTuple):
    """A revision id. `hash` is canonical (see `parse_hash`), so that equal revisions are equal tuples."""

    generation: int
    hash: str

    def __str__(self) -> str:
        return f"{self.generation}-{self.hash}"


class Revisions(NamedTuple):
    """`_revisions` on the wire: the hashes from the newest (of generation `start`) towards the root."""

    start: int
    ids: tuple[str, ...]

    @property
    def newest(self) -> Rev:
        return Rev(self.start, self.ids[0])

    def revs(self) -> list[Rev]:
        """Its revisions, newest first."""
        return [Rev(self.start - age, name) for age, name in enumerate(self.ids)]


class Node(NamedTuple):
    """What a tree knows about one revision. Without a body (`stored`) it is only known as an ancestor."""

    parent: Rev | None
    deleted: bool
    stored: bool


Tree = Mapping[Rev, Node]
"""A document's revisions. Functions return new trees and never change one."""


class Merged(Enum):
    """What a path did to a tree, in `couch_key_tree`'s words."""

    NEW_LEAF = "new_leaf"
    """It extended a leaf, or the tree was empty."""
    NEW_BRANCH = "new_branch"
    """It branched off an inner revision, or began a root of its own: perhaps a conflict."""
    INTERNAL_NODE = "internal_node"
    """Its newest revision was known."""


# ---- revision ids


def parse_rev(text: object) -> Rev:
    """`"3-abc"` as a Rev. Raises ValueError with CouchDB's words, "Invalid rev format"."""
    if isinstance(text, str):
        usual = _USUAL.fullmatch(text)
        if usual is not None:
            return Rev(int(usual[1]), usual[2])
        generation, dash, name = text.partition("-")
        if dash and _GENERATION.fullmatch(generation):
            return Rev(int(generation), parse_hash(int(generation), name))
    raise ValueError("Invalid rev format")


def canonical(text: object) -> str:
    """A revision in its canonical spelling, by which equal ones are equal. Raises ValueError as `parse_rev`."""
    if isinstance(text, str) and _USUAL.fullmatch(text) is not None:
        return text
    return str(parse_rev(text))


def parse_hash(generation: int, name: str) -> str:
    """The canonical form of a hash: of 32 characters it must be hexadecimal, and is the same in either case.

    CouchDB holds those as 16 bytes, and shows any id of 16 bytes as hexadecimal. Other ids are plain text, as
    all are in generation 0 (`_local`). Control characters are refused, since revisions stand in headers, and so are
    bytes of a header that are no text. Raises ValueError "Invalid rev format".
    """
    if generation and _USUAL_HASH.fullmatch(name) is not None:
        return name
    size = len(name.encode("utf-8", "replace"))
    if _NO_TEXT.search(name) is not None or (generation and size == 32 and _HEXADECIMAL.fullmatch(name) is None):
        raise ValueError("Invalid rev format")
    if generation == 0 or size not in (16, 32):
        return name
    try:
        return name.encode().hex() if size == 16 else name.lower()
    except ValueError:
        raise ValueError("Invalid rev format") from None


def descends(doc: Mapping[str, Any], rev: str) -> bool:
    """Whether a canonical revision is a document's own, or above it in its `_revisions`."""
    if doc["_rev"] == rev:
        return True
    revisions = doc.get("_revisions")
    if not revisions:
        return False
    generation, _, digest = rev.partition("-")
    age, ids = revisions["start"] - int(generation), revisions["ids"]
    return bool(0 <= age < len(ids) and ids[age] == digest)


def is_ancestry(value: object) -> bool:
    """Whether a value has the form of `_revisions`: where the path starts, and its hashes."""
    if not isinstance(value, dict) or type(value.get("start")) is not int:
        return False
    ids = value.get("ids")
    return isinstance(ids, list) and set(map(type, ids)) == {str}


def known_of(doc: Mapping[str, Any], path: Sequence[Rev]) -> Iterator[int]:
    """The indices of those revisions of a path that are a document's own, or above it, newest first.

    A path has one revision of each generation, so no more of it is looked at than the document has of its own.
    """
    revisions = doc.get("_revisions") or {"start": 0, "ids": ()}
    start, ids = revisions["start"], revisions["ids"]
    if not ids or f"{start}-{ids[0]}" != doc["_rev"]:
        yield from (index for index, rev in enumerate(path) if descends(doc, str(rev)))
    elif path:
        behind = start - path[0].generation
        for index in range(max(-behind, 0), min(len(ids) - behind, len(path))):
            if path[index][1] == ids[index + behind]:
                yield index


def known_among(docs: Iterable[Mapping[str, Any]], revs: Collection[str]) -> set[str]:
    """Those of canonical revisions from which one of the documents descends, or which are its own.

    Of each document no more is looked at than it has revisions, nor than generations are asked for.
    """
    if len(revs) == 1:  # most are the next revision of a document
        return {rev for rev in revs if any(descends(doc, rev) for doc in docs)}
    named = set(revs)
    asked: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for rev in named:
        generation, _, name = rev.partition("-")
        asked[int(generation)][name] = rev
    known: set[str] = set()
    for doc in docs:
        if doc["_rev"] in named:
            known.add(doc["_rev"])
        revisions = doc.get("_revisions") or {"start": 0, "ids": ()}
        start, ids = revisions["start"], revisions["ids"]
        for each in asked if len(asked) < len(ids) else range(start - len(ids) + 1, start + 1):
            age = start - each
            if 0 <= age < len(ids) and each in asked and ids[age] in asked[each]:
                known.add(asked[each][ids[age]])
    return known


def hash_bytes(name: str) -> bytes:
    """The bytes that CouchDB holds, hashes and compares for a canonical hash of a generation above 0."""
    return bytes.fromhex(name) if len(name) == 32 else name.encode()


# ---- building trees


def merge(tree: Tree, path: Revisions, *, deleted: bool = False, stored: bool = True) -> tuple[Tree, Merged]:
    """Graft `path` onto `tree`. `deleted` and `stored` are those of its newest revision.

    A revision that is known keeps its parent and, once it has a body, everything else.
    """
    merged = dict(tree)
    revs = path.revs()
    outcome = _outcome(tree, revs)
    parents: list[Rev | None] = [*revs[1:], None]
    for rev, parent in zip(revs, parents, strict=True):
        known = merged.get(rev)
        if known is None:
            merged[rev] = Node(parent, False, False)
        elif known.parent is None:
            merged[rev] = known._replace(parent=parent)
        elif known.parent != parent:
            break
    newest = merged[revs[0]]
    if stored and not newest.stored:
        merged[revs[0]] = Node(newest.parent, deleted, True)
    return merged, outcome


def _outcome(tree: Tree, revs: Sequence[Rev]) -> Merged:
    if revs[0] in tree:
        return Merged.INTERNAL_NODE
    if not tree:
        return Merged.NEW_LEAF
    joint = next((rev for rev in revs if rev in tree), None)
    is_leaf = joint is not None and all(node.parent != joint for node in tree.values())
    return Merged.NEW_LEAF if is_leaf else Merged.NEW_BRANCH


def stem(tree: Tree, limit: int) -> Tree:
    """The tree with only the newest `limit` revisions of each leaf's path. `limit` is at least 1."""
    if len(tree) <= limit:
        return tree
    kept: set[Rev] = set()
    for leaf in leaves(tree):
        kept.update(_ancestry(tree, leaf)[:limit])
    if len(kept) == len(tree):
        return tree
    return {
        rev: node if node.parent in kept else node._replace(parent=None) for rev, node in tree.items() if rev in kept
    }


def compact(tree: Tree) -> Tree:
    """The tree with the bodies of its leaves only: what CouchDB's compaction leaves of it."""
    kept = set(leaves(tree))
    if all(rev in kept or not node.stored for rev, node in tree.items()):
        return tree
    return {rev: node if rev in kept else Node(node.parent, False, False) for rev, node in tree.items()}


# ---- asking trees


def leaves(tree: Tree) -> list[Rev]:
    """All leaves, the winner first, in the order in which they would win."""
    if len(tree) == 1:
        return list(tree)
    parents = {node.parent for node in tree.values()}
    return _sorted(tree, (rev for rev in tree if rev not in parents))


def winner(tree: Tree) -> Rev:
    """The revision that a plain GET shows. The tree is not empty."""
    return leaves(tree)[0]


def conflicts(tree: Tree) -> list[Rev]:
    """Live leaves other than the winner (`_conflicts`)."""
    return [rev for rev in leaves(tree)[1:] if not tree[rev].deleted]


def deleted_conflicts(tree: Tree) -> list[Rev]:
    """Deleted leaves other than the winner (`_deleted_conflicts`)."""
    return [rev for rev in leaves(tree)[1:] if tree[rev].deleted]


def is_deleted(tree: Tree) -> bool:
    """Whether there are leaves and all are deleted."""
    return bool(tree) and tree[winner(tree)].deleted


def ascending(revs: Iterable[Rev]) -> list[Rev]:
    """By generation, then hash: the order in which CouchDB answers `open_revs`."""
    return sorted(revs, key=rank)


def path_of(tree: Tree, rev: Rev) -> Revisions:
    """The path from a known revision to its root."""
    return Revisions(rev.generation, tuple(step.hash for step in _ancestry(tree, rev)))


def descendant_leaves(tree: Tree, rev: Rev) -> list[Rev]:
    """The leaves that descend from `rev` (itself, if it is one), best first; `latest=true`."""
    return [leaf for leaf in leaves(tree) if rev in _ancestry(tree, leaf)]


def newest_stored(tree: Tree, path: Revisions) -> Rev | None:
    """The newest revision on `path`, or further down its known ancestors, that has a body."""
    for rev in path.revs():
        if rev in tree:
            return next((step for step in _ancestry(tree, rev) if tree[step].stored), None)
    return None


def missing(tree: Tree, revs: Iterable[Rev]) -> list[Rev]:
    """Those of `revs` that the tree does not know, not even as an ancestor without body (`_revs_diff`)."""
    return [rev for rev in revs if rev not in tree]


def joins(tree: Tree, path: Revisions) -> bool:
    """Whether the path of a known revision goes on, beyond the root of its branch, in another branch of the tree."""
    known = len(_ancestry(tree, path.newest))
    return any(rev in tree for rev in path.revs()[known:])


def possible_ancestors(tree: Tree, absent: Collection[Rev]) -> list[Rev]:
    """What `_revs_diff` calls that: all leaves of a generation below the highest of `absent`."""
    highest = max((rev.generation for rev in absent), default=0)
    return [leaf for leaf in leaves(tree) if leaf.generation < highest]


# ---- as JSON


def to_json(tree: Tree) -> list[Any]:
    """A flat, JSON-able form: chains `[generation, hashes, states, parent hash | null]`, oldest first.

    The first chain is the winner's whole path. The states have a letter for each hash: `a`vailable,
    `d`eleted, `-` without body. (Nested as the tree is, it would be deeper than JSON libraries go.)
    """
    chains: list[Any] = []
    done: set[Rev] = set()
    for leaf in leaves(tree):
        fresh = [rev for rev in _ancestry(tree, leaf) if rev not in done]
        done.update(fresh)
        fresh.reverse()
        parent = tree[fresh[0]].parent
        states = "".join(_state(tree[rev]) for rev in fresh)
        chains.append([fresh[0].generation, [rev.hash for rev in fresh], states, parent.hash if parent else None])
    return chains


def from_json(chains: Iterable[Any]) -> Tree:
    """The tree that `to_json` was given."""
    tree: dict[Rev, Node] = {}
    for first, hashes, states, parent_hash in chains:
        parent = None if parent_hash is None else Rev(first - 1, parent_hash)
        for generation, (name, state) in enumerate(zip(hashes, states, strict=True), first):
            rev = Rev(generation, name)
            tree[rev] = Node(parent, state == "d", state != "-")
            parent = rev
    return tree


def _state(node: Node) -> str:
    if not node.stored:
        return "-"
    return "d" if node.deleted else "a"


# ---- helpers


def _ancestry(tree: Tree, rev: Rev) -> list[Rev]:
    """`rev` and its known ancestors, newest first."""
    steps = []
    step: Rev | None = rev
    while step is not None:
        steps.append(step)
        step = tree[step].parent
    return steps


def rank(rev: Rev) -> tuple[int, bytes]:
    """Orders revisions as CouchDB does: of leaves that are all live, or all deleted, the greatest is the winner."""
    return rev.generation, hash_bytes(rev.hash)


def _sorted(tree: Tree, revs: Iterable[Rev]) -> list[Rev]:
    return sorted(revs, key=lambda rev: (not tree[rev].deleted, *rank(rev)), reverse=True)
