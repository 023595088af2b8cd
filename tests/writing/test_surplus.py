"""What a client sends and would not read back: hidden is only what the source has hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any, ClassVar, Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.compute import Compute
from filters.default import Default
from filters.drop import Drop
from filters.keep import Keep
from filters.project import Project
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.stamp import Stamp
from filters.truncate import Truncate
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter, Refused
from proxy.core.equality import same
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Link
from proxy.core.surplus import without_surplus
from proxy.writing.judge import judge
from proxy.writing.pushed import Pushed, read_pushed
from proxy.writing.rules import Outcome, Refuse, Rules, Send
from tests.core.json_strategies import docs, paths_in
from tests.writing.filters import NoBinaries

NURSE = Client("nurse", frozenset(["facility:f7"]))
Mode = Literal["refuse", "discard"]


def rules(*filters: Filter, on_surplus: Mode = "refuse") -> Rules:
    chain = Chain([Link(type(each).__name__, each) for each in filters])
    return Rules(chain, NURSE, Grafts(b"a key for tests"), on_surplus=on_surplus)


def pushed(doc: Doc) -> Pushed:
    return read_pushed({**doc, "_id": "doc", "_rev": "2-" + "b" * 32}, False)


def written(outcome: Outcome) -> Doc:
    assert isinstance(outcome, Send)
    return {name: value for name, value in outcome.doc.items() if name not in ("_id", "_rev", "_revisions")}


def hiding(data: st.DataObject, *of: Doc) -> Filter:
    paths = sorted({path for doc in of for path in paths_in(doc)} | {"zz"})
    chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=4, unique=True))
    try:
        return data.draw(st.sampled_from([Drop, Keep]))(paths=chosen)
    except ValueError:  # one of them is within another
        return Drop(paths=["a"])


def labelled(value: Any, labels: Iterator[str]) -> Any:
    """The same with other scalars, each another one."""
    if isinstance(value, dict):
        return {name: member if name[0] == "_" else labelled(member, labels) for name, member in value.items()}
    if isinstance(value, list):
        return [labelled(element, labels) for element in value]
    return next(labels)


def scalars(value: Any) -> Counter[Any]:
    if isinstance(value, dict):
        return sum((scalars(member) for member in value.values()), Counter())
    if isinstance(value, list):
        return sum(map(scalars, value), Counter())
    return Counter([value])


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_what_is_hidden_in_what_is_sent_to_the_source_is_of_the_source(data: st.DataObject) -> None:
    original = data.draw(st.none() | docs())
    own = labelled(data.draw(docs()), (f"client's {number}" for number in count()))
    by = rules(
        *[hiding(data, own, *([original] if original else [])) for _ in range(data.draw(st.integers(1, 2)))],
        on_surplus=data.draw(st.sampled_from(["refuse", "discard"])),
    )
    kept = by.chain.shape(original, NURSE) or {} if original and data.draw(st.booleans()) else {}
    sent = {**kept, **own, **({"_deleted": True} if data.draw(st.booleans()) else {})}
    if original is not None and data.draw(st.booleans()):
        original = {**original, "_deleted": True}
    outcome = judge(pushed(sent), original, by)
    if isinstance(outcome, Refuse):
        return
    whole = written(outcome)
    hidden = scalars(whole) - scalars(by.chain.shape({"_id": "doc", **whole}, NURSE))
    assert not [value for value in hidden if str(value).startswith("client's")], f"{sent} onto {original}: {whole}"


class UnlessBed2(Filter):
    """Hides a field by what the client may write."""

    pure: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def shape(self, doc: Doc, client: Client) -> Doc:
        return doc if doc.get("bed") == 2 else {name: value for name, value in doc.items() if name != "ssn"}


WORDS = st.sampled_from(["Ann", "Bob", "Eve", 1, 2, True, False, None])
NOTES = st.lists(
    st.fixed_dictionaries({}, optional={"text": WORDS, "private": st.booleans(), "by": WORDS, "id": st.integers(0, 2)}),
    max_size=3,
)
TURNED: list[list[Filter]] = [
    [Drop(paths=["notes[?private].by"])],
    [Drop(paths=["notes[?private].by"]), Drop(paths=["ssn"])],
    [Drop(paths=["notes[?private].by"]), Compute(fields={"recent": "notes[-3:]"})],
    [Redact(paths=["notes[?private].by"], writable=True), Drop(paths=["notes[?hidden]"])],
    [Keep(paths=["notes[?private].text", "notes[?private].private", "notes[?!private]", "bed"])],
    [Drop(paths=["notes[?private].by"]), Rename(fields={"notes": "remarks"})],
    [Rename(fields={"notes": "remarks"}), Drop(paths=["remarks[?private].by"])],
    [Redact(paths=["notes[?private].by"])],
    [Redact(paths=["notes[?private].by"], writable=True)],
    [Drop(paths=["notes[?private].by"]), Validate(where="bed < `9`")],
    [Drop(paths=["notes[?private].by.name"]), UnlessBed2()],
    [UnlessBed2(), Drop(paths=["notes[?private]"])],
    [Drop(paths=["notes[?private].by", "notes[].private"])],
    [Drop(paths=["notes[?private]", "ssn"])],
    [Keep(paths=["notes[?!private]", "bed"])],
    [Keep(paths=["notes[?!private]", "notes[].text", "notes[].private", "bed"])],
    [Drop(paths=["notes[?private]", "notes[].by"]), Default(fields={"ssn": "Ann"})],
    [Redact(paths=["ssn", "notes[].by"])],
    [Redact(paths=["ssn", "notes[].by"], mode="partial", keep=1)],
    [Truncate(paths=["notes"], items=1), Drop(paths=["ssn", "notes[?private].by"])],
]


@settings(max_examples=800, deadline=None)
@given(
    st.sampled_from(TURNED),
    NOTES,
    st.fixed_dictionaries({"bed": st.sampled_from([1, 2]), "notes": NOTES}, optional={"ssn": WORDS}),
    st.tuples(WORDS, WORDS),
    st.sampled_from(get_args(Mode)),
    st.booleans(),
    st.sampled_from([0, 0, 1, 35]),
)
def test_nobody_finds_out_by_guessing_what_a_condition_hides(
    filters: list[Filter], held: list[Doc], sent: Doc, secrets: tuple[Any, Any], mode: Mode, gone: bool, crowd: int
) -> None:
    """The client may turn the condition: what it sends of the hidden member is refused, whatever it is. Nor does it
    help to show a `crowd` of the same values.
    """
    by = rules(*filters, on_surplus=mode)
    outcomes = []
    others = [{"text": n, "private": False, "by": secret} for n in range(crowd) for secret in secrets]
    held, sent = [*held, *others], {**sent, "notes": [*sent["notes"], *others]}
    for secret in secrets:
        hidden = {"by": {"name": secret}} if any("name" in str(vars(each)) for each in filters) else {"by": secret}
        notes = [note | hidden if note.get("private") else note for note in held]
        original = {"_id": "doc", "_rev": "1-a", "bed": 1, "ssn": secret, "notes": notes}
        names = {"notes": "remarks"} if "remarks" in (by.chain.shape(original, NURSE) or {}) else {}
        edited = {names.get(name, name): value for name, value in sent.items()}
        outcomes.append(judge(pushed({**edited, **({"_deleted": True} if gone else {})}), original, by))
    first, second = outcomes
    assert type(first) is type(second)
    if isinstance(first, Refuse):
        assert isinstance(second, Refuse)
        assert first.told(by.chain).reason == second.told(by.chain).reason
    else:
        seen = [by.chain.shape({"_id": "doc", **written(outcome)}, NURSE) for outcome in outcomes]
        assert same(*seen)


@pytest.mark.parametrize("seen", [1, 40, 300])
@pytest.mark.parametrize("more", [[], [Compute(fields={"recent": "notes[-200:]"})]])
@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("gone", [True, False])
def test_what_many_others_are_shown_does_not_uncover_it(seen: int, more: list[Filter], mode: Mode, gone: bool) -> None:
    """The client turns the condition and sends nothing of the member: it would be shown what is stored there."""
    by = rules(Drop(paths=["notes[?private].by"]), *more, on_surplus=mode)
    others = [{"id": f"{n}", "private": False, "by": "eve"} for n in range(seen)]
    original = {"_id": "doc", "_rev": "1-a", "notes": [{"id": "s", "private": True, "by": "eve"}, *others]}
    sent = {"notes": [{"id": "s", "private": False}, *others], **({"_deleted": True} if gone else {})}
    assert isinstance(judge(pushed(sent), original, by), Refuse)


@pytest.mark.parametrize("more", [[], [Compute(fields={"recent": "notes[-3:]"})]])
def test_what_is_shown_twice_makes_nothing_hidden_a_clients_word(more: list[Filter]) -> None:
    by = rules(Drop(paths=["notes[?private].by"]), *more, on_surplus="discard")
    original = {"_id": "doc", "_rev": "1-a", "notes": []}
    sent = {"notes": [{"by": "chief"}, {"private": True, "by": "chief"}]}
    assert written(judge(pushed(sent), original, by)) == {"notes": [{"by": "chief"}, {"private": True}]}
    assert isinstance(judge(pushed(sent), original, replace(by, on_surplus="refuse")), Refuse)


class Strict(Filter):
    """Takes nothing but what it knows."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        for note in doc.get("notes", []):
            if type(note.get("private", False)) is not bool or type(note.get("by", "")) is not str:
                raise TypeError("what is this?")
        return doc

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return edited


