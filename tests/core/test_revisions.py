"""Revision trees against the story in the module, CouchDB's answers, and a slow obvious model."""

from __future__ import annotations

import random
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Doc
from proxy.core import revisions
from proxy.core.revisions import Merged, Rev, Revisions, Tree, merge, parse_rev, stem

H = {letter: letter * 32 for letter in "0123456789abcdef"}
LETTERS = st.sampled_from("abc")


def path(text: str) -> Revisions:
    """`"3-c b a"` as a path; each letter stands for a hash of 32 of it."""
    start, ids = text.split("-")
    return Revisions(int(start), tuple(H[letter] for letter in ids.split()))


def rev(text: str) -> Rev:
    return path(text).newest


def grow(*steps: str) -> Tree:
    """A tree of merged paths; `!` after a path marks its leaf deleted."""
    tree: Tree = {}
    for step in steps:
        tree, _ = merge(tree, path(step.rstrip("!")), deleted=step.endswith("!"))
    return tree


# ---- ids


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3-abc", Rev(3, "abc")),
        ("1-" + "AB" * 16, Rev(1, "ab" * 16)),
        ("1-abcdefghijklmnop", Rev(1, "6162636465666768696a6b6c6d6e6f70")),
        ("007-abc", Rev(7, "abc")),
        ("0-12", Rev(0, "12")),
        ("2-a-b", Rev(2, "a-b")),
        ("1-ünï", Rev(1, "ünï")),
    ],
)
def test_parse_rev(text: str, expected: Rev) -> None:
    assert parse_rev(text) == expected


@pytest.mark.parametrize(
    "text", ["", "abc", "1", "-1-abc", "x-abc", "1-" + "z" * 32, 5, None, "1 -a", "²-a", "1-\udcff"]
)
def test_parse_rev_refuses(text: object) -> None:
    with pytest.raises(ValueError, match="Invalid rev format"):
        parse_rev(text)


@given(st.integers(1, 10**6), st.text(min_size=1, max_size=40))
def test_parsing_is_idempotent(generation: int, name: str) -> None:
    try:
        parsed = parse_rev(f"{generation}-{name}")
    except ValueError:
        return
    assert parse_rev(str(parsed)) == parsed


# ---- the story


def test_the_story() -> None:
    tree = grow("1-a", "2-b a", "3-c b a")
    tree, outcome = merge(tree, path("2-d a"))
    assert outcome is Merged.NEW_BRANCH
    assert revisions.winner(tree) == rev("3-c")
    assert revisions.conflicts(tree) == [rev("2-d")]

    tree, outcome = merge(tree, path("4-e c"), deleted=True)
    assert outcome is Merged.NEW_LEAF
    assert revisions.winner(tree) == rev("2-d")
    assert revisions.deleted_conflicts(tree) == [rev("4-e")]
    assert not revisions.is_deleted(tree)

    tree, _ = merge(tree, path("3-f d"), deleted=True)
    assert revisions.is_deleted(tree)
    assert revisions.winner(tree) == rev("4-e")

    tree, _ = merge(tree, path("5-0 e"))
    assert revisions.winner(tree) == rev("5-0")
    stemmed = stem(tree, 2)
    assert revisions.path_of(stemmed, rev("5-0")) == path("5-0 e")
    assert revisions.path_of(stemmed, rev("3-f")) == path("3-f d")
    assert len(stemmed) == 4

    back, outcome = merge(stemmed, path("5-0 e c b a"))
    assert outcome is Merged.INTERNAL_NODE
    assert revisions.path_of(back, rev("5-0")) == path("5-0 e c b a")
    assert revisions.missing(back, [rev("1-a"), rev("2-d"), rev("9-9")]) == [rev("9-9")]


