"""Documents in multipart/mixed, as CouchDB has them for `open_revs` and some servers for everything."""

from __future__ import annotations

import pytest

from proxy.core.wire import WireError
from proxy.core.wire.mixed import JsonPart, is_mixed, json_parts

KIND = 'multipart/mixed; boundary="b"'


def body(*parts: tuple[str, str]) -> bytes:
    text = "".join(f"--b\r\nContent-Type: {kind}\r\n\r\n{content}\r\n" for kind, content in parts)
    return f"{text}--b--".encode()


def test_parts_come_in_order_with_what_they_say_of_themselves() -> None:
    mixed = body(("application/json", '{"_id":"a"}'), ('application/json; error="true"', '{"missing":"1-x"}'))
    assert json_parts(KIND, mixed) == [JsonPart({"_id": "a"}, False), JsonPart({"missing": "1-x"}, True)]
    assert json_parts(KIND, body()) == []


def test_the_type_is_told_from_others() -> None:
    assert is_mixed(KIND)
    assert is_mixed("Multipart/Mixed;boundary=b")
    assert not is_mixed("multipart/related; boundary=b")
    assert not is_mixed("application/json")


@pytest.mark.parametrize(
    ("kind", "mixed"),
    [
        (KIND, body(("multipart/related; boundary=c", "{}"))),
        (KIND, body(("application/json", "{"))),
        (KIND, body(("application/json", "{}"))[:-4]),
        (KIND, b"--b\r\n\r\n{}\r\n--b--"),
        ("multipart/mixed", body(("application/json", "{}"))),
        (KIND, b"{}"),
    ],
)
def test_anything_else_is_refused(kind: str, mixed: bytes) -> None:
    with pytest.raises(WireError):
        json_parts(kind, mixed)
