"""Values that servers make up, translated by their place."""

from __future__ import annotations

import json

from proxy.traffic.binding import Bindings
from tests.traffic.samples import asked

A, B, C = "a" * 32, "b" * 32, "c" * 32


def test_a_bound_value_stays_bound() -> None:
    bindings = Bindings()
    assert bindings.bind(A, B)
    assert bindings.bind(A, B)
    assert not bindings.bind(A, C), "another one in the same place"
    assert not bindings.bind(C, B), "the same one in another place"
    assert bindings.text(f"/db/{A}?x") == f"/db/{B}?x"


def test_what_the_client_brought_up_is_not_bound() -> None:
    bindings = Bindings()
    bindings.request(asked("PUT", f"/db/{A}", {"_rev": f"2-{C}"}))
    assert not bindings.bind(A, B)
    assert not bindings.bind_rev(f"2-{C}", f"2-{B}")


def test_revisions_keep_their_generation() -> None:
    bindings = Bindings()
    assert not bindings.bind_rev(f"2-{A}", f"3-{B}")
    assert not bindings.bind_rev(f"2-{A}", "2-x")
    assert bindings.bind_rev(f"2-{A}", f"2-{B}")
    assert bindings.value({"_revisions": {"start": 2, "ids": [A, C]}}) == {"_revisions": {"start": 2, "ids": [B, C]}}
    assert bindings.text(f'"2-{A}"') == f'"2-{B}"'


def test_the_first_sequence_counts() -> None:
    bindings = Bindings()
    bindings.bind_seq("5-abc", "7-xyz")
    bindings.bind_seq("5-abc", "9-other")
    bindings.bind_seq(3, 4)
    assert bindings.text("5-abc") == "7-xyz"


def test_requests_go_out_with_the_live_values() -> None:
    bindings = Bindings()
    bindings.bind_rev(f"1-{A}", f"1-{B}")
    bindings.bind_seq("5-abc_-x", "7-a/b")
    bindings.bind_cookie("YWRtaW46", "other==")
    headers = (("Host", "h"), ("Content-Length", "9"), ("Cookie", "x=1; AuthSession=YWRtaW46"), ("If-Match", f"1-{A}"))
    sent = bindings.request(
        asked("PUT", f"/db/a%2Fb?rev=1-{A}&since=%225-abc_-x%22&q=a%20b", {"_rev": f"1-{A}"}, *headers)
    )
    assert sent.target == f"/db/a%2Fb?rev=1-{B}&since=%227-a%2Fb%22&q=a%20b"
    assert json.loads(sent.body) == {"_rev": f"1-{B}"}
    assert sent.headers[1:] == [("Cookie", "x=1; AuthSession=other=="), ("If-Match", f"1-{B}")]


def test_parts_go_out_with_the_live_values() -> None:
    bindings = Bindings()
    bindings.bind_rev(f"1-{A}", f"1-{B}")
    kind = ("Content-Type", "multipart/related; boundary=x")
    sent = bindings.request(asked("PUT", "/db/d", b'--x\r\n\r\n{"_rev":"1-%s"}\xff' % A.encode(), kind))
    assert sent.body == b'--x\r\n\r\n{"_rev":"1-%s"}\xff' % B.encode()


def test_a_body_without_bound_values_stays_as_it_is() -> None:
    bindings = Bindings()
    bindings.bind(A, B)
    kind = ("Content-Type", "application/json")
    for body in (b'{ "a" : 1.0 }', b"{broken"):
        assert bindings.request(asked("PUT", "/db/d", body, kind)).body == body
