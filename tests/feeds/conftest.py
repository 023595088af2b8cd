"""A source with two users, and proxies in processes of their own in front of its database, each user seeing its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import sources
from tests.support.proxy import Proxy
from tests.support.sources import ADMIN, Source, SourceDatabase

PROFILES = {"own": {"filters": [{"use": "select", "where": "owner == client.name"}]}}
PASSWORD = "pw"
USERS = ("ann", "bob")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with sources.embedded_while(tmp_path_factory.mktemp("source")) as source:
        source.add_users(dict.fromkeys(USERS, ()), PASSWORD)
        yield source


@pytest.fixture
def database(source: Source) -> SourceDatabase:
    return source.create_database("clinic")


@pytest.fixture
def make(source: Source, database: SourceDatabase, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Makes proxies in front of the database, and ends them."""
    made: list[Proxy] = []
    account = {"auth": "service", "username": ADMIN[0], "password": ADMIN[1]}

    def make(**server_options: Any) -> Proxy:
        options = {"data": str(tmp_path / "data"), "workers": 2, "session_ttl": "1h", **server_options}
        proxy = Proxy(
            tmp_path / f"proxy{len(made)}",
            source.url,
            ["clinic"],
            PROFILES,
            source_options=account,
            server_options={name: value for name, value in options.items() if value is not None},
        )
        proxy.process.env["TMPDIR"] = str(tmp_path)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.process.kill()