def test_a_filter_that_takes_nothing_else_is_shown_nothing_else_for_long() -> None:
    by = rules(Drop(paths=["notes[?private].by"]), Strict(), on_surplus="discard")
    original = {"_id": "doc", "_rev": "1-a", "notes": [{"private": True, "by": "b"}, {"private": False, "by": "a"}]}
    notes = [{"private": True}, {"private": False, "by": "a"}, {"private": True, "by": "c"}]
    kept = [{"private": True, "by": "b"}, {"private": False, "by": "a"}, {"private": True}]
    assert written(judge(pushed({"notes": notes}), original, by)) == {"notes": kept}
    deletion = written(judge(pushed({"_deleted": True, "why": "moved", "notes": notes}), original, by))
    assert deletion["why"] == "moved"


@pytest.mark.parametrize("gone", [True, False])
def test_of_what_is_shown_in_part_nothing_hidden_is_a_clients_word(gone: bool) -> None:
    by = rules(Project(body="{list: data.notes}"), Drop(paths=["list[?private].by"]), on_surplus="discard")
    sent = {"list": [{"private": True, "by": "FORGED"}], **({"_deleted": True} if gone else {})}
    for original in (None, {"_id": "doc", "_rev": "1-a", "data": {"notes": [{"by": "x"}]}}):
        outcome = judge(pushed(sent), original, by)
        assert isinstance(outcome, Refuse) or "FORGED" not in str(outcome.doc)


