"""`couch-tailor index` over a source in a process of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from proxy.feeds import progress
from proxy.feeds.index import IndexReader
from tests.support import sources
from tests.support.process import ServerProcess, free_port
from tests.support.proxy import to_toml
from tests.support.sources import ADMIN, Source, SourceDatabase
from tests.test_cli import Command

OWN = [{"use": "select", "where": "owner == client.name"}]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with sources.embedded_while(tmp_path_factory.mktemp("source")) as source:
        yield source


@pytest.fixture
def database(source: Source) -> SourceDatabase:
    database = source.create_database("clinic")
    for number in range(30):
        database.put({"_id": f"doc{number}", "owner": "ann"})
    return database


class Site(Command):
    """The command in a directory with a configuration that has an index."""

    def configure(self, url: str, filters: list[Any] = OWN, **server: Any) -> None:
        account = {"auth": "service", "username": ADMIN[0], "password": ADMIN[1]}
        sections = {
            "server": {"secret": "0123456789abcdef", "data": "data", **server},
            "sources": {"main": {"url": url, **account}, "other": {"url": url}},
            "databases": {"clinic": {"source": "main"}, "stock": {"source": "other"}},
            "profiles": {"own": {"databases": ["clinic", "stock"], "filters": filters}},
        }
        self.write(
            "clinic.toml", to_toml({n: {k: v for k, v in s.items() if v is not None} for n, s in sections.items()})
        )

    def index(self, action: str, *names: str) -> tuple[int, str, str]:
        return self.run("index", action, "-c", "clinic.toml", *names)

    @property
    def path(self) -> Path:
        return self.directory / "data" / "clinic.index"

    @property
    def index_id(self) -> bytes:
        with IndexReader(self.path) as index:
            return index.index_id


@pytest.fixture
def site(source: Source, tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.configure(source.url)
    return site


def facts(out: str) -> dict[str, str]:
    """What `status` says of a database, by name."""
    return dict(re.findall(r"^  (\w+) +(.*)$", out, re.MULTILINE))


def test_before_anything_was_built(site: Site) -> None:
    assert site.index("status") == (
        1,
        "data is not in use\n\nclinic\n  file       data/clinic.index, 0 B\n  state      there is none yet\n\n",
        "",
    )


def test_build_and_look(site: Site, source: Source, database: SourceDatabase) -> None:
    status, out, err = site.index("build")
    assert (status, err) == (0, "")
    assert re.fullmatch(r"clinic: 30 documents, up to date after \d+\.\d s\n", out)
    status, out, err = site.index("status", "clinic")
    assert (status, err) == (0, "")
    told = facts(out)
    assert re.fullmatch(r"data/clinic\.index, [\d.]+ kB", told["file"])
    assert told["state"] == "complete"
    assert told["documents"] == "30, at position 30"
    assert told["source"].startswith(f"{source.url}/clinic up to 30-")
    assert re.fullmatch(r"[0-9a-f]{8}", told["rules"])
    assert told["behind"] == "nothing"


def test_build_goes_on_where_it_stopped(site: Site, database: SourceDatabase) -> None:
    site.index("build")
    name = site.index_id
    database.put({"_id": "new", "owner": "ann"})
    database.edit("doc3", more=1)
    assert facts(site.index("status")[1])["behind"] == "2 changes of the source"
    assert site.index("build")[1].startswith("clinic: 31 documents, up to date after ")
    assert facts(site.index("status")[1])["documents"] == "31, at position 32"
    assert site.index_id == name


def test_rebuild_begins_anew(site: Site, database: SourceDatabase) -> None:
    site.index("build")
    name = site.index_id
    database.edit("doc3", more=1)
    assert site.index("rebuild", "clinic")[0] == 0
    assert site.index_id != name
    assert facts(site.index("status")[1])["documents"] == "30, at position 30"


def test_an_index_for_other_rules(site: Site, source: Source, database: SourceDatabase) -> None:
    site.index("build")
    site.configure(source.url, [{"use": "select", "where": "unit == client.name"}])
    status, out, _ = site.index("status")
    assert status == 1
    assert facts(out)["rules"].endswith(": not those of the configuration, so it is made anew at the next start")
    status, out, _ = site.index("build")
    assert status == 0
    assert out.startswith("clinic: made anew, because it was made with another rules\nclinic: 30 documents")
    assert site.index("status")[0] == 0


def test_a_damaged_index(site: Site, database: SourceDatabase) -> None:
    site.index("build")
    site.path.write_bytes(b"this is no database" * 100)
    status, out, _ = site.index("status")
    assert status == 1
    assert facts(out)["state"] == "it is damaged, and made anew at the next start: file is not a database"
    assert site.index("build")[0] == 0
    assert site.index("status")[0] == 0


def test_a_database_that_was_made_anew(site: Site, source: Source, database: SourceDatabase) -> None:
    site.index("build")
    source.create_database("clinic")
    status, out, _ = site.index("build")
    assert status == 0
    assert out.startswith("clinic: made anew, because it was made with another incarnation\nclinic: 0 documents")


def test_beside_a_running_proxy(site: Site, source: Source, database: SourceDatabase, tmp_path: Path) -> None:
    port = free_port()
    site.configure(source.url, bind=f"127.0.0.1:{port}", data=str(tmp_path / "data"))
    command = [sys.executable, "-m", "proxy.cli", "serve", "-c", str(tmp_path / "clinic.toml")]
    process = ServerProcess(command, port, tmp_path / "log", ready="/_up")
    process.start()
    try:
        message = f"couch-tailor: the data directory {tmp_path}/data is in use by another couch-tailor (process {{}})\n"
        for action in ("build", "rebuild"):
            assert site.index(action) == (1, "", message.format(process.pid))
        assert site.index("status")[1].startswith(f"{tmp_path}/data is used by process {process.pid}\n\nclinic\n")
    finally:
        process.kill()


def test_a_source_that_is_down(site: Site, database: SourceDatabase) -> None:
    site.index("build")
    site.configure(f"http://127.0.0.1:{free_port()}")
    name = site.index_id
    for action in ("build", "rebuild"):
        status, out, err = site.index(action)
        assert (status, out) == (1, "")
        assert err.startswith("couch-tailor: the index of clinic cannot be built: The source (GET /clinic")
    status, out, _ = site.index("status")
    assert status == 1
    assert facts(out)["behind"].startswith("nobody can say: The source (GET /clinic/_changes) ")
    assert site.index_id == name


def test_a_source_that_refuses_the_account(site: Site, database: SourceDatabase) -> None:
    site.index("build")
    text = (site.directory / "clinic.toml").read_text()
    site.write("clinic.toml", text.replace(f'"password" = "{ADMIN[1]}"', '"password" = "wrong"'))
    status, out, _ = site.index("status")
    assert (status, facts(out)["state"]) == (1, "complete")
    assert "refuses the proxy itself" in facts(out)["behind"]


def test_progress_is_printed(
    site: Site,
    database: SourceDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "KEPT_EVERY", 0)
    monkeypatch.chdir(site.directory)
    assert main(["index", "build", "-c", "clinic.toml"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"clinic: \d+ changes read, [\d,]+ a second, \d+ left, about \d+ s to go", first)
    assert last.startswith("clinic: 30 documents, up to date after ")


@pytest.mark.parametrize(
    ("names", "server", "message"),
    [
        (["clinc"], {}, 'index: there is no database "clinc"; did you mean "clinic"?'),
        (
            ["stock"],
            {},
            'index: the database "stock" has no index: it needs a source with an account, as auth = "service"',
        ),
        ([], {"data": None}, "index: there are no indexes without server.data, the directory where they are kept"),
    ],
)
def test_mistakes(site: Site, source: Source, names: list[str], server: dict[str, Any], message: str) -> None:
    site.configure(source.url, **server)
    for action in ("status", "build", "rebuild"):
        assert site.index(action, *names) == (2, "", f"couch-tailor: {message}\n")


def test_no_database_with_an_account(site: Site) -> None:
    text = (site.directory / "clinic.toml").read_text()
    site.write("clinic.toml", text.replace('"source" = "main"', '"source" = "other"'))
    status, _, err = site.index("status")
    assert (status, err.splitlines()[-1]) == (
        2,
        'couch-tailor: index: no database has one: it needs a source with an account, as auth = "service"',
    )


def test_an_action_must_be_named(site: Site) -> None:
    status, _, err = site.run("index")
    assert status == 2
    assert err.startswith("usage: couch-tailor index ")
