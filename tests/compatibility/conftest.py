"""The embedded endpoint, the proxy in front, and for each test a database and wires on both sides of the proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compatibility.clients.driver import PYTHON
from tests.compatibility.clients.place import PROFILES, Place
from tests.conftest import POOL, close_source, open_source
from tests.support.clinic import FILTERS
from tests.support.devices import CLIENTS
from tests.support.proxy import Proxy
from tests.support.sources import Source
from tests.support.tap import Tap


@pytest.fixture(scope="session")
def client_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    if not ((CLIENTS / "node_modules").is_dir() and PYTHON.exists()):
        pytest.fail("the clients are not installed; run `make clients`", pytrace=False)
    source = open_source("embedded", tmp_path_factory.mktemp("client-source"))
    yield source
    close_source(source)


@pytest.fixture(scope="session")
def client_tap(client_source: Source) -> Iterator[Tap]:
    """The wire from the proxy to the source."""
    assert client_source.process is not None
    tap = Tap(client_source.process.port)
    yield tap
    tap.close()


@pytest.fixture(scope="session")
def client_proxy(client_tap: Tap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp("client-proxy")
    proxy = Proxy(directory, client_tap.url, POOL, PROFILES, modules={"clinic_filters": FILTERS})
    proxy.start()
    yield proxy
    proxy.process.kill()


@pytest.fixture(scope="session")
def client_unused() -> Iterator[str]:
    """Names of the pool that no test of a client has used yet."""
    return iter(POOL)


@pytest.fixture
def place(client_source: Source, client_tap: Tap, client_proxy: Proxy, client_unused: Iterator[str]) -> Iterator[Place]:
    place = Place(client_source, client_tap, client_proxy, client_unused)
    yield place
    client_tap.mend()
    place.close()
