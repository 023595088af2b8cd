"""What becomes of pushed documents, as properties of any history of a document."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain
from proxy.errors import BadRequest, Forbidden
from proxy.writing.plan import ANCESTORS, needed, plan
from proxy.writing.pushed import Pushed, named_rev, read_pushed
from proxy.writing.rules import Acknowledge, Refuse, Rules, Send
from proxy.writing.stored import NOTHING, Stored
from tests.writing.filters import Owned, Without, chain

Doc = dict[str, Any]

GRAFTS = Grafts(b"a key for tests")
PHONE, TABLET = chain(Owned(), Without("ssn")), chain(Owned(), Without("notes", "plan"))
HIDDEN = {id(PHONE): {"ssn"}, id(TABLET): {"notes", "plan"}}

VALUES = st.recursive(
    st.sampled_from(["secret-1", "secret-2", 1, True, None, 2**60]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
BODIES = st.fixed_dictionaries(
    {"owner": st.just("ann")},
    optional={"ssn": VALUES, "notes": VALUES, "plan": VALUES, "name": VALUES, "extra": VALUES},
)


def rules(using: Chain = PHONE, user: str = "ann", **more: Any) -> Rules:
    return Rules(using, Client(user), GRAFTS, **more)


@dataclass
class Source:
    """One document's tree: parent and body (None: compacted) by revision."""

    parents: dict[str, str | None] = field(default_factory=dict)
    bodies: dict[str, Doc | None] = field(default_factory=dict)

    def add(self, rev: str, parent: str | None, body: Doc) -> None:
        self.parents[rev], self.bodies[rev] = parent, body

    def path(self, rev: str) -> list[str]:
        path = [rev]
        while (parent := self.parents.get(path[-1])) is not None:
            path.append(parent)
        return path

    @property
    def leaves(self) -> list[str]:
        inner = set(self.parents.values())
        return [rev for rev in self.parents if rev not in inner]

    def doc(self, rev: str) -> Doc:
        path, body = self.path(rev), self.bodies[rev]
        assert body is not None
        revisions = {"start": len(path), "ids": [each.partition("-")[2] for each in path]}
        return {"_id": "x", "_rev": rev, **body, "_revisions": revisions}

    def stored(self) -> Stored:
        inner = {rev: self.doc(rev) for rev, body in self.bodies.items() if body is not None}
        return Stored([self.doc(rev) for rev in self.leaves], inner)

    def compact(self) -> None:
        for rev in self.bodies:
            if rev not in self.leaves:
                self.bodies[rev] = None


def revision(path: list[str], body: Doc) -> Pushed:
    start = int(path[0].partition("-")[0])
    revisions = {"start": start, "ids": [rev.partition("-")[2] for rev in path]}
    return read_pushed({"_id": "x", "_rev": path[0], **body, "_revisions": revisions}, False)


def body_of(doc: Mapping[str, Any]) -> Doc:
    return {name: value for name, value in doc.items() if not name.startswith("_")}


def visible(body: Mapping[str, Any], using: Chain) -> Doc:
    return {name: value for name, value in body.items() if name not in HIDDEN[id(using)]}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_history_of_edits_loses_what_is_hidden(data: st.DataObject) -> None:
    """Devices of two profiles edit what they have, offline and concurrently, while the source compacts."""
    source = Source()
    source.add("1-" + "0" * 32, None, data.draw(BODIES))
    known = ["1-" + "0" * 32]
    for step in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            source.compact()
        using = data.draw(st.sampled_from([PHONE, TABLET]))
        base = data.draw(st.sampled_from([rev for rev in known if source.bodies[rev] is not None]))
        original = source.bodies[base]
        assert original is not None
        edited = {**visible(original, using), **visible(data.draw(BODIES), using)}
        depth = data.draw(st.integers(1, 3))
        own = [f"{len(source.path(base)) + 1 + age}-{step:031}{age}" for age in range(depth)][::-1]
        pushed = revision([*own, *source.path(base)], edited)
        stored = source.stored()
        before = copy.deepcopy((pushed, stored))
        outcome = plan(pushed, stored, rules(using))
        assert (pushed, stored) == before
        assert isinstance(outcome, Send)
        assert outcome.lender is None
        sent = body_of(outcome.doc)
        assert visible(sent, using) == edited
        hidden = {name: value for name, value in original.items() if name in HIDDEN[id(using)]}
        assert {name: sent[name] for name in HIDDEN[id(using)] & sent.keys()} == hidden
        assert named_rev(outcome.doc) == pushed.path[0]
        assert read_pushed(outcome.doc, False).path == pushed.path
        for rev, parent in zip(own, [*own[1:], base], strict=True):
            source.add(rev, parent, sent)
        for rev in own[1:]:
            source.bodies[rev] = None
        known.append(own[0])


