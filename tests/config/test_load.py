from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from proxy.config import load, schema, values
from proxy.config.model import Profile, Server, Source
from proxy.config.problems import BadValue
from proxy.contract import Client
from tests.config.conftest import Loader
from tests.config.test_mistakes import GOOD
from tests.config.test_together import HEAD

FULL = """\
[server]
bind = "[::1]:0"
secret = "0123456789abcdef"
max_body = "2 MiB"
session_ttl = "500ms"
anonymous = true
trust_forwarded = true
timeout = "2m"

[sources.main]
url = "https://couch.example.org/prefix/"
auth = "proxy"
proxy_secret = "s"
username = "tailor"
roles = ["a", "b"]

[sources.other]
url = "http://127.0.0.1:5984"

[databases.clinic]
source = "main"
name = "clinic_2024"

[databases.stock]
source = "other"

[profiles.phone]
databases = ["clinic", "stock"]
suffix = "ph"
roles = ["nurse"]
users = ["ann"]
by_role = true
design_docs = true
all_docs = false
find = false
write = false
trusted = true
orphans = "refuse"
on_surplus = "discard"
device = { model = "X-Device-Model" }
filters = [
  { use = "select", where = "visit" },
  { use = "drop", paths = ["ssn"] },
]

[profiles.tablet]
databases = ["stock"]
suffix = false
header = "X-Device:  tablet "
"""


def test_everything(load_text: Loader) -> None:
    config = load_text(FULL)
    assert config.server == Server("::1", 0, b"0123456789abcdef", 2 * 2**20, 0.5, True, True, 120.0)
    main = Source("main", "https://couch.example.org/prefix", "proxy", "tailor", None, ("a", "b"), "s")
    assert config.sources == {"main": main, "other": Source("other", "http://127.0.0.1:5984")}
    clinic, stock = config.databases["clinic"], config.databases["stock"]
    assert (clinic.name, clinic.source, clinic.source_db) == ("clinic", main, "clinic_2024")
    assert (stock.name, stock.source.name, stock.source_db) == ("stock", "other", "stock")
    phone, tablet = config.profiles.values()
    assert (phone.suffix, phone.roles, phone.users, phone.by_role) == (
        "ph",
        frozenset(["nurse"]),
        frozenset(["ann"]),
        True,
    )
    assert (phone.design_docs, phone.all_docs, phone.find, phone.write, phone.trusted) == (True, *[False] * 3, True)
    assert (phone.orphans, phone.on_surplus, phone.header) == ("refuse", "discard", None)
    assert phone.device_headers == {"model": "x-device-model"}
    assert phone.virtual_name("clinic") == "clinic-ph"
    assert tablet.header == ("x-device", "tablet")
    assert tablet.virtual_name("stock") is None


def test_filters_become_a_chain_in_their_order(load_text: Loader) -> None:
    phone = load_text(FULL).profiles["phone"]
    assert [link.name for link in phone.chain.links] == [
        "profiles.phone.filters[0] (select)",
        "profiles.phone.filters[1] (drop)",
    ]
    assert [(rule.use, rule.options, rule.description) for rule in phone.rules] == [
        ("select", {"where": "visit"}, "documents of type visit"),
        ("drop", {"paths": ["ssn"]}, 'paths = ["ssn"]'),
    ]
    ann = Client("ann")
    assert phone.chain.shape({"_id": "a", "type": "visit", "ssn": 1}, ann) == {"_id": "a", "type": "visit"}
    assert phone.chain.shape({"_id": "a"}, ann) is None


def test_deletions_keep_what_decides_for_clients_of_other_profiles(tmp_path: Path) -> None:
    select = '[profiles.{0}]\ndatabases = ["{1}"]\nfilters = [{{ use = "select", where = "{0}_field" }}]\n'
    profiles = (("here", "clinic"), ("beside", "clinic"), ("elsewhere", "stock"))
    file = tmp_path / "clinic.toml"
    file.write_text(HEAD + "".join(select.format(*each) for each in profiles), encoding="utf-8")
    chain = load(file, {}).profiles["here"].chain
    assert chain.audience_fields == {"here_field"}
    assert chain.kept_fields == {"here_field", "beside_field"}


def test_what_is_left_out(load_text: Loader) -> None:
    config = load_text(GOOD)
    assert config.server == Server(secret=b"0123456789abcdef")
    assert config.sources["main"] == Source("main", "http://127.0.0.1:5984")
    phone = config.profiles["phone"]
    expected = Profile("phone", frozenset(["clinic", "stock"]), phone.chain, "phone", epoch=phone.epoch)
    assert phone == expected
    assert not phone.chain


@pytest.mark.parametrize(
    ("keys", "model"), [(schema.SERVER, Server), (schema.SOURCE, Source), (schema.PROFILE, Profile)]
)
def test_the_defaults_are_those_of_the_model(keys: tuple[schema.Key, ...], model: Any) -> None:
    defaults = {field.name: field.default for field in fields(model)}
    for key in keys:
        if key.default is not schema.REQUIRED and key.default is not None and key.name in defaults:
            read = key.default if key.default == () else key.read(key.default)
            assert read == defaults[key.name] or not read, key.name


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [(1, 1), ("1", 1), ("1B", 1), ("2kB", 2000), ("2KB", 2000), ("2KiB", 2048), ("3 MB", 3 * 10**6), ("1GiB", 2**30)],
)
def test_sizes(text: Any, bytes_: int) -> None:
    assert values.size(text) == bytes_


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(0, 0.0), (1.5, 1.5), ("7", 7.0), ("1.5s", 1.5), ("20ms", 0.02), ("2m", 120.0), ("2 min", 120.0), ("1h", 3600.0)],
)
def test_durations(text: Any, seconds: float) -> None:
    assert values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::]:5984", ("::", 5984)),
        ("localhost:0", ("localhost", 0)),
        ("my_host.example.org:65535", ("my_host.example.org", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert values.bind(text) == address


@pytest.mark.parametrize("text", ["x:٣", "x:-1", "x:", "x:1 ", "[x]:1", "-x:1", "[::1:1", "1.2:3"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(BadValue):
        values.bind(text)
