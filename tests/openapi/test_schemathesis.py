"""Schemathesis makes requests from the description, good and bad ones, for both servers over real sockets.

Whatever it sends: no answer is a server error, each is of the form that the description has for it, an error is
CouchDB's, and none has a byte of what is hidden. SCHEMATHESIS_EXAMPLES sets the number of requests to each operation;
with it, they are other ones each time. COPY is no method of OpenAPI 3.1: it is tried in tests/badinput.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from proxy.openapi import describe
from tests.badinput.conftest import Errors, Server, servers
from tests.badinput.requests import DOCS, HIDDEN_ID, PHONE, SECRET
from tests.support.inprocess import site

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES")
USUAL = 3
IDS = ["mine", "kept", HIDDEN_ID, "new"]


_OF_ADMINISTRATORS = ("endpoint DELETE /{db}", "endpoint PUT /{db}")
"""Databases come and go at the endpoint, which the proxy allows nobody: the description says nothing of that."""


class Background:
    """Endpoint and proxy in a thread of their own: Schemathesis blocks."""

    def __init__(self) -> None:
        self.errors = Errors()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with site(PHONE, docs=DOCS) as served:
            self.servers = {each.name: each for each in servers(served)}
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Background:
        logging.getLogger().addHandler(self.errors)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        logging.getLogger().removeHandler(self.errors)


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    with Background() as running:
        yield running


def _description(db: str) -> dict[str, Any]:
    """The description, with the names that there are among those to be tried."""
    described = describe()
    for item in described["paths"].values():
        for parameter in item["parameters"]:
            if parameter["name"] == "db":
                parameter["schema"] = {"enum": [db]}
            else:
                known = {"docid": IDS, "attname": ["note.txt", "scan.png"]}.get(parameter["name"], ["app"])
                parameter["schema"] = {"anyOf": [{"enum": known}, {"type": "string", "minLength": 1}]}
    return described


def _operations() -> Iterator[Any]:
    for name, db in (("proxy", "clinic-phone"), ("endpoint", "clinic")):
        schema = schemathesis.openapi.from_dict(_description(db))
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            label = f"{name} {operation.label}"
            if label not in _OF_ADMINISTRATORS:
                yield pytest.param(name, operation, id=label)


def _prepare(case: schemathesis.Case[Any]) -> None:
    """A feed that waits does not wait long."""
    if case.path.endswith("/_changes"):
        query = {name: value for name, value in (case.query or {}).items() if name.lower() != "heartbeat"}
        case.query = {**query, "timeout": "1"}


def _checks(case: schemathesis.Case[Any]) -> list[Any]:
    checks = [not_a_server_error, status_code_conformance, content_type_conformance]
    feed = str((case.query or {}).get("feed", ""))
    return checks if feed in ("continuous", "live") else [*checks, response_schema_conformance]


@pytest.mark.parametrize(("name", "operation"), list(_operations()))
@settings(
    max_examples=int(EXAMPLES or USUAL),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(data=st.data())
def test_answers_are_as_described(background: Background, name: str, operation: Any, data: st.DataObject) -> None:
    server: Server = background.servers[name]
    mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case = data.draw(operation.as_strategy(generation_mode=mode))
    _prepare(case)
    response = case.call(base_url=server.url, headers={"Authorization": server.credentials})
    assert background.errors.take() == []
    case.validate_response(response, checks=_checks(case))
    if response.status_code >= 400 and case.method != "HEAD" and case.path != "/_up":
        assert response.headers["content-type"] == ["application/json"]
        assert response.json().keys() == {"error", "reason"}
    if name == "proxy":
        shown = response.content + repr(response.headers).encode()
        asked = repr((case.path_parameters, case.query, case.body, case.headers)).encode()
        for hidden in (SECRET.encode(), HIDDEN_ID.encode()):
            assert hidden not in shown or hidden in asked
