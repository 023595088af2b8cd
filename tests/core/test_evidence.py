"""What tells changed elements apart, on small arrays."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.evidence import told_apart
from proxy.core.likeness import look


def told(new: list[Any], old: list[Any]) -> dict[int, int]:
    return told_apart(list(map(look, new)), list(map(look, old)))


CASES: list[tuple[str, list[Any], list[Any], dict[int, int]]] = [
    # what, new, old, partners
    ("a text of its own", [{"t": "b", "f": 1}, {"t": "c", "f": 1}], [{"t": x, "f": 0} for x in "abc"], {0: 1, 1: 2}),
    ("all but one member", [{"a": 1, "b": 2, "c": 9}], [{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1, "c": 3}], {0: 0}),
    ("all, and one more", [{"a": 1, "b": 2, "c": 9}], [{"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 2}], {0: 0}),
    ("all, but for one less", [{"a": 1, "b": 2}], [{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1, "c": 3}], {0: 0}),
    ("rows, too", [[1, 2, 9]], [[1, 2, 3], [1, 1, 3]], {0: 0}),
    ("not a flag that one alone happens to have", [{"t": "z", "f": 1}],
     [{"t": "a", "f": 1}, {"t": "b", "f": 0}, {"t": "c", "f": 0}, {"t": "d", "f": 0}], {}),
    ("nor what two of those shown have", [{"t": "a", "f": 1}], [{"t": "a", "f": 0}, {"t": "a", "f": 2}], {}),
    ("nor what two of those sent have", [{"t": "a", "f": 1}, {"t": "a", "f": 2}], [{"t": "a", "f": 0}], {}),
    ("nor what leads to two", [{"a": 1, "b": 2}], [{"a": 1, "b": 5}, {"a": 6, "b": 2}], {}),
    ("nor less than half", [{"a": 1, "b": 9, "c": 9}], [{"a": 1, "b": 2, "c": 3}], {}),
    ("nor what has another identity", [{"id": 1, "a": 1, "b": 2}], [{"id": 2, "a": 1, "b": 2}], {}),
    ("nor scalars", [1], [2], {}),
]  # fmt: skip


@pytest.mark.parametrize(("new", "old", "partners"), [each[1:] for each in CASES], ids=[each[0] for each in CASES])
def test_partners(new: list[Any], old: list[Any], partners: dict[int, int]) -> None:
    assert told(new, old) == partners
