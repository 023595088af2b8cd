"""Two readings of the same files have one fingerprint, whatever the process; any change gives another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.fingerprint import fingerprint

CONFIG = """\
[server]
secret = "0123456789abcdef"
bind = "127.0.0.1:1"
[server.cors]
origins = ["https://a"]
headers = ["a", "b", "c"]
[sources.main]
url = "http://127.0.0.1:9"
auth = "service"
username = "tailor"
password = "first"
[databases.clinic]
[databases.stock]
[profiles.phone]
databases = ["clinic", "stock"]
roles = ["nurse", "doctor", "porter"]
filters = [{ use = "rules:Own" }, { use = "drop", paths = ["ssn"] }]
"""
RULES = """\
from proxy.contract import Filter

class Own(Filter):
    def shape(self, doc, client):
        return doc
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "rules.py").write_text(RULES)
    path = tmp_path / "clinic.toml"
    path.write_text(CONFIG)
    return path


def in_a_process(path: Path) -> str:
    program = "import sys; from proxy.config import load; from proxy.config.fingerprint import fingerprint as f"
    command = [sys.executable, "-c", f"{program}; print(f(load(sys.argv[1], {{}})))", str(path)]
    root = str(Path(__file__).parents[2])
    return subprocess.run(command, env={"PYTHONPATH": root}, capture_output=True, text=True, check=True).stdout.strip()


def test_processes_agree(path: Path) -> None:
    assert in_a_process(path) == in_a_process(path) == fingerprint(load(path, {}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"ssn"', '"snn"'),
        ('"first"', '"second"'),
        ("abcdef", "abcdeF"),
        ('"porter"', '"guard"'),
        ('"c"]', '"d"]'),
        ("[databases.stock]", "[databases.stock]\nindex = false"),
        ("bind", 'data = "x"\nbind'),
        ("roles = ", "write = false\nroles = "),
    ],
)
def test_changes_tell(path: Path, old: str, new: str) -> None:
    before = fingerprint(load(path, {}))
    assert old in CONFIG
    path.write_text(CONFIG.replace(old, new))
    assert fingerprint(load(path, {})) != before


def test_the_code_of_a_site_counts(path: Path) -> None:
    before = in_a_process(path)
    path.with_name("rules.py").write_text(RULES.replace("return doc", "return None"))
    assert in_a_process(path) != before


def test_the_address_does_not_count(path: Path) -> None:
    before = fingerprint(load(path, {}))
    path.write_text(CONFIG.replace("127.0.0.1:1", "127.0.0.1:2"))
    assert fingerprint(load(path, {})) == before
