"""Whether a client would read back what it wrote."""

from __future__ import annotations

from typing import Any

import pytest

from filters.compute import Compute
from filters.default import Default
from filters.drop import Drop
from filters.rename import Rename
from filters.select import Select
from filters.stamp import Stamp
from proxy.contract import Client, Doc, Filter, Refused
from proxy.core.lens import Chain
from proxy.core.readback import check_putget
from tests.core.clinic import ANN, CLINIC, DOC, SHAPED, chain, deletion

SURPLUS = [
    ("a hidden field", {**SHAPED, "ssn": "9"}, ["ssn"]),
    ("a field that was renamed away", {**SHAPED, "name": "x"}, ["name"]),
    ("a hidden element", {**SHAPED, "notes": [{"text": "a"}, {"text": "x", "private": True}]}, ["notes"]),
    ("an array that holds hidden elements", {k: v for k, v in SHAPED.items() if k != "notes"}, ["notes"]),
    ("nothing", {**SHAPED, "label": 1, "more": {"ssn": 1}}, []),
    ("members of the protocol", {**SHAPED, "_rev": "4-d", "_revisions": {"start": 4, "ids": ["d", "c"]}}, []),
]


@pytest.mark.parametrize(("edited", "paths"), [case[1:] for case in SURPLUS], ids=[case[0] for case in SURPLUS])
def test_what_would_not_be_read_back_is_named(edited: Doc, paths: list[str]) -> None:
    assert check_putget(CLINIC, CLINIC.restore(edited, DOC, ANN), edited, ANN, DOC) == paths


def test_paths_are_as_small_as_can_be() -> None:
    dropping = chain(Drop(paths=["a.b.secret", "l[].secret"]))
    edited = {"_id": "d", "a": {"b": {"secret": 1, "c": 2}}, "l": [{"x": 1}, {"secret": 1}]}
    assert check_putget(dropping, edited, edited, ANN) == ["a.b.secret", "l[1].secret"]


def test_numbers_and_booleans_are_told_apart() -> None:
    class Counts(Filter):
        def shape(self, doc: Doc, client: Client) -> Doc:
            return {**doc, "a": int(doc["a"])}

    assert check_putget(chain(Counts()), {"_id": "d", "a": True}, {"_id": "d", "a": True}, ANN) == ["a"]
    assert check_putget(chain(Counts()), {"_id": "d", "a": 1.0}, {"_id": "d", "a": 1.0}, ANN) == []


def test_a_document_cannot_be_moved_out_of_ones_own_view() -> None:
    edited = {**SHAPED, "facility": "f8"}
    with pytest.raises(Refused, match="would not be visible"):
        check_putget(CLINIC, CLINIC.restore(edited, DOC, ANN), edited, ANN)


def test_what_a_filter_sets_is_not_compared() -> None:
    stamping = chain(Stamp(fields={"owner": "client.name"}), Rename(fields={"owner": "who"}))
    edited = {"_id": "d", "who": "mallory", "a": 1}
    whole = stamping.restore(edited, None, ANN)
    assert whole == {"_id": "d", "owner": "ann", "a": 1}
    assert check_putget(stamping, whole, edited, ANN) == []
    assert check_putget(stamping, whole, {**edited, "a": 2}, ANN) == ["a"]


def test_a_created_document_may_read_back_with_more_where_filters_set_it() -> None:
    filling = chain(Default(fields={"status": "open"}), Compute(fields={"n": "length(notes || `[]`)"}))
    edited = {"_id": "d", "notes": [1]}
    whole = filling.restore(edited, None, ANN)
    assert whole == edited
    assert check_putget(filling, whole, edited, ANN) == []


def test_a_bare_deletion_is_accepted_where_tombstones_are_hidden() -> None:
    hiding = chain(Select(where="!_deleted"))
    assert check_putget(hiding, deletion(), deletion(), ANN) == []
    with pytest.raises(Refused):
        check_putget(hiding, deletion(note="x"), deletion(note="x"), ANN)


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    other: Any = []
    for _ in range(100_000):
        other = [other]
    with pytest.raises(Refused, match="nested too deeply"):
        check_putget(Chain(), {"_id": "d", "a": deep}, {"_id": "d", "a": other}, ANN)
    while deep:  # taken apart here: the interpreter would recurse to free it
        deep, other = deep[0], other[0]


@pytest.mark.parametrize("hidden", [{"bob": 1}, {"eve": 1}, {"bob": 2, "eve": 1}, [1], [1, 2], "bob"])
@pytest.mark.parametrize("guess", [{"bob": 3}, [3], [3, 4]])
def test_a_path_does_not_tell_how_far_a_guess_is_right(hidden: Any, guess: Any) -> None:
    """By it the names in what is hidden could be found out, or how many elements it has."""
    hiding = chain(Drop(paths=["notes[?private].tags"]))
    original = {"_id": "d", "_rev": "1-a", "notes": [{"id": 1, "private": True, "tags": hidden}]}
    edited = {"_id": "d", "notes": [{"id": 1, "private": False, "tags": guess}]}
    whole = hiding.restore(edited, original, ANN)
    assert check_putget(hiding, whole, edited, ANN, original) == ["notes[0].tags"]
