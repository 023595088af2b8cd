"""Mango selectors: what CouchDB 3.5.0 answered, and what is known to differ."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Doc
from proxy.core.mango.regex import PatternError, compile_pattern
from proxy.core.selector import SelectorError, compile_selector, finds_nothing, project_fields, sort_key

_DATA = json.loads((Path(__file__).parent / "data" / "selectors.json").read_text("utf-8"))
DOCUMENTS: list[Doc] = _DATA["documents"]
CASES: list[dict[str, Any]] = _DATA["cases"]
"""Recorded from `POST _changes?filter=_selector`: the ids that matched, or the reason for refusing the selector."""


def ids(selector: Any, *, trusted: bool = True) -> list[str]:
    matches = compile_selector(selector, trusted=trusted)
    return sorted(doc["_id"] for doc in DOCUMENTS if matches(doc))


@pytest.mark.parametrize(
    "case", [case for case in CASES if "ids" in case], ids=lambda case: json.dumps(case["selector"])
)
def test_selectors_as_couchdb(case: dict[str, Any]) -> None:
    before = json.dumps(DOCUMENTS)
    assert ids(case["selector"]) == case["ids"]
    assert json.dumps(DOCUMENTS) == before


@pytest.mark.parametrize(
    "case", [case for case in CASES if "reason" in case], ids=lambda case: json.dumps(case["selector"])
)
def test_invalid_selectors_as_couchdb(case: dict[str, Any]) -> None:
    """The reason is CouchDB's, but for arguments, which CouchDB writes as Erlang terms."""
    with pytest.raises(SelectorError) as caught:
        compile_selector(case["selector"])
    assert caught.value.status == 400
    theirs, ours = case["reason"].partition(":")[0], caught.value.reason.partition(":")[0]
    if theirs in ("Selector error", "badarith"):  # _find words the first differently; it crashes for the second
        assert ours in ("Selector must be a JSON object, not", "Bad argument for operator $mod")
    elif "$text" not in json.dumps(case["selector"]) and case["selector"] != {"": 1}:
        assert ours == theirs


@pytest.mark.parametrize(
    ("selector", "error"),
    [
        ({"$eq": 1}, "invalid_selector"),
        ({"a": {"$mod": [0, 1]}}, "bad_arg"),
        ({"a": {"$bogus": 1}}, "invalid_operator"),
        ({"a": {"$where": 1}}, "not_supported"),
        ({"$text": "x"}, "not_supported"),
        ({"a..b": 1}, "invalid_field_name"),
        ([], "invalid_selector_json"),
        ({"a": {"$exists": 1}}, "bad_arg"),
    ],
)
def test_errors(selector: Any, error: str) -> None:
    with pytest.raises(SelectorError) as caught:
        compile_selector(selector)
    assert caught.value.error == error


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"$or": []}, True),
        ({"$and": []}, True),
        ({"$nor": []}, True),
        ({"n": {"$or": []}}, True),
        ({"$not": {"$or": []}}, True),
        ({}, False),
        ({"$and": [{"$or": []}]}, False),
        ({"$or": [{"$or": []}, {"n": 1}]}, False),
        ({"$nor": [{"$or": []}]}, False),
        ({"n": {"$gt": 1}, "$or": []}, False),
        ({"n": {"$in": []}}, False),
    ],
)
def test_finds_nothing_where_couchdb_has_no_range_to_read(selector: Any, expected: bool) -> None:
    """As a CouchDB 3.5 with three documents answered; where it is False, it gave what the selector matches."""
    assert finds_nothing(selector) is expected


def test_where_we_differ() -> None:
    """ICU holds these strings equal; and CouchDB loses a `$nor` within a negated `$elemMatch`."""
    assert ids({"s": "é"}) == ["d5"]
    assert ids({"s": "xy"}) == []
    assert ids({"$not": {"l": {"$elemMatch": {"$nor": [{"$eq": "x"}]}}}}) == ["d4"]
    assert ids({"l": {"$elemMatch": {"$nor": [{"$eq": "x"}, {"$eq": "y"}]}}}) == ["D3", "d5", "d6", "d7", "d8"]


@pytest.mark.parametrize("build", [lambda s: {"$not": s}, lambda s: {"$and": [s]}, lambda s: {"a": s}])
def test_depth_is_limited(build: Any) -> None:
    selector: Any = {"a": 1}
    for _ in range(90):
        selector = build(selector)
    compile_selector(selector)({"a": 1})
    for _ in range(3000):
        selector = build(selector)
    with pytest.raises(SelectorError, match="levels"):
        compile_selector(selector)


def test_arguments_are_limited_in_depth() -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    for selector in ({"a": deep}, {"a": {"$in": deep}}, {"a": {"$gt": deep}}):
        with pytest.raises(SelectorError, match="levels"):
            compile_selector(selector)


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "A"])
conditions = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]), scalars),
    st.tuples(st.sampled_from(["$in", "$nin", "$all"]), st.lists(scalars, max_size=3)),
    st.tuples(st.just("$type"), st.sampled_from(["null", "number", "string", "array"])),
    st.tuples(st.just("$size"), st.integers(0, 3)),
).map(lambda pair: {pair[0]: pair[1]})
selectors: Any = st.recursive(
    st.dictionaries(st.sampled_from("abc"), conditions, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
        inner.map(lambda selector: {"$not": selector}),
    ),
    max_leaves=5,
)
complete = st.fixed_dictionaries({name: scalars | st.lists(scalars, max_size=3) for name in "abc"})


