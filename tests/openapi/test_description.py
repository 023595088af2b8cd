"""The description is true: it has every endpoint and every parameter that is read, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from proxy import app, exchange
from proxy.cli import main
from proxy.closing import Closing
from proxy.config.model import Server
from proxy.core.endpoints import ALLOWED, Kind, route
from proxy.core.query import Query
from proxy.errors import MethodNotAllowed
from proxy.intake import Intake
from proxy.openapi import describe
from proxy.openapi.document import methods, operation
from proxy.openapi.operations import OPERATIONS, PATHS
from proxy.openapi.parameters import HEADER, PATH, QUERY
from proxy.openapi.schemas import SCHEMAS
from proxy.reading import changes, changes_request, listing
from tests.badinput.requests import DOCS, PHONE, REQUESTS, Request
from tests.support.inprocess import Site, basic, site
from tests.support.sockets import answer, connected

ANYWHERE = {"Authorization", "Cookie", "Host", "Content-Type", "Expect", "X-Couch-Request-ID", "X-HTTP-Method-Override"}
"""Headers that are read wherever they stand."""


def test_every_kind_and_method_is_described_and_nothing_else() -> None:
    assert PATHS.keys() == OPERATIONS.keys() == ALLOWED.keys() == set(Kind) - {Kind.TRUSTED}
    for kind in ALLOWED:
        assert OPERATIONS[kind].keys() == set(methods(kind)) - {"HEAD"}


@pytest.mark.parametrize("kind", ALLOWED, ids=lambda kind: kind.name)
def test_a_path_leads_to_its_kind_with_the_methods_described(kind: Kind) -> None:
    target = re.sub(r"{\w+}", "x", PATHS[kind])
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "COPY"):
        if method in methods(kind):
            assert route(method, target).kind is kind
        elif kind not in (Kind.SECURITY, Kind.REVS_LIMIT) or method != "PUT":
            with pytest.raises(MethodNotAllowed):
                route(method, target)


def test_all_that_is_named_is_there_and_used() -> None:
    described = json.dumps(describe())
    for name in SCHEMAS:
        assert f'"#/components/schemas/{name}"' in described, name
    assert set(re.findall(r'"#/components/schemas/(\w+)"', described)) == SCHEMAS.keys()
    operations = [each for kind in OPERATIONS.values() for each in kind.values()]
    assert {name for each in operations for name in each.query} == QUERY.keys()
    assert {name for each in operations for name in each.headers} == HEADER.keys() - {"X-HTTP-Method-Override"}
    assert set(re.findall(r"{(\w+)}", " ".join(PATHS.values()))) == PATH.keys()


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi", "--url", "https://sync.example.org"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(describe("https://sync.example.org")))
    assert printed["openapi"] == "3.1.0"


# ---- what handlers read


class ReadHeaders(Mapping[str, str]):
    """Headers that note which of them are looked at."""

    def __init__(self, headers: Mapping[str, str], read: set[str]) -> None:
        self._headers = headers
        self._read = read

    def __getitem__(self, name: str) -> str:
        self._read.add(name.lower())
        return self._headers[name]

    def __contains__(self, name: object) -> bool:
        self._read.add(str(name).lower())
        return name in self._headers

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class ReadRequest:
    """A request that notes which headers are looked at."""

    def __init__(self, request: web.BaseRequest, read: set[str]) -> None:
        self._request = request
        self.headers = ReadHeaders(request.headers, read)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


class Reading:
    """Notes the parameters and headers that the proxy reads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.query: set[str] = set()
        self.headers: set[str] = set()
        noted, listed = self.query, listing._from_query

        class ReadQuery(Query):
            """A query that notes which parameters are looked at."""

            def __contains__(self, name: str) -> bool:
                noted.add(name)
                return super().__contains__(name)

            def last(self, name: str, default: str | None = None) -> str | None:
                noted.add(name)
                return super().last(name, default)

            def last_of(self, *names: str) -> str | None:
                noted.update(names)
                return super().last_of(*names)

            def first(self, name: str, default: str | None = None) -> str | None:
                noted.add(name)
                return super().first(name, default)

            def all(self, name: str) -> list[str]:
                noted.add(name)
                return super().all(name)

            def sticky(self, name: str) -> bool:
                noted.add(name)
                return super().sticky(name)

            def flag(self, name: str, default: bool = False) -> bool:
                noted.add(name)
                return super().flag(name, default)

            def json(self, *names: str) -> Any:
                noted.update(names)
                return super().json(*names)

            def whole(self, name: str) -> int | None:
                noted.add(name)
                return super().whole(name)

        def list_options(query: Query) -> dict[str, Any]:
            noted.update(listing._KEYS, listing._WHOLE, listing._FLAGS)
            return listed(query)

        patch.setattr(exchange, "Query", ReadQuery)
        patch.setattr(changes, "Query", ReadQuery)
        patch.setattr(listing, "_from_query", list_options)
        patch.setattr(app, "Exchange", self._exchange)

    def _exchange(
        self, request: web.BaseRequest, server: Server, closing: Closing, intake: Intake
    ) -> exchange.Exchange:
        return exchange.Exchange(ReadRequest(request, self.headers), server, closing, intake)  # type: ignore[arg-type]


@pytest.fixture
async def served() -> AsyncIterator[Site]:
    async with site(replace(PHONE, trusted=True), docs=DOCS) as made:
        yield made


_VALUES = {
    "rev": "1-a",
    "open_revs": "all",
    "atts_since": '["1-a"]',
    "doc_ids": "[]",
    "keys": "[]",
    "since": "now",
    "feed": "eventsource",
    "filter": "_doc_ids",
    "style": "all_docs",
}


def _variants(kind: Kind, request: Request) -> Iterator[Request]:
    """The request bare, with each described parameter by itself, and so that everything is looked at."""
    yield request
    bare = request.target.partition("?")[0]
    yield replace(request, target=bare)
    for name in operation(kind, request.method).query:
        value = _VALUES.get(
            name, "1" if name in ("limit", "skip", "count", "timeout", "heartbeat", "seq_interval") else "true"
        )
        yield replace(request, target=f"{bare}?{name}={quote(value)}&timeout=1")
    if kind is Kind.CHANGES:
        yield replace(request, target=f"{bare}?feed=eventsource&timeout=1")


@pytest.mark.parametrize(("kind", "method"), REQUESTS, ids=lambda each: getattr(each, "name", each))
async def test_what_is_read_is_described_and_what_is_described_is_read(
    served: Site, monkeypatch: pytest.MonkeyPatch, kind: Kind, method: str
) -> None:
    reading = Reading(monkeypatch)
    alike = Kind.DESIGN_ATTACHMENT if kind is Kind.ATTACHMENT else kind  # its documents are not judged first
    for good in [*REQUESTS[kind, method], *REQUESTS[alike, method]]:
        for request in _variants(kind, good):
            async with connected(served.proxy_url) as (reader, writer):
                writer.write(request.at("clinic-phone").bytes(Authorization=basic(("ann", "ann"))["Authorization"]))
                assert (await answer(reader, method == "HEAD")).status < 500
    said = operation(kind, method)
    assert reading.query == set(said.query)
    unsaid = {name.lower() for name in ANYWHERE}
    assert reading.headers - unsaid == {name.lower() for name in said.headers} - unsaid


def test_the_parameters_of_changes_are_those_that_are_not_arguments_of_a_filter() -> None:
    assert set(OPERATIONS[Kind.CHANGES]["GET"].query) == changes_request._KNOWN
