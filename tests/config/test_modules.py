"""Filters in modules beside the configuration file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from proxy.config import ConfigError, load
from proxy.config.model import Config
from proxy.contract import Client
from tests.config.conftest import Loader
from tests.config.test_mistakes import GOOD, mistakes

USE = GOOD + 'filters = [{ use = "rules:Keep", only = "name" }]\n'
KEEP = """\
from proxy.contract import Filter
class Keep(Filter):
    def __init__(self, only):
        self.only = only
    def shape(self, doc, client):
        return {name: doc[name] for name in ("_id", self.only) if name in doc}
"""


def module(text: str, name: str = "rules.py") -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def shaped(config: Config) -> object:
    return config.profiles["phone"].chain.shape({"_id": "a", "name": "b", "ssn": 1}, Client("ann"))


def test_a_module_beside_the_file(load_text: Loader) -> None:
    module(KEEP)
    assert shaped(load_text(USE)) == {"_id": "a", "name": "b"}


def test_the_directory_of_the_file_counts_not_the_working_directory(
    load_text: Loader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module(KEEP)
    load_text(USE)
    monkeypatch.chdir("/")
    assert shaped(load(tmp_path / "clinic.toml", {})) == {"_id": "a", "name": "b"}


def test_a_package_with_helpers(load_text: Loader) -> None:
    module("ONLY = ('_id', 'ssn')\n", "helper.py")
    module("", "site_rules/__init__.py")
    module("from helper import ONLY\nfrom .words import Base\nclass Keep(Base):\n only = ONLY\n", "site_rules/keep.py")
    module(
        "from proxy.contract import Filter\nclass Base(Filter):\n"
        " def shape(self, doc, client): return {k: v for k, v in doc.items() if k in self.only}\n",
        "site_rules/words.py",
    )
    config = load_text(GOOD + 'filters = [{ use = "site_rules.keep:Keep" }]\n')
    assert shaped(config) == {"_id": "a", "ssn": 1}


def test_the_interpreter_is_left_as_it_was(load_text: Loader) -> None:
    module("import helper\n" + KEEP)
    module("", "helper.py")
    module("raise RuntimeError\n", "jmespath.py")  # one of that name is loaded already, and stays
    import jmespath

    path, modules, bytecode = list(sys.path), dict(sys.modules), sys.dont_write_bytecode
    load_text(USE)
    assert (sys.path, sys.modules, sys.dont_write_bytecode) == (path, modules, bytecode)
    assert sys.modules["jmespath"] is jmespath
    assert not Path("__pycache__").exists()


def test_an_edited_module_is_loaded_anew(load_text: Loader) -> None:
    module(KEEP)
    first = load_text(USE)
    module(KEEP.replace('"_id", ', '"ssn", '))
    second = load_text(USE)
    assert (shaped(first), shaped(second)) == ({"_id": "a", "name": "b"}, {"_id": "a", "name": "b", "ssn": 1})
    assert first.profiles["phone"].epoch != second.profiles["phone"].epoch
    module("# the same, said in another way\n\n" + KEEP)
    assert load_text(USE).profiles["phone"].epoch == first.profiles["phone"].epoch


def test_standard_library_modules_cannot_be_replaced(load_text: Loader) -> None:
    module(KEEP, "json.py")
    text = USE.replace("rules:", "json:")
    assert mistakes(load_text, text) == [
        "clinic.toml:9: profiles.phone.filters[0].use: "
        "the module \"json\" has the name of one of Python's or couch-tailor's own; rename it"
    ]
    assert sys.modules["json"] is json


def test_built_in_filters_have_names(load_text: Loader) -> None:
    Path("clinic.toml").write_text(USE.replace("rules:Keep", "filters.drop:Drop"))
    with pytest.raises(ConfigError) as caught:
        load("clinic.toml", {})
    assert caught.value.problems[0].endswith(
        'the module "filters" has the name of one of Python\'s or couch-tailor\'s own; write use = "drop"'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_like_it\n", ".use: {rules}:1: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("x = 1\n\nclass Keep(:\n    pass\n", ".use: {rules}:3: SyntaxError: invalid syntax"),
        ("if True:\nx = 1\n", ".use: {rules}:2: IndentationError: expected an indented block after 'if' statement "
         "on line 1"),
        ("def f():\n    return 1 / 0\n\nf()\n", ".use: {rules}:2: ZeroDivisionError: division by zero"),
        ("import helper\n", ".use: {helper}:2: NameError: name 'boo' is not defined"),
        ("import sys\nsys.exit(3)\n", ".use: {rules}:2: SystemExit: 3"),
        (KEEP.replace("class Keep", "class Kept"), '.use: {rules} has no class "Keep"; did you mean "Kept"?'),
        ("x = 1\n", '.use: {rules} has no class "Keep"'),
        ("class Keep:\n    pass\n", '.use: "rules:Keep" is not a filter: '
         "it must be a class that inherits proxy.contract.Filter"),
        ("Keep = 3\n", '.use: "rules:Keep" is not a filter: it must be a class that inherits proxy.contract.Filter'),
        ("raise GeneratorExit\n", ".use: {rules}:1: GeneratorExit: "),
        (KEEP.replace("def shape", "async def shape"), '.use: "rules:Keep" is not a filter: filters are synchronous; '
         "make shape() a def, not an async def"),
        (KEEP + "    async def restore(self, edited, original, client): yield edited\n", '.use: "rules:Keep" is not a '
         "filter: filters are synchronous; make restore() a def, not an async def"),
        (KEEP.replace("self.only = only", "raise GeneratorExit"), ": the filter rules:Keep failed: {rules}:4: "
         "GeneratorExit: "),
        (KEEP.replace("self.only = only", "self.only = only + 1"), ": the filter rules:Keep failed: {rules}:4: "
         'TypeError: can only concatenate str (not "int") to str'),
        (KEEP + "    def audience_fields(self): return 1 / 0\n", ": the filter rules:Keep failed: {rules}:7: "
         "ZeroDivisionError: division by zero"),
        (KEEP + "    def describe(self): return self.nothing\n", ": the filter rules:Keep failed: {rules}:7: "
         "AttributeError: 'Keep' object has no attribute 'nothing'"),
    ],
)  # fmt: skip
def test_modules_that_fail(load_text: Loader, tmp_path: Path, text: str, message: str) -> None:
    module(text)
    module("\nboo\n", "helper.py")
    message = message.replace("{rules}", str(tmp_path / "rules.py")).replace("{helper}", str(tmp_path / "helper.py"))
    assert mistakes(load_text, USE) == [f"clinic.toml:9: profiles.phone.filters[0]{message}"]


def test_a_module_that_is_not_text(load_text: Loader, tmp_path: Path) -> None:
    Path("rules.py").write_bytes(b"x = '\xff'\n")
    [message] = mistakes(load_text, USE)
    assert message.startswith(f"clinic.toml:9: profiles.phone.filters[0].use: {tmp_path / 'rules.py'}")


def test_a_module_with_a_null_byte_is_named(load_text: Loader) -> None:
    module("x = '\0'\n")
    [message] = mistakes(load_text, USE)
    assert '.use: the module "rules" cannot be loaded: ' in message
    assert message.endswith("null bytes")


def test_what_does_not_load_leaves_nothing_behind(load_text: Loader) -> None:
    module("import helper\nimport nothing_like_it\n")
    module("", "helper.py")
    path, modules = list(sys.path), dict(sys.modules)
    with pytest.raises(ConfigError):
        load_text(USE)
    assert (sys.path, sys.modules) == (path, modules)