@settings(max_examples=200, deadline=None)
@given(selector=selectors, doc=complete)
def test_where_no_field_is_missing_not_means_not(selector: Any, doc: Doc) -> None:
    assert compile_selector({"$not": selector})(doc) is not compile_selector(selector)(doc)
    assert compile_selector({"$nor": [selector]})(doc) is not compile_selector(selector)(doc)


@settings(max_examples=200, deadline=None)
@given(selector=selectors, doc=complete, missing=st.sampled_from("abc"))
def test_only_the_fields_of_a_selector_matter(selector: Any, doc: Doc, missing: str) -> None:
    if f'"{missing}":' in json.dumps(selector):
        return
    rest = {name: value for name, value in doc.items() if name != missing}
    assert compile_selector(selector)(rest) is compile_selector(selector)(doc)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], {"_id": "x", "a": {"b": 1, "c": [{"d": 2}, 3]}, "e.f": 4}),
        (["a.b", "_id"], {"a": {"b": 1}, "_id": "x"}),
        (["a.c", "a.b"], {"a": {"c": [{"d": 2}, 3], "b": 1}}),
        (["a.c.0.d"], {"a": {"c": {"0": {"d": 2}}}}),
        (["e\\.f", "nosuch", "a.nosuch", "a.b.c", "a.c.7"], {"e.f": 4}),
        (["a", "a.b"], {"a": {"b": 1, "c": [{"d": 2}, 3]}}),
        (["a.c", "a.c.0.d", "a.c.1"], {"a": {"c": [{"d": 2}, 3]}}),
    ],
)
def test_project_fields(fields: list[str], expected: Doc) -> None:
    doc: Doc = {"_id": "x", "a": {"b": 1, "c": [{"d": 2}, 3]}, "e.f": 4}
    before = json.dumps(doc)
    assert project_fields(doc, fields) == expected
    assert json.dumps(doc) == before


@pytest.mark.parametrize("fields", ["a", {"a": 1}, [1], ["a", None], ["a."]])
def test_invalid_fields(fields: Any) -> None:
    with pytest.raises(SelectorError):
        project_fields({"a": 1}, fields)


def test_sort() -> None:
    docs: list[Doc] = [{"n": 2, "s": "b"}, {"n": 1, "s": "B"}, {"s": "a"}, {"n": None, "s": "é"}, {"n": 2, "s": "A"}]
    key = sort_key(["n", {"s": "asc"}])
    assert [doc["s"] for doc in sorted(docs, key=key)] == ["a", "é", "B", "A", "b"]
    key = sort_key([{"s": "desc"}])
    assert key.descending
    assert [doc["s"] for doc in sorted(docs, key=key, reverse=key.descending)] == ["é", "B", "b", "A", "a"]
    assert sort_key(["a.b"])({"a": {"b": 1}}) == ((3, 1),)


def test_ids_are_sorted_as_they_compare() -> None:
    ids = ["b", "B", "a", "A", "_", "ä", "z", "\U0001f600", "\uffff"]
    found = sorted([{"_id": each} for each in ids], key=sort_key(["_id"]))
    assert [doc["_id"] for doc in found] == sorted(ids)
    for before, after in pairwise(found):
        assert compile_selector({"_id": {"$gt": before["_id"]}})(after)


@pytest.mark.parametrize(
    ("sort", "error"),
    [
        ("a", "invalid_sort_json"),
        ([1], "invalid_sort_field"),
        ([""], "invalid_sort_field"),
        ([{"a": "asc", "b": "asc"}], "invalid_sort_field"),
        ([{"a": "up"}], "invalid_sort_dir"),
        ([{"a": ["asc"]}], "invalid_sort_dir"),
        (["a", {"b": "desc"}], "unsupported_mixed_sort"),
    ],
)
def test_invalid_sorts(sort: Any, error: str) -> None:
    with pytest.raises(SelectorError) as caught:
        sort_key(sort)
    assert caught.value.error == error


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|aa)+$",
        "((a?)b?)*",
        "(a*){2,}",
        "(?:a{2,}){3}",
        "(?=a+)+",
        r"(a)\1",
        "(?P<n>a)(?P=n)",
        "(?(1)a|b)",
        "(?x)#[\n(a+)+$#]",
        "a?" * 20,
        "a*" * 20,
        "(?R)",
    ],
)
def test_patterns_that_a_client_may_not_use(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern, trusted=False)
    with pytest.raises(SelectorError, match=r"Bad argument for operator \$regex"):
        compile_selector({"a": {"$regex": pattern}})


@pytest.mark.parametrize("pattern", ["^abc", "(?i)^a.*c$", "abc|def", "(abc){2}", "a{,3}", "[[:alpha:]]+", "^(a|b)c+$"])
def test_patterns_that_a_client_may_use(pattern: str) -> None:
    compile_pattern(pattern, trusted=False)


def test_what_would_cost_too_much_does_not_match() -> None:
    text = "x" * 100_000
    for pattern in ("x+y?x+", "x+", "x"):
        assert compile_pattern(pattern, trusted=True)(text)
    assert not compile_pattern("x+y?x+", trusted=False)(text)
    assert not compile_pattern("x+", trusted=False)(text)
    assert compile_pattern("^x+", trusted=False)(text)
    assert compile_pattern("x", trusted=False)(text)


def test_a_brace_that_repeats_nothing_is_a_brace() -> None:
    assert compile_pattern("^a{,3}$", trusted=True)("a{,3}")
    assert not compile_pattern("^a{,3}$", trusted=True)("aa")
