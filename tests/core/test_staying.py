"""What stays of a document that a write cannot be sewn onto."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.staying import over_hidden, staying

WHOLE = {"_id": "x", "p": {"name": "A", "locked": True, "pin": "1"}, "log": [1, 2], "n": 1}
SHOWN = {"_id": "x", "p": {"name": "A", "pin": "***"}, "log": [1], "n": 1}


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ({}, {"log": [2]}),  # an object goes with what is hidden in it, as in any edit
        ({"p": {"name": "Z"}}, {"p": {"name": "Z", "locked": True, "pin": "1"}, "log": [2]}),
        (
            {"p": {"name": "A", "pin": "2"}, "n": 2},
            {"p": {"name": "A", "locked": True, "pin": "1"}, "n": 2, "log": [2]},
        ),
        ({"log": [1, 3]}, {"log": [1, 2, 3]}),
    ],
)
def test_what_is_hidden_or_shown_otherwise_stays(edited: Any, expected: Any) -> None:
    found = staying({"_id": "x", **edited}, SHOWN, WHOLE)
    assert {name: value for name, value in found.items() if name != "_id"} == expected


@pytest.mark.parametrize(
    ("written", "hidden", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        (
            {"p": {"a": 1, "o": {"x": 1}}},
            {"p": {"a": 2, "b": 3, "o": {"y": 2}}},
            {"p": {"a": 1, "b": 3, "o": {"x": 1, "y": 2}}},
        ),
        ({"p": 1}, {"p": {"a": 2}}, {"p": {"a": 2}}),
        ({"p": {"o": {"x": 1}}}, {"p": {"o": 5}}, {"p": {"o": 5}}),
    ],
)
def test_what_was_written_goes_over_what_is_hidden_member_by_member(written: Any, hidden: Any, expected: Any) -> None:
    assert over_hidden(written, hidden) == expected