class Counts(Filter):
    """Shows how many notes are by whom the client asks for."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {**doc, "count": [note.get("by", "") for note in doc["notes"]].count(doc.get("asked"))}

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return {name: value for name, value in edited.items() if name != "count"}

    def sets_fields(self) -> list[str]:
        return ["count"]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_what_is_computed_of_what_is_hidden_may_depend_on_what_is_sent(mode: Mode) -> None:
    """That is what the rule is for."""
    by = rules(Counts(), Drop(paths=["notes[?private].by"]), on_surplus=mode)
    original = {"_id": "doc", "_rev": "1-a", "notes": [{"private": True, "by": "ann"}]}
    for name in ("ann", "bob"):
        sent = {"asked": name, "count": 0, "notes": [{"private": True}, {"by": name}]}
        whole = written(judge(pushed(sent), original, by))
        assert whole == {"asked": name, "notes": [{"private": True, "by": "ann"}, {"by": name}]}


@pytest.mark.parametrize("on_surplus", ["refuse", "discard"])
@pytest.mark.parametrize("original", [None, {"_id": "doc", "_rev": "1-a", "_deleted": True, "facility": "f7"}])
def test_a_deletion_brings_nothing_hidden(on_surplus: Mode, original: Doc | None) -> None:
    forged: Doc = {"_deleted": True, "facility": "f7", "why": "moved", "ssn": "FORGED", "acl": ["eve"]}
    by = rules(Select(where="facility == client.facility"), Drop(paths=["ssn", "acl"]), on_surplus=on_surplus)
    assert written(judge(pushed(forged), original, by)) == {"_deleted": True, "facility": "f7", "why": "moved"}
    real = {"_id": "doc", "_rev": "1-a", "facility": "f7", "ssn": "real", "name": "Ann"}
    assert "ssn" not in written(judge(pushed(forged), real, by))


def test_a_deletion_brings_no_attachment_that_is_hidden() -> None:
    entry = {"content_type": "image/png", "data": "AAEC"}
    by = rules(Select(where="facility == client.facility"), NoBinaries())
    for fields in ({"facility": "f7"}, {}):
        outcome = judge(pushed({"_deleted": True, **fields, "_attachments": {"x": entry}}), None, by)
        assert written(outcome) == {"_deleted": True, **fields}


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"mine": 1, "ssn": "evil"}, {"mine": 1}),
        ({"notes": [{"a": 1}, {"private": True, "a": 2}, {"a": 3}]}, {"notes": [{"a": 1}, {"a": 3}]}),
        ({"notes": [{"private": True}]}, {"notes": []}),
        ({"meta": {"x": 1, "key": "evil"}}, {"meta": {"x": 1}}),
        ({"meta": "of another type"}, {"meta": "of another type"}),
    ],
)
@pytest.mark.parametrize("original", [None, {"_id": "doc", "_rev": "1-a", "facility": "f7"}])
def test_where_surplus_is_discarded_none_is_stored(sent: Doc, stored: Doc, original: Doc | None) -> None:
    filters = Select(where="facility == client.facility"), Drop(paths=["ssn", "notes[?private]", "meta.key"])
    by = rules(*filters, on_surplus="discard")
    assert written(judge(pushed({"facility": "f7", **sent}), original, by)) == {"facility": "f7", **stored}
    refused = judge(pushed({"facility": "f7", **sent}), original, rules(*filters))
    assert isinstance(refused, Refuse) is (sent != stored)


@pytest.mark.parametrize(
    ("filters", "sent", "stored"),
    [
        ([Drop(paths=["meta.key"]), Default(fields={"meta": {}})], {"meta": {"key": "FORGED"}}, {}),
        ([Keep(paths=["t"]), Default(fields={"status": "open"})], {"status": "FORGED"}, None),
        ([Keep(paths=["t"]), Default(fields={"status": "open"})], {"status": "open"}, {}),
        ([Drop(paths=["ssn"]), Redact(paths=["pin"], writable=True)], {"pin": "9"}, {"pin": "9"}),
        ([Stamp(fields={"owner": "client.name"}), Drop(paths=["owner"])], {"owner": "eve"}, None),
    ],
)
def test_what_filters_set_hides_nothing_of_the_client(filters: list[Filter], sent: Doc, stored: Doc | None) -> None:
    """`stored`: where it is not refused, which nobody promises of what is None."""
    for original in (None, {"_id": "doc", "_rev": "1-a", "t": 1}):
        for mode in get_args(Mode):
            outcome = judge(pushed({"t": 1, **sent}), original, rules(*filters, on_surplus=mode))
            if isinstance(outcome, Refuse):
                assert stored is None or (mode == "refuse" and "FORGED" in str(sent))
                continue
            whole = written(outcome)
            assert not {"FORGED", "eve"} & set(scalars(whole))
            assert stored is None or whole == {"t": 1, **stored}


@pytest.mark.parametrize(
    ("filters", "original", "sent"),
    [
        (
            [Default(fields={"status": "open"}), Validate(where="status=='open'", message="no")],
            {"t": 1},
            {"t": 1, "status": "open"},
        ),
        ([Rename(fields={"st": "status"}), Validate(where="status", message="no")], {"st": "open"}, {"status": "open"}),
        ([Validate(where="st", message="no"), Rename(fields={"st": "status"})], {"st": "open"}, {"status": "open"}),
        ([Compute(fields={"full": "a"}), Validate(where="full", message="no")], {"a": "x"}, {"a": "x", "full": "x"}),
        ([Drop(paths=["n[?private]"])], {"n": [{"private": True, "x": 1}]}, {"n": [{"private": True, "mine": 1}]}),
        ([Drop(paths=["n[?private]"])], {"n": [{"private": True, "x": 1}]}, {"n": [{"private": True}]}),
    ],
)
def test_a_deletion_is_judged_by_all_that_was_sent(filters: list[Filter], original: Doc, sent: Doc) -> None:
    """What is left out of it is none of the rules' business: they have passed it."""
    outcome = judge(pushed({**sent, "_deleted": True}), {"_id": "doc", "_rev": "1-a", **original}, rules(*filters))
    whole = written(outcome)
    assert whole["_deleted"] is True
    assert "private" not in str(whole)