OWNERS = st.sampled_from(["ann", "bob"])
TREES = st.lists(
    st.tuples(st.integers(0, 5), OWNERS, st.booleans(), st.booleans()),
    max_size=6,
)
"""Of each revision: which earlier one is its parent, whose it is, whether it is a deletion, whether it is compacted."""


def tree(steps: list[tuple[int, str, bool, bool]]) -> Source:
    source = Source()
    for number, (parent, owner, deleted, _) in enumerate(steps):
        revs = list(source.parents)
        above = revs[parent % len(revs)] if revs and parent < 5 else None
        generation = len(source.path(above)) + 1 if above else 1
        body: Doc = {"owner": owner, "ssn": "secret"}
        source.add(f"{generation}-{number:032}", above, {**body, "_deleted": True} if deleted else body)
    for rev, (*_, compacted) in zip(list(source.parents), steps, strict=True):
        if compacted and rev not in source.leaves:
            source.bodies[rev] = None
    return source


@settings(max_examples=300, deadline=None)
@given(TREES, st.integers(0, 6), st.integers(0, 2), OWNERS, st.booleans(), st.sampled_from(["winner", "refuse"]))
def test_what_is_sent_was_seen_before_and_is_seen_after(
    steps: list[tuple[int, str, bool, bool]], base: int, unknown: int, owner: str, deleted: bool, orphans: Any
) -> None:
    source = tree(steps)
    revs = list(source.parents)
    path = source.path(revs[base % len(revs)]) if revs and base < 6 else []
    own = [f"{len(path) + 1 + age}-{age:031}f" for age in range(unknown + 1)][::-1]
    body: Doc = {"_deleted": True} if deleted else {"owner": owner, "name": "n"}
    pushed = revision([*own, *path], body)
    stored = source.stored()
    outcome = plan(pushed, stored, rules(orphans=orphans))
    live = [leaf for leaf in stored.leaves if not leaf.get("_deleted")]
    if isinstance(outcome, Refuse):
        assert isinstance(outcome.error, Forbidden)
        assert "secret" not in outcome.error.reason
        return
    assert isinstance(outcome, Send)
    # a live document of which nothing can be seen is not touched
    original = next((source.bodies[rev] for rev in path if source.bodies[rev] is not None), None)
    gone = original is None or bool(original.get("_deleted"))
    if original is not None and not (gone and original["owner"] == "bob"):
        assert original["owner"] == "ann"
    elif live:
        assert any(leaf["owner"] == "ann" for leaf in live)
    if not deleted:
        assert owner == "ann"
        assert outcome.doc["owner"] == "ann"
    if not gone and not deleted:
        assert outcome.doc["ssn"] == "secret"
    if not deleted and (not path or (gone and original is not None)):  # with a history of its own, or made anew
        assert "ssn" not in outcome.doc
    if deleted:
        assert "ssn" not in outcome.doc or gone
        assert outcome.doc["_deleted"] is True
        if original is not None and original["owner"] == "ann":
            assert outcome.doc["owner"] == "ann"
    if original is None and live and orphans == "refuse":
        assert not path, "an orphan was sent"


