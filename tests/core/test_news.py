"""What a client sends that it was not shown: every value that is more often there, and none that was left as it was."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract import Doc
from proxy.core.marks import values_of
from proxy.core.news import news_in
from tests.core.json_strategies import docs

SHOWN = {
    "flag": False,
    "by": {"name": "ann", "role": "nurse"},
    "notes": [{"id": 1, "t": "x"}, {"id": 2, "t": "y"}],
    "tags": ["a", "b", "b"],
    "lines": [{"t": "x"}, {"t": "y", "n": [1, 2]}],
}


@pytest.mark.parametrize(
    ("changes", "news"),
    [
        ({}, []),
        ({"flag": True}, [("flag", ("boolean", True))]),
        ({"flag": 0}, [("flag", 0)]),
        ({"by": {"name": "bob", "role": "nurse"}}, [("by", "name", "bob")]),
        ({"by": "ann"}, [("by", "ann")]),
        ({"more": {"a": [1, {"b": None}]}}, [("more", "a", 1), ("more", "a", "b", None)]),
        # what has an identity is found by it
        ({"notes": [{"id": 2, "t": "y"}, {"id": 1, "t": "z"}]}, [("notes", "t", "z")]),
        ({"notes": [{"id": 2, "t": "x"}, {"id": 1, "t": "y"}]}, [("notes", "t", "x"), ("notes", "t", "y")]),
        ({"notes": [{"id": 1, "t": "x"}, {"id": 3, "t": "y"}]}, [("notes", "id", 3), ("notes", "t", "y")]),
        ({"notes": [{"id": 1, "t": "x"}, {"id": 1, "t": "x"}]}, [("notes", "id", 1), ("notes", "t", "x")]),
        # what has none only if it is the same: what has changed may have been any of them
        ({"tags": ["b", "a"]}, []),
        ({"tags": ["b", "b", "b"]}, [("tags", "b")]),
        ({"lines": [{"n": [1, 2], "t": "y"}]}, []),
        ({"lines": [{"t": "y", "n": [1, 3]}]}, [("lines", "t", "y"), ("lines", "n", 1), ("lines", "n", 3)]),
    ],
)
def test_what_is_news(changes: Doc, news: list[Any]) -> None:
    assert sorted(news_in({**SHOWN, **changes}, SHOWN), key=repr) == sorted(news, key=repr)


@given(sent=docs(), shown=docs())
def test_a_value_that_is_more_often_there_is_news(sent: Doc, shown: Doc) -> None:
    news = Counter(news_in(sent, shown))
    assert news <= Counter(values_of(sent))
    assert Counter(values_of(sent)) - Counter(values_of(shown)) <= news
    assert not list(news_in(sent, sent))


@given(shown=docs(), data=st.data())
def test_what_was_removed_is_none(shown: Doc, data: st.DataObject) -> None:
    def some(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: some(member) for name, member in value.items() if data.draw(st.booleans())}
        return value

    assert not list(news_in(some(shown), shown))
