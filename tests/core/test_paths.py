"""Paths: what they reach, what is left when it is dropped, kept or replaced, and mistakes in their text."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client, Doc, OptionError
from proxy.core.equality import same
from proxy.core.paths import GONE, Survivors, compile_paths
from tests.core.json_strategies import docs, paths_in

ANN = Client("ann", frozenset({"facility:f7"}))
NOBODY = Client(None)

NOTES: Doc = {
    "notes": [{"text": "a", "private": True, "by": "ann"}, {"text": "b", "by": "bob"}, "odd", {"private": False}]
}

DROPS: list[tuple[str, list[str], Doc, Doc]] = [
    ("a name", ["a"], {"a": 1, "b": 2}, {"b": 2}),
    ("no such name", ["x"], {"a": 1}, {"a": 1}),
    ("a member", ["a.b"], {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
    ("a member of a scalar", ["a.b"], {"a": 1}, {"a": 1}),
    ("a whole swallows its parts", ["a", "a.b"], {"a": {"b": 1}}, {}),
    ("in any order", ["a.b", "a"], {"a": {"b": 1}}, {}),
    ("deep", ["a.b.c.d"], {"a": {"b": {"c": {"d": 1, "e": 2}}}}, {"a": {"b": {"c": {"e": 2}}}}),
    ("in elements", ["l[].x"], {"l": [{"x": 1, "y": 2}, {"y": 3}, 4]}, {"l": [{"y": 2}, {"y": 3}, 4]}),
    ("in elements, spelt otherwise", ["l[*].x"], {"l": [{"x": 1}]}, {"l": [{}]}),
    ("all elements", ["l[]"], {"l": [1, 2]}, {"l": []}),
    ("brackets take arrays only", ["l[].x"], {"l": {"x": 1}}, {"l": {"x": 1}}),
    ("names reach through arrays", ["l.x"], {"l": [{"x": 1, "y": 1}, [[{"x": 2}]]]}, {"l": [{"y": 1}, [[{}]]]}),
    ("and take objects", ["l.x"], {"l": {"x": 1}}, {"l": {}}),
    ("brackets in brackets", ["l[][].x"], {"l": [[{"x": 1}], {"x": 2}]}, {"l": [[{}], {"x": 2}]}),
    ("any name", ["*.x"], {"a": {"x": 1}, "b": {"y": 2}, "c": [{"x": 3}], "d": 4},
     {"a": {}, "b": {"y": 2}, "c": [{}], "d": 4}),
    ("any member", ["a.*"], {"a": {"x": 1, "y": 2}, "b": 1}, {"a": {}, "b": 1}),
    ("any name beside a name", ["*.x", "a.y"], {"a": {"x": 1, "y": 2, "z": 3}}, {"a": {"z": 3}}),
    ("any name at the top is none of CouchDB's", ["*"], {"_id": "d", "a": 1}, {"_id": "d"}),
    ("below the top it is", ["a.*"], {"a": {"_x": 1}}, {"a": {}}),
    ("quoted names", ['"a.b"."c d"'], {"a.b": {"c d": 1, "e": 2}}, {"a.b": {"e": 2}}),
    ("quoted escapes", ['"\\u0061\\n"'], {"a\n": 1, "b": 2}, {"b": 2}),
    ("names that begin as paths of others", ['"$"', '"/a/b".c', "x.$", "$ref", "a/b", "#1", '"#/a"', '"@"'],
     {"$": 1, "/a/b": {"c": 2}, "x": {"$": 3}, "$ref": 4, "a/b": 5, "#1": 6, "#/a": 7, "@": 8}, {"/a/b": {}, "x": {}}),
    ("dashes and such need no quotes", ["first-name", "größe", "a$b"], {"first-name": 1, "größe": 2, "a$b": 3}, {}),
    ("elements by condition", ["notes[?private]"], NOTES, {"notes": [NOTES["notes"][1], "odd", {"private": False}]}),
    ("parts of elements by condition", ["notes[?private==`true`].text"], NOTES,
     {"notes": [{"private": True, "by": "ann"}, *NOTES["notes"][1:]]}),
    ("conditions on the client", ["notes[?by != client.name].text"], NOTES,
     {"notes": [NOTES["notes"][0], {"by": "bob"}, "odd", {"private": False}]}),
    ("a condition that cannot be judged hides", ["notes[?starts_with(by, 'a')]"], NOTES,
     {"notes": [NOTES["notes"][1]]}),
    ("a client without the attribute is not shown", ["notes[?ward != client.ward]"], NOTES, {"notes": []}),
    ("several conditions", ["notes[?private]", "notes[?by=='bob'].text", "notes[].by"], NOTES,
     {"notes": [{}, "odd", {"private": False}]}),
    ("conditions with brackets and quotes", ["l[?a[0] == ']' || contains(\"x]\", `\"]\"`)]"],
     {"l": [{"a": ["]"]}, {"a": [], "x]": ""}]}, {"l": [{"a": [], "x]": ""}]}),
    ("conditions in elements in elements", ["l[].m[?h].x"], {"l": [{"m": [{"h": 1, "x": 1}, {"x": 2}]}]},
     {"l": [{"m": [{"h": 1}, {"x": 2}]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "doc", "left"), [case[1:] for case in DROPS], ids=[case[0] for case in DROPS])
def test_drop(texts: list[str], doc: Doc, left: Doc) -> None:
    before = deepcopy(doc)
    cut = compile_paths(texts, option="paths").drop(doc, ANN)
    assert cut == left
    assert doc == before
    assert (cut is doc) == (doc == left)


KEEPS: list[tuple[str, list[str], Doc, Doc]] = [
    ("names", ["a", "x"], {"a": {"b": 1}, "b": 2}, {"a": {"b": 1}}),
    ("a member", ["a.b"], {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1}}),
    ("objects on the way stay", ["a.b"], {"a": {"c": 2}}, {"a": {}}),
    ("other values on the way do not", ["a.b", "c.d"], {"a": 1, "c": None}, {}),
    ("a whole swallows its parts", ["a", "a.b"], {"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 2}}),
    ("in elements", ["l[].x"], {"l": [{"x": 1, "y": 2}, {"y": 3}, 4, [{"x": 1}]]}, {"l": [{"x": 1}, {}, [{"x": 1}]]}),
    ("all elements", ["l[]"], {"l": [1, {"a": 2}]}, {"l": [1, {"a": 2}]}),
    ("brackets take arrays only", ["l[].x", "m[]"], {"l": {"x": 1}, "m": 1}, {"l": {}}),
    ("names reach through arrays", ["l.x"], {"l": [{"x": 1, "y": 1}, [[{"x": 2}], 3]]},
     {"l": [{"x": 1}, [[{"x": 2}]]]}),
    ("any name", ["*.x", "a.y"], {"a": {"x": 1, "y": 2, "z": 3}, "b": {"x": 1, "y": 2}},
     {"a": {"x": 1, "y": 2}, "b": {"x": 1}}),
    ("elements by condition", ["notes[?!private]"], NOTES, {"notes": NOTES["notes"][1:]}),
    ("parts of elements by condition", ["notes[?by == client.name].text", "notes[].by"], NOTES,
     {"notes": [{"text": "a", "by": "ann"}, {"by": "bob"}, {}]}),
    ("a condition that cannot be judged hides", ["notes[?starts_with(by, 'a')]"], NOTES,
     {"notes": [NOTES["notes"][0]]}),
    ("a client without the attribute is not shown", ["notes[?ward == client.ward]"], NOTES, {"notes": []}),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "doc", "left"), [case[1:] for case in KEEPS], ids=[case[0] for case in KEEPS])
def test_keep(texts: list[str], doc: Doc, left: Doc) -> None:
    before = deepcopy(doc)
    assert compile_paths(texts, option="paths").keep(doc, ANN) == left
    assert doc == before


def test_what_is_untouched_is_shared() -> None:
    doc: Doc = {"a": {"b": 1, "c": {"d": 2}}, "l": [{"x": 1}, {"y": [2]}]}
    cut = compile_paths(["a.b", "l[].x"], option="paths").drop(doc, ANN)
    assert cut["a"]["c"] is doc["a"]["c"]
    assert cut["l"][1] is doc["l"][1]


def test_survivors_are_noted() -> None:
    survivors: Survivors = {}
    doc = {"l": [{"h": 1}, {"a": [1, {"h": 2}]}, {"h": 3}, {"x": 1}]}
    cut = compile_paths(["l[?h]", "l[].a[?h]"], option="paths").drop(doc, ANN, survivors)
    assert survivors[id(cut["l"])] == [1, 3]
    kept = compile_paths(["l[?h].h"], option="paths").keep(doc, ANN, survivors)
    assert kept == {"l": [{"h": 1}, {"h": 3}]}
    assert survivors[id(kept["l"])] == [0, 2]


def test_rewriting_replaces_each_value_once() -> None:
    masked = compile_paths(["*.x", "a.x", "a.*", "l[].x", "l.x"], option="paths").rewriter(lambda value, _: [value])
    doc = {"a": {"x": 1, "y": 2}, "l": [{"x": 3}]}
    assert masked(doc, ANN, None) == {"a": {"x": [1], "y": [2]}, "l": [{"x": [3]}]}
    assert compile_paths(["a"], option="paths").rewriter(lambda value, _: value)(doc, ANN, None) is doc
    assert compile_paths(["a.x", "l[]"], option="paths").rewriter(lambda value, _: GONE)(doc, ANN, None) == {
        "a": {"y": 2},
        "l": [],
    }


def test_places() -> None:
    assert compile_paths(["*"], option="paths").locate({"$": 1, "/a": 2, "@x": 3}, ANN) == {
        '"$"': 1,
        '"/a"': 2,
        "@x": 3,
    }
    doc = {"a": {"b c": 1}, "l": [{"x": 1}, {"x": 2, "h": True}, [{"x": 3}]], "s": "t"}
    paths = compile_paths(['a."b c"', "l.x", "l[?h]", "s", "missing"], option="paths")
    assert paths.locate(doc, ANN) == {
        'a."b c"': 1,
        "l[0].x": 1,
        "l[1]": {"x": 2, "h": True},
        "l[2][0].x": 3,
        "s": "t",
    }


MISTAKES: list[tuple[Any, str, str, int | None]] = [
    ("a", "paths", "must be an array of paths", None),
    ([], "paths", "must name at least one path", None),
    (None, "paths", "must be an array of paths", None),
    ([1], "paths[0]", "must be a path (a string), not int", None),
    (["a", ""], "paths[1]", "expected a name", 0),
    (["a."], "paths[0]", "expected a name", 2),
    (["a..b"], "paths[0]", "expected a name", 2),
    ([".a"], "paths[0]", "expected a name", 0),
    (["[].a"], "paths[0]", "expected a name", 0),
    (["a b"], "paths[0]", "expected . or [", 1),
    (["a[0]"], "paths[0]", "expected [], [*] or [?condition]", 1),
    (["a[?b"], "paths[0]", "not closed", 1),
    (["a[?b == ']'"], "paths[0]", "not closed", 1),
    (["a[?b = c]"], "paths[0]", "is not JMESPath: Unknown token", 5),
    (["a[?b == 5]"], "paths[0]", "a number needs backticks, as `5`", 8),
    (["a[?b == `ture`].c"], "paths[0]", "what is in backticks must be JSON", 8),
    (["ok", "a[?lenth(b)]"], "paths[1]", "there is no function lenth()", 3),
    (['"a'], "paths[0]", "expected a name", 0),
    (['"\\x"'], "paths[0]", "expected a name in JSON quotes", 0),
    (["a*"], "paths[0]", "expected . or [", 1),
    (["a[]b"], "paths[0]", "expected . or [", 3),
    (["$.a.b"], "paths[0]", 'is not a path: it begins as JSONPath does; write "a.b" (or quotes', 0),
    (["$"], "paths[0]", 'JSONPath does; write "a.b"', 0),
    (["$[*].a"], "paths[0]", 'JSONPath does; write "a.b"', 0),
    (["a", "@.a"], "paths[1]", 'JMESPath does; write "a"', 0),
    (["/a/b"], "paths[0]", 'a JSON Pointer does; write "a.b"', 0),
    (["#/ssn"], "paths[0]", 'a JSON Pointer does; write "ssn"', 0),
    (["/"], "paths[0]", 'a JSON Pointer does; write "a.b"', 0),
]


@pytest.mark.parametrize(("texts", "option", "message", "at"), MISTAKES)
def test_mistakes(texts: Any, option: str, message: str, at: int | None) -> None:
    with pytest.raises(OptionError) as caught:
        compile_paths(texts, option="paths")
    assert caught.value.option == option
    assert message in caught.value.message
    assert caught.value.at == at


@settings(deadline=None)
@given(st.text("ab.[]*?\"\\ `'$@/#", max_size=10))
def test_any_text_is_a_path_or_a_mistake(text: str) -> None:
    at: int | None = 0
    try:
        compile_paths([text], option="paths")
    except OptionError as error:
        at = error.at
    assert at is None or 0 <= at <= len(text)


@settings(deadline=None)
@given(docs(), st.data())
def test_dropping_leaves_nothing_to_be_found_and_all_else(doc: Doc, data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.sampled_from(paths_in(doc) or ["a"]), min_size=1, max_size=3))
    paths = compile_paths(texts, option="paths")
    before = deepcopy(doc)
    cut = paths.drop(doc, ANN)
    assert same(doc, before)
    assert paths.locate(cut, ANN) == {}
    assert same(cut, paths.rewriter(lambda value, _: GONE)(doc, ANN, None))
    assert (cut is doc) == (not paths.locate(doc, ANN))


@settings(deadline=None)
@given(docs(), st.data())
def test_keeping_keeps_what_is_found_and_twice_is_once(doc: Doc, data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.sampled_from(paths_in(doc) or ["a"]), min_size=1, max_size=3))
    paths = compile_paths(texts, option="paths")
    kept = paths.keep(doc, ANN)
    assert sorted(map(repr, paths.locate(kept, ANN).values())) == sorted(map(repr, paths.locate(doc, ANN).values()))
    assert same(paths.keep(kept, ANN), kept)