@settings(max_examples=300, deadline=None)
@given(TREES, st.none() | st.integers(0, 6), OWNERS)
def test_an_interactive_write_edits_a_leaf_that_is_seen(
    steps: list[tuple[int, str, bool, bool]], base: int | None, owner: str
) -> None:
    source = tree(steps)
    stored = source.stored()
    revs = list(source.parents)
    rev = None if base is None else revs[base % len(revs)] if revs else f"1-{'9' * 32}"
    named = {} if rev is None else {"_rev": rev}
    outcome = plan(read_pushed({"_id": "x", "owner": owner, **named}, True), stored, rules())
    leaf = stored.leaf(rev or "")
    live = [doc for doc in stored.leaves if not doc.get("_deleted")]
    if isinstance(outcome, Send):
        assert owner == "ann"
        assert outcome.doc.get("_rev") == rev
        assert "_revisions" not in outcome.doc
        assert leaf is not None or not live
        if leaf is not None and leaf["owner"] == "bob":
            assert leaf["_deleted"] is True
        if leaf is not None:
            assert outcome.doc.get("ssn") == (None if leaf.get("_deleted") else "secret")
    else:
        assert isinstance(outcome, Refuse)
        seen = any(doc["owner"] == "ann" for doc in stored.leaves)
        if stored.leaves and leaf is None and (rev is not None or live):
            as_if_new = owner == "ann" and rev is not None  # nobody could create what `bob` would own
            assert outcome.error.error == ("conflict" if seen or as_if_new else "forbidden")


@settings(max_examples=100, deadline=None)
@given(TREES, st.integers(0, 5), st.integers(0, 2))
def test_a_second_round_is_the_last(steps: list[tuple[int, str, bool, bool]], base: int, unknown: int) -> None:
    source = tree(steps)
    revs = list(source.parents)
    path = source.path(revs[base % len(revs)]) if revs else []
    own = [f"{len(path) + 1 + age}-{age:031}f" for age in range(unknown + 1)][::-1]
    pushed = revision([*own, *path], {"owner": "ann"})
    everything = source.stored()
    leaves = Stored(everything.leaves)
    asked = needed(pushed, leaves)
    assert len(asked) <= ANCESTORS
    fetched = Stored(leaves.leaves, {rev: body for rev in asked if (body := everything.bodies.get(rev))})
    assert needed(pushed, fetched, asked) == []
    assert repr(plan(pushed, fetched, rules())) == repr(plan(pushed, everything, rules()))


@settings(max_examples=300, deadline=None)
@given(TREES, st.integers(1, 6), st.data())
def test_no_leaf_is_an_ancestor_but_the_one_that_is_edited_whatever_path_is_claimed(
    steps: list[tuple[int, str, bool, bool]], start: int, data: st.DataObject
) -> None:
    source = tree(steps)
    claimed = []
    for generation in range(start, data.draw(st.integers(0, start - 1)), -1):
        known = [rev for rev in source.parents if rev.startswith(f"{generation}-")]
        claimed.append(data.draw(st.sampled_from([*known, f"{generation}-{'e' * 32}"])))
    outcome = plan(revision(claimed, {"owner": "ann"}), source.stored(), rules())
    if isinstance(outcome, Send):
        sent = list(map(str, read_pushed(outcome.doc, False).path))
        assert sent[0] == claimed[0]
        newest = next((index for index, each in enumerate(sent) if each in source.parents), len(sent))
        assert {*source.leaves}.isdisjoint(sent[newest + 1 :])
        if newest < len(sent):
            own = source.path(sent[newest])
            shared = min(len(own), len(sent) - newest)
            assert sent[newest : newest + shared] == own[:shared]


@pytest.mark.parametrize("owner", ["ann", "bob"])
def test_no_leaf_is_put_below_another_by_a_claim(owner: str) -> None:
    a, b, c, d, e = (f"{name}" * 32 for name in "abcde")
    source = Source()
    source.add(f"1-{a}", None, {"owner": "ann"})
    source.add(f"2-{b}", f"1-{a}", {"owner": "ann"})
    source.add(f"3-{c}", f"2-{b}", {"owner": "ann", "ssn": "1"})
    source.add(f"2-{d}", f"1-{a}", {"owner": owner})
    outcome = plan(revision([f"4-{e}", f"3-{c}", f"2-{d}", f"1-{a}"], {"owner": "ann"}), source.stored(), rules())
    assert isinstance(outcome, Send)
    assert outcome.doc["_revisions"] == {"start": 4, "ids": [e, c, b, a]}
    assert outcome.doc["ssn"] == "1"


