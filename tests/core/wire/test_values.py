"""Where a JSON value ends."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.core import jsonio
from proxy.core.wire.values import ValueScanner
from tests.core.json_strategies import docs


@given(docs(), st.lists(st.integers(0, 200), max_size=5), st.sampled_from([b"", b",", b"]}", b'{"a":"']))
def test_the_end_of_a_value_is_found_however_it_comes(value: Any, cuts: list[int], after: bytes) -> None:
    text = jsonio.dumps(value)
    sent = text + after
    scanner, buffer, found = ValueScanner(), bytearray(), -1
    for start, end in pairwise([0, *sorted(cuts), len(sent)]):
        buffer += sent[start:end]
        if found < 0:
            found = scanner.end(buffer)
            assert found == -1 or len(buffer) >= len(text)
    assert found == len(text)


def test_no_pattern_depends_on_what_python_does_with_possessive_groups() -> None:
    """Before 3.11.5 it goes on where such a group failed, not where it began; Debian 12 has 3.11.2."""
    possessive = re.compile(r"\)[*+?]\+|\)\{[0-9,]+\}\+|\(\?>")
    root = Path(__file__).parents[3]
    sources = [path for name in ("proxy", "filters") for path in (root / name).rglob("*.py")]
    assert len(sources) > 200
    assert [str(path) for path in sources if possessive.search(path.read_text())] == []
