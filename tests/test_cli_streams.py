"""Commands whose standard streams are closed, or cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.http import eventually
from tests.test_cli import ROOT, Command

FULL = Path("/dev/full")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def start(command: Command, redirection: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A command with a stream redirected as a shell does it; what it writes to the others is in `out` and `err`."""
    redirected = f'exec "$@" >out 2>err {redirection}'
    python = [sys.executable, "-m", "proxy.cli", *arguments]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(["sh", "-c", redirected, "sh", *python], cwd=command.directory, env=env)


def run(command: Command, redirection: str, *arguments: str) -> tuple[int, str, str]:
    status = start(command, redirection, *arguments).wait(60)
    return status, (command.directory / "out").read_text(), (command.directory / "err").read_text()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "-c", "clinic.toml", "--bind", "127.0.0.1:0"],
        ["serve", "-c", "clinic.toml", "--bind", "127.0.0.1:0", "--workers", "2"],
        ["endpoint", "--open", "--port", "0", "--data", "data"],
    ],
    ids=["serve", "workers", "endpoint"],
)
def test_servers_with_a_stream_that_is_closed(command: Command, arguments: list[str], closed: str) -> None:
    process = start(command, closed, *arguments)
    descriptors = Path(f"/proc/{process.pid}/fd")
    try:
        eventually(lambda: any("anon_inode" in each for each in _targets(descriptors)), "it has an event loop")
        for number in (0, 1, 2):
            target = os.readlink(descriptors / str(number))
            assert not target.startswith(("anon_inode", "socket", "pipe")), (number, target)
        if ">" not in closed:
            eventually(lambda: "http://" in (command.directory / "out").read_text(), "it says that it serves")
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    assert status in ((0,) if ">" not in closed else (0, -signal.SIGTERM))
    assert "Traceback" not in (command.directory / "err").read_text()


def _targets(descriptors: Path) -> list[str]:
    found = []
    for each in list(descriptors.iterdir()):
        try:
            found.append(os.readlink(each))
        except OSError:  # closed by now
            continue
    return found


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_commands_with_a_stream_that_is_closed(command: Command, closed: str) -> None:
    status, out, _ = run(command, closed, "check", "clinic.toml")
    assert status == 0
    assert out.startswith("clinic.toml is right\n")


def test_output_that_is_closed_is_nobodys(command: Command) -> None:
    assert run(command, ">&-", "check", "clinic.toml") == (0, "", "")


@pytest.mark.parametrize("given", ["<&-", "</dev/null"])
def test_no_input(command: Command, given: str) -> None:
    assert run(command, given, "shape", "-c", "clinic.toml", "-p", "phone", "-u", "ann", "-") == (
        2,
        "",
        "couch-tailor: standard input: is empty; a document is a JSON object\n",
    )


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("python", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "clinic.toml"],
        ["shape", "-c", "clinic.toml", "-p", "phone", "-u", "ann", "doc.json"],
        ["shape", "-c", "clinic.toml", "-p", "phone", "-u", "ann", "doc.json", "--diff"],
        ["openapi"],
        ["index", "status", "-c", "indexed.toml"],
        ["--help"],
        ["--version"],
        ["index", "--help"],
        ["demo", "--once"],
        ["endpoint", "--open", "--port", "0"],
        ["serve", "-c", "clinic.toml", "--bind", "127.0.0.1:0"],
        ["serve", "-c", "clinic.toml", "--bind", "127.0.0.1:0", "--workers", "2"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_output_that_cannot_be_written(command: Command, arguments: list[str], python: dict[str, str]) -> None:
    command.write(
        "indexed.toml",
        '[server]\nsecret = "0123456789abcdef"\ndata = "data"\n'
        '[sources.main]\nurl = "http://127.0.0.1:9"\nauth = "service"\nusername = "a"\npassword = "b"\n'
        '[databases.clinic]\n[profiles.own]\ndatabases = ["clinic"]\nusers = ["ann"]\n',
    )
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "proxy.cli", *arguments],
            cwd=command.directory,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **python},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "couch-tailor: cannot write the output: No space left on device\n")
