"""Recorded clients, sent again through the proxy with an empty chain: they get what CouchDB gave them."""

from __future__ import annotations

import pytest

from tests.compatibility.table import row
from tests.recordings.exchanges import Exchange, load, names
from tests.recordings.model import READS
from tests.recordings.replay import Replay, comparable
from tests.recordings.source import RecordedSource
from tests.support.http import Http, basic
from tests.support.proxy import Proxy

DIFFERS = {
    1: "the proxy has no seeds",
    7: "lists the virtual databases that the client may use",
    9: "knows its databases: every other name is not found",
    13: "does not pass on who may use the source's database",
    15: "asks for credentials in its own words",
    76: "answers without the redirect",
    176: "shows a wrong selector as JSON",
    134: "gives no offset for keys, as CouchDB does in all but this form",
    77: "answers without the redirect",
}
"""The exchanges of the surface in which the proxy does on purpose what CouchDB does not."""


def same_but_for_identity(exchange: Exchange, shown: dict[str, object]) -> dict[str, object]:
    """What the recording and the proxy's answer have to share. The welcome names the proxy and has a uuid of the
    view; fresh uuids are fresh; deletions pass every selector of the client, which may have to know of them.
    """
    body = shown.get("body")
    if exchange.path == "/" and isinstance(body, dict):
        return {**shown, "body": {**body, "uuid": "", "vendor": ""}}
    if exchange.path == "/_uuids" and isinstance(body, dict):
        return {"status": shown["status"], "body": [len(uuid) for uuid in body["uuids"]]}
    if "filter=_selector" in exchange.target and isinstance(body, tuple):
        rows, end = body
        if isinstance(rows, list):
            body = [row for row in rows if not row.get("deleted")], end
        return {**shown, "body": body}
    if exchange.path.endswith("/_find") and isinstance(body, dict):
        body = {**body, "bookmark": "bookmark" in body, "execution_stats": "execution_stats" in body}
        return {**shown, "body": body}
    return shown


@row(
    "sources",
    "CouchDB",
    "3.5.0",
    "recorded pulls of PouchDB and its own replicator: its replies, through a profile without filters",
)
@pytest.mark.parametrize("recording", [*names("*-pull"), *names("*-filtered")])
def test_a_recorded_pull(recorded_source: RecordedSource, recorded_proxy: Proxy, recording: str) -> None:
    recorded_source.use(recording)
    replay = Replay(Http(recorded_proxy.url, basic("admin", "secret")))
    for exchange in load(recording):
        reply = replay.send(exchange)
        replay.learn(exchange, reply)
        got = comparable(exchange.target, reply.status, reply.headers.items(), reply.body)
        expected = comparable(exchange.target, exchange.status, exchange.reply_headers, exchange.reply_body)
        assert same_but_for_identity(exchange, got) == same_but_for_identity(exchange, expected), exchange.target
    assert recorded_source.unknown == []


@pytest.fixture(scope="module")
def surface(recorded_source: RecordedSource, recorded_proxy: Proxy) -> Replay:
    """A client that knows the proxy's sequences."""
    recorded_source.use("couchdb35-surface")
    replay = Replay(Http(recorded_proxy.url, basic("admin", "secret")))
    for exchange in load("couchdb35-surface"):
        if exchange.target == "/clinic/_changes":
            replay.learn(exchange, replay.send(exchange))
    return replay


@row(
    "sources",
    "CouchDB",
    "3.5.0",
    "recorded reading requests of all kinds: its replies, or others for a reason that is named",
)
@pytest.mark.parametrize("exchange", load("couchdb35-surface")[:READS], ids=lambda e: f"{e.n}-{e.method}-{e.path}")
def test_a_recorded_read(surface: Replay, exchange: Exchange) -> None:
    reply = surface.send(exchange)
    got = comparable(exchange.target, reply.status, reply.headers.items(), reply.body)
    expected = comparable(exchange.target, exchange.status, exchange.reply_headers, exchange.reply_body)
    if exchange.n in DIFFERS:
        assert got != expected, "no longer differs"
        assert reply.status < 500
    else:
        assert same_but_for_identity(exchange, got) == same_but_for_identity(exchange, expected)
