"""Expressions as text again."""

from __future__ import annotations

import pytest

from proxy.core.jmes import compile_expression
from proxy.core.jmes.text import text_of

AS_WRITTEN = [
    "facility == client.facility",
    'place."odd.key" != `1`',
    "contains(client.grants.unit, unit)",
    "members[?name == client.name && active].id",
    "members[?@ == client.name]",
    "a[0].b[-1] || c[].d || e[*].f",
    "(a && b) || !(c > `2`)",
    "name == 'ann' && public",
    "(a == b) == (c < d)",
    "a[1:2] == `[1]` || a[::2].b || a[1:]",
    "a && (b && c)",
    r"a == 'it\'s'",
]


def again(text: str) -> str:
    return text_of(compile_expression(text, option="where").tree)


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_common_expressions_come_out_as_they_were_written(text: str) -> None:
    assert again(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{a: b} == client.c", "... == client.c"),
        ("sort_by(a, &b)", "sort_by(a, ...)"),
    ],
)
def test_what_is_rare_is_left_out(text: str, shown: str) -> None:
    assert again(text) == shown


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_what_comes_out_is_the_same_expression(text: str) -> None:
    assert compile_expression(again(text), option="where").tree == compile_expression(text, option="where").tree
