"""The good requests: complete, and good."""

from __future__ import annotations

import pytest

from proxy.app import HANDLERS
from proxy.core.endpoints import ALLOWED, Kind, route
from tests.badinput.conftest import Lab
from tests.badinput.requests import ALL, REQUESTS, SORTED, Request

AT_ROOT = {Kind.ROOT, Kind.UP, Kind.UUIDS, Kind.SESSION, Kind.ALL_DBS}


def test_there_is_bad_input_for_every_endpoint() -> None:
    """A new endpoint is tried with bad input from its first day on: give it a good request, the rest follows."""
    table = {(kind, method) for kind, methods in ALLOWED.items() for method in methods.split(",")}
    assert REQUESTS.keys() == table
    assert {kind for kind, _ in table} == set(Kind) - {Kind.TRUSTED}
    assert {(kind, method) for kind, method in table if kind not in AT_ROOT} == HANDLERS.keys()


@pytest.mark.parametrize(("kind", "request_"), ALL, ids=lambda each: getattr(each, "target", None))
def test_requests_are_what_they_stand_for(lab: Lab, kind: Kind, request_: Request) -> None:
    asked = request_.at("clinic-phone")
    assert route(asked.method, asked.target).kind is kind
    for server in lab.servers:
        if server.name == "endpoint" and request_ is SORTED:
            assert lab.ask(server, request_).json["error"] == "no_usable_index"
        elif (server.name, kind, asked.method) != ("endpoint", Kind.DATABASE, "DELETE"):
            assert lab.ask(server, request_).status not in (0, 400, 405, 411, 413, 415), (server.name, asked)
