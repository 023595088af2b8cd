"""Recorded clients in front of a shaping profile: whatever they ask, in whatever form the reply comes, nothing hidden
is in it.
"""

from __future__ import annotations

import gzip
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.compatibility.table import row
from tests.recordings.exchanges import Exchange, load, names
from tests.recordings.model import READS, Model
from tests.recordings.replay import Replay
from tests.recordings.source import RecordedSource
from tests.support.clinic import PASSWORD
from tests.support.http import Http, basic
from tests.support.proxy import Proxy

Doc = dict[str, Any]

SHORT = 5
"""Strings of fewer characters are found anywhere by chance."""


def visible(doc: Doc) -> bool:
    """Whether ann's phone gets the document at all."""
    return doc.get("facility") == "f1" and not doc["_id"].startswith("_design/")


def strings(value: Any, *, shaped: bool) -> Iterator[str]:
    """All strings in a document, names of fields included; `shaped`: as ann's phone sees it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, shaped=shaped)
    elif isinstance(value, dict) and not (shaped and value.get("private") is True):
        for name, item in value.items():
            if shaped and (name in ("ssn", "weight") or (isinstance(item, dict) and item.get("length", 0) > 1000)):
                continue
            yield name
            yield from strings(item, shaped=shaped)


def hidden_strings(model: Model) -> set[str]:
    """Everything that some document has and none shows to ann's phone: values, ids, revisions."""
    docs = model.bodies.values()
    everything = {text for doc in docs for text in strings(doc, shaped=False)}
    shown = {text for doc in docs if visible(doc) for text in strings(doc, shaped=True)}
    return {text for text in everything - shown if len(text) >= SHORT}


def plain(body: bytes) -> bytes:
    """A reply with everything that may be gzipped in it unpacked beside it."""
    unpacked = [body]
    for match in re.finditer(rb"\x1f\x8b\x08", body):
        try:
            unpacked.append(gzip.decompress(body[match.start() :]))
        except (OSError, EOFError):
            continue
    return b"\n".join(unpacked)


def sent(exchange: Exchange) -> str:
    return unquote(exchange.target) + exchange.body.decode(errors="replace")


@row("sources", "CouchDB", "3.5.0", "recorded requests through a profile that hides: nothing hidden in any reply")
@pytest.mark.parametrize("recording", ["couchdb35-surface", *names("*-pull"), *names("*-filtered")])
def test_nothing_hidden_is_in_any_reply(recorded_source: RecordedSource, recorded_proxy: Proxy, recording: str) -> None:
    recorded_source.use(recording)
    model = recorded_source.model
    hidden = hidden_strings(model)
    picture = model.files["photo:1", "img.bin"]
    pieces = [picture[64:128], *(b64encode(picture[start : start + 60]) for start in (60, 61, 62))]
    assert {"003-03-0111", "private 4", "patient:003", model.leaves("patient:003")[0]} <= hidden

    whole = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, hidden))})(?![\w-])")
    replay = Replay(Http(recorded_proxy.url, basic("ann", PASSWORD)))
    answered = 0
    for exchange in phone_side(load(recording)):
        reply = replay.send(exchange, exchange.target.replace("/clinic", "/clinic-phone", 1))
        replay.learn(exchange, reply)
        answered += reply.status == 200
        body = plain(reply.body) + str(reply.headers).encode()
        told = [text for text in set(whole.findall(body.decode(errors="replace"))) if text not in sent(exchange)]
        assert told == [], exchange.target
        assert not any(piece in body for piece in pieces), exchange.target
    assert answered > 5


def phone_side(exchanges: Iterable[Exchange]) -> Iterator[Exchange]:
    """The reading requests to the database; logging in is the test's own business."""
    for exchange in list(exchanges)[:READS]:
        if exchange.path.startswith("/clinic"):
            yield exchange