def test_what_is_hidden_stays_where_surplus_is_discarded() -> None:
    original: dict[str, Any] = {
        "_id": "doc",
        "_rev": "1-a",
        "ssn": "real",
        "notes": [{"private": True, "a": 0}, {"a": 1}],
    }
    by = rules(Drop(paths=["ssn", "notes[?private]"]), on_surplus="discard")
    sent = {"ssn": "evil", "notes": [{"a": 1}, {"private": True, "a": 9}], "x": 1}
    assert written(judge(pushed(sent), original, by)) == {
        "ssn": "real",
        "notes": [{"private": True, "a": 0}, {"a": 1}],
        "x": 1,
    }


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("first", [0, 1])
def test_a_filled_field_uncovers_nothing(mode: Mode, first: int) -> None:
    """What a client does not send of a field is no exemption for what the source has of it."""
    filters = [Default(fields={"log": []}), Truncate(paths=["log"], items=2, end="last")]
    both = rules(*filters[first:], *filters[:first], on_surplus=mode)
    original = {"_id": "doc", "_rev": "1-a", "a": 0, "log": [{"n": 1, "s": "old secret"}, {"n": 2}, {"n": 3}]}
    outcome = judge(pushed({"a": 1}), original, both)
    assert isinstance(outcome, Refuse)
    gone = written(judge(pushed({"_deleted": True}), original, both))
    assert "old secret" not in str(gone)


