"""Which recorded reply a request gets."""

from __future__ import annotations

from proxy.traffic.exchange import Exchange
from proxy.traffic.script import Script
from tests.traffic.samples import asked, exchange, said


def status(script: Script, method: str, target: str, body: bytes = b"") -> int | None:
    found = script.answer(method, target, body)
    return None if found is None else found[0].status


def test_the_first_that_has_not_been_given() -> None:
    script = Script([exchange(asked("GET", "/a"), said(201), 0), exchange(asked("GET", "/a"), said(202), 1)])
    assert [status(script, "GET", "/a") for _ in range(3)] == [201, 202, 202]
    assert status(script, "PUT", "/a") is None
    assert status(script, "GET", "/b") is None


def test_the_most_alike_comes_first() -> None:
    script = Script(
        [
            exchange(asked("POST", "/a?x=1&y=2", {"v": 1}), said(201), 0),
            exchange(asked("POST", "/a?x=1&y=2", {"v": 2}), said(202), 1),
            exchange(asked("POST", "/a?x=3", {"v": 1}), said(203), 2),
        ]
    )
    assert status(script, "POST", "//a/?y=2&x=1", b'{ "v": 2 }') == 202
    assert status(script, "POST", "/a?x=3", b"other") == 203
    assert status(script, "POST", "/%61?z=9") == 201


def test_a_reply_that_was_cut_short_stays_so() -> None:
    script = Script(
        [Exchange(0, 0, asked("GET", "/a"), None, said(200, b"half")), exchange(asked("GET", "/b"), None, 1)]
    )
    found = script.answer("GET", "/a", b"")
    assert found is not None
    assert (found[0].body, found[1]) == (b"half", False)
    assert status(script, "GET", "/b") is None
