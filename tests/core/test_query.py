"""Query strings are read as CouchDB reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import query
from proxy.core.query import Query
from proxy.errors import BadRequest

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(texts, texts)))
def test_what_is_encoded_is_decoded(pairs: list[tuple[str, str]]) -> None:
    assert query.parse(query.encode(pairs)) == pairs


@given(st.text(st.characters(max_codepoint=126, min_codepoint=33)))
def test_anything_is_parsed_or_refused(raw: str) -> None:
    try:
        pairs = query.parse(raw)
    except BadRequest:
        return
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in pairs)


@pytest.mark.parametrize("raw", ["a=%", "a=%4", "a=%zz", "%=1", "a=%ff", "a=%+1", "a=% 1"])
def test_bad_escapes_are_refused(raw: str) -> None:
    with pytest.raises(BadRequest):
        query.parse(raw)


def test_paths_are_escaped_as_by_couchdb() -> None:
    escaped = "a%7Eb:c%2Fd%20e%40g%21h%2Ai%28j%29%27k%2Cl%3Bm%3Dn%26o%24p%C3%BC.-_"
    assert query.escape("a~b:c/d e@g!h*i(j)'k,l;m=n&o$pü.-_") == escaped
    assert query.decode(escaped) == "a~b:c/d e@g!h*i(j)'k,l;m=n&o$pü.-_"


def test_duplicates_follow_couchdbs_rule_for_each_kind() -> None:
    given = Query([("rev", "1-a"), ("rev", "2-b"), ("revs", "true"), ("revs", "false"), ("Limit", "1")])
    assert (given.first("rev"), given.last("rev")) == ("1-a", "2-b")
    assert given.sticky("revs")
    assert "limit" not in given
    assert Query(given.pairs, fold=True).whole("limit") == 1


def test_flags_of_all_docs_accept_any_case_and_nothing_else() -> None:
    assert Query([("descending", "TRUE")]).flag("descending")
    assert Query([]).flag("inclusive_end", True)
    with pytest.raises(BadRequest):
        Query([("descending", "yes")]).flag("descending")


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "", "9" * 30, "²"])
def test_numbers_are_whole(value: str) -> None:
    with pytest.raises(BadRequest):
        Query([("limit", value)]).whole("limit")