def test_a_path_joins_two_roots() -> None:
    tree = grow("3-c b", "7-f e")
    assert revisions.leaves(tree) == [rev("7-f"), rev("3-c")]
    tree, outcome = merge(tree, path("8-1 f e d 9 c b a"))
    assert outcome is Merged.NEW_LEAF
    assert revisions.leaves(tree) == [rev("8-1")]
    assert revisions.path_of(tree, rev("8-1")) == path("8-1 f e d 9 c b a")


def test_a_known_revision_keeps_its_parent() -> None:
    tree = grow("2-b a")
    merged, outcome = merge(tree, path("3-d b c"))
    assert outcome is Merged.NEW_LEAF
    assert revisions.path_of(merged, rev("3-d")) == path("3-d b a")
    assert rev("1-c") not in merged


def test_ancestors_without_body() -> None:
    tree = grow("3-c b a")
    assert [tree[step].stored for step in path("3-c b a").revs()] == [True, False, False]
    assert revisions.newest_stored(tree, path("4-d c b a")) == rev("3-c")
    assert revisions.newest_stored(tree, path("2-b a")) is None
    tree = grow("1-a", "3-c b a")
    assert revisions.newest_stored(tree, path("4-f e b")) == rev("1-a")
    assert revisions.newest_stored(tree, path("9-f e")) is None


# ---- winners and lists


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["1-a", "1-b"], "1-b"),
        (["1-b", "1-a"], "1-b"),
        (["2-a 0", "1-f"], "2-a"),
        (["2-a 0!", "1-b"], "1-b"),
        (["2-a 0!", "1-b!"], "2-a"),
        (["1-a", "2-b a!", "3-c b"], "3-c"),
    ],
)
def test_winner(steps: list[str], expected: str) -> None:
    assert revisions.winner(grow(*steps)) == rev(expected)


def test_hashes_are_compared_as_the_bytes_that_couchdb_holds() -> None:
    text = Rev(1, "abc")  # b"abc" sorts after 16 bytes of 0x11, "1111..." before "abc" either way
    high = Rev(1, "ff" * 16)  # ... but b"\xff..." sorts after b"abc", "ffff..." too; b"\x99..." does so only as bytes
    mixed = Rev(1, "99" * 16)
    tree: Tree = {}
    for each in (text, high, mixed):
        tree, _ = merge(tree, Revisions(1, (each.hash,)))
    assert revisions.leaves(tree) == [high, mixed, text]


def test_ascending() -> None:
    tree = grow("1-a", "2-c a", "2-b a", "3-d c", "10-0")
    assert revisions.ascending(revisions.leaves(tree)) == [rev("2-b"), rev("3-d"), rev("10-0")]


def test_descendants_and_possible_ancestors() -> None:
    tree = grow("1-a", "2-b a", "3-c b a", "2-d a")
    assert revisions.descendant_leaves(tree, rev("1-a")) == [rev("3-c"), rev("2-d")]
    assert revisions.descendant_leaves(tree, rev("2-b")) == [rev("3-c")]
    assert revisions.descendant_leaves(tree, rev("2-d")) == [rev("2-d")]
    assert revisions.descendant_leaves(tree, rev("2-f")) == []
    assert revisions.possible_ancestors(tree, [rev("4-e")]) == [rev("3-c"), rev("2-d")]
    assert revisions.possible_ancestors(tree, [rev("1-e"), rev("3-e")]) == [rev("2-d")]
    assert revisions.possible_ancestors(tree, [rev("1-e")]) == []


def test_winners_path_is_the_first_chain() -> None:
    tree = grow("1-a", "2-b a!", "2-d a", "3-c d")
    assert revisions.to_json(tree) == [
        [1, [H["a"], H["d"], H["c"]], "aaa", None],
        [2, [H["b"]], "d", H["a"]],
    ]


def test_a_known_path_that_joins_branches() -> None:
    tree = grow("2-b a", "4-d c")
    assert revisions.joins(tree, path("3-c b a"))
    assert revisions.joins(tree, path("3-c e a"))
    assert not revisions.joins(tree, path("3-c e"))
    assert not revisions.joins(tree, path("4-d c"))
    assert not revisions.joins(tree, path("2-b a"))