@pytest.mark.parametrize("orphans", ["winner", "refuse"])
@pytest.mark.parametrize("claimed", ["ba", "b", "", "ef", "e", "da"])
def test_the_original_is_the_sources_own_ancestor_whatever_is_claimed_above_it(claimed: str, orphans: str) -> None:
    a, b, c, d, w = (f"{generation}-{name * 32}" for generation, name in zip((1, 2, 3, 2, 4), "abcdw", strict=True))
    source = Source()
    source.add(a, None, {"owner": "ann", "ssn": "old"})
    source.add(b, a, {"owner": "ann", "ssn": "ancestor"})
    source.parents[c], source.bodies[c] = b, None
    source.add(w, c, {"owner": "ann", "ssn": "winner"})
    source.add(f"4-{'1' * 32}", c, {"owner": "ann", "ssn": "loser"})
    source.add(d, a, {"owner": "ann", "ssn": "other"})
    path = [f"4-{'9' * 32}", c, *(f"{2 - age}-{name * 32}" for age, name in enumerate(claimed))]
    pushed = revision(path, {"owner": "ann"})
    leaves = source.stored().leaves
    asked = needed(pushed, Stored(leaves))
    assert asked == [c, b, a]
    bodies = {rev: source.doc(rev) for rev in asked if source.bodies[rev] is not None}
    outcome = plan(pushed, Stored(leaves, bodies), rules(orphans=orphans))
    assert isinstance(outcome, Send)
    assert outcome.doc["ssn"] == "ancestor"


def test_a_long_history_is_not_fetched_whole() -> None:
    source = Source()
    path: list[str] = []
    for number in range(100):
        rev = f"{number + 1}-{number:032}"
        source.add(rev, path[0] if path else None, {"owner": "ann"})
        path.insert(0, rev)
    stored = Stored([source.doc(path[0])])
    pushed = revision([f"51-{'f' * 32}", *path[50:]], {"owner": "ann"})
    assert needed(pushed, stored) == path[50 : 50 + ANCESTORS]
    assert needed(pushed, stored, path[50:51]) == path[51 : 51 + ANCESTORS]
    assert needed(revision([f"101-{'f' * 32}", *path], {"owner": "ann"}), stored) == []


def test_a_graft_is_acknowledged_and_never_sent() -> None:
    source = Source()
    first = f"1-{'1' * 32}"
    source.add(first, None, {"owner": "ann"})
    source.add(f"2-{'2' * 32}", first, {"owner": "bob"})
    graft = GRAFTS.departure("x", first)
    pushed = revision([graft, first], {"_deleted": True})
    assert plan(pushed, source.stored(), rules()) == Acknowledge()
    assert plan(pushed, Stored(), rules()) == Acknowledge()
    edit = revision([f"3-{'3' * 32}", graft, first], {"owner": "ann"})
    assert isinstance(plan(edit, source.stored(), rules()), Refuse)
    source.add(f"3-{'4' * 32}", f"2-{'2' * 32}", {"owner": "ann"})
    outcome = plan(edit, source.stored(), rules())
    assert isinstance(outcome, Send)
    assert outcome.doc["_revisions"]["ids"][1] == graft.partition("-")[2]


def test_a_graft_in_the_sources_tree_is_judged_by_those_who_build_on_it_alone() -> None:
    source = Source()
    first, edit, left = f"1-{'1' * 32}", f"3-{'3' * 32}", f"4-{'4' * 32}"
    graft = GRAFTS.departure("x", first)
    source.add(first, None, {"owner": "ann"})
    source.parents[graft], source.bodies[graft] = first, None
    source.add(edit, graft, {"owner": "ann", "ssn": "1"})
    source.add(left, edit, {"owner": "bob"})
    on_graft = revision([f"3-{'5' * 32}", graft, first], {"owner": "ann"})
    assert isinstance(plan(on_graft, source.stored(), rules()), Refuse)
    # as any edit of what the client saw
    outcome = plan(revision([f"4-{'6' * 32}", edit, graft, first], {"owner": "ann"}), source.stored(), rules())
    assert isinstance(outcome, Send)
    assert outcome.doc["ssn"] == "1"


