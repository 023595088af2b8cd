"""Replacements: the same for the same, another for another, alike in form."""

from __future__ import annotations

import math
import re
from base64 import b64encode
from hashlib import md5

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from proxy.traffic.scramble import Scrambler

KEYED = Scrambler(b"key")
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def form(text: str) -> str:
    return re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub("[0-9]", "0", text)))


@settings(deadline=None)
@given(words)
def test_form_and_length_stay(text: str) -> None:
    new = KEYED.text(text)
    assert len(new.encode()) == len(text.encode())
    assert KEYED.text(text) == new
    assert Scrambler(b"key").text(text) == new
    if text.isascii():
        assert form(new) == form(text)


@settings(deadline=None)
@given(words, words)
def test_others_stay_others(one: str, other: str) -> None:
    assume(one != other)
    assert KEYED.text(one) != KEYED.text(other)
    assert KEYED.words(one) != KEYED.words(other)


def test_no_two_of_a_kind_become_one() -> None:
    assert len({KEYED.text(f"patient:{n:03}") for n in range(1000)}) == 1000
    assert len({KEYED.number(n) for n in range(1000)}) == 1000


def test_another_key_replaces_otherwise() -> None:
    assert Scrambler(b"other").text("patient") != KEYED.text("patient")


@example(1.7976931348623157e308)
@example(-1.7976931348623157e308)
@settings(deadline=None)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers(value: int | float) -> None:
    new = KEYED.number(value)
    assert type(new) is type(value)
    assert math.isfinite(new)
    assert isinstance(value, float) or len(repr(new)) == len(repr(value)) or value == 0
    assert repr(new).startswith("-") == repr(value).startswith("-") or new == 0


def test_revisions_and_digests_look_alike() -> None:
    rev = KEYED.text(f"12-{'a' * 32}")
    assert re.fullmatch("12-[0-9a-f]{32}", rev)
    assert KEYED.text("a" * 32) == rev[3:], "in _revisions as in _rev"
    old, new = (b64encode(md5(data).digest()).decode() for data in (b"hello 1", KEYED.data(b"hello 1")))
    assert KEYED.text(f"md5-{old}") == f"md5-{new}"
    assert KEYED.text(f'"{old}"') == f'"{new}"'
    unknown = KEYED.text(f"md5-{'A' * 22}==")
    assert re.fullmatch("md5-[A-Za-z0-9+/]{22}==", unknown)
    assert unknown != f"md5-{'A' * 22}=="


@pytest.mark.parametrize("data", [b"", b"some text", "ünïcode".encode(), bytes(range(256))])
def test_bytes_keep_their_length(data: bytes) -> None:
    new = KEYED.data(data)
    assert len(new) == len(data)
    assert not data or new != data


@settings(max_examples=5, deadline=None)
@given(st.integers(100, 5000))
def test_long_words(length: int) -> None:
    new = KEYED.text("x" * length)
    assert len(new) == length
    assert new.isalpha()