# ---- a slow model, and random histories


class Model:
    """Sets of revisions and of (child, parent) pairs; questions are answered by looking at all."""

    def __init__(self, paths: list[Revisions]) -> None:
        self.revs = {step for each in paths for step in each.revs()}
        self.edges = {pair for each in paths for pair in pairwise(each.revs())}

    def leaves(self) -> set[Rev]:
        return self.revs - {parent for _, parent in self.edges}

    def ancestors(self, of: Rev) -> set[Rev]:
        found = {of}
        while more := {parent for child, parent in self.edges if child in found} - found:
            found |= more
        return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[Rev, bool], list[Revisions]]:
    """Which revisions of one true history are deletions, and some paths that replicas might send of it."""
    parents: dict[Rev, Rev | None] = {Rev(1, "0" * 32): None}
    for number in range(1, draw(st.integers(1, 12))):
        parent = draw(st.sampled_from([None, *parents, *list(parents)[-2:]]))
        parents[Rev(parent.generation + 1 if parent else 1, f"{number:032x}")] = parent
    deleted = {each: draw(st.booleans()) for each in parents}
    paths = []
    for leaf in draw(st.lists(st.sampled_from(list(parents)), min_size=1, max_size=8)):
        ids = []
        step: Rev | None = leaf
        for _ in range(draw(st.integers(1, 6))):
            if step is not None:
                ids.append(step.hash)
                step = parents[step]
        paths.append(Revisions(leaf.generation, tuple(ids)))
    return deleted, paths


History = tuple[dict[Rev, bool], list[Revisions]]


def build(history: History, order: list[Revisions] | None = None) -> Tree:
    deleted, paths = history
    tree: Tree = {}
    for each in order or paths:
        tree, _ = merge(tree, each, deleted=deleted[each.newest])
    return tree


@settings(max_examples=150)
@given(histories())
def test_merging_loses_no_revision(history: History) -> None:
    tree, model = build(history), Model(history[1])
    assert set(tree) == model.revs
    assert {(child, node.parent) for child, node in tree.items() if node.parent} == model.edges
    assert set(revisions.leaves(tree)) == model.leaves()
    assert {each for each, node in tree.items() if node.stored} == {each.newest for each in history[1]}


@settings(max_examples=150)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_merges_does_not_matter(history: History, chance: random.Random) -> None:
    order = list(history[1])
    chance.shuffle(order)
    assert build(history, order) == build(history)
    assert build(history, order + order) == build(history)
    assert revisions.leaves(build(history, order)) == revisions.leaves(build(history))


@settings(max_examples=150)
@given(histories())
def test_a_path_joins_branches_if_fewer_are_left(history: History) -> None:
    deleted, paths = history
    for each in paths:
        assert not revisions.joins(build(history), each)
        tree = build((deleted, [one for one in paths if one != each]))
        if each.newest in tree:
            assert revisions.joins(tree, each) == (roots(merge(tree, each)[0]) < roots(tree))


def roots(tree: Tree) -> int:
    return sum(node.parent is None for node in tree.values())


@settings(max_examples=100)
@given(histories())
def test_outcomes(history: History) -> None:
    deleted, paths = history
    tree: Tree = {}
    for each in paths:
        before = set(revisions.leaves(tree)) if tree else set()
        known = each.newest in tree
        tree, outcome = merge(tree, each, deleted=deleted[each.newest])
        after = set(revisions.leaves(tree))
        if known:
            assert outcome is Merged.INTERNAL_NODE
        elif outcome is Merged.NEW_LEAF:
            assert len(after) <= max(len(before), 1)
            assert each.newest in after
        else:
            assert outcome is Merged.NEW_BRANCH
            assert before


