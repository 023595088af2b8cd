"""Rules that are kept, and had again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filters.redact import Redact
from proxy.config import load
from proxy.config.archive import Archive
from proxy.config.model import Config
from proxy.contract import Client
from proxy.core.lens import Chain
from tests.config.test_mistakes import GOOD
from tests.filters.samples import SAMPLES

CLIENT = Client("ann", frozenset(["facility:f7"]))
EVERY = """
filters = [
  { use = "select", where = "facility == client.facility" },
  { use = "drop", paths = ["ssn", "notes[?private]"] },
  { use = "rename", fields = { visits = "count" } },
  { use = "redact", paths = ["name"], mode = "partial", keep = 2 },
  { use = "redact", paths = ["address.city"], mode = "hash", key = "a key of sixteen characters" },
  { use = "truncate", paths = ["tags"], items = 1 },
  { use = "default", fields = { level = { a = [1, 2.5, true] } } },
  { use = "compute", fields = { size = "length(tags || `[]`)" } },
  { use = "attachments", deny = ["image/*"] },
  { use = "own:Own", fields = ["contacts"] },
  { use = "validate", where = "true" },
  { use = "stamp", fields = { by = "client.name" } },
]
"""
OWN = """
from proxy.contract import Filter

class Own(Filter):
    def __init__(self, *, fields, more=None, kept=object()):
        self.fields = fields

    def shape(self, doc, client):
        return {name: value for name, value in doc.items() if name not in self.fields}
"""


def config_of(directory: Path, rules: str = EVERY, own: str = OWN) -> Config:
    directory.mkdir(exist_ok=True)
    (directory / "own.py").write_text(own)
    (directory / "clinic.toml").write_text(GOOD + rules)
    return load(directory / "clinic.toml", {})


def kept(config: Config) -> list[str]:
    """The rules of the profile `phone`, as they come back from where they were kept."""
    rules: list[str] = json.loads(json.dumps(Archive(config).rules_of(config.profiles["phone"])))
    return rules


def build(config: Config, rules: Any) -> Chain | None:
    archive = Archive(config)
    is_text = isinstance(rules, list) and all(isinstance(rule, str) for rule in rules)
    return archive.build(rules, archive.fingerprint(rules) if is_text else "0" * 24)


def shapes(chain: Chain) -> list[object]:
    return [chain.shape(doc, CLIENT) for doc in SAMPLES]


def test_every_kind_of_rule_is_had_again(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    chain = build(config, kept(config))
    assert chain is not None
    assert len(chain.links) == 12
    assert shapes(chain) == shapes(config.profiles["phone"].chain)
    assert any(shape is not None for shape in shapes(chain))


def test_secrets_are_not_kept_and_found_while_they_are_somewhere(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    rules = kept(config)
    assert "a key of sixteen" not in "".join(rules)
    moved = '[{ use = "redact", paths = ["other"], mode = "hash", key = "a key of sixteen characters" }]'
    with_it, without = (
        config_of(tmp_path, f"filters = {text}\n") for text in (moved, moved.replace("sixteen", "6 7 8 9"))
    )
    built = build(with_it, rules)
    assert built is not None
    assert isinstance(built.links[4].filter, Redact)
    assert shapes(built) == shapes(config.profiles["phone"].chain)
    assert build(without, rules) is None


def test_code_that_is_another_by_now_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    rules = kept(config_of(tmp_path / "old"))
    new = config_of(tmp_path / "new", own=OWN.replace("not in self.fields", "in self.fields"))
    assert build(new, rules) is None


def test_an_option_that_a_filter_has_got_since_does_not_matter(tmp_path: Path) -> None:
    old = OWN.replace("more=None, ", "")
    rules = kept(config_of(tmp_path / "old", own=old))
    rules = [rule.replace(_stamp(rules), _stamp(kept(config_of(tmp_path / "new")))) for rule in rules]
    assert '"more"' not in "".join(rules)
    assert build(config_of(tmp_path / "new"), rules) is not None
    other = [rule.replace('["contacts"]', '["contacts"], "gone": 1') for rule in rules]
    assert build(config_of(tmp_path / "new"), other) is None


def _stamp(rules: list[str]) -> str:
    """What identifies the code of the filter `Own`."""
    [stamp] = [stamp for use, stamp, *_ in map(json.loads, rules) if use == "own:Own"]
    return str(stamp)


@pytest.mark.parametrize(
    "rules", [["[" * 100_000], None, 1, "text", ["no JSON"], ["[]"], ["{}"], ['["drop", "", null, []]'], [None]]
)
def test_what_is_no_rules_is_none(tmp_path: Path, rules: object) -> None:
    assert build(config_of(tmp_path), rules) is None


def test_rules_are_known_by_their_fingerprint(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    archive, rules = Archive(config), kept(config)
    mark = archive.fingerprint(rules)
    assert archive.fingerprint(rules[:-1]) != mark
    assert archive.build(rules[:-1], mark) is None
    assert archive.build(rules, mark) is not None
