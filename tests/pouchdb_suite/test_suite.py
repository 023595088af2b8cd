"""PouchDB's integration suite against the endpoint, and against the proxy with an empty chain in front of it.

POUCHDB_CHECKOUT names a built checkout of PouchDB 9.0.0; without it the tests that run the suite are skipped. Each runs
it twice: all but what `known.toml` lists has to pass, and all that it lists has to fail.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pouchdb_suite.known import known, races, titles
from tests.pouchdb_suite.suite import GO_ON, THROUGH_PROXY, Suite
from tests.support import sources
from tests.support.proxy import Proxy
from tests.support.sources import ADMIN, Source

CHECKOUT = os.environ.get("POUCHDB_CHECKOUT")
POOL = [f"suite-{number:03}" for number in range(100)]
"""Databases that tests get in turn: a name comes back, as a new database, a hundred tests later."""
VARIANTS = ["", "+suffix", "some/test", "_2"]
"""What some tests append to the name that they got."""
FIXED = ["test", "testdb"]
"""Names that some tests use as they are."""
DOCS = Path(__file__).parents[2] / "docs"

needs_checkout = pytest.mark.skipif(CHECKOUT is None, reason="POUCHDB_CHECKOUT names no checkout of PouchDB")


@pytest.fixture(scope="module")
def suite() -> Suite:
    assert CHECKOUT is not None
    return Suite(Path(CHECKOUT).absolute())


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Source]:
    source = sources.embedded(tmp_path)
    yield source
    assert source.process is not None
    source.process.kill()


@pytest.fixture
def proxy(tmp_path: Path, endpoint: Source) -> Iterator[Proxy]:
    """Everything is shown whole, to the administrator, under the databases' own names."""
    profile = {
        "suffix": False,
        "users": [ADMIN[0]],
        "by_role": True,
        "design_docs": True,
        "trusted": True,
    }
    databases = [name + variant for name in POOL for variant in VARIANTS] + FIXED
    # some tests ask for the server's greeting with credentials that are none
    proxy = Proxy(
        tmp_path / "proxy", endpoint.url, databases, {"whole": profile}, server_options={"anonymous": True}
    ).start()
    yield proxy
    proxy.process.kill()


@needs_checkout
def test_the_endpoint(suite: Suite, endpoint: Source) -> None:
    listed = titles(proxy=False)
    rest = suite.run(endpoint.url, listed | races(), only=False)
    assert rest.ended, rest
    assert not rest.failed, rest
    failing = suite.run(endpoint.url, listed, only=True, requires=[GO_ON])
    assert not failing.passed, "listed as failing, and passed"
    assert failing.failed.keys() >= listed, "listed, and not run"
    print(f"{len(rest.passed)} passed, {len(listed)} failed as listed")


@needs_checkout
def test_the_proxy(suite: Suite, endpoint: Source, proxy: Proxy) -> None:
    env = {"SOURCE": endpoint.url, "DATABASES": ",".join(POOL)}
    listed = titles(proxy=True)
    rest = suite.run(proxy.url, listed | races(), only=False, requires=[THROUGH_PROXY], env=env)
    assert rest.ended, rest
    assert not rest.failed, rest
    failing = suite.run(proxy.url, listed, only=True, requires=[THROUGH_PROXY, GO_ON], env=env)
    assert not failing.passed, "listed as failing, and passed"
    assert failing.failed.keys() >= listed, "listed, and not run"
    print(f"{len(rest.passed)} passed, {len(listed)} failed as listed")


def test_each_title_is_listed_once() -> None:
    listed = [title for entry in known() for title in entry.titles] + list(races())
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("proxy", [False, True])
def test_the_documentation_names_each_reason(proxy: bool) -> None:
    page = (DOCS / ("compatibility.md" if proxy else "endpoint.md")).read_text()
    told = dict(re.findall(r"^\| ([^|]+) \| (\d+) \|$", page, re.MULTILINE))
    expected = {entry.reason: str(len(entry.titles)) for entry in known() if entry.proxy is proxy}
    assert expected.items() <= told.items()