def test_what_a_client_writes_to_a_filled_field_is_stored_or_refused() -> None:
    hidden = rules(Keep(paths=["name"]), Default(fields={"status": "open"}))
    original = {"_id": "doc", "_rev": "1-a", "name": "n", "status": "closed"}
    assert isinstance(judge(pushed({"name": "n", "status": "done"}), original, hidden), Refuse)
    kept = written(judge(pushed({"name": "m", "status": "open"}), original, hidden))
    assert (kept["name"], kept["status"]) == ("m", "closed")
    renamed = rules(Default(fields={"status": "open"}), Rename(fields={"status": "state"}))
    original = {"_id": "doc", "_rev": "1-a", "name": "n"}
    assert written(judge(pushed({"name": "m"}), original, renamed)) == {"name": "m"}
    assert written(judge(pushed({"name": "m", "state": "open"}), original, renamed)) == {"name": "m"}
    assert written(judge(pushed({"state": "done"}), original, renamed)) == {"status": "done"}


@pytest.mark.parametrize(
    ("filters", "original", "sent"),
    [
        (
            [Drop(paths=["notes[?private]", "notes[].h"])],
            {"notes": [{"id": 1, "t": "a", "h": "H1"}, {"id": 2, "t": "b", "h": "H2"}]},
            {"notes": [{"id": 1, "t": "a"}, {"id": 2, "t": "b", "private": True}]},
        ),
        (
            [Keep(paths=["tasks[?by == client.name]"])],
            {"tasks": [{"t": "x", "by": "nurse"}, {"t": "y", "by": "bob"}]},
            {"tasks": [{"t": "x", "by": "bob"}]},
        ),
        ([Drop(paths=["notes[?private].t"])], {"notes": [{"t": "a"}]}, {"notes": [{"t": "b", "private": True}]}),
    ],
)
def test_what_a_client_was_shown_is_no_surplus_even_if_it_hides_it(
    filters: list[Filter], original: Doc, sent: Doc
) -> None:
    """To leave it out would be to delete it, with all that is hidden in it."""
    whole = {"_id": "doc", "_rev": "1-a", **original}
    assert isinstance(judge(pushed(sent), whole, rules(*filters, on_surplus="discard")), Refuse)


def test_what_is_discarded_beside_it_is_no_way_to_plant_a_value_behind_a_default() -> None:
    filters = [Keep(paths=["a"]), Default(fields={"dd": 7})]
    original = {"_id": "doc", "_rev": "1-a", "a": 0}
    for before in (original, None):
        for sent in ({"a": 1, "dd": "evil"}, {"a": 1, "dd": "evil", "other": 1}):
            assert isinstance(judge(pushed(sent), before, rules(*filters, on_surplus="discard")), Refuse)


