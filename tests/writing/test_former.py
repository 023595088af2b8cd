"""Edits of what a device was shown by rules that have changed since, as properties of any document and any rules.

The rules leave alone what is edited here: so whatever was hidden, masked, cut or renamed by either has to stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from filters.attachments import Attachments
from filters.compute import Compute
from filters.default import Default
from filters.drop import Drop
from filters.keep import Keep
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.truncate import Truncate
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter
from proxy.core.cut import Cut
from proxy.core.equality import same
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Link
from proxy.writing.plan import plan
from proxy.writing.pushed import read_pushed
from proxy.writing.rules import Refuse, Rules, Send, Stored

GRAFTS = Grafts(b"a key for tests")
CLIENT = Client("ann", frozenset(["nurse"]))
REVISIONS = {"start": 1, "ids": ["a" * 32]}
NEXT = {"_id": "x", "_rev": "2-" + "b" * 32, "_revisions": {"start": 2, "ids": ["b" * 32, "a" * 32]}}

TEXTS = st.sampled_from(["Ann Smith", "Bob", "a longer text to be cut", "***", ""])
VALUES = st.one_of(TEXTS, st.integers(-1, 2), st.booleans(), st.none())
NOTES = st.lists(st.fixed_dictionaries({"text": TEXTS}, optional={"private": st.booleans(), "by": TEXTS}), max_size=4)
BODIES = st.fixed_dictionaries(
    {"bed": st.integers(0, 3), "owner": st.just("ann")},
    optional={
        "name": TEXTS,
        "ssn": VALUES,
        "notes": NOTES,
        "tags": st.lists(VALUES, max_size=4),
        "place": st.fixed_dictionaries({}, optional={"ward": VALUES, "room": VALUES}),
        "_attachments": st.sampled_from(
            [
                {name: {"stub": True, "content_type": kind, "length": 9, "revpos": 1, "digest": "md5-x"}}
                for name, kind in (("a.png", "image/png"), ("a.txt", "text/plain"))
            ]
        ),
    },
)
FILTERS: list[Callable[[], Filter]] = [
    lambda: Drop(paths=["ssn"]),
    lambda: Drop(paths=["notes[?private]"]),
    lambda: Drop(paths=["notes[].by", "place.room"]),
    lambda: Drop(paths=["tags", "place"]),
    lambda: Keep(paths=["bed", "owner", "mood", "name", "notes[].text"]),
    lambda: Redact(paths=["name"]),
    lambda: Redact(paths=["name", "place.ward"], mode="partial", keep=2),
    lambda: Redact(paths=["ssn"], writable=True),
    lambda: Rename(fields={"name": "fullName"}),
    lambda: Rename(fields={"ssn": "number", "place": "where"}),
    lambda: Truncate(paths=["tags", "notes"], items=1),
    lambda: Truncate(paths=["name"], chars=5),
    lambda: Default(fields={"name": "nobody", "level": 1}),
    lambda: Compute(fields={"count": "length(notes || `[]`)"}),
    lambda: Attachments(deny=["image/*"]),
    lambda: Select(where="owner == client.name"),
    lambda: Validate(where="bed < `9`"),
]


def chain(*filters: Filter) -> Chain:
    return Chain([Link(type(each).__name__, each) for each in filters])


CHAINS = st.lists(st.sampled_from(FILTERS), max_size=3).map(lambda made: chain(*(make() for make in made)))


def pushed_onto(original: Doc, edited: Doc, rules: Rules) -> Any:
    held = {"_id": "x", "_rev": "1-" + "a" * 32, **original, "_revisions": REVISIONS}
    body = {name: value for name, value in edited.items() if name not in ("_id", "_rev")}
    return plan(read_pushed({**body, **NEXT}, False), Stored([held]), rules)


def shown(using: Chain, original: Doc) -> Doc:
    found = using.shape({"_id": "x", "_rev": "1-" + "a" * 32, **original}, CLIENT)
    assert found is not None
    return found


def rules_of(now: Chain, *former: Chain, **more: Any) -> Rules:
    return Rules(now, CLIENT, GRAFTS, former=[Cut(each.shaping(), CLIENT) for each in former], **more)


def content(doc: Doc) -> Doc:
    own = {name: value for name, value in doc.items() if not name.startswith("_")}
    return {**own, "_attachments": sorted(doc.get("_attachments") or {})}


CHANGES: list[Doc] = [{"bed": 9}, {"mood": "good"}, {"bed": 9, "mood": "good"}]


@given(BODIES, CHAINS, CHAINS, st.lists(CHAINS, max_size=2), st.sampled_from(CHANGES))
def test_an_edit_of_a_former_cut_changes_nothing_else(
    original: Doc, before: Chain, now: Chain, others: list[Chain], change: Doc
) -> None:
    edited = {**shown(before, original), **change}
    outcome = pushed_onto(original, edited, rules_of(now, *others, before))
    unread = pushed_onto(shown(before, original), edited, rules_of(before))
    assume(not isinstance(unread, Refuse))  # by the rules that it had
    if isinstance(outcome, Refuse):
        # nothing is lost; and only what the present rules would refuse in any case
        assert isinstance(pushed_onto(original, {**shown(now, original), **change}, rules_of(now)), Refuse)
    else:
        assert isinstance(outcome, Send)
        assert content(outcome.doc) == content({**original, **change})


@given(BODIES, CHAINS, st.lists(CHAINS, min_size=1, max_size=3), st.sampled_from(CHANGES))
def test_an_edit_of_the_present_cut_is_what_it_was(original: Doc, now: Chain, others: list[Chain], change: Doc) -> None:
    edited = {**shown(now, original), **change}
    outcome, alone = (pushed_onto(original, edited, rules) for rules in (rules_of(now, *others), rules_of(now)))
    assert type(outcome) is type(alone)
    if isinstance(outcome, Send):
        assert same(content(outcome.doc), content(alone.doc))
        assert not outcome.former
