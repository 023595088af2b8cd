from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.config import ConfigError, environment
from proxy.config.load import places
from tests.config.conftest import Loader
from tests.config.test_mistakes import GOOD, mistakes

NO_SOURCE = GOOD.replace('[sources.main]\nurl = "http://127.0.0.1:5984"\n', "")
TWO = GOOD.replace("[databases.clinic]", '[sources.cold-store]\nurl = "http://b"\n[databases.clinic]\nsource = "main"')
TWO = TWO.replace("[databases.stock]", '[databases.stock]\nsource = "cold-store"')


def test_it_wins_over_the_file(load_text: Loader) -> None:
    config = load_text(
        GOOD,
        {
            "COUCH_TAILOR_BIND": "0.0.0.0:80",
            "COUCH_TAILOR_SECRET": "another secret of some length",
            "COUCH_TAILOR_SOURCE_URL": "http://couch:5984/",
            "COUCH_TAILOR_SOURCE_AUTH": "service",
            "COUCH_TAILOR_SOURCE_USERNAME": "tailor",
            "COUCH_TAILOR_SOURCE_PASSWORD": "thread",
            "COUCH_TAILOR_SOURCE_PROXY_SECRET": "needle",
        },
    )
    assert (config.server.host, config.server.port) == ("0.0.0.0", 80)
    assert config.server.secret == b"another secret of some length"
    source = config.sources["main"]
    assert (source.url, source.auth) == ("http://couch:5984", "service")
    assert (source.username, source.password, source.proxy_secret) == ("tailor", "thread", "needle")


def test_it_makes_a_source_where_the_file_has_none(load_text: Loader) -> None:
    config = load_text(NO_SOURCE, {"COUCH_TAILOR_SOURCE_URL": "http://couch:5984"})
    assert config.databases["clinic"].source.url == "http://couch:5984"
    assert list(config.sources) == ["main"]


def test_sources_by_name(load_text: Loader) -> None:
    config = load_text(
        TWO, {"COUCH_TAILOR_SOURCES_COLD_STORE_URL": "http://c", "COUCH_TAILOR_SOURCES_MAIN_URL": "http://d"}
    )
    assert {name: source.url for name, source in config.sources.items()} == {
        "main": "http://d",
        "cold-store": "http://c",
    }


def test_which_of_several_sources(load_text: Loader) -> None:
    assert mistakes(load_text, TWO, {"COUCH_TAILOR_SOURCE_PASSWORD": "x", "COUCH_TAILOR_SOURCES_HOT_URL": "y"}) == [
        "COUCH_TAILOR_SOURCE_PASSWORD: there is more than one source; "
        "name the one that is meant, as COUCH_TAILOR_SOURCES_MAIN_PASSWORD",
        "COUCH_TAILOR_SOURCES_HOT_URL: no source of the file has this name, or sources have no such setting",
    ]


@pytest.mark.parametrize("tail", ["", "_FILE"])
def test_two_sources_by_one_variable(load_text: Loader, tail: str) -> None:
    text = TWO.replace("sources.main", "sources.cold_store").replace('source = "main"', 'source = "cold_store"')
    env = {f"COUCH_TAILOR_SOURCES_COLD_STORE_URL{tail}": "http://c"}
    [message] = [each for each in mistakes(load_text, text, env) if "cannot read" not in each]
    assert message == (
        'COUCH_TAILOR_SOURCES_COLD_STORE_URL: is ambiguous: it stands for the sources "cold_store" and "cold-store"; '
        "rename all but one"
    )
    assert load_text(text).warnings == ()


