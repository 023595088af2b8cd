"""A small blocking HTTP client for tests: one connection for each request, nothing followed, nothing decoded."""

from __future__ import annotations

import http.client
import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

TIMEOUT = 60
"""Seconds after which a silent server fails the test instead of hanging it."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def basic(user: str, password: str) -> dict[str, str]:
    """The header of Basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def segment(name: str) -> str:
    """A document id or database name as one segment of a path; `_design/` and `_local/` keep their slash."""
    kind, slash, rest = name.partition("/")
    if slash and kind in ("_design", "_local"):
        return f"{kind}/{quote(rest, safe='')}"
    return quote(name, safe="")


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """What `condition` returns once it is true of something; fails the test after a long while."""
    end = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.03)
    return value


@dataclass(frozen=True)
class Http:
    """A server, as seen with one set of headers. `url` has no trailing slash."""

    url: str
    headers: Mapping[str, str]

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        json_body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """`path` goes out as it is, with its query."""
        sent = {**self.headers, **(headers or {})}
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("Content-Type", "application/json")
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT)
        try:
            connection.request(method, parts.path + path, body, sent)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def json(self, method: str, path: str, json_body: Any = None) -> Any:
        """The JSON of a reply that must be a success."""
        reply = self.request(method, path, json_body=json_body)
        assert reply.status < 300, f"{method} {path}: {reply.status} {reply.body.decode(errors='replace')}"
        return reply.json
