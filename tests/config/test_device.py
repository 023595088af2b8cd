"""Expressions of the built-in filters that read what no device of the profile says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ConfigError, load

GOOD = """\
[server]
secret = "0123456789abcdef"
[sources.main]
url = "http://127.0.0.1:5984"
[databases.clinic]
[profiles.phone]
databases = ["clinic"]
"""
NO_DEVICE = 'the profile has no device; add it, as device = { model = "X-Device-Model" }'
RULES = """
from filters.select import Select
class Mine(Select):
    pass
"""


def mistakes(directory: Path, filters: str, device: str = "") -> list[str]:
    file = directory / "clinic.toml"
    file.write_text(f"{GOOD}{device}\n[[profiles.phone.filters]]\n{filters}\n")
    try:
        load(file, {})
    except ConfigError as error:
        return [problem.partition(": profiles.phone.")[2] for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("filters", "option"),
    [
        ('use = "select"\nwhere = "kind == client.device.model"', "where"),
        ('use = "validate"\nwhere = "old.a == a || client.device.model"', "where"),
        ('use = "compute"\nfields = { a = "b", shown = "client.device.model" }', "fields.shown"),
        ('use = "stamp"\nfields = { "by what" = "client.[name, device.model]" }', 'fields."by what"'),
        ('use = "project"\nbody = "{a: a, b: client.device.model}"', "body"),
        ('use = "drop"\npaths = ["a[?b]", "a[?b]", "c[?d != client.device.model].e"]', "paths[2]"),
        ('use = "keep"\npaths = ["c[?d != client.device.model].e"]', "paths[0]"),
        ('use = "redact"\npaths = ["c[?d != client.device.model].e"]', "paths[0]"),
        ('use = "truncate"\nitems = 1\npaths = ["c[?d != client.device.model].e"]', "paths[0]"),
    ],
)
def test_each_is_found_at_its_option(tmp_path: Path, filters: str, option: str) -> None:
    [mistake] = mistakes(tmp_path, filters)
    message, _, excerpt = mistake.partition("\n")
    assert message == f"filters[0].{option}: client.device.model is always null: {NO_DEVICE}"
    assert "device.model" in excerpt
    assert mistakes(tmp_path, filters, 'device = { model = "X-Device-Model" }') == []
    assert mistakes(tmp_path, filters, 'device = { modell = "X-Device-Model" }') == [
        f"filters[0].{option}: client.device.model is always null: the profile's device has no such name; "
        f'did you mean "modell"?\n{excerpt}'
    ]


@pytest.mark.parametrize("device", ['device = { model = "a b" }', "device = 3"])
def test_a_mistake_in_the_table_is_no_other_one(tmp_path: Path, device: str) -> None:
    filters = 'use = "select"\nwhere = "kind == client.device.model"'
    assert [each.partition(":")[0] for each in mistakes(tmp_path, filters, device)] == [
        "device.model" if "model" in device else "device"
    ]


@pytest.mark.parametrize(
    "where",
    [
        "a == client.facility",
        "client.attributes.b",
        "a == client.grants.x[0]",
        "length(client.device) > `0`",
        "device.x",
    ],
)
def test_what_may_be_there_is_none(tmp_path: Path, where: str) -> None:
    assert mistakes(tmp_path, f'use = "validate"\nwhere = "{where}"') == []


def test_what_a_sites_own_filter_reads_is_its_affair(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(RULES)
    assert mistakes(tmp_path, 'use = "rules:Mine"\nwhere = "kind == client.device.model"') == []