def test_what_the_source_has_is_acknowledged_only_to_those_who_see_it() -> None:
    source = Source()
    first, second = f"1-{'1' * 32}", f"2-{'2' * 32}"
    source.add(first, None, {"owner": "ann"})
    source.add(second, first, {"owner": "ann"})
    source.compact()
    for path in ([first], [second, first]):
        assert plan(revision(path, {"owner": "ann"}), source.stored(), rules()) == Acknowledge()
        assert isinstance(plan(revision(path, {"owner": "bob"}), source.stored(), rules(user="bob")), Refuse)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True), st.sets(st.sampled_from(["b", "c", "x"])))
def test_following_attachments_keep_their_order(sent: list[str], hidden: set[str]) -> None:
    class Hides(Without):
        def shape(self, doc: Doc, client: Client) -> Doc:
            entries = {name: e for name, e in doc.get("_attachments", {}).items() if name not in hidden}
            return {**{name: value for name, value in doc.items() if name != "_attachments"}, "_attachments": entries}

    first = f"1-{'1' * 32}"
    stub = {"stub": True, "content_type": "text/plain", "length": 3}
    leaf = {"_id": "x", "_rev": first, "_attachments": dict.fromkeys(["a", "b", "c", "x"], stub)}
    entries = {name: {"follows": True, "content_type": "text/plain", "length": 3} for name in sent}
    pushed = read_pushed({"_id": "x", "_rev": first, "_attachments": entries}, True, follows=True)
    outcome = plan(pushed, Stored([leaf]), rules(chain(Hides())))
    if hidden & {"a", "b", "c", "x"} & set(sent):
        assert isinstance(outcome, Refuse)
        return
    assert isinstance(outcome, Send)
    kept = outcome.doc.get("_attachments", {})
    assert [name for name in kept if kept[name].get("follows")] == sent
    assert {name for name in kept if kept[name].get("stub")} == hidden


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10) | st.text("ab-_", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_", max_size=3), inner, max_size=3),
    max_leaves=6,
)
HASHES = st.sampled_from(["a" * 32, "A" * 32, "abc", "0123456789abcdef", "x" * 32, 1])
REVISIONS = st.fixed_dictionaries({"start": st.integers(-1, 4), "ids": st.lists(HASHES, max_size=3)}) | JSON


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"_id": st.sampled_from(["x", "_design/x"]) | JSON},
        optional={
            "_rev": st.sampled_from(["1-" + "A" * 32, "2-abc"]) | JSON,
            "_revisions": REVISIONS,
            "_deleted": st.booleans() | JSON,
            "_attachments": st.dictionaries(st.text("a_", max_size=2), JSON, max_size=2) | JSON,
            "_conflicts": JSON,
            "_x": JSON,
            "name": JSON,
        },
    ),
    st.booleans(),
)
def test_any_document_is_read_unambiguously_or_refused(doc: Doc, new_edits: bool) -> None:
    try:
        pushed = read_pushed(doc, new_edits)
    except BadRequest:
        return
    whole = pushed.complete(pushed.body)
    json.dumps(whole)
    again = read_pushed(whole, new_edits)
    assert again.path == (pushed.path[:1] if new_edits else pushed.path)
    assert again.complete(again.body) == whole
    assert whole["_id"] == doc["_id"]
    assert not {"_conflicts", "_x"} & whole.keys()
    assert [rev.generation for rev in pushed.path] == sorted((r.generation for r in pushed.path), reverse=True)
    assert new_edits or pushed.rev == whole["_rev"]
    assert whole.get("_deleted") in (None, True)


@pytest.mark.parametrize("new_edits", [True, False])
@pytest.mark.parametrize("body", [{"owner": "bob"}, {"owner": "ann", "ssn": "9"}])
def test_what_could_not_be_created_is_refused_as_if_nothing_were_there(new_edits: bool, body: dict[str, str]) -> None:
    leaf = {"_id": "x", "_rev": "1-" + "a" * 32, "_revisions": {"start": 1, "ids": ["a" * 32]}, "owner": "bob"}
    pushed = read_pushed({"_id": "x", "_rev": "1-" + "9" * 32, **body}, new_edits)
    hidden, nothing = plan(pushed, Stored([leaf]), rules()), plan(pushed, NOTHING, rules())
    assert isinstance(hidden, Refuse)
    assert isinstance(nothing, Refuse)
    assert (hidden.error.status, hidden.error.reason) == (nothing.error.status, nothing.error.reason)
