"""docs/configuration.md against the loader: every key and variable is documented, with its default."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from proxy.config import environment, schema
from proxy.config.schema import Key
from tests.config.conftest import Loader

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    """The text below a heading, up to the next of its level."""
    match = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert match is not None, name
    return match[1]


def rows(text: str) -> list[list[str]]:
    """The cells of the first table's rows, without its head."""
    lines = text[text.index("\n|---") + 1 :].split("\n")[1:]
    table = lines[: next(index for index, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def default(key: Key) -> str:
    if key.default is schema.REQUIRED:
        return "*required*"
    if key.default is None:
        return f"*{key.fallback}*"
    return f"`{json.dumps(key.default)}`"


@pytest.mark.parametrize("name", schema.SECTIONS)
def test_keys(name: str) -> None:
    documented = {row[0]: row[2] for row in rows(section(name))}
    assert documented == {f"`{key.name}`": default(key) for key in schema.SECTIONS[name]}
    assert all(len(row) == 4 and row[1] and row[3] for row in rows(section(name)))


def test_keys_of_cors() -> None:
    documented = rows(section("server").partition("### server.cors\n")[2])
    assert {row[0]: row[2] for row in documented} == {f"`{key.name}`": default(key) for key in schema.CORS}


def test_variables() -> None:
    documented = [name for row in rows(section("Environment")) for name in re.findall("`([^`]+)`", row[0])]
    assert documented == environment.documented()
    assert all(len(row) == 3 and row[1] for row in rows(section("Environment")))


def test_documented_variables_are_read(load_text: Loader) -> None:
    text = '[sources.main]\n[databases.a]\n[profiles.p]\ndatabases = ["a"]\n'
    values = {
        "URL": "http://a",
        "AUTH": "service",
        "USERNAME": "u",
        "PASSWORD": "p",
        "PROXY_SECRET": "s",
        "API_KEY": "k",
    }
    for prefix in ("COUCH_TAILOR_SOURCE_", "COUCH_TAILOR_SOURCES_MAIN_"):
        env = {prefix + name: value for name, value in values.items()}
        assert {name.replace("MAIN", "<NAME>") for name in env} <= set(environment.documented())
        source = load_text(text, {**env, "COUCH_TAILOR_SECRET": "0123456789abcdef"}).sources["main"]
        account = (source.username, source.password, source.proxy_secret, source.api_key)
        assert (source.url, source.auth, *account) == tuple(values.values())


def test_the_examples_of_the_documentation_are_right(load_text: Loader) -> None:
    blocks = re.findall(r"(?:^    \[.*\n(?:    .*\n|\n(?=    ))*)", TEXT, re.MULTILINE)
    toml = "".join(re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks)
    assert {"[server]", "[sources.main]", "[databases.clinic]", "[profiles.phone]"} <= set(toml.split("\n"))
    env = {"COUCH_TAILOR_SECRET": "0123456789abcdef", "COUCH_TAILOR_SOURCE_PASSWORD": "thread"}
    config = load_text(toml, env)
    assert [rule.use for rule in config.profiles["phone"].rules] == ["select", "drop"]
    assert config.warnings == ()


def test_the_container_of_the_documentation_gets_what_its_configuration_lacks(load_text: Loader) -> None:
    deploying = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    configure = deploying.partition("## 2. Configure the proxy\n")[2].partition("\nSecrets come")[0]
    command = deploying.partition("    docker run ")[2].partition("\n\n")[0]
    env = {name: value.replace("…", "0123456789abcdef") for name, value in re.findall(r"-e (\w+)=(\S+)", command)}
    source = load_text(re.sub("^    ", "", configure, flags=re.MULTILINE), env).sources["main"]
    assert (source.auth, source.url) == ("service", "http://couchdb:5984")
