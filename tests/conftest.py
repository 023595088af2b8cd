"""Fixtures of the integration suite: sources, the proxy in front, devices. Nothing is started that no test asks for."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import sources
from tests.support.clinic import PASSWORD, USERS
from tests.support.devices import CLIENTS, DeviceHost
from tests.support.process import RUNNING, ServerProcess
from tests.support.proxy import Proxy
from tests.support.site import Site, clinic_proxy
from tests.support.sources import Source
from tests.support.tap import Tap

SOURCES = ["embedded", "express_pouchdb"] + (["couchdb"] if os.environ.get("COUCHDB_URL") else [])
"""What the integration suite runs over. COUCHDB_URL=http://admin:secret@127.0.0.1:5984 adds a CouchDB."""

POOL = [f"tailor-test-{number:03}" for number in range(200)]
"""The databases that one proxy shows: one for each test, so that the proxy need not be started for each."""

_LOG_TAIL = 8000


def open_source(name: str, directory: Path) -> Source:
    """A running source with the clinic's users."""
    if name == "couchdb":
        source = sources.couchdb(os.environ["COUCHDB_URL"])
    else:
        source = {"embedded": sources.embedded, "express_pouchdb": sources.express_pouchdb}[name](directory)
    source.add_users(USERS, PASSWORD)
    return source


def close_source(source: Source) -> None:
    if source.process is not None:
        source.process.kill()


@pytest.fixture(scope="session")
def device_host() -> Iterator[DeviceHost]:
    """The process that all devices live in."""
    if not (CLIENTS / "node_modules").is_dir():
        pytest.fail("the clients are not installed; run `make clients`", pytrace=False)
    host = DeviceHost()
    yield host
    host.close()


@pytest.fixture(scope="session", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A source that all tests share: each test has a database of its own."""
    source = open_source(request.param, tmp_path_factory.mktemp(request.param))
    yield source
    close_source(source)


@pytest.fixture(scope="session")
def proxy(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The proxy that all tests of one source share."""
    proxy = clinic_proxy(tmp_path_factory.mktemp(f"proxy-{source.name}"), source.url, POOL)
    proxy.start()
    yield proxy
    proxy.process.kill()


@pytest.fixture(scope="session")
def unused(source: Source) -> Iterator[str]:
    """Names of the pool that no test has used yet, for one source."""
    return iter(POOL)


@pytest.fixture
def site(source: Source, proxy: Proxy, unused: Iterator[str], device_host: DeviceHost) -> Iterator[Site]:
    """An empty database behind the shared proxy."""
    site = Site(source, proxy, source.create_database(next(unused)), device_host)
    yield site
    site.close()
    source.http.request("DELETE", f"/{site.database.name}")


@dataclass(frozen=True)
class Lab:
    """A source, the wire to it and a proxy that tests may cut, stop and start."""

    source: Source
    process: ServerProcess
    tap: Tap
    proxy: Proxy
    unused: Iterator[str]


@pytest.fixture(scope="session", params=[name for name in SOURCES if name != "couchdb"])
def shared_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp(f"lab-{request.param}")
    source = open_source(request.param, directory)
    assert source.process is not None
    tap = Tap(source.process.port)
    proxy = clinic_proxy(directory / "proxy", tap.url, POOL)
    proxy.start()
    yield Lab(source, source.process, tap, proxy, iter(POOL))
    proxy.process.kill()
    tap.close()
    close_source(source)


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The lab, with everything running and connected at the end."""
    yield shared_lab
    shared_lab.tap.mend()
    for process in (shared_lab.process, shared_lab.proxy.process):
        if not process.running:
            process.start()


@pytest.fixture
def lab_site(lab: Lab, device_host: DeviceHost) -> Iterator[Site]:
    """An empty database in the lab."""
    site = Site(lab.source, lab.proxy, lab.source.create_database(next(lab.unused)), device_host)
    yield site
    site.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    for process in RUNNING:
        process.mark()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what servers printed during a test that failed."""
    report = yield
    if report.failed:
        for process in RUNNING:
            report.sections.append((process.log.name, process.output(since_mark=True)[-_LOG_TAIL:]))
    return report
