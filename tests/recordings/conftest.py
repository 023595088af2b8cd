"""The proxy in front of the recorded CouchDB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.recordings.source import RecordedSource
from tests.support.proxy import Proxy

PROFILES: dict[str, dict[str, Any]] = {
    "raw": {
        "by_role": True,
        "users": ["admin"],
        "design_docs": True,
        "trusted": True,
        "filters": [],
    },
    "phone": {
        "suffix": "phone",
        "roles": ["nurse"],
        "filters": [
            {"use": "select", "where": "facility == client.facility"},
            {"use": "drop", "paths": ["ssn", "weight", "notes[?private]"]},
            {"use": "attachments", "max_size": 1000},
        ],
    },
}


@pytest.fixture(scope="session")
def recorded() -> Iterator[tuple[RecordedSource, str]]:
    source = RecordedSource()
    with source.running() as url:
        yield source, url


@pytest.fixture(scope="session")
def recorded_source(recorded: tuple[RecordedSource, str]) -> RecordedSource:
    return recorded[0]


@pytest.fixture(scope="session")
def recorded_proxy(recorded: tuple[RecordedSource, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = Proxy(
        tmp_path_factory.mktemp("recorded"),
        recorded[1],
        ["clinic"],
        PROFILES,
    )
    proxy.start()
    yield proxy
    proxy.process.kill()
