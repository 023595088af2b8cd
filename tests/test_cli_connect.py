"""`couch-tailor check --connect` over sources in processes of their own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.connect import ask
from proxy.config.lines import key_lines
from proxy.config.model import Config, Database, Server
from proxy.config.model import Source as Configured
from proxy.config.problems import ConfigError, Problems
from tests.compatibility.sources import Given, Script, given_json, serving
from tests.compatibility.sources.cloudant import API_KEY, Cloudant, TokenService
from tests.support import sources
from tests.support.proxy import to_toml
from tests.support.sources import ADMIN, Source
from tests.test_cli import Command

OWN = [{"use": "select", "where": "owner == client.name"}]
ACCOUNT = {"auth": "service", "username": ADMIN[0], "password": ADMIN[1]}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with sources.embedded_while(tmp_path_factory.mktemp("source")) as source:
        source.create_database("clinic")
        yield source


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def configure(command: Command, tables: dict[str, dict[str, Any]], **databases: dict[str, Any]) -> None:
    sections = {
        "server": {"secret": "0123456789abcdef"},
        "sources": tables,
        "databases": databases,
        "profiles": {"own": {"databases": list(databases), "filters": OWN}},
    }
    command.write("clinic.toml", to_toml(sections))


def check(command: Command, **env: str) -> tuple[int, str, str]:
    return command.run("check", "--connect", "clinic.toml", env=env)


def line(command: Command, key: str, table: str) -> int:
    """Where a key stands."""
    text = (command.directory / "clinic.toml").read_text()
    lines = key_lines(text)
    section, _, name = table.partition(".")
    return lines.get((section, name, key)) or lines[section, name]


def test_what_is_right(command: Command, source: Source) -> None:
    configure(command, {"main": {"url": source.url, **ACCOUNT}}, clinic={})
    status, out, err = check(command)
    assert (status, err) == (0, "")
    assert out.startswith(
        "clinic.toml is right\nsources.main answers, takes the proxy's account and has its databases\n"
    )
    assert command.run("check", "--connect", "-q", "clinic.toml") == (0, "", "")


def test_without_being_told_to_it_asks_nobody(command: Command) -> None:
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        configure(command, {"main": {"url": f"http://127.0.0.1:{nobody.getsockname()[1]}", **ACCOUNT}}, clinic={})
        assert command.run("check", "-q", "clinic.toml") == (0, "", "")
        status, out, err = check(command)
    assert (status, out) == (2, "")
    assert err.startswith(
        f"clinic.toml:{line(command, 'url', 'sources.main')}: sources.main.url: The source (GET /) cannot be "
    )
    assert "; start what is to answer at http://127.0.0.1:" in err
    assert err.endswith(", or mend the address\ncouch-tailor: 1 mistake in the configuration\n")


def test_all_mistakes_are_told_at_once(command: Command, source: Source) -> None:
    tables = {
        "main": {"url": source.url, **ACCOUNT},
        "old": {"url": source.url, "auth": "cookie", "username": "tailor", "password": "wrong"},
        "open": {"url": source.url},
    }
    databases = {
        "clinic": {"source": "main"},
        "lab": {"source": "main", "name": "lab_2024"},
        "archive": {"source": "old", "name": "clinic"},
        "ward": {"source": "open", "name": "clinic"},
    }
    configure(command, tables, **databases)
    status, out, err = check(command)
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        f"clinic.toml:{line(command, 'password', 'sources.old')}: sources.old.password: The source refuses the service "
        "account (401: Name or password is incorrect.); check username and password of sources.old",
        f"clinic.toml:{line(command, 'name', 'databases.lab')}: databases.lab.name: there is no database "
        '"lab_2024" of sources.main; make it there, or mend its name',
        "couch-tailor: 2 mistakes in the configuration",
    ]


def test_a_password_of_the_environment_is_named_by_its_variable(command: Command, source: Source) -> None:
    account = {"auth": "service", "username": ADMIN[0]}
    configure(command, {"main": {"url": source.url, **account}}, clinic={})
    status, _, err = check(command, COUCH_TAILOR_SOURCE_PASSWORD="wrong")
    assert status == 2
    assert err.startswith("COUCH_TAILOR_SOURCE_PASSWORD: sources.main.password: The source (GET /_session) refuses ")
    assert "wrong" not in err.replace("wrong password", "")
    assert err.endswith("what it may do\ncouch-tailor: 1 mistake in the configuration\n")


def test_a_database_that_the_account_may_not_read(command: Command, source: Source) -> None:
    source.add_users({"tailor": []}, "thread")
    source.create_database("closed")
    only = {"admins": {"names": [], "roles": ["_admin"]}, "members": {"names": [], "roles": ["doctor"]}}
    source.http.json("PUT", "/closed/_security", only)
    account = {"auth": "service", "username": "tailor", "password": "thread"}
    configure(command, {"main": {"url": source.url, **account}}, clinic={}, closed={})
    status, _, err = check(command)
    assert status == 2
    assert ': databases.closed.name: the database "closed" of sources.main cannot be used: ' in err
    assert "(403 forbidden: You are not allowed to access this db.); check the account of sources.main" in err
    assert err.count("\n") == 2
    configure(command, {"main": {"url": source.url}}, clinic={}, closed={})
    assert check(command)[0] == 0  # each client asks for itself, and may be let in


async def problems_with(script: Script, **account: Any) -> list[str]:
    problems = Problems("clinic.toml", {})
    async with serving(script) as url:
        source = Configured("main", url, **account)
        config = Config(Server(), {"main": source}, {"clinic": Database("clinic", source, "clinic")}, {})
        await asyncio.to_thread(ask, config, problems)
    try:
        problems.raise_if_any()
    except ConfigError as error:
        return list(error.problems)
    return []


async def answer(given: Given) -> list[str]:
    async def always(*_: object) -> Given:
        return given

    return await problems_with(always)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Given(301, b""), "answered 301: redirects are not followed, its url must be right; start what"),
        (Given(200, b"<html>"), "answered with something that is not JSON"),
        (given_json(200, ["welcome"]), "what answers there is no CouchDB; start what"),
        (Given(404, b"<html>"), "answered 404 without saying why; start what"),
        (given_json(500, {"error": "badmatch", "reason": "its words"}), "its words; start what"),
    ],
)
async def test_what_is_no_couchdb(given: Given, words: str, caplog: pytest.LogCaptureFixture) -> None:
    [problem] = await answer(given)
    assert problem.startswith("clinic.toml: sources.main.url: ")
    assert words in problem
    assert caplog.messages == []


async def test_a_source_that_wants_credentials_for_everything() -> None:
    assert await answer(given_json(401, {"error": "unauthorized", "reason": "Authentication required."})) == []


async def test_an_api_key() -> None:
    tokens = TokenService()
    async with serving(tokens) as url:
        for key, words in (
            (API_KEY, []),
            ("another", ["clinic.toml: sources.main.api_key: The token service refuses"]),
        ):
            account = {"auth": "iam", "api_key": key, "token_url": f"{url}/identity/token"}
            found = await problems_with(_welcoming(Cloudant()), **account)
            assert [problem.partition(" the API key")[0] for problem in found] == words


def _welcoming(script: Script) -> Script:
    async def answer(asked: Any, forward: Any) -> Given:
        if asked.path in ("/", "/_session"):
            return given_json(200, {"couchdb": "Welcome", "version": "3.5.0"})
        return await script(asked, there)

    async def there(asked: Any) -> Given:
        return given_json(200, {"db_name": "clinic"})

    return answer
