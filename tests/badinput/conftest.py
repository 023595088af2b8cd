"""Endpoint and proxy that last as long as a module's tests, beside tests that are not coroutines themselves.

BAD_INPUT_EXAMPLES sets the number of examples for each property; with it, they are other ones each time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.badinput.requests import DOCS, HIDDEN_ID, PHONE, SECRET, Request
from tests.support.inprocess import ADMIN, Site, basic, site
from tests.support.sockets import Got, answer, connected

T = TypeVar("T")

EXAMPLES = os.environ.get("BAD_INPUT_EXAMPLES")
MAX_BODY = 2**18
_OWN = re.compile("_local/tailor-(cuts|rules)-")
"""Local documents of the proxy's own."""


def examples(usual: int) -> settings:
    """Settings for a property."""
    return settings(
        max_examples=int(EXAMPLES or usual),
        derandomize=EXAMPLES is None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@dataclass(frozen=True)
class Server:
    """One of the two servers that are tried: what its address is, and as whom it is asked for which database."""

    name: str
    url: str
    db: str
    credentials: str

    def bytes(self, request: Request, **headers: str) -> bytes:
        """A request to it as it goes over the wire."""
        return request.at(self.db).bytes(Authorization=self.credentials, **headers)


def servers(served: Site) -> tuple[Server, Server]:
    """The proxy as ann's phone sees it, and the endpoint as its administrator does."""
    return (
        Server("proxy", served.proxy_url, "clinic-phone", basic(("ann", "ann"))["Authorization"]),
        Server("endpoint", served.source_url, "clinic", basic(ADMIN)["Authorization"]),
    )


class Errors(logging.Handler):
    """Collects what is logged as an error: nothing that a client sends may be one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def take(self) -> list[str]:
        """What there is, in words; it is forgotten."""
        taken = [f"{each.name}: {each.getMessage()} {each.exc_info and each.exc_info[1]!r}" for each in self.records]
        self.records.clear()
        return taken


class Lab:
    """Both servers, and the loop that they run in."""

    def __init__(self, runner: asyncio.Runner, served: Site, errors: Errors) -> None:
        self._runner = runner
        self.site = served
        self.errors = errors
        self.proxy, self.endpoint = servers(served)

    @property
    def servers(self) -> list[Server]:
        return [self.proxy, self.endpoint]

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(story)

    def ask(self, server: Server, request: Request, **headers: str) -> Got:
        """The answer to a request, which is judged: see `judge`."""
        sent = server.bytes(request, **headers)
        got = self.send(server, sent, bodiless=request.method == "HEAD")
        self.judge(server, sent, got)
        return got

    def send(self, server: Server, sent: bytes, bodiless: bool = False) -> Got:
        return self.run(_exchange(server.url, sent, bodiless))

    def judge(self, server: Server, sent: bytes, got: Got) -> None:
        """Any answer to bad input: CouchDB's error or a cut connection; nothing that is hidden; no error of ours."""
        assert self.errors.take() == [], sent[:2000]
        assert got.status < 500 or (server.name == "endpoint" and got.status == 501), (got, sent[:2000])
        if got.status >= 400 and got.body:
            assert got.header("Content-Type") == "application/json", (got, sent[:2000])
            assert got.json.keys() == {"error", "reason"} or sent.startswith(b"GET /_up"), (got, sent[:2000])
        if server.name == "proxy":
            shown = got.head + got.body
            for hidden in (SECRET.encode(), HIDDEN_ID.encode(), b"NDE3LTIzLTkwNTA"):
                assert hidden not in shown or hidden in sent, (got, sent[:2000])

    def state(self) -> Any:
        """All that clients have stored."""
        return self.run(_state(self.site))


async def _exchange(url: str, sent: bytes, bodiless: bool) -> Got:
    async with connected(url) as (reader, writer):
        writer.write(sent)
        return await answer(reader, bodiless)


async def _state(served: Site) -> Any:
    docs = await served.at_source("GET", "/clinic/_changes?style=all_docs&include_docs=true&attachments=true")
    local = await served.at_source("GET", "/clinic/_local_docs?include_docs=true")
    return docs.json["results"], [row for row in local.json["rows"] if _OWN.match(row["id"]) is None]


@contextmanager
def _lab(**options: Any) -> Iterator[Lab]:
    errors = Errors()
    logging.getLogger().addHandler(errors)
    with asyncio.Runner() as runner:
        context = site(PHONE, docs=DOCS, max_body=MAX_BODY, **options)
        yield Lab(runner, runner.run(context.__aenter__()), errors)
        runner.run(context.__aexit__(None, None, None))
    logging.getLogger().removeHandler(errors)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with _lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Its proxy reads feeds out of an index, whose places are in the tokens."""
    with _lab(data=tmp_path_factory.mktemp("index")) as lab:
        yield lab