def test_from_files(load_text: Loader, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a mounted file\n")
    (tmp_path / "url").write_text("http://mounted:5984\r\n")
    config = load_text(
        NO_SOURCE,
        {"COUCH_TAILOR_SECRET_FILE": str(tmp_path / "secret"), "COUCH_TAILOR_SOURCE_URL_FILE": str(tmp_path / "url")},
    )
    assert config.server.secret == b"from a mounted file"
    assert config.sources["main"].url == "http://mounted:5984"


def test_files_that_cannot_be_read(load_text: Loader, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    env = {"COUCH_TAILOR_SECRET_FILE": "/nowhere/secret", "COUCH_TAILOR_SOURCE_PASSWORD_FILE": str(tmp_path / "binary")}
    assert mistakes(load_text, GOOD, env) == [
        f"COUCH_TAILOR_SECRET_FILE: cannot read /nowhere/secret: {os.strerror(2)}",
        f"COUCH_TAILOR_SOURCE_PASSWORD_FILE: cannot read {tmp_path / 'binary'}: it is not UTF-8 text",
    ]


@pytest.mark.parametrize(
    ("auth", "variable"),
    [
        ("client", "COUCH_TAILOR_SECRET_FILE"),
        ("service", "COUCH_TAILOR_SOURCE_PASSWORD_FILE"),
        ("proxy", "COUCH_TAILOR_SOURCE_PROXY_SECRET_FILE"),
        ("iam", "COUCH_TAILOR_SOURCE_API_KEY_FILE"),
    ],
)
def test_what_a_file_was_to_set_is_not_missing_as_well(
    load_text: Loader, tmp_path: Path, auth: str, variable: str
) -> None:
    text = GOOD.replace("[databases.clinic]", f'auth = "{auth}"\nusername = "tailor"\n[databases.clinic]')
    text = text.replace('secret = "0123456789abcdef"\n', "" if auth == "client" else 'secret = "0123456789abcdef"\n')
    assert mistakes(load_text, text, {variable: "/nowhere"}) == [
        f"{variable}: cannot read /nowhere: {os.strerror(2)}",
    ]
    (tmp_path / "empty").write_text("\n")
    [message] = mistakes(load_text, text, {variable: str(tmp_path / "empty")})
    assert message.startswith(f"{variable}: ")
    assert message.endswith(": is empty; give a value or leave the key out")


def test_what_is_no_text(load_text: Loader) -> None:
    bytes_of_none = os.fsdecode(b"\xff" * 20)
    assert mistakes(load_text, GOOD, {"COUCH_TAILOR_SECRET": bytes_of_none}) == [
        "COUCH_TAILOR_SECRET: is not UTF-8 text"
    ]


def test_a_value_and_a_file(load_text: Loader) -> None:
    env = {"COUCH_TAILOR_SECRET": "0123456789abcdef", "COUCH_TAILOR_SECRET_FILE": "/run/secrets/x"}
    assert mistakes(load_text, GOOD, env) == [
        "COUCH_TAILOR_SECRET: is set, and so is COUCH_TAILOR_SECRET_FILE; set only one of them"
    ]


def test_its_mistakes_name_the_variable(load_text: Loader) -> None:
    env = {"COUCH_TAILOR_SECRET": "short", "COUCH_TAILOR_BIND": "x"}
    assert [": ".join(message.split(": ")[:2]) for message in mistakes(load_text, GOOD, env)] == [
        "COUCH_TAILOR_BIND: server.bind",
        "COUCH_TAILOR_SECRET: server.secret",
    ]


def test_empty_is_not_set(load_text: Loader) -> None:
    config = load_text(
        GOOD, {"COUCH_TAILOR_SECRET": "", "COUCH_TAILOR_BIND_FILE": "", "COUCH_TAILOR_SOURCES_X_URL": ""}
    )
    assert config.server.secret == b"0123456789abcdef"


def test_unknown_variables(load_text: Loader) -> None:
    ours = {"COUCH_TAILOR_SECRT": "x", "COUCH_TAILOR_XYZZY": "x", "PATH": "/bin"}
    orchestrator = {
        "COUCH_TAILOR_PORT": "tcp://10.0.0.1:5984",
        "COUCH_TAILOR_PORT_5984_TCP_ADDR": "10.0.0.1",
        "COUCH_TAILOR_SERVICE_HOST": "10.0.0.1",
        "COUCH_TAILOR_SERVICE_PORT_HTTP": "5984",
    }
    assert load_text(GOOD, {**ours, **orchestrator, environment.CONFIG: "x.toml"}).warnings == (
        "COUCH_TAILOR_SECRT: unknown variable, ignored; did you mean COUCH_TAILOR_SECRET?",
        "COUCH_TAILOR_XYZZY: unknown variable, ignored",
    )
    assert places("clinic.toml", ours).warnings == ()  # for what is found later: they are told by then


def test_unknown_variables_are_told_with_mistakes(load_text: Loader) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(GOOD.replace("[databases.stock]", "[databases.stock]\nx = 1"), {"COUCH_TAILOR_SECRT": "x"})
    assert caught.value.warnings == (
        "COUCH_TAILOR_SECRT: unknown variable, ignored; did you mean COUCH_TAILOR_SECRET?",
    )


@pytest.mark.parametrize("section", ["server", "sources"])
def test_a_file_that_is_wrong_there(load_text: Loader, section: str) -> None:
    text = f"{section} = 1\n"
    env = {"COUCH_TAILOR_SECRET": "0123456789abcdef", "COUCH_TAILOR_SOURCE_URL": "http://x"}
    assert f"clinic.toml:1: {section}: expected a table, not the number 1" in mistakes(load_text, text, env)
