"""Inflating within a limit."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.wire.gzip import inflate
from proxy.errors import BadRequest, TooLarge


@settings(max_examples=50, deadline=None)
@given(members=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_what_was_compressed_comes_back(members: list[bytes]) -> None:
    content = b"".join(members)
    assert inflate(b"".join(map(gzip.compress, members)), len(content)) == content


def test_the_limit_is_exact() -> None:
    data = gzip.compress(b"x" * 100)
    assert inflate(data, 100) == b"x" * 100
    with pytest.raises(TooLarge):
        inflate(data, 99)
    with pytest.raises(TooLarge):
        inflate(data + gzip.compress(b"y"), 100)


def test_a_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, 10_000)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\x1f\x8b", gzip.compress(b"abc", mtime=0)[:-1], gzip.compress(b"abc", mtime=0) + b"x"]
)
def test_what_is_not_gzip(data: bytes) -> None:
    with pytest.raises(BadRequest, match="not properly gzipped"):
        inflate(data, 100)
