"""What the command does over the network: `shape --id` against a source, and `serve`."""

from __future__ import annotations

import hmac
import json
import re
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from proxy.config import load
from tests.test_cli import CONFIG, ROOT, Command

DOC = {"_id": "a/b c", "_rev": "2-x", "owner": "ann", "ssn": "1"}
DELETED = {"error": "not_found", "reason": "deleted"}


class Canned(BaseHTTPRequestHandler):
    """Answers every request alike, and keeps what it was asked."""

    answer: ClassVar[tuple[int, bytes]]
    asked: ClassVar[list[tuple[str, dict[str, str]]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Source:
    """A source that answers every request with what it is told to."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.answers(200, DOC)
        Canned.asked = []

    def answers(self, status: int, body: Any) -> None:
        Canned.answer = (status, body if isinstance(body, bytes) else json.dumps(body).encode())

    @property
    def asked(self) -> list[tuple[str, dict[str, str]]]:
        return Canned.asked


@pytest.fixture
def source() -> Iterator[Source]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Canned) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Source(server)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def command(tmp_path: Path, source: Source) -> Command:
    command = Command(tmp_path)
    command.write("clinic.toml", CONFIG.replace("http://127.0.0.1:9", f"{source.url}/prefix/"))
    return command


def set_source(command: Command, lines: str) -> None:
    text = (command.directory / "clinic.toml").read_text(encoding="utf-8")
    command.write(
        "clinic.toml", text.replace("[databases.clinic]\n", f'{lines}\n[databases.clinic]\nname = "c/1"\n', 1)
    )


def test_a_document_of_the_source(command: Command, source: Source) -> None:
    set_source(command, "")
    status, out, err = command.shape("--id", "a/b c", "--rev", "2-x", "-d", "clinic")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"_id": "a/b c", "_rev": "2-x", "owner": "ann"}
    [(path, headers)] = source.asked
    assert path == "/prefix/c%2F1/a%2Fb%20c?rev=2-x"
    assert "Authorization" not in headers


def test_with_the_service_account(command: Command, source: Source) -> None:
    set_source(command, 'auth = "service"\nusername = "tailor"\npassword = "thréad"')
    assert command.shape("--id", "a", "-d", "clinic")[0] == 0
    assert source.asked[0][1]["Authorization"] == f"Basic {b64encode('tailor:thréad'.encode()).decode()}"


@pytest.mark.parametrize(
    ("doc_id", "reason"),
    [
        ("", "Document id must not be empty"),
        ("_all_docs", "Only reserved document ids may start with underscore."),
        ("_design/", "Illegal document id `_design/`"),
        ("..", "Document ids with dot segments are not accepted."),
    ],
)
def test_ids_that_no_document_has(command: Command, source: Source, doc_id: str, reason: str) -> None:
    assert command.shape("--id", doc_id, "-d", "clinic") == (2, "", f"couch-tailor: shape: --id: {reason}\n")
    assert source.asked == []


@pytest.mark.parametrize(
    ("account", "name", "roles"),
    [("", "ann", "doctor,nurse"), ('\nusername = "tailor"\nroles = ["a", "b"]', "tailor", "a,b")],
)
def test_with_proxy_authentication(command: Command, source: Source, account: str, name: str, roles: str) -> None:
    set_source(command, f'auth = "proxy"\nproxy_secret = "s3"{account}')
    assert command.shape("--id", "a", "-d", "clinic", "-r", "nurse", "-r", "doctor")[0] == 0
    headers = source.asked[0][1]
    assert headers["X-Auth-CouchDB-UserName"] == name
    assert headers["X-Auth-CouchDB-Roles"] == roles
    assert headers["X-Auth-CouchDB-Token"] == hmac.new(b"s3", name.encode(), "sha256").hexdigest()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, {"error": "not_found", "reason": "missing"}, "404 not_found: missing"),
        (404, DELETED, "404 not_found: deleted; name a revision with --rev"),
        (401, {"error": "unauthorized", "reason": "No."}, "401 unauthorized: No.; with auth = \"client\" there is "
         "nobody to log in as; set COUCH_TAILOR_SOURCE_USERNAME and _PASSWORD"),
        (200, b"<html>", "the answer is not JSON; is that a CouchDB?"),
        (200, [], "the answer is no document; is that a CouchDB?"),
        (200, {"total_rows": 0}, "the answer is no document; is that a CouchDB?"),
        (500, [], "500 ?: ?"),
    ],
)  # fmt: skip
def test_what_the_source_does_not_give(command: Command, source: Source, status: int, body: Any, message: str) -> None:
    source.answers(status, body)
    assert command.shape("--id", "a", "-d", "clinic") == (
        1,
        "",
        f'couch-tailor: "a" cannot be read from {source.url}/prefix/clinic: {message}\n',
    )


def test_a_source_that_is_not_there(command: Command) -> None:
    with socket.socket() as taken:  # bound, and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        command.write("clinic.toml", CONFIG.replace(":9", f":{taken.getsockname()[1]}"))
        status, out, err = command.shape("--id", "a", "-d", "clinic")
    assert (status, out) == (1, "")
    assert err.startswith('couch-tailor: "a" cannot be read from http://127.0.0.1:')
    assert err.count("\n") == 1


@contextmanager
def started(command: Command, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command that serves until it is told to stop, and the first line of what it says."""
    with subprocess.Popen(
        [sys.executable, "-m", "proxy.cli", *arguments],
        cwd=command.directory,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.terminate()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_told_to_stop(command: Command, number: int) -> None:
    with started(command, "serve", "--config", "clinic.toml", "--bind", "127.0.0.1:0") as (process, said):
        assert said.startswith("couch-tailor listens on http://127.0.0.1:")
        assert process.stderr is not None
        process.send_signal(signal.SIGHUP)
        assert "WARNING couch_tailor.signals: SIGHUP changes nothing" in process.stderr.readline()
        process.send_signal(number)
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 0


@pytest.mark.parametrize("arguments", [["serve", "-c", "clinic.toml", "--bind", "[::1]:0", "--workers", "1"],
                                       ["serve", "-c", "clinic.toml", "--bind", "[::1]:0", "--workers", "2"],
                                       ["endpoint", "--open", "--host", "::1", "--port", "0"]])  # fmt: skip
def test_an_address_of_ipv6_is_printed_as_in_a_url(command: Command, arguments: list[str]) -> None:
    try:
        with socket.socket(socket.AF_INET6) as local:
            local.bind(("::1", 0))
    except OSError:
        pytest.skip("there is no IPv6 here")
    with started(command, *arguments) as (_, said):
        assert re.search(r"http://\[::1\]:[0-9]+( |$)", said)


def test_serve_where_somebody_else_listens(command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, out, err = command.run("serve", "-c", "clinic.toml", "--bind", address)
    assert (status, out) == (1, "")
    assert err.startswith(f"couch-tailor: cannot listen on {address}: ")
    assert err.count("\n") == 1


def test_serve_at_an_address_that_is_not_of_this_machine(command: Command) -> None:
    status, out, err = command.run("serve", "-c", "clinic.toml", "--bind", "192.0.2.1:5984")
    assert (status, out) == (1, "")
    assert err.startswith("couch-tailor: cannot listen on 192.0.2.1:5984: ")


def test_serve_at_no_address(command: Command) -> None:
    assert command.run("serve", "-c", "clinic.toml", "--bind", "x:y") == (
        2,
        "",
        'couch-tailor: --bind: "y" is not a port; write a number from 0 (any free port) to 65535\n',
    )


def test_the_example_is_right() -> None:
    config = load(ROOT / "examples/clinic.toml", {"COUCH_TAILOR_SECRET": "0123456789abcdef"})
    assert config.warnings == ()
    assert {name: len(profile.rules) for name, profile in config.profiles.items()} == {
        "phone": 3,
        "tablet": 1,
        "audit": 1,
    }
