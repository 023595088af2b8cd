from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.config.conftest import Loader
from tests.config.test_mistakes import GOOD

RULES = 'filters = [{ use = "drop", paths = ["a", "b"] }, { use = "select", where = "visit" }]\n'


def epoch(load_text: Loader, text: str) -> str:
    return load_text(text).profiles["phone"].epoch


def test_its_form(load_text: Loader) -> None:
    assert re.fullmatch("[0-9a-f]{12}", epoch(load_text, GOOD + RULES))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"a"', '"c"'),
        ('"a", "b"', '"b", "a"'),
        ('{ use = "select", where = "visit" }', ""),
        ('paths = ["a", "b"]', 'paths = ["a", "b"], deep = true'),
        (RULES, ""),
        (RULES, f"design_docs = true\n{RULES}"),
        (RULES, f'device = {{ model = "X-Model" }}\n{RULES}'),
    ],
)
def test_changed_rules_change_it(load_text: Loader, old: str, new: str) -> None:
    text = GOOD + RULES
    assert old in text
    assert epoch(load_text, text.replace(old, new)) != epoch(load_text, text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (RULES, f'roles = ["nurse"]\nsuffix = "p"\nfind = false\nwrite = false\non_surplus = "discard"\n{RULES}'),
        ('paths = ["a", "b"]', 'deep = false, paths = ["a", "b"]'),
        ("0123456789abcdef", "another secret of a node"),
        (RULES, f"# a comment\n{RULES}"),
    ],
)
def test_what_does_not_decide_what_documents_look_like(load_text: Loader, old: str, new: str) -> None:
    text = GOOD + RULES
    assert epoch(load_text, text.replace(old, new)) == epoch(load_text, text)


def test_a_filter_that_moves_changes_it(load_text: Loader) -> None:
    moved = RULES.replace("[{", "[").replace("}]", "]")
    first, second = moved.removeprefix("filters = [").removesuffix("]\n").split("}, {")
    turned = f"filters = [{{{second}}}, {{{first}}}]\n"
    assert epoch(load_text, GOOD + turned) != epoch(load_text, GOOD + RULES)


KEEP = "class Keep(Filter):\n def shape(self, doc, client): return doc\n"


def test_a_helper_of_a_site_module_counts(load_text: Loader) -> None:
    Path("rules.py").write_text("import helper\nfrom proxy.contract import Filter\n" + KEEP)
    text = GOOD + 'filters = [{ use = "rules:Keep" }]\n'
    found = set()
    for helper in ("", "A = 1\n"):
        Path("helper.py").write_text(helper)
        found.add(epoch(load_text, text))
    assert len(found) == 2


def test_a_class_can_say_that_it_changed(load_text: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.config.sample_filters import Drop

    before = epoch(load_text, GOOD + RULES)
    monkeypatch.setattr(Drop, "version", 2, raising=False)
    assert epoch(load_text, GOOD + RULES) != before


def test_it_is_the_same_in_another_process(load_text: Loader) -> None:
    here = epoch(load_text, GOOD + RULES)
    program = (
        "from proxy.config import load; from tests.config.sample_filters import REGISTERED; "
        "print(load('clinic.toml', {}, registered=REGISTERED).profiles['phone'].epoch)"
    )
    root = str(Path(__file__).parents[2])
    for seed in ("1", "2"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": root}
        run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == here
