"""Recorded clients that write, through the proxy with an empty chain to the embedded endpoint: they get what CouchDB
gave them, revisions included.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compatibility.table import row
from tests.recordings.conftest import PROFILES
from tests.recordings.exchanges import Exchange, load, names
from tests.recordings.model import READS, read_model
from tests.recordings.replay import REVISIONS, Replay, comparable
from tests.support import sources
from tests.support.http import Http, basic
from tests.support.proxy import Proxy
from tests.support.sources import Source

DATABASES = ["clinic", "pushed", "target2"]

DIFFERS = {
    192: "batch=ok is answered like any write, with the revision",
    215: "purging is not offered through the proxy",
    197: "an endpoint that is not in its table is forbidden",
    199: "the id that the server makes up",
    216: "an endpoint that is not in its table is forbidden",
}
"""The writing exchanges of the surface in which the proxy does on purpose what CouchDB does not."""

_REV = re.compile(r"\b(\d+)-[0-9a-f]{32}\b")
_UNLIKE = ("digest", "revpos")
_INFO = ("db_name", "doc_count", "doc_del_count")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    source = sources.embedded(tmp_path_factory.mktemp("writes"))
    yield source
    assert source.process is not None
    source.process.kill()


@pytest.fixture(scope="module")
def writing_proxy(endpoint: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("writing"), endpoint.url, DATABASES, {"raw": PROFILES["raw"]})
    proxy.start()
    yield proxy
    proxy.process.kill()


def shown(exchange: Exchange, status: int, headers: Any, body: bytes) -> Any:
    """What of a reply is the same on all servers: not their identities, sizes, fresh ids, digests and revpos."""
    found = comparable(exchange.target, status, headers, body)
    content = found.get("body")
    if isinstance(content, dict):
        for name in ("uuid", "vendor", "git_sha", "features", "instance_start_time"):
            content.pop(name, None)
        if "doc_count" in content:
            content = {name: content[name] for name in _INFO}
        if exchange.method == "POST" and exchange.path == "/clinic":
            content.pop("id", None)
    found["body"] = _without_digests(content)
    if exchange.path.startswith("/clinic/mp1"):  # its revisions depend on how zlib packs the text
        found = json.loads(_REV.sub(r"\1-", json.dumps(found)))
    return found


def _without_digests(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_digests(item) for name, item in value.items() if name not in _UNLIKE}
    return [_without_digests(item) for item in value] if isinstance(value, list) else value


@row("sources", "embedded endpoint", "–", "recorded pushes through the proxy: CouchDB's own replies")
@pytest.mark.parametrize("recording", names("*-push"))
def test_a_recorded_push(endpoint: Source, writing_proxy: Proxy, recording: str) -> None:
    for name in ("pushed", "target2"):
        endpoint.create_database(name)
    replay = Replay(Http(writing_proxy.url, basic("admin", "secret")))
    for exchange in load(recording):
        if exchange.path == "/_session" or (exchange.method, exchange.path) == ("PUT", "/target2/"):
            continue
        reply = replay.send(exchange)
        got = shown(exchange, reply.status, reply.headers.items(), reply.body)
        assert got == shown(exchange, exchange.status, exchange.reply_headers, exchange.reply_body), exchange.target


def seed(endpoint: Source) -> None:
    """Put the recorded database into the endpoint: all leaves, with their ancestry and attachments."""
    model = read_model("couchdb35-surface")
    docs = []
    for doc_id in model.paths:
        for rev in model.leaves(doc_id):
            doc = dict(model.document(doc_id, rev, {"revs"}) or {})
            if "_attachments" in doc:
                doc["_attachments"] = {
                    name: {
                        "content_type": about["content_type"],
                        "revpos": about["revpos"],
                        "data": b64encode(model.files[doc_id, name]).decode(),
                    }
                    for name, about in doc["_attachments"].items()
                }
            docs.append(doc)
    database = endpoint.create_database("clinic")
    assert database.json("POST", "_bulk_docs", {"docs": docs, "new_edits": False}) == []


@row("sources", "embedded endpoint", "–", "recorded writes of all kinds: CouchDB's replies, or others for a reason")
def test_the_recorded_writes(endpoint: Source, writing_proxy: Proxy) -> None:
    seed(endpoint)
    replay = Replay(Http(writing_proxy.url, basic("admin", "secret")), names=REVISIONS)
    wrong = []
    for exchange in load("couchdb35-surface")[READS:]:
        reply = replay.send(exchange)
        replay.learn(exchange, reply)
        got = shown(exchange, reply.status, reply.headers.items(), reply.body)
        expected = shown(exchange, exchange.status, exchange.reply_headers, exchange.reply_body)
        if (got != expected) != (exchange.n in DIFFERS):
            wrong.append((exchange.n, exchange.method, exchange.target, got, expected))
    assert wrong == []
