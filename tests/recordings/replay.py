"""The client's side of a recording, sent again to something else, and what of the replies is comparable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from tests.recordings.exchanges import Exchange, Headers, find
from tests.support.http import Http, Reply

_SEQ = re.compile(r"\d+-[A-Za-z0-9_-]{16,}")
SEQUENCES = frozenset(["seq", "last_seq", "update_seq", "purge_seq", "source_last_seq"])
REVISIONS = frozenset(["rev", "_rev"])
_OWN_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "authorization", "cookie", "user-agent"}


@dataclass
class Replay:
    """Sends recorded requests, those that had credentials with somebody's own. Sequences are translated by their role:
    a recorded one in a request becomes what the server under test gave where the recording had that one.
    """

    http: Http
    known: dict[str, str] = field(default_factory=dict)
    names: frozenset[str] = SEQUENCES
    """The members whose values are learned."""

    def send(self, exchange: Exchange, target: str | None = None) -> Reply:
        """`target`: another path and query than the recorded one."""
        headers = {name: value for name, value in exchange.headers if name.lower() not in _OWN_HEADERS}
        headers.setdefault("Accept", "*/*")
        body = exchange.body
        is_json = (exchange.header("Content-Type") or "").startswith("application/json")
        if is_json and exchange.header("Content-Encoding") is None:
            body = self._translate(body.decode()).encode()
        http = self.http if _has_credentials(exchange) else Http(self.http.url, {})
        return http.request(
            exchange.method, self._translate(target or exchange.target), body=body or None, headers=headers
        )

    def learn(self, exchange: Exchange, reply: Reply) -> None:
        """Note which of the server's sequences stands where which recorded one stood."""
        for recorded, own in _aligned(_lenient(exchange.reply_body), _lenient(reply.body), self.names):
            self.known.setdefault(recorded, own)

    def _translate(self, text: str) -> str:
        return _SEQ.sub(lambda match: self.known.get(match[0], match[0]), text)


def _has_credentials(exchange: Exchange) -> bool:
    cookie = exchange.header("Cookie") or ""
    return exchange.header("Authorization") is not None or "AuthSession=" in cookie


def _lenient(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _aligned(recorded: Any, own: Any, names: frozenset[str], name: str = "") -> Iterator[tuple[str, str]]:
    """Pairs of strings that have the same place in two JSON values, under one of `names`."""
    if isinstance(recorded, dict) and isinstance(own, dict):
        for key in recorded.keys() & own.keys():
            yield from _aligned(recorded[key], own[key], names, key)
    elif isinstance(recorded, list) and isinstance(own, list):
        for left, right in zip(recorded, own, strict=False):
            yield from _aligned(left, right, names)
    elif name in names and isinstance(recorded, str) and isinstance(own, str):
        yield recorded, own


def comparable(target: str, status: int, headers: Headers, body: bytes) -> dict[str, Any]:
    """A reply to `target` without what may differ from one server to the next: sequences keep their number alone,
    boundaries and request ids go; JSON, JSON lines, event streams and multipart are taken apart. Feeds count as sets
    of rows, since CouchDB's clusters give them in any order; pages of feeds as numbers of rows.
    """
    kind = find(headers, "Content-Type") or ""
    shown: dict[str, Any] = {"status": status, "type": kind.partition(";")[0]}
    for name in ("ETag", "Content-Encoding", "Content-Range"):
        if (value := find(headers, name)) is not None:
            shown[name] = value
    if kind.startswith("multipart/"):
        shown["parts"] = _parts(kind, body)
    else:
        shown["body"] = _content(kind, body)
    if "/_local/" in target:
        shown.pop("ETag", None)  # a hash of the body, sequences and all
    if "open_revs=" in target and isinstance(shown.get("body"), list):
        shown["body"].sort(key=str)
    if "/_changes" in target and status == 200:
        shown.pop("ETag", None)
        shown["body"] = _feed(shown["body"], page="limit=" in target, filtered="filter=" in target)
    return shown


def _feed(body: Any, *, page: bool, filtered: bool) -> Any:
    if isinstance(body, dict) and "results" not in body:
        body = [body]
    lines = body if isinstance(body, list) else body["results"]
    rows = [{**row, "seq": None} for row in lines if isinstance(row, dict) and "id" in row]
    rest = [row for row in lines if not isinstance(row, dict) or "id" not in row]
    end = rest if isinstance(body, list) else {name: value for name, value in body.items() if name != "results"}
    if filtered and isinstance(end, dict):
        end.pop("pending", None)  # CouchDB counts what the filter has not looked at yet
    if page and isinstance(end, dict):
        end.pop("last_seq", None)
    return len(rows) if page else sorted(rows, key=lambda row: str(row["id"])), end


def _content(kind: str, body: bytes) -> Any:
    if kind.startswith("text/event-stream"):
        return [_normal(json.loads(line[6:])) for line in body.decode().splitlines() if line.startswith("data: {")]
    if not kind.startswith("application/json"):
        return body
    try:
        return _normal(json.loads(body))
    except ValueError:
        return [_normal(json.loads(line)) for line in body.splitlines() if line]


def _normal(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _normal(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if name in SEQUENCES and isinstance(value, str):
        return int(value.partition("-")[0])
    return value


def _bytes(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def _parts(kind: str, body: bytes) -> list[Any]:
    """The parts of a multipart body in order; `multipart/related` parts taken apart themselves."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    parts: list[Any] = []
    for part in message.iter_parts():
        inner = str(part.get("Content-Type", ""))
        described = {
            name: str(part[name])
            for name in ("X-Doc-Id", "X-Rev-Id", "Content-Encoding", "Content-Disposition", "Content-Range")
            if part[name]
        }
        if part.is_multipart():
            content: Any = [_content(str(p.get("Content-Type", "")), _bytes(p)) for p in part.iter_parts()]
        else:
            content = _content(inner, _bytes(part))
        parts.append([inner.partition(";")[0], described, content])
    return parts
