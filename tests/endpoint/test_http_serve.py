"""Starting and stopping an endpoint, and the command line of `couch-tailor endpoint`."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.endpoint import serve
from proxy.endpoint.server import Server
from proxy.endpoint.sqlite_writer import SqliteTransaction
from tests.endpoint.http_client import Wire, serving


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    users = {"ann": ("secret of ann", ("doctor", "facility:f1"))}
    async with serving(directory=tmp_path, users=users) as wire:
        await wire("PUT", "/db")
        await wire("PUT", "/db/x", {"a": 1})
        uuid = (await wire("GET", "/")).json["uuid"]
        made = (await wire("GET", "/_users/org.couchdb.user:ann")).json
        body: dict[str, object] = {"name": "ann", "password": "secret of ann"}
        cookie = (await wire.anonymous()("POST", "/_session", body)).headers["set-cookie"].partition(";")[0]
    assert "password" not in made
    async with serving(directory=tmp_path, users=users) as wire:
        assert (await wire("GET", "/db/x")).json["a"] == 1
        assert (await wire("GET", "/")).json["uuid"] == uuid
        assert (await wire("GET", "/_users/org.couchdb.user:ann")).json["_rev"] == made["_rev"]
        session = (await wire.anonymous()("GET", "/_session", None, {"Cookie": cookie})).json
        assert session["userCtx"] == {"name": "ann", "roles": ["doctor", "facility:f1"]}
    async with serving(directory=tmp_path, users={"ann": ("another", ())}) as wire:
        assert (await wire.as_user("ann", "another")("GET", "/_session")).json["userCtx"]["roles"] == []
        assert (await wire.as_user("ann", "secret of ann")("GET", "/_session")).status == 401


async def test_stopping_twice_is_stopping_once() -> None:
    running = await serve.start(admins={"admin": "secret"})
    await running.stop()
    await running.stop()


async def test_an_address_in_use_is_an_os_error() -> None:
    async with serving() as wire:
        with pytest.raises(OSError, match="in use"):
            await serve.start(admins={"admin": "secret"}, port=wire.running.port)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--admin NAME:PASSWORD"),
        (["--admin", "me"], "needs the form NAME:PASSWORD"),
        (["--admin", "me:"], "needs the form NAME:PASSWORD"),
        (["--admin", "a:b", "--user", "x::r"], "NAME:PASSWORD[:ROLE,ROLE...]"),
        (["--open", "--host", "0.0.0.0"], "loopback"),
        (["--open", "--host", "example.test"], "loopback"),
        (["--admin", "a:b", "--user", "a:c"], '--user: "a" is an administrator already'),
        (["--admin", "a:b", "--user", "u:c", "--user", "u:d:nurse"], '--user: "u" is named twice'),
        (["--admin", "a:b", "--admin", "a:c"], '--admin: "a" is named twice'),
        (["--admin", "a:b", "--data", ""], "--data: is empty; name a directory"),
        (["--admin", "a:b", "--host", "a..b"], '"a..b" is neither an IP address nor a host name'),
        (["--admin", "a:b", "--host", "1.2.3.400"], '"1.2.3.400" is neither an IP address nor a host name'),
        (["--admin", "a:b", "--host", ""], "is empty"),
        (["--admin", "a:b", "--port", "x"], "--port"),
        (["--admin", "a:b", "--port", "65536"], '"65536" is not a port'),
        (["--admin", "a:b", "--port", "-1"], '"-1" is not a port'),
        (["--admin", "a:b", "--max-body", "0"], '"0" is not a number of bytes'),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        serve.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_user_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--admin", "a:b", "--user", "x:y:_admin", "--port", "0"]) == 2
    assert "a user cannot be made: No system roles" in capsys.readouterr().err


def test_directories_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no directory")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "server.sqlite").write_text("no database of SQLite's, and long enough to tell")
    held = Server(tmp_path / "held")
    remedy = "name a directory that is there or can be made"
    for name, why in (
        ("file", f"{os.strerror(errno.EEXIST)}; {remedy}"),
        ("file/below", f"{os.strerror(errno.ENOTDIR)}; {remedy}"),
        ("other", f"file is not a database; {remedy}"),
    ):
        assert serve.main(["--admin", "a:b", "--port", "0", "--data", str(tmp_path / name)]) == 1
        assert capsys.readouterr().err == f"couch-tailor: --data: {tmp_path / name} cannot be used: {why}\n"
    assert serve.main(["--admin", "a:b", "--port", "0", "--data", str(tmp_path / "held")]) == 1
    assert capsys.readouterr().err.endswith("cannot be used (database is locked): is another endpoint running on it?\n")
    asyncio.run(held.close())


async def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    options = ["--port", "0", "--data", str(tmp_path / "data"), "--admin", "admin:secret", "--user", "ann:pw:a,b:c"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.endpoint.serve",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    line = (await process.stdout.readline()).decode()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    assert found is not None, line
    wire = Wire(SimpleNamespace(host="127.0.0.1", port=int(found[1])))  # type: ignore[arg-type]  # all that the client needs of a running endpoint
    assert (await wire("PUT", "/db")).status == 201
    assert (await wire.as_user("ann", "pw")("GET", "/_session")).json["userCtx"]["roles"] == ["a", "b:c"]
    process.send_signal(signal.SIGHUP)
    assert (await process.stderr.readline()).startswith(b"SIGHUP changes nothing: ")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.DatabaseError("database disk image is malformed"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
)
async def test_trouble_with_the_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def put(*_: object) -> None:
        raise error

    async with serving(directory=tmp_path) as wire:
        await wire("PUT", "/db")
        with monkeypatch.context() as patch:
            patch.setattr(SqliteTransaction, "put", put)
            answer = await wire("PUT", "/db/x", {})
        reason = f"The database's files cannot be read or written: {error}"
        assert (answer.status, answer.json) == (503, {"error": "service_unavailable", "reason": reason})
        [record] = [each for each in caplog.records if each.levelname == "ERROR"]
        assert (record.getMessage(), record.exc_info) == (f"PUT /db/x failed: {error}", None)
        assert (await wire("PUT", "/db/x", {})).status == 201