@settings(max_examples=100)
@given(histories(), st.integers(1, 5))
def test_stemming_keeps_leaves_and_the_newest_of_their_paths(history: History, limit: int) -> None:
    tree = build(history)
    stemmed = stem(tree, limit)
    assert revisions.leaves(stemmed) == revisions.leaves(tree)
    for leaf in revisions.leaves(tree):
        whole, rest = revisions.path_of(tree, leaf), revisions.path_of(stemmed, leaf)
        assert rest.ids[:limit] == whole.ids[:limit]
        assert rest.ids == whole.ids[: len(rest.ids)]
    expected = {step for leaf in revisions.leaves(tree) for step in revisions.path_of(tree, leaf).revs()[:limit]}
    assert set(stemmed) == expected
    assert stem(stemmed, limit) == stemmed


@settings(max_examples=100)
@given(histories())
def test_compaction_keeps_the_bodies_of_leaves(history: History) -> None:
    tree = build(history)
    slim, leaves = revisions.compact(tree), revisions.leaves(tree)
    assert revisions.leaves(slim) == leaves
    assert {rev: node.parent for rev, node in slim.items()} == {rev: node.parent for rev, node in tree.items()}
    assert {rev for rev, node in slim.items() if node.stored} == {rev for rev in leaves if tree[rev].stored}
    assert revisions.compact(slim) is slim


@settings(max_examples=100)
@given(histories())
def test_relations_agree_with_the_model(history: History) -> None:
    tree, model = build(history), Model(history[1])
    leaves = revisions.leaves(tree)
    for one in tree:
        expected = [leaf for leaf in leaves if one in model.ancestors(leaf)]
        assert revisions.descendant_leaves(tree, one) == expected


@settings(max_examples=100)
@given(histories())
def test_json_round_trip(history: History) -> None:
    tree = build(history)
    assert revisions.from_json(orjson.loads(orjson.dumps(revisions.to_json(tree)))) == tree


# ---- paths


def _read(data: st.DataObject) -> Doc:
    """A document as a source may give it: with or without its path, and with another revision than that begins with."""
    ids = [H[letter] for letter in data.draw(st.lists(LETTERS, min_size=1, max_size=4))]
    start = data.draw(st.integers(len(ids), 6))
    own = data.draw(st.sampled_from([f"{start}-{ids[0]}", f"{start + 1}-{H['a']}"]))
    return {"_id": "d", "_rev": own, **data.draw(st.sampled_from([{}, {"_revisions": {"start": start, "ids": ids}}]))}


@settings(deadline=None)
@given(st.data())
def test_known_of_a_path_is_what_the_document_descends_from(data: st.DataObject) -> None:
    doc, newest = _read(data), data.draw(st.integers(4, 7))
    revs = [Rev(newest - age, H[letter]) for age, letter in enumerate(data.draw(st.lists(LETTERS, max_size=4)))]
    expected = [index for index, each in enumerate(revs) if revisions.descends(doc, str(each))]
    assert list(revisions.known_of(doc, revs)) == expected


@settings(deadline=None)
@given(st.data())
def test_known_among_revisions_is_what_one_of_the_documents_descends_from(data: st.DataObject) -> None:
    docs = [_read(data) for _ in range(data.draw(st.integers(0, 3)))]
    revs = data.draw(st.lists(st.builds(Rev, st.integers(0, 7), st.sampled_from([*map(H.get, "abc")])), max_size=8))
    asked = [str(each) for each in revs]
    expected = {each for each in asked if any(revisions.descends(doc, each) for doc in docs)}
    assert revisions.known_among(docs, asked) == expected


@pytest.mark.parametrize("leaves", [1, 300])
def test_long_paths_are_looked_at_once_however_many_leaves_there_are(leaves: int) -> None:
    class Counted(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    held = [
        {"_id": "d", "_rev": f"9-{leaf}", "_revisions": {"start": 9, "ids": [str(leaf), "b", "a"]}}
        for leaf in range(leaves)
    ]
    revs = [Rev(20_000 - age, Counted("x")) for age in range(20_000)]
    assert [index for doc in held for index in revisions.known_of(doc, revs)] == []
    assert Counted.compared <= 3 * leaves
