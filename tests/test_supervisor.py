"""The supervisor over small children of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import supervisor
from proxy.supervisor import CHANGED, Child, Failed, Supervisor

READY = "import socket, sys; control = socket.socket(fileno=int(sys.argv[-1])); control.send(b'ready\\n')"
WAIT = f"{READY}; control.recv(1)"
"""Works until it is asked to end, or the supervisor is gone."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PAUSES", (0.0,))


def child(name: str, program: str, *, serves: bool = True) -> Child:
    return Child(name, [sys.executable, "-c", program], serves=serves)


def counting(path: Path, program: str) -> str:
    """A program that first adds a line to a file."""
    return f"import sys; open({str(path)!r}, 'a').write('x'); starts = len(open({str(path)!r}).read())\n{program}"


async def supervised(*children: Child, stop_when: Callable[[], bool] | None = None) -> int:
    """Supervise until all are ready and the condition holds; how often they were told to be ready."""
    stop, told = asyncio.Event(), list[None]()
    running = asyncio.ensure_future(Supervisor(children).run(stop, lambda: told.append(None)))
    while not running.done() and not (told and (stop_when is None or stop_when())):
        await asyncio.sleep(0.01)
    stop.set()
    await running
    return len(told)


async def test_it_tells_once_that_all_are_ready(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    again = counting(starts, f"{READY}; sys.exit(0) if starts < 4 else control.recv(1)")
    told = await supervised(child("a", WAIT), child("b", again), stop_when=lambda: starts.read_text() == "xxxx")
    assert told == 1


async def test_what_cannot_tell_that_all_are_ready_ends_them_all() -> None:
    def ready() -> None:
        raise ValueError("nobody hears it")

    with pytest.raises(ValueError, match="nobody hears it"):
        await asyncio.wait_for(Supervisor([child("a", WAIT)]).run(asyncio.Event(), ready), 30)


async def test_one_that_never_gets_ready_ends_them_all() -> None:
    with pytest.raises(Failed, match=r"^the b ended with status 4 before it was ready$"):
        await supervised(child("a", WAIT), child("b", "raise SystemExit(4)"))


async def test_one_that_cannot_be_started() -> None:
    with pytest.raises(Failed, match=r"^the a cannot be started .* before it was ready$"):
        await supervised(Child("a", ["/nowhere/python"]))


async def test_with_another_configuration_others_go_on(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    changed = counting(starts, f"{READY} if starts == 1 else None; sys.exit({CHANGED})")
    await supervised(child("a", WAIT), child("b", changed), stop_when=lambda: len(starts.read_text()) > 3)


async def test_when_all_who_serve_would_be_others_it_ends(tmp_path: Path) -> None:
    children = []
    for name in "ab":
        program = f"import sys\nif starts > 1: sys.exit({CHANGED})\n{READY}"
        children.append(child(name, counting(tmp_path / name, program)))
    with pytest.raises(Failed, match=r"^the configuration has changed"):
        await supervised(*children, child("follower", WAIT, serves=False), stop_when=lambda: False)


async def test_one_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_GRACE_SECONDS", 0.05)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}\nwhile True: signal.pause()"
    await supervised(child("a", deaf))
