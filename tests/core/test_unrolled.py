"""Source texts of rules: what is written into them stays what it is, whatever it looks like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client, Doc
from proxy.core.paths import compile_paths
from proxy.core.pathtree import quote
from proxy.core.unrolled import Scope, define, indented

ANN = Client("ann")


def test_a_text_becomes_a_function() -> None:
    scope: Scope = {"step": 2}
    more = define("def more(value)", ["for _ in range(3):", *indented(["value += step"]), "return value"], scope)
    assert more(1) == 7
    scope["step"] = 3  # what a name stands for may change
    assert more(1) == 10


def test_a_text_that_is_none_is_a_mistake_of_ours() -> None:
    with pytest.raises(SyntaxError):
        define("def broken()", ["return ("], {})


HOSTILE = ["'", '"', "\\", "\n", "\r", "\u2028", "{}", "%s", "'''", '"""', "\\'", "value", "\x00", "\ud800", "{name!r}"]
HOSTILE += ["' or True or '", "'] = 1\nraise SystemExit #", "name\n    import os"]
AROUND: list[tuple[str, Callable[[Doc], Doc]]] = [
    ("", lambda members: members),
    ("o.", lambda members: {"o": members}),
    ("l[].", lambda members: {"l": [members]}),
    ("l[].o.", lambda members: {"l": [{"o": members}]}),
]


@pytest.mark.parametrize(("path", "around"), AROUND)
@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8) | st.sampled_from(HOSTILE), min_size=1, max_size=4, unique=True))
def test_names_are_taken_by_the_letter(path: str, around: Callable[[Doc], Doc], names: list[str]) -> None:
    paths = compile_paths([path + quote(name) for name in names], option="paths")
    named = dict.fromkeys(names, 1)
    doc = around({**named, "": 2})
    assert paths.drop(doc, ANN) == around({"": 2})
    assert paths.keep(doc, ANN) == around(named)
