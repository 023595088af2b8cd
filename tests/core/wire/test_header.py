"""Header values with parameters."""

from __future__ import annotations

import pytest

from proxy.core.wire import WireError
from proxy.core.wire.header import boundary_of, parse_header


@pytest.mark.parametrize(
    ("text", "value", "params"),
    [
        ("application/json", "application/json", {}),
        (" Application/JSON ; Charset = UTF-8 ", "application/json", {"charset": "UTF-8"}),
        ('multipart/mixed; boundary="a b;c=\\"d"', "multipart/mixed", {"boundary": 'a b;c="d'}),
        ("a/b;", "a/b", {}),
        ("a/b;;x=1; ;y=2;", "a/b", {"x": "1", "y": "2"}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ('a/b; x=""; y=', "a/b", {"x": "", "y": ""}),
        ("", "", {}),
    ],
)
def test_parse_header(text: str, value: str, params: dict[str, str]) -> None:
    assert parse_header(text) == (value, params)


@pytest.mark.parametrize("text", ["a/b; x", "a/b; =1", 'a/b; x="1', 'a/b; x="1"2', 'a/b; x=1"2"', "a/b; x y=1"])
def test_malformed(text: str) -> None:
    with pytest.raises(WireError, match="parameter"):
        parse_header(text)


def test_boundaries() -> None:
    assert boundary_of('multipart/related; boundary="--x"') == b"--x"
    assert boundary_of("Multipart/Mixed;boundary=x; type=y") == b"x"


@pytest.mark.parametrize(
    "text",
    [
        "application/json; boundary=x",
        "multipart/mixed",
        'multipart/mixed; boundary=""',
        'multipart/mixed; boundary="a\nb"',
        "multipart/mixed; boundary=ü",
        f"multipart/mixed; boundary={'x' * 201}",
    ],
)
def test_no_boundary(text: str) -> None:
    with pytest.raises(WireError, match="multipart"):
        boundary_of(text)
