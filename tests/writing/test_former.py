"""Edits of what a device was shown by rules that have changed since, as properties of any document and any rules.

The rules leave alone what is edited here: so whatever was hidden, masked, cut or renamed by either has to stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
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
from proxy.core.cut import former_cuts
from proxy.core.equality import same
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Link
from proxy.core.marks import values_of
from proxy.core.readback import comparable
from proxy.writing.plan import plan
from proxy.writing.pushed import read_pushed
from proxy.writing.rules import Refuse, Rules, Send
from proxy.writing.stored import Stored

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
    lambda: Drop(paths=["notes[?private].text"]),
    lambda: Drop(paths=["notes[].private"]),
    lambda: Redact(paths=["notes[?private].text"]),
    lambda: Truncate(paths=["name"], chars=3, end="last"),
    lambda: Truncate(paths=["tags"], items=1, end="last"),
    lambda: Redact(paths=["name"], writable=True),
    lambda: Redact(paths=["name"], mode="hash", key="sixteen characters and more"),
    lambda: Rename(fields={"name": "ssn"}),
    lambda: Select(where="owner == client.name"),
    lambda: Validate(where="bed < `9`"),
]


CHAINS = st.lists(st.sampled_from(range(len(FILTERS))), max_size=3).map(
    lambda numbers: Chain([Link(f"rule {number}", FILTERS[number]()) for number in numbers])
)


def pushed_onto(original: Doc, edited: Doc, rules: Rules) -> Any:
    held = {"_id": "x", "_rev": "1-" + "a" * 32, **original, "_revisions": REVISIONS}
    body = {name: value for name, value in edited.items() if name not in ("_id", "_rev")}
    return plan(read_pushed({**body, **NEXT}, False), Stored([held]), rules)


def shown(using: Chain, original: Doc) -> Doc:
    found = using.shape({"_id": "x", "_rev": "1-" + "a" * 32, **original}, CLIENT)
    assert found is not None
    return found


def rules_of(now: Chain, *former: Chain, **more: Any) -> Rules:
    present, *others = ([(link, link.name) for link in each.links] for each in (now, *former))
    cuts = [cut for each in others for cut in former_cuts(each, CLIENT, present, CLIENT)]
    return Rules(now, CLIENT, GRAFTS, former=cuts, **more)


def content(doc: Doc) -> Doc:
    own = {name: value for name, value in doc.items() if not name.startswith("_")}
    return {**own, "_attachments": sorted(doc.get("_attachments") or {})}


def values(doc: Doc) -> Counter[Any]:
    """What is in a document, each value behind the names that lead to it, as often as it is there."""
    return Counter(values_of(content(doc)))


def _shows_less(had: Doc, seen: Doc) -> bool:
    """Whether something was shown that is not shown any more, in this form or by this name."""
    return bool(values(had) - values(seen)) or not had.keys() <= seen.keys()  # an empty one has no values


CHANGES: list[Doc] = [{"bed": 9}, {"mood": "good"}, {"bed": 9, "mood": "good"}]


@given(BODIES, CHAINS, CHAINS, st.lists(CHAINS, max_size=2), st.sampled_from(CHANGES))
def test_an_edit_of_a_former_cut_changes_nothing_else(
    original: Doc, before: Chain, now: Chain, others: list[Chain], change: Doc
) -> None:
    had, seen = shown(before, original), shown(now, original)
    edited, rules = {**had, **change}, rules_of(now, *others, before)
    assume(isinstance(pushed_onto(original, edited, rules_of(before)), Send))  # by the rules that it had
    outcome = pushed_onto(original, edited, rules)
    if isinstance(outcome, Send):
        assert not values({**original, **change}) - values(outcome.doc)
        if not _shows_less(had, seen):
            assert content(outcome.doc) == content({**original, **change})
    elif isinstance(pushed_onto(original, {**seen, **change}, rules_of(now)), Send):
        # only what shows something that is not shown any more
        assert not any(same(comparable(cut.of(seen) or {}), comparable(had)) for cut in rules.former)


@given(BODIES, CHAINS, st.lists(CHAINS, min_size=1, max_size=3), st.sampled_from(CHANGES))
def test_an_edit_of_the_present_cut_is_what_it_was(original: Doc, now: Chain, others: list[Chain], change: Doc) -> None:
    edited = {**shown(now, original), **change}
    outcome, alone = (pushed_onto(original, edited, rules) for rules in (rules_of(now, *others), rules_of(now)))
    assert type(outcome) is type(alone)
    if isinstance(outcome, Send):
        assert same(content(outcome.doc), content(alone.doc))
        assert not outcome.former


@given(BODIES, CHAINS, CHAINS, st.sampled_from(["refuse", "discard"]), st.tuples(VALUES, VALUES), st.data())
def test_what_becomes_of_an_edit_does_not_depend_on_what_is_hidden(
    original: Doc, before: Chain, more: Chain, on_surplus: Any, secrets: tuple[Any, Any], data: st.DataObject
) -> None:
    hiding = Link("hiding", Drop(paths=["ssn", "notes[?private]"]))
    now = Chain([hiding, *more.links])
    notes = [{"text": "Ann", "private": True, "by": secret} for secret in secrets]
    one, other = ({**original, "ssn": secret, "notes": [note]} for secret, note in zip(secrets, notes, strict=True))
    had = shown(before, one)
    sent = {**had, "bed": 9, **data.draw(st.fixed_dictionaries({}, optional={"ssn": VALUES, "notes": NOTES}))}
    for name in data.draw(st.sets(st.sampled_from(sorted(had.keys() - {"_id", "_rev"})), max_size=2)):
        sent.pop(name, None)
    rules = rules_of(now, before, on_surplus=on_surplus)
    outcomes = [pushed_onto(each, sent, rules) for each in (one, other)]
    assert type(outcomes[0]) is type(outcomes[1])
    if isinstance(outcomes[0], Refuse):
        assert str(outcomes[0].error) == str(outcomes[1].error)
    else:
        first, second = (shown(now, content(outcome.doc)) for outcome in outcomes)
        assert same(first, second)


def of(*filters: Filter) -> Chain:
    return Chain([Link(repr(vars(each)), each) for each in filters])


LIST = {"list": [{"t": "TOP", "p": True, "n": 1}, {"t": "b", "n": 2}], "bed": 1, "owner": "ann"}
TAGS = {
    "tags": ["a", "b", "c"],
    "text": "abcdefghij",
    "note": "kept",
    "name": "Ann",
    "full": "F",
    "bed": 1,
    "owner": "ann",
}


@pytest.mark.parametrize("on_surplus", ["refuse", "discard"])
@pytest.mark.parametrize(
    ("original", "before", "now"),
    [
        (LIST, of(Drop(paths=["list[?p].t"]), Drop(paths=["list[].p"])), of(Drop(paths=["list[].p"]))),
        (LIST, of(Drop(paths=["list[?p]"]), Drop(paths=["list[].p"])), of(Drop(paths=["list[].p"]))),
        (LIST, of(Redact(paths=["list[?p].t"]), Drop(paths=["list[].p"])), of(Drop(paths=["list[].p"]))),
        (LIST, of(Drop(paths=["list[?p].t"])), of(Drop(paths=["list[].p"]))),
        (TAGS, of(Truncate(paths=["text"], chars=2, end="last")), of(Truncate(paths=["text"], chars=3))),
        (TAGS, of(Truncate(paths=["tags"], items=1, end="last")), of(Truncate(paths=["tags"], items=2))),
        (TAGS, of(Truncate(paths=["tags"], items=1, end="last")), of(Truncate(paths=["tags"], items=1))),
        (TAGS, of(Redact(paths=["note"], mode="hash", key="k" * 16)), of(Redact(paths=["note"], writable=True))),
        (TAGS, of(Redact(paths=["note"], mode="partial", keep=2)), of(Redact(paths=["note"], writable=True))),
        (TAGS, of(Drop(paths=["name"])), of(Rename(fields={"name": "full"}))),
        (TAGS, of(Rename(fields={"name": "note"})), of(Rename(fields={"name": "note", "note": "full"}))),
        (TAGS, of(Rename(fields={"name": "note", "note": "full"})), of(Rename(fields={"name": "note"}))),
        (
            TAGS,
            of(Rename(fields={"name": "note"})),
            of(Rename(fields={"name": "full2"}), Rename(fields={"name": "note"})),
        ),
    ],
)
def test_what_cannot_be_told_is_refused(original: Doc, before: Chain, now: Chain, on_surplus: Any) -> None:
    edited = {**shown(before, original), "bed": 9}
    outcome = pushed_onto(original, edited, rules_of(now, before, on_surplus=on_surplus))
    if isinstance(outcome, Send):
        assert not values({**original, "bed": 9}) - values(outcome.doc)
    fresh = {**shown(now, original), "bed": 9}
    assert isinstance(pushed_onto(original, fresh, rules_of(now, before, on_surplus=on_surplus)), Send)


@pytest.mark.parametrize("sent", [{}, {"tags": ["a"]}, {"tags": ["x"]}])
def test_of_what_was_shown_in_part_the_rest_is_not_removed(sent: Doc) -> None:
    before, now = of(Truncate(paths=["tags"], items=1)), of()
    left = {name: value for name, value in TAGS.items() if name != "tags"}
    outcome = pushed_onto(TAGS, {"_id": "x", "_rev": "1-" + "a" * 32, **left, **sent}, rules_of(now, before))
    assert isinstance(outcome, Refuse) or outcome.doc["tags"][1:] == ["b", "c"]


BLANK = {"name": "", "ssn": None, "place": {"ward": "w", "room": "r"}, "bed": 1, "owner": "ann"}
MASKED = (Redact(paths=["name"], mode="partial", keep=2), Redact(paths=["place.ward"], mode="partial", keep=2))
NOW_MASKED = of(Redact(paths=["name", "place.ward"]))


@pytest.mark.parametrize(
    ("hidden", "masks"),
    [
        (Drop(paths=["ssn"]), MASKED[:1]),
        (Drop(paths=["ssn"]), MASKED),
        (Drop(paths=["place.room"]), MASKED[:1]),
        (Rename(fields={"ssn": "number"}), MASKED),
    ],
)
def test_what_was_hidden_beside_masks_that_look_like_those_of_now_is_not_removed(
    hidden: Filter, masks: tuple[Filter, ...]
) -> None:
    """Of a mask over a mask it cannot be told how it looked: the edit seems to be as near to the present cut."""
    before = of(hidden, *masks)
    edited = {**shown(before, BLANK), "bed": 9}
    outcome = pushed_onto(BLANK, edited, rules_of(NOW_MASKED, before))
    assert isinstance(outcome, Refuse) or values(outcome.doc) == values({**BLANK, "bed": 9})


@pytest.mark.parametrize("gone", [["ssn"], ["tags"], ["ssn", "tags"]])
@pytest.mark.parametrize("more", [{}, {"text": "new"}, {"text": "new", "note": "new"}])
def test_who_has_the_present_cut_removes_what_was_hidden_before(gone: list[str], more: Doc) -> None:
    """What it has beside that was not shown before either: so it can be told."""
    original = {**TAGS, "ssn": 1, "other": {"deep": 1}}
    before, now = of(Drop(paths=["ssn", "tags", "other"]), Redact(paths=["full"])), of()
    kept = {name: value for name, value in shown(now, original).items() if name not in gone}
    outcome = pushed_onto(original, {**kept, **more}, rules_of(now, before))
    assert isinstance(outcome, Send)
    assert values(outcome.doc) == values({**kept, **more})


NOTES_OF = {"notes": [{"text": "Ann", "private": True}, {"text": "Bob"}], "bed": 1, "owner": "ann"}
WHO = {"name": "Ann Smith", "place": {"ward": "w"}, "bed": 1, "owner": "ann"}


@pytest.mark.parametrize(
    ("original", "before", "now", "others"),
    [
        # what the filter that both have goes by is hidden from it now
        (
            NOTES_OF,
            of(Drop(paths=["notes[?private]"])),
            of(Keep(paths=["bed", "owner", "notes[].text"]), Drop(paths=["notes[?private]"])),
            [],
        ),
        # a mask of now that the client may write over lies over what was cut
        (WHO, of(Truncate(paths=["name"], chars=5)), of(Redact(paths=["name"], writable=True)), []),
        # another cut is as near, and its reading would store the mask
        (TAGS, of(Redact(paths=["name"])), of(Default(fields={"level": 1})), [of(Keep(paths=[*TAGS]))]),
        # two cuts make the same of what is shown now, and only of one it can be told
        (
            TAGS,
            of(Redact(paths=["name"]), Truncate(paths=["tags"], items=1)),
            of(Truncate(paths=["tags"], items=1, end="last")),
            [of(Redact(paths=["name"]))],
        ),
        # what both rules have did something to what another one had made of it
        (
            {**WHO, "name": "Bob"},
            of(Redact(paths=["name"], value="confidential"), Truncate(paths=["name"], chars=5)),
            of(Truncate(paths=["name"], chars=5)),
            [],
        ),
        # what is made now by the name of what is renamed
        (WHO, of(Redact(paths=["name"])), of(Rename(fields={"name": "full"}), Default(fields={"name": "?"})), []),
        # a mask beside one that looks like that of now
        (WHO, of(*MASKED, Redact(paths=["name"])), of(Redact(paths=["name"])), []),
    ],
)
def test_what_a_former_cut_had_not_is_not_overwritten(
    original: Doc, before: Chain, now: Chain, others: list[Chain]
) -> None:
    edited = {**shown(before, original), "bed": 9}
    outcome = pushed_onto(original, edited, rules_of(now, *others, before))
    if isinstance(outcome, Send):
        assert not values({**original, "bed": 9}) - values(outcome.doc)
    fresh = {**shown(now, original), "bed": 9}
    assert isinstance(pushed_onto(original, fresh, rules_of(now, *others, before)), Send)


@pytest.mark.parametrize("sent", ["Ann S", "Bob", "someone"])
def test_whether_a_mask_is_written_over_does_not_depend_on_what_is_under_it(sent: str) -> None:
    before, now = of(Truncate(paths=["name"], chars=5)), of(Redact(paths=["name"], writable=True))
    found = set()
    for name in ("Ann", "Bob", "Ann Smith", "someone"):
        original = {**WHO, "name": name}
        outcome = pushed_onto(original, {**shown(now, original), "name": sent}, rules_of(now, before))
        found.add(str(outcome.error) if isinstance(outcome, Refuse) else "sent")
    assert len(found) == 1


@pytest.mark.parametrize("mask", [Redact(paths=["name"], writable=True)])
@pytest.mark.parametrize("gone", [[], [Drop(paths=["ssn"])], [Redact(paths=["ssn"])]])
def test_who_has_the_present_cut_writes_over_a_mask_that_was_there_before(mask: Filter, gone: list[Filter]) -> None:
    """Whatever rules about other fields came, or went."""
    for before, now in ((of(*gone, mask), of(mask)), (of(mask), of(*gone, mask))):
        edited = {**shown(now, WHO), "name": "Bob"}
        outcome = pushed_onto(WHO, edited, rules_of(now, before))
        assert isinstance(outcome, Send)
        assert outcome.doc["name"] == "Bob"


@pytest.mark.parametrize(
    ("cut", "mask", "sent"),
    [
        (Truncate(paths=["tags"], items=1), Redact(paths=["tags"], writable=True), {"tags": ["A"]}),
        (Drop(paths=["place.ward"]), Redact(paths=["place"], writable=True), {"place": {"room": 2}}),
    ],
)
def test_what_was_cut_under_a_mask_is_not_overwritten(cut: Filter, mask: Filter, sent: Doc) -> None:
    original = {**TAGS, "place": {"ward": "w", "room": 1}}
    edited = {**shown(of(cut), original), **sent}
    assert isinstance(pushed_onto(original, edited, rules_of(of(mask), of(cut))), Refuse)
