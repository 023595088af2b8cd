"""The structural restore: its rules one by one, and its laws on random documents, cuts and edits."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.testing import edits_of
from proxy.contract import Client, Doc, Refused
from proxy.core import alignment
from proxy.core.equality import same
from proxy.core.likeness import likeness
from proxy.core.paths import Survivors, compile_paths
from proxy.core.structural import restore_structurally
from tests.core.json_strategies import docs, paths_in, values

ANN = Client("ann")


def restore(edited: Doc, shaped: Doc, original: Doc) -> Doc:
    """With a check that nothing is changed in place."""
    arguments = (edited, shaped, original)
    before = deepcopy(arguments)
    whole = restore_structurally(*arguments)
    assert arguments == before
    return whole


RULES: list[tuple[str, Doc, Doc, Doc, Doc]] = [
    # what, original, shaped, edited, whole
    ("elements that become equal to others stay where they are",
     {"a": [{"t": "z", "h": 1}, {"h": 2}, {"t": "milk", "h": 3}, {"done": True, "h": 4}, {"t": "end", "h": 5}]},
     {"a": [{"t": "z"}, {}, {"t": "milk"}, {"done": True}, {"t": "end"}]},
     {"a": [{"t": "z", "done": True}, {"done": True}, {"t": "milk", "done": True}, {"done": True}, {"t": "end"}]},
     {"a": [{"t": "z", "done": True, "h": 1}, {"done": True, "h": 2}, {"t": "milk", "done": True, "h": 3},
            {"done": True, "h": 4}, {"t": "end", "h": 5}]}),
    ("hidden members stay", {"a": 1, "h": 2}, {"a": 1}, {"a": 5}, {"a": 5, "h": 2}),
    ("hidden members stay in nested objects", {"o": {"a": 1, "h": 2}}, {"o": {"a": 1}}, {"o": {"a": 5}},
     {"o": {"a": 5, "h": 2}}),
    ("shown members that are gone are removed", {"a": 1, "h": 2}, {"a": 1}, {}, {"h": 2}),
    ("new members are added", {"a": 1}, {"a": 1}, {"a": 1, "n": 2}, {"a": 1, "n": 2}),
    ("what is sent under a hidden name is not taken", {"a": 1, "h": 2}, {"a": 1}, {"a": 1, "h": 3}, {"a": 1, "h": 2}),
    ("made-up members are not stored", {"a": 1}, {"a": 1, "m": 9}, {"a": 2, "m": 9}, {"a": 2}),
    ("changed made-up members are", {"a": 1}, {"a": 1, "m": 9}, {"a": 1, "m": 8}, {"a": 1, "m": 8}),
    ("a masked value that is left alone stays", {"a": 1, "s": "123"}, {"a": 1, "s": "*"}, {"a": 2, "s": "*"},
     {"a": 2, "s": "123"}),
    ("a masked value that is changed is the client's", {"s": "123"}, {"s": "*"}, {"s": "9"}, {"s": "9"}),
    ("hidden fields go with a removed object", {"o": {"a": 1, "h": 2}, "b": 1}, {"o": {"a": 1}, "b": 1}, {"b": 1},
     {"b": 1}),
    ("an object of which nothing was shown stays", {"o": {"h": 2}}, {"o": {}}, {}, {"o": {"h": 2}}),
    ("hidden fields go when an object becomes a scalar", {"o": {"a": 1, "h": 2}}, {"o": {"a": 1}}, {"o": 1}, {"o": 1}),
    ("elements keep their hidden fields", {"l": [{"a": 1, "h": 1}, {"a": 2, "h": 2}]}, {"l": [{"a": 1}, {"a": 2}]},
     {"l": [{"a": 1}, {"a": 3}]}, {"l": [{"a": 1, "h": 1}, {"a": 3, "h": 2}]}),
    ("also when another is removed", {"l": [{"a": 1, "h": 1}, {"a": 2, "h": 2}]}, {"l": [{"a": 1}, {"a": 2}]},
     {"l": [{"a": 2}]}, {"l": [{"a": 2, "h": 2}]}),
    ("also when another is inserted", {"l": [{"a": 1, "h": 1}, {"a": 2, "h": 2}]}, {"l": [{"a": 1}, {"a": 2}]},
     {"l": [{"a": 9}, {"a": 1}, {"a": 2}]}, {"l": [{"a": 9}, {"a": 1, "h": 1}, {"a": 2, "h": 2}]}),
    ("elements with an identity are found when they are moved",
     {"l": [{"id": 1, "a": 1, "h": 1}, {"id": 2, "a": 2, "h": 2}]}, {"l": [{"id": 1, "a": 1}, {"id": 2, "a": 2}]},
     {"l": [{"id": 2, "a": 5}, {"id": 1, "a": 1}]}, {"l": [{"id": 2, "a": 5, "h": 2}, {"id": 1, "a": 1, "h": 1}]}),
    ("an element with another identity is another", {"l": [{"id": 1, "h": 1}]}, {"l": [{"id": 1}]}, {"l": [{"id": 2}]},
     {"l": [{"id": 2}]}),
    ("an element that gets an identity is still the same", {"l": [{"t": "a", "h": 1}, {"t": "b", "h": 2}]},
     {"l": [{"t": "a"}, {"t": "b"}]}, {"l": [{"t": "a", "id": 1}, {"t": "b", "id": 2}]},
     {"l": [{"t": "a", "id": 1, "h": 1}, {"t": "b", "id": 2, "h": 2}]}),
    ("and one that gets another identity beside its own",
     {"l": [{"id": 1, "h": 1}, {"id": 2, "h": 2}]}, {"l": [{"id": 1}, {"id": 2}]},
     {"l": [{"id": 2, "_id": "b"}, {"id": 1, "_id": "a"}]},
     {"l": [{"id": 2, "_id": "b", "h": 2}, {"id": 1, "_id": "a", "h": 1}]}),
    ("and one that loses it", {"l": [{"id": 1, "t": "a", "h": 1}]}, {"l": [{"id": 1, "t": "a"}]}, {"l": [{"t": "a"}]},
     {"l": [{"t": "a", "h": 1}]}),
    ("a number and its text are one identity", {"l": [{"id": 1, "h": 1}, {"id": 2, "h": 2}]},
     {"l": [{"id": 1}, {"id": 2}]}, {"l": [{"id": "2"}, {"id": "1"}]},
     {"l": [{"id": "2", "h": 2}, {"id": "1", "h": 1}]}),
    ("an element without an identity is not one with it that it is not like",
     {"l": [{"id": 1, "t": "a", "h": 1}]}, {"l": [{"id": 1, "t": "a"}]}, {"l": [{"t": "zzz", "new": 1}]},
     {"l": [{"t": "zzz", "new": 1}]}),
    ("nor the other way round", {"l": [{"id": 1}, {"kind": "k", "t": "b", "h": 2}]},
     {"l": [{"id": 1}, {"kind": "k", "t": "b"}]}, {"l": [{"id": 1}, {"id": 2, "kind": "k", "t": "zzz"}]},
     {"l": [{"id": 1}, {"id": 2, "kind": "k", "t": "zzz"}]}),
    ("nor one with another kind of identity", {"l": [{"key": "x", "t": 1, "h": 1}]}, {"l": [{"key": "x", "t": 1}]},
     {"l": [{"id": "y", "t": 9}]}, {"l": [{"id": "y", "t": 9}]}),
    ("a new element with an identity is not one that has another", {"l": [{"id": 1, "t": "a", "h": 1}]},
     {"l": [{"id": 1, "t": "a"}]}, {"l": [{"id": 9, "t": "a"}]}, {"l": [{"id": 9, "t": "a"}]}),
    ("a changed element is found beside a removed one",
     {"l": [{"k": "a", "n": 1, "h": 1}, {"k": "b", "n": 2, "h": 2}]}, {"l": [{"k": "a", "n": 1}, {"k": "b", "n": 2}]},
     {"l": [{"k": "b", "n": 3}]}, {"l": [{"k": "b", "n": 3, "h": 2}]}),
    ("hidden elements stay behind what they followed", {"l": [1, "h1", 2, "h2"]}, {"l": [1, 2]}, {"l": [0, 1, 9, 2, 3]},
     {"l": [0, 1, "h1", 9, 2, "h2", 3]}),
    ("and behind the nearest that is left", {"l": [1, 2, "h", 3]}, {"l": [1, 2, 3]}, {"l": [1, 3]}, {"l": [1, "h", 3]}),
    ("or at the start", {"l": [1, "h", 2]}, {"l": [1, 2]}, {"l": [2]}, {"l": ["h", 2]}),
    ("hidden elements survive an emptied array", {"l": [1, "h"]}, {"l": [1]}, {"l": []}, {"l": ["h"]}),
    ("and a removed one", {"l": [1, "h"], "a": 1}, {"l": [1], "a": 1}, {"a": 1}, {"l": ["h"], "a": 1}),
    ("and a replaced one", {"l": [1, "h"]}, {"l": [1]}, {"l": "none"}, {"l": ["h"]}),
    ("and a removed parent", {"o": {"l": [1, "h"], "a": 1}}, {"o": {"l": [1], "a": 1}}, {}, {"o": {"l": ["h"]}}),
    ("a removed element goes with the elements hidden in it",
     {"l": [{"t": 1, "n": [1, "h"]}, {"t": 2, "n": ["h"]}]}, {"l": [{"t": 1, "n": [1]}, {"t": 2, "n": []}]},
     {"l": [{"t": 2, "n": []}]}, {"l": [{"t": 2, "n": ["h"]}]}),
    ("and with the array, but for elements hidden in that", {"l": [{"t": 1, "n": [1, "h"]}, "h"]},
     {"l": [{"t": 1, "n": [1]}]}, {}, {"l": ["h"]}),
    ("but for one that a new one may have been", {"l": [{"t": 1, "n": [1, "h"]}, {"t": 2, "n": [3]}]},
     {"l": [{"t": 1, "n": [1]}, {"t": 2, "n": [3]}]}, {"l": [{"t": 2, "n": [3]}, {"u": 9}]},
     {"l": [{"n": ["h"]}, {"t": 2, "n": [3]}, {"u": 9}]}),
    ("or a changed one", {"l": [{"t": 1, "u": 1, "n": [1, "h"]}, {"t": 2, "u": 1, "n": [3]}]},
     {"l": [{"t": 1, "u": 1, "n": [1]}, {"t": 2, "u": 1, "n": [3]}]}, {"l": [{"t": 2, "u": 9, "n": [3]}]},
     {"l": [{"n": ["h"]}, {"t": 2, "u": 9, "n": [3]}]}),
    ("also by an identity that others have, too",
     {"l": [{"id": 1, "t": 1, "n": [1, "h"]}, {"id": 1, "t": 2, "n": [2]}]},
     {"l": [{"id": 1, "t": 1, "n": [1]}, {"id": 1, "t": 2, "n": [2]}]},
     {"l": [{"id": 1, "t": 2, "n": [2]}, {"id": 1, "t": 7, "n": [7]}]},
     {"l": [{"n": ["h"]}, {"id": 1, "t": 2, "n": [2]}, {"id": 1, "t": 7, "n": [7]}]}),
    ("and for one that looks like one that is left", {"l": [{"t": 1, "n": ["h"]}, {"t": 1, "n": []}]},
     {"l": [{"t": 1, "n": []}, {"t": 1, "n": []}]}, {"l": [{"t": 1, "n": []}]},
     {"l": [{"t": 1, "n": ["h"]}]}),
    ("also by another identity, if all else is the same", {"l": [{"id": 1, "t": 1, "n": [1, "h"]}]},
     {"l": [{"id": 1, "t": 1, "n": [1]}]}, {"l": [{"id": "s1", "t": 1, "n": [1]}]},
     {"l": [{"n": ["h"]}, {"id": "s1", "t": 1, "n": [1]}]}),
    ("however many there are", {"l": [{"t": t, "n": [1, "h"]} for t in range(300)]},
     {"l": [{"t": t, "n": [1]} for t in range(300)]}, {"l": [{"t": t, "n": [1]} for t in range(40, 300)]},
     {"l": [{"t": t, "n": [1, "h"]} for t in range(40, 300)]}),
    ("which has another identity, if it has one", {"l": [{"id": 1, "n": [1, "h"]}]}, {"l": [{"id": 1, "n": [1]}]},
     {"l": [{"id": 9}]}, {"l": [{"id": 9}]}),
    ("an array that hides nothing is the client's", {"l": [1, 2], "h": 1}, {"l": [1, 2]}, {"l": [2, 1]},
     {"l": [2, 1], "h": 1}),
    ("arrays in arrays", {"l": [[1, "h"], [2]]}, {"l": [[1], [2]]}, {"l": [[1, 3], [2]]}, {"l": [[1, "h", 3], [2]]}),
    ("of arrays, the one that has most in common", {"l": [[], [["h"], {"a": 1}]]}, {"l": [[], [[], {"a": 1}]]},
     {"l": [[], [], [[]]]}, {"l": [[], [], [["h"]]]}),
    ("elements made up by the filter are not stored", {"l": [1]}, {"l": [1, "m"]}, {"l": [1, "m", 2]}, {"l": [1, 2]}),
    ("booleans are not numbers", {"a": 1, "h": 2}, {"a": 1}, {"a": True}, {"a": True, "h": 2}),
    ("numbers that JavaScript cannot tell apart are equal", {"a": 1.0, "b": 1, "h": 2}, {"a": 1.0, "b": 1},
     {"a": 1, "b": 2}, {"a": 1.0, "b": 2, "h": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("original", "shaped", "edited", "whole"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_rules(original: Doc, shaped: Doc, edited: Doc, whole: Doc) -> None:
    restored = restore(edited, shaped, original)
    assert same(restored, whole), restored
    assert [type(value) for value in restored.values()] == [type(value) for value in whole.values()]
    assert restore(deepcopy(shaped), shaped, original) == original


STUB = {"stub": True, "revpos": 1, "digest": "md5-x==", "length": 3, "content_type": "text/plain"}
KEPT = {key: value for key, value in STUB.items() if key != "revpos"}


def with_attachments(*names: str, **entries: Any) -> Doc:
    return {"_id": "d", "_attachments": {**dict.fromkeys(names, STUB), **entries}}


def test_hidden_attachments_come_back_as_stubs_without_revpos_behind_the_clients_own() -> None:
    edited = with_attachments("new", "shown")
    edited["_attachments"]["new"] = {"follows": True, "length": 5}
    whole = restore(edited, with_attachments("shown"), with_attachments("hidden", "shown"))
    assert list(whole["_attachments"].items()) == [
        ("new", {"follows": True, "length": 5}),
        ("shown", STUB),
        ("hidden", KEPT),
    ]


def test_attachments_that_the_client_removes_go_and_hidden_ones_stay() -> None:
    whole = restore({"_id": "d"}, with_attachments("shown"), with_attachments("hidden", "shown"))
    assert whole == {"_id": "d", "_attachments": {"hidden": KEPT}}


def test_no_attachments_are_left_as_no_member() -> None:
    assert restore({"_id": "d"}, with_attachments("shown"), with_attachments("shown")) == {"_id": "d"}


def test_an_attachment_by_the_name_of_a_hidden_one_is_not_taken() -> None:
    edited = with_attachments(hidden={"data": "aGk=", "content_type": "text/plain"})
    whole = restore(edited, {"_id": "d"}, with_attachments("hidden"))
    assert whole["_attachments"] == {"hidden": KEPT}


def test_first_attachments_are_added() -> None:
    edited = with_attachments(new={"data": "aGk="})
    assert restore(edited, {"_id": "d"}, {"_id": "d", "h": 1}) == {**edited, "h": 1}


def test_sew_gets_what_cannot_be_merged() -> None:
    def sew(edited: Any, shaped: Any, original: Any) -> Any:
        return f"{edited}<{shaped}<{original}"

    edited, shaped, original = {"a": "x", "l": [1]}, {"a": "y", "l": [1]}, {"a": "yz", "l": [1]}
    assert restore_structurally(edited, shaped, original, sew=sew) == {"a": "x<y<yz", "l": [1]}


def test_stays_keeps_members_that_were_removed() -> None:
    edited: Doc = {}
    shaped, original = {"a": "*", "b": 1}, {"a": "123", "b": 1}
    assert restore_structurally(edited, shaped, original, stays=lambda s, o: bool(s != o)) == {"a": "123"}


@pytest.mark.parametrize("size", [300, 3000])
def test_long_arrays_stay_cheap(size: int) -> None:
    shaped = {"l": [{"n": i % 7} for i in range(size)]}
    edited = {"l": [{"n": (i + 3) % 5, "x": i} for i in range(size)]}
    whole = restore(edited, shaped, {"l": [*shaped["l"], "h"]})
    assert whole["l"] == [*edited["l"], "h"]
    with pytest.raises(Refused):
        restore(edited, shaped, {"l": [{**each, "h": i} for i, each in enumerate(shaped["l"])]})


@settings(deadline=None)
@given(values(), values())
def test_any_edit_of_an_uncut_document_is_taken_as_it_is(a: Any, b: Any) -> None:
    original = {"v": a, "h": 1}
    assert same(restore({"v": b}, {"v": a}, original), {"v": b, "h": 1})


@settings(deadline=None)
@given(docs(), st.data())
def test_getput_and_putget_of_drops(doc: Doc, data: st.DataObject) -> None:
    _check_cut("drop", doc, data)


@settings(deadline=None)
@given(docs(), st.data())
def test_getput_and_putget_of_keeps(doc: Doc, data: st.DataObject) -> None:
    _check_cut("keep", doc, data)


def _check_cut(cut: str, doc: Doc, data: st.DataObject) -> None:
    """GetPut and, for edits that do not touch what is hidden, PutGet; with and without knowing the survivors."""
    choices = paths_in(doc) or ["a"]
    paths = compile_paths(data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3)), option="paths")
    keep = compile_paths(["_id", "_rev", *paths.texts], option="paths")

    def shape(original: Doc, survivors: Survivors | None = None) -> Doc:
        return paths.drop(original, ANN, survivors) if cut == "drop" else keep.keep(original, ANN, survivors)

    survivors: Survivors = {}
    shaped = shape(doc, survivors)
    untouched = restore(deepcopy(shaped), shaped, doc)
    assert same(untouched, doc)
    assert list(untouched) == list(doc)
    edited = data.draw(edits_of(shaped))
    whole = restore_structurally(edited, shaped, doc, survivors=survivors)
    assert same(shape(whole), edited), whole
    assert restore_structurally(deepcopy(shaped), shaped, doc) == doc


@settings(max_examples=50, deadline=None)
@given(docs(), docs())
def test_any_two_documents_restore_to_something(shaped: Doc, edited: Doc) -> None:
    original: Doc = {**shaped, "h": 1}
    assert same(restore(edited, shaped, original), {**edited, "h": 1})


def test_what_is_compared_by_likeness_is_bounded_for_a_document_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap of 100 changed elements is worth it, 50 of them are not: whoever sends them holds everybody up."""
    compared = 0

    def counted(new: Any, old: Any) -> int:
        nonlocal compared
        compared += 1
        return likeness(new, old)

    monkeypatch.setattr(alignment, "likeness", counted)
    shaped: Doc = {"_id": "x", "l": [{"id": n, "n": [{"a": k} for k in range(100)]} for n in range(50)]}
    original: Doc = {**shaped, "l": [{**each, "n": [*each["n"], {"hidden": n}]} for n, each in enumerate(shaped["l"])]}
    edited: Doc = {**shaped, "l": [{**each, "n": [{"a": -1 - k["a"]} for k in each["n"]]} for each in shaped["l"]]}
    whole = restore_structurally(edited, shaped, original)
    assert [each["n"][-1] for each in whole["l"]] == [{"hidden": n} for n in range(50)]
    assert compared <= 10 * 10_000 + 50 * 100
