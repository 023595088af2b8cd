"""JSON: no number changes on the way, and what CouchDB refuses is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import jsonio

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_values_survive(value: Any) -> None:
    try:
        text = jsonio.dumps(value)
    except ValueError:
        assert any(0xD800 <= ord(char) < 0xE000 for char in repr(value)) or "\\ud" in repr(value)
        return
    assert jsonio.loads(text) == value
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "text", [b"18446744073709551616", b"-99999999999999999999999", b'{"a":[123456789012345678901234567890]}']
)
def test_integers_of_any_size_are_kept(text: bytes) -> None:
    assert jsonio.dumps(jsonio.loads(text)) == text


@pytest.mark.parametrize("digits", [308, 309, 310, 4300])
def test_so_are_those_that_are_larger_than_any_float(digits: int) -> None:
    text = b'{"a":[-%b,1.5]}' % (b"1" * digits)
    assert jsonio.dumps(jsonio.loads(text)) == jsonio.dumps(jsonio.loads_sent(text)) == text
    with pytest.raises(jsonio.JSONDecodeError):
        jsonio.loads(text.replace(b"1.5", b"1e999"))


@pytest.mark.parametrize("white", ["", " ", "\t", "\r\n", " \n\t "])
@pytest.mark.parametrize("before", ["", "[", "[1,", '{"a":', '["1234567890123456789",'])
def test_integers_of_any_size_are_found_wherever_a_number_can_stand(before: str, white: str) -> None:
    for sign in ("", "-"):
        text = f"{before}{white}{sign}98765432109876543210{white}"
        text += {"[": "]", "{": "}"}.get(before[:1], "")
        assert jsonio.loads(text.encode()) == json.loads(text)


def test_of_duplicate_keys_the_last_wins() -> None:
    assert jsonio.loads(b'{"a":1,"a":2}') == {"a": 2}
    assert jsonio.loads(b'{"a":1,"a":99999999999999999999}') == {"a": 99999999999999999999}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b'"\\ud800"',
        b"1e400",
        b"\xff",
        b"[1,]",
        b"12345678901234567890 x",
        b"[99999999999999999999,NaN]",
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        jsonio.loads(text)


@pytest.mark.parametrize("depth", [1000, 1024, 1025, 2000, 4000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_what_a_source_has_nested_deeply_is_read_and_written(depth: int, opening: str, closing: str) -> None:
    text = (opening * depth + "12345678901234567890" + closing * depth).encode()
    assert jsonio.dumps(jsonio.loads(text)) == text
    lone = text.replace(b"12345678901234567890", b'"\\ud800"')
    for wrong in (lone, text[:-1], text + b"]", text.replace(b"1", b"NaN", 1), text.replace(b"1", b"1e999", 1)):
        with pytest.raises(jsonio.JSONDecodeError):
            jsonio.loads(wrong)


def test_there_is_an_end_to_it() -> None:
    with pytest.raises(jsonio.JSONDecodeError):
        jsonio.loads(b"[" * 100_000 + b"]" * 100_000)


@given(st.text('{}[],:"a1 ', max_size=200), st.integers(0, 50_000))
def test_small_texts_are_not_looked_at_in_vain(text: str, most: int) -> None:
    data = text.encode()
    assert jsonio.weighs_more(data, most) is (jsonio.weight(data) > most)