def test_surplus_in_elements_of_which_it_cannot_be_told_what_they_were_is_refused() -> None:
    """Any of them may be the one of which the client was shown that member."""
    before = [{"text": str(k), "kind": k % 3} for k in range(102)]
    shown = [{**each, "seen": True} for each in before[1:]]
    sent = [{**each, "q": 1} for each in shown]
    assert without_surplus({"l": sent}, {"l": shown}, {"l": before}) == {"l": shown}
    alike = [
        [{"kind": each["kind"], **more} for each in some] for some, more in ((before, {}), (shown, {"seen": True}))
    ]
    with pytest.raises(Refused, match="read back"):
        without_surplus({"l": [{**each, "q": 1} for each in alike[1]]}, {"l": alike[1]}, {"l": alike[0]})


@pytest.mark.parametrize("mode", ["refuse", "discard"])
@pytest.mark.parametrize(
    "rule",
    [
        Compute(fields={"total": "sum(items[].price)"}),
        Compute(fields={"dear": "length(items[?price > `20`])"}),
        Drop(paths=["items[?price > `20`].of"]),
        Drop(paths=["items[?price == cost].of", "items[].cost"]),
    ],
)
def test_a_right_guess_is_a_wrong_one_where_what_is_hidden_decides_what_is_shown(mode: Mode, rule: Filter) -> None:
    items = [{"id": n, "private": True, "price": price, "cost": price, "of": "x"} for n, price in enumerate((30, 12))]
    filters = [rule, Drop(paths=["items[?private].price"])]
    original = {"_id": "doc", "_rev": "1-a", "items": items}
    for number, price in enumerate((30, 12)):
        told = []
        for guess in (price, price + 1):
            sent = rules(*filters).shape(original)
            assert sent is not None
            sent = {"items": [dict(item) for item in sent["items"]]}
            sent["items"][number] |= {"private": False, "price": guess}
            outcome = judge(pushed(sent), original, rules(*filters, on_surplus=mode))
            assert isinstance(outcome, Refuse)
            told.append(str(outcome.error))
        assert told[0] == told[1]


RULES: list[tuple[Filter, str, list[Doc]]] = [
    (Validate(where="length(notes[?!contains(['open', 'closed'], status)]) == `0`"), "status", [{}, {}]),
    (Validate(where="sum(notes[].share) == `100`"), "share", [{"status": "open"}, {}]),
    (Validate(where="length(notes[?status == 'open']) >= `2`"), "status", [{}, {}]),
]


@pytest.mark.parametrize("mode", ["refuse", "discard"])
@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(("rule", "hidden", "more"), RULES, ids=["known values", "a sum", "at least two"])
def test_no_honest_edit_is_refused_for_values_that_nobody_has(
    rule: Filter, hidden: str, more: list[Doc], is_known: bool, mode: Mode
) -> None:
    """A rule that reads what is hidden may forbid the other values by which a write is judged once more."""
    notes = [
        {**({"id": n} if is_known else {}), "private": n == 0, "status": "open", "share": 50, "n": n, **each}
        for n, each in enumerate(more)
    ]
    using = rules(rule, Drop(paths=[f"notes[?private].{hidden}"]), on_surplus=mode)
    original = {"_id": "doc", "_rev": "1-a", "notes": notes}
    shown = using.shape(original)
    assert shown is not None
    sent = {"notes": [shown["notes"][0], {**shown["notes"][1], "text": "typo"}]}
    assert written(judge(pushed(sent), original, using))["notes"] == [notes[0], {**notes[1], "text": "typo"}]


@pytest.mark.parametrize("mode", ["refuse", "discard"])
def test_a_rule_that_refuses_what_is_left_as_it_is_forbids_no_other_values(mode: Mode) -> None:
    """Every edit has to count up, so also the one that is tried: that says nothing of the hidden values."""
    rule = Validate(where="old == null || n > old.n")
    original = {"_id": "doc", "_rev": "1-a", "n": 1, "notes": [{"id": 1, "private": True, "by": "bob"}]}
    told = []
    for guess in ("bob", "eve"):
        sent = {"n": 2, "notes": [{"id": 1, "private": False, "by": guess}]}
        outcome = judge(pushed(sent), original, rules(rule, Drop(paths=["notes[?private].by"]), on_surplus=mode))
        assert isinstance(outcome, Refuse)
        told.append(str(outcome.error))
    assert told[0] == told[1]
