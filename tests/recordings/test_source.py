"""The model of the recorded database says what the recordings say: otherwise the other tests would prove nothing."""

from __future__ import annotations

import pytest

from tests.recordings.exchanges import Exchange, load, names
from tests.recordings.model import READS
from tests.recordings.replay import Replay, comparable
from tests.recordings.source import RecordedSource
from tests.support.http import Http, basic

MODELLED = ("_bulk_get", "_all_docs", "_changes", "_revs_diff")


def modelled(recording: str) -> list[Exchange]:
    """What the model can answer: plain documents, lists, feeds."""
    return [
        exchange
        for exchange in load(recording)[: READS if recording == "couchdb35-surface" else None]
        if exchange.status == 200
        and exchange.method in ("GET", "POST")
        and any(f"/clinic/{name}" in exchange.target for name in MODELLED)
        and not any(word in exchange.target for word in UNMODELLED)
        and (exchange.header("Accept") or "*/*") in ("application/json", "*/*")
        and exchange.reply_body
    ]


UNMODELLED = (
    "queries",
    "attachments=true",
    "feed=",
    "seq_interval",
    "filter=_design",
    "filter=_selector",
    "include_docs=true&limit",
    "include_docs=true&conflicts=true&style",
    "update_seq",
    "inclusive_end",
    "filter=nosuch",
    "limit=0",
)


@pytest.mark.parametrize("recording", ["couchdb35-surface", *names("*-pull")])
def test_the_model_answers_as_the_recording_does(recorded: tuple[RecordedSource, str], recording: str) -> None:
    source, url = recorded
    source.use(recording)
    source.forget_recorded()
    replay = Replay(Http(url, basic("admin", "secret")))
    exchanges = modelled(recording)
    assert exchanges
    for exchange in exchanges:
        reply = replay.send(exchange)
        got = comparable(exchange.target, reply.status, reply.headers.items(), reply.body)
        expected = comparable(exchange.target, exchange.status, exchange.reply_headers, exchange.reply_body)
        assert got == expected, exchange.target
