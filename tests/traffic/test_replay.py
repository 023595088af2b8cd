"""Recordings played: those of CouchDB against the endpoint and through the proxy, our own against what was recorded."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cli import main
from proxy.cli.player import Played, Server, play
from proxy.cli.recorder import Recorder
from proxy.cli.stage import Stage
from proxy.endpoint.serve import Running
from proxy.traffic.anonymise import anonymise
from proxy.traffic.exchange import Exchange, Reply, dump, load
from tests.compatibility.table import row
from tests.endpoint import test_http_surface as surface
from tests.endpoint.http_client import ADMIN, Wire, serving
from tests.endpoint.test_http_surface import seeded
from tests.recordings.test_replay import DIFFERS
from tests.support.inprocess import PROXY_SECRET, Site, profile, site
from tests.traffic.samples import asked, exchange, recording, said

PULLS = [
    *(f"pouchdb{n}-pull" for n in (3, 5, 6, 7, 8, 9)),
    "couchdb35-replicator-pull",
    "couchdb35-replicator-filtered",
]
PROXY = {*surface.DIFFERS, *DIFFERS, 2}
"""What the two together do in their own way; the proxy gives fresh ids no ETag."""
READS = 181
"""The exchanges before this one leave the database as it is."""


async def unlike(exchanges: Iterable[Exchange], url: str, *ignored: str) -> list[Played]:
    server = Server(url)
    return [each async for each in play(exchanges, server, frozenset(ignored)) if each.differences]


def told(played: list[Played]) -> str:
    return "\n".join(f"#{each.exchange.n} {each.exchange.request.target} {each.differences[0]}" for each in played)


@row("sources", "embedded endpoint", "–", "recorded pulls replayed: CouchDB's own replies")
@pytest.mark.parametrize("name", PULLS)
async def test_a_recorded_pull_replays_against_the_endpoint(name: str) -> None:
    async with serving() as wire:
        await seeded(wire)
        assert told(await unlike(recording(name), wire.running.url)) == ""


@row("sources", "embedded endpoint", "–", "recorded pushes replayed: CouchDB's own replies")
@pytest.mark.parametrize("name", ["pouchdb3-push", "pouchdb5-push", "pouchdb7-push", "pouchdb9-push"])
async def test_a_recorded_push_replays_against_the_endpoint(name: str) -> None:
    async with serving() as wire:
        await wire("PUT", "/pushed", None, ADMIN)
        await wire("PUT", "/target2", None, ADMIN)
        # text is not gzipped there, so digests are others; PouchDB 3 says revpos 0, which stays so in CouchDB
        assert told(await unlike(recording(name), wire.running.url, "digest", "revpos")) == ""


@row("sources", "embedded endpoint", "–", "a recorded live sync replayed: CouchDB's own replies")
async def test_a_recorded_live_sync_replays_against_the_endpoint() -> None:
    """Longpolls wait for the writes that they waited for."""
    async with serving() as wire:
        await seeded(wire)
        assert told(await unlike(recording("pouchdb9-live"), wire.running.url)) == ""


def wire_to(url: str) -> Wire:
    """A client of whatever listens there."""
    parts = urlsplit(url)
    return Wire(cast(Running, SimpleNamespace(host=parts.hostname, port=parts.port)), dict(ADMIN))


@asynccontextmanager
async def recorded_site() -> AsyncIterator[Site]:
    """The recorded database in the endpoint, and the proxy with an empty chain."""
    options: dict[str, Any] = {"design_docs": True, "trusted": True, "by_role": True, "suffix": None}
    account = {"auth": "proxy", "username": "tailor", "roles": ("_admin",), "proxy_secret": PROXY_SECRET}
    async with site(profile("raw", users=frozenset(["admin"]), **options), source=account) as made:
        await wire_to(made.source_url)("DELETE", "/clinic")
        await seeded(wire_to(made.source_url))
        yield made


@row("sources", "CouchDB", "3.5.0", "a recorded live sync of PouchDB 9: its replies, through a profile without filters")
async def test_a_recorded_live_sync_replays_through_the_proxy() -> None:
    async with recorded_site() as made:
        assert told(await unlike(recording("pouchdb9-live"), made.proxy_url, "cache-control")) == ""


async def test_recorded_reads_replay_through_the_proxy() -> None:
    async with recorded_site() as made:
        await wire_to(made.proxy_url)("PUT", "/clinic/_local/cp1", {"x": 1})
        found = await unlike(recording("couchdb35-surface")[:READS], made.proxy_url, "cache-control")
        assert told([each for each in found if each.exchange.n not in PROXY]) == ""
        for name in PULLS[:-1]:  # deletions pass every selector of the proxy's clients, which may have to know of them
            assert told(await unlike(recording(name), made.proxy_url, "cache-control")) == "", name


edits = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 3)),
        st.tuples(st.just("post"), st.just(""), st.integers(0, 3)),
        st.tuples(st.sampled_from(["get", "delete"]), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.sampled_from(["changes", "list"]), st.just(""), st.just(0)),
    ),
    max_size=12,
)


async def perform(wire: Wire, todo: list[tuple[str, str, int]]) -> None:
    """What a client would do with database `db`, revisions and sequences as it was told."""
    revs: dict[str, str] = {}
    since = "0"
    await wire("PUT", "/db", None, ADMIN)
    for what, name, value in todo:
        if what == "put":
            doc = {"v": value, **({"_rev": revs[name]} if name in revs else {})}
            revs[name] = (await wire("PUT", f"/db/{name}", doc, ADMIN)).json["rev"]
        elif what == "post":
            made = (await wire("POST", "/db", {"v": value}, ADMIN)).json
            await wire("GET", f"/db/{made['id']}?rev={made['rev']}", None, ADMIN)
        elif what == "delete" and name in revs:
            await wire("DELETE", f"/db/{name}?rev={revs.pop(name)}", None, ADMIN)
        elif what == "changes":
            since = str((await wire("GET", f"/db/_changes?since={since}", None, ADMIN)).json["last_seq"])
        else:
            await wire("GET", "/db/_all_docs" if what == "list" else f"/db/{name}?revs=true", None, ADMIN)


@settings(max_examples=15, deadline=None)
@given(edits, st.booleans())
def test_recorded_then_replayed_is_equal(todo: list[tuple[str, str, int]], hidden: bool) -> None:
    asyncio.run(_recorded_then_replayed(todo, hidden))


async def _recorded_then_replayed(todo: list[tuple[str, str, int]], hidden: bool) -> None:
    exchanges: list[Exchange] = []
    async with serving() as wire:
        async with Recorder(wire.running.url, exchanges.append).listening("127.0.0.1", 0) as port:
            await perform(wire_to(f"http://127.0.0.1:{port}"), todo)
        exchanges.sort(key=lambda each: each.n)
    exchanges = list(load(b"".join(map(dump, exchanges)).split(b"\n")))
    if hidden:
        exchanges = anonymise(exchanges, b"key")
    async with serving() as other:
        user = ("admin", "secret") if hidden else None
        played = [each async for each in play(exchanges, Server(other.running.url, user))]
    assert len(played) == len(exchanges)
    assert told([each for each in played if each.differences]) == ""


async def test_a_recording_has_chunks_and_their_times() -> None:
    exchanges: list[Exchange] = []
    async with serving() as wire:
        await wire("PUT", "/db")
        async with Recorder(wire.running.url, exchanges.append).listening("127.0.0.1", 0) as port:
            client = wire_to(f"http://127.0.0.1:{port}")
            await client("GET", "/db/_changes?feed=continuous&timeout=10")
            async with client.open() as connection:
                await connection.send("GET", "/db/_changes?feed=continuous&heartbeat=20")
                await connection.head()
                assert await connection.chunk() == b"\n"
    whole, cut = sorted(exchanges, key=lambda each: each.n)
    assert whole.reply is not None
    assert whole.reply.chunks
    assert sum(whole.reply.chunks) == len(whole.reply.body)
    assert len(whole.reply.chunks_ms or ()) == len(whole.reply.chunks)
    assert cut.reply is None
    assert cut.partial is not None
    assert cut.partial.body.strip() == b""


async def test_requests_that_were_under_way_together_are_so_again() -> None:
    rev = "1-967a00dff5e02add41819138abb3284d"
    row = {"seq": "1-x", "id": "a", "changes": [{"rev": rev}]}
    found = dataclasses.replace(said(200, {"results": [row], "last_seq": "1-x", "pending": 0}), after_ms=500)
    longpoll = Exchange(0, 0, asked("GET", "/db/_changes?feed=longpoll&since=now", None, *ADMIN.items()), found)
    headers = ("ETag", f'"{rev}"'), ("Location", "http://h/db/a")
    write = Exchange(
        1, 100, asked("PUT", "/db/a", {}, *ADMIN.items()), said(201, {"ok": True, "id": "a", "rev": rev}, *headers)
    )
    async with serving() as wire:
        await wire("PUT", "/db")
        ignored = frozenset(["cache-control"])
        played = [each async for each in play([longpoll, write], Server(wire.running.url), ignored)]
    assert told([each for each in played if each.differences]) == ""


async def test_the_server_s_side() -> None:
    exchanges = recording("couchdb35-surface")
    stage = Stage(exchanges)
    async with stage.serving("127.0.0.1", 0) as port:
        assert told(await unlike(exchanges, f"http://127.0.0.1:{port}")) == ""
        assert stage.unknown == []
        answer = await wire_to(f"http://127.0.0.1:{port}")("GET", "/other")
    assert (answer.status, answer.json["error"]) == (404, "not_found")
    assert stage.unknown == ["GET /other"]


async def test_chunks_are_those_of_the_recording() -> None:
    reply = Reply(200, [("Content-Type", "application/json")], b"[1,2]\n", 30, (3, 2, 1), (10, 20, 30))
    stage = Stage([exchange(asked("GET", "/db"), reply)], paced=True)
    async with stage.serving("127.0.0.1", 0) as port, wire_to(f"http://127.0.0.1:{port}").open() as connection:
        await connection.send("GET", "/db")
        await connection.head()
        assert [await connection.chunk() for _ in range(4)] == [b"[1,", b"2]", b"\n", b""]


async def test_a_server_that_does_not_answer() -> None:
    (played,) = await unlike([exchange(asked("GET", "/"), said(200, {}))], "http://127.0.0.1:9")
    assert played.differences[0].where == "reply"


def run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-W", "error", "-m", "proxy.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command that runs until it is told to stop, and the address in its first line."""
    command = [sys.executable, "-W", "error", "-m", "proxy.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield process, line.split()[2]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def test_the_commands(tmp_path: Path) -> None:
    """A recording is served, recorded again while it is played, made anonymous, and is the same all the while."""
    original = tmp_path / "pull.jsonl"
    original.write_bytes(b"".join(map(dump, recording("pouchdb9-pull"))))
    again, hidden = tmp_path / "again.jsonl", tmp_path / "hidden.jsonl"
    with started("replay", str(original), "--serve", "127.0.0.1:0") as (server, address):
        options = ("--listen", "127.0.0.1:0", "--to", address, "--out", str(again))
        with started("record", *options) as (recorder, between):
            status, out, _ = run("replay", str(original), "--to", between)
        assert (status, out) == (0, "11 exchanges played, 0 with differences\n")
    assert (recorder.returncode, server.returncode) == (0, 0)
    assert again.stat().st_mode & 0o077 == 0
    assert len(again.read_bytes().splitlines()) == 11
    assert run("record", "--from", str(again), "--out", str(hidden), "--anonymise", "--key", "k")[:2] == (
        *(0, "11 exchanges\n"),
    )
    assert b"patient" in again.read_bytes()
    assert b"patient" not in hidden.read_bytes()
    with started("replay", str(hidden), "--serve", "127.0.0.1:0") as (server, address):
        assert run("replay", str(hidden), "--to", address)[0] == 0
        status, out, _ = run("replay", str(original), "--to", address)
    assert status == 1
    assert '\n  status\n    recorded  200\n    live      "404 not_found: The recording has no such request."' in out
    assert out.endswith("with differences\n")
    assert server.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "FILE"], "replay: give --to, to play the client, or --serve"),
        (["replay", "FILE", "--to", "ftp://x"], "--to: "),
        (["replay", "FILE", "--serve", "x"], "--serve: "),
        (["replay", "FILE", "--to", "http://h", "--user", "ann"], "--user: write NAME:PASSWORD"),
        (["replay", "/none", "--to", "http://h"], "/none: cannot be read: No such file"),
        (["replay", "EMPTY", "--to", "http://h"], "holds no exchange"),
        (["replay", "WRONG", "--to", "http://h"], "line 1 is not an exchange"),
        (["record", "--out", "NEW"], "record: give --listen and --to to record, or --from"),
        (["record", "--out", "NEW", "--from", "FILE", "--to", "http://h"], "record: --from reads a file"),
        (["record", "--out", "NEW", "--from", "FILE", "--key", "k"], "--key goes with --anonymise"),
        (["record", "--out", "FILE", "--from", "FILE"], "is there already; remove it"),
        (["record", "--out", "NEW", "--listen", "x", "--to", "http://h"], "is not an address to listen on"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "FILE").write_bytes(dump(exchange(asked("GET", "/"), said(200, {}))))
    (tmp_path / "EMPTY").write_bytes(b"\n")
    (tmp_path / "WRONG").write_bytes(b"[]\n")
    named = [str(tmp_path / each) if each.isupper() else each for each in arguments]
    assert main(named) == 2
    assert message in capsys.readouterr().err
