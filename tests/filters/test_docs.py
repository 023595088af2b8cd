"""docs/filters.md: complete, and true."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from filters import BUILTINS
from proxy.contract import Client, Filter, Refused, promises

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "filters.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
EXAMPLE = r"(stored|shown|nothing|written|refused) *(.*)$"
ANN = Client("ann", frozenset({"nurse", "facility:f7"}), "phone")


def load(name: str) -> type[Filter]:
    module, _, cls = BUILTINS[name].partition(":")
    found: type[Filter] = getattr(import_module(module), cls)
    assert issubclass(found, Filter)
    return found


def blocks(section: str) -> list[str]:
    """The indented blocks, without their indentation."""
    found = re.findall(r"(?:^    [^\n]*\n(?:\n+(?=    ))?)+", section, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def configured(section: str) -> list[Filter]:
    """The filters that the section's samples configure."""
    built = []
    for block in blocks(section):
        toml = "\n".join(line for line in block.splitlines() if not re.match(EXAMPLE, line))
        for profile in tomllib.loads(toml).get("profiles", {}).values():
            for table in profile["filters"]:
                built.append(load(table.pop("use"))(**table))
    return built


def test_the_built_in_filters_are_registered_as_anyones_are() -> None:
    registered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["couch_tailor.filters"]
    assert registered == dict(BUILTINS)
    installed = {entry.name: entry.value for entry in entry_points(group="couch_tailor.filters")}
    assert installed.items() >= BUILTINS.items(), "install the project anew: pip install -e ."


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_every_filter_and_option_is_documented(name: str) -> None:
    assert f"[`{name}`](#{name})" in TEXT
    documented = re.findall(r"^\| `(\w+)` \|", SECTIONS[name], re.MULTILINE)
    assert documented == list(inspect.signature(load(name)).parameters)


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_every_filter_may_be_called_in_a_thread(name: str) -> None:
    assert promises(object.__new__(load(name)), "thread_safe", "shape", "restore")
    assert load(name).thread_safe


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_every_filter_names_its_options_in_its_own_file(name: str) -> None:
    module = import_module(BUILTINS[name].partition(":")[0])
    assert module.__doc__ is not None
    assert module.__doc__.startswith(f"`{name}`: ")
    for option in inspect.signature(load(name)).parameters:
        assert f"`{option}`" in module.__doc__


@pytest.mark.parametrize("name", [*sorted(BUILTINS), "What all have in common", "Expressions", "Paths"])
def test_examples_are_true(name: str) -> None:
    built = configured(SECTIONS[name])
    original: Any = None
    edited: Any = None
    for kind, text in re.findall(f"^    {EXAMPLE}", SECTIONS[name], re.MULTILINE):
        if kind == "stored" and edited is not None:
            assert built[0].restore(edited, original, ANN) == json.loads(text)
            edited = None
        elif kind == "stored":
            original = json.loads(text)
        elif kind == "written":
            edited = json.loads(text)
        elif kind == "refused":
            with pytest.raises(Refused) as caught:
                built[0].restore(edited, original, ANN)
            assert (caught.value.path or "") == text
            edited = None
        else:
            assert built[0].shape(original, ANN) == (json.loads(text) if text else None)


def test_the_first_sample_is_a_configuration() -> None:
    assert [type(filter_).__name__ for filter_ in configured(TEXT.partition("## ")[0])] == ["Select", "Drop"]
