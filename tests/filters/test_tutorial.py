"""docs/writing-a-filter.md: each step works, or fails, as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PathDistribution
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.filters.test_docs import ROOT, blocks

TEXT = (ROOT / "docs" / "writing-a-filter.md").read_text()
STEPS = {title: blocks(text) for title, text in re.findall(r"^## (\d)[^\n]*\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)}


def block(step: str, start: str) -> str:
    [found] = [text for text in STEPS[step] if text.startswith(start)]
    return found


FIRST, FINISHED = block("1", "from proxy"), block("4", "from proxy")
CONFIGURATION, COMMANDS = block("2", "[server]"), block("2", "couch-tailor check")
TESTS = block("3", "from clinic_filters")
PACKAGE = block("6", "[project]")
REPAIRED = FIRST.replace('if "name" not in doc', 'if not isinstance(doc.get("name"), str)')


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def run_tests(directory: Path, module: str) -> subprocess.CompletedProcess[str]:
    (directory / "clinic_filters.py").write_text(module)
    (directory / "test_clinic_filters.py").write_text(TESTS)
    return run(directory, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(directory))


@pytest.mark.parametrize(
    ("module", "failure"),
    [
        (FIRST, "'list' object has no attribute 'split'"),
        (REPAIRED, "PutGet: the client does not read back what it wrote, at name"),
        (FINISHED, None),
    ],
    ids=["first", "repaired", "finished"],
)
def test_the_tests_find_what_they_are_said_to_find(tmp_path: Path, module: str, failure: str | None) -> None:
    result = run_tests(tmp_path, module)
    assert (result.returncode == 0) == (failure is None), result.stdout
    assert failure is None or failure in result.stdout


@pytest.mark.parametrize("module", [FIRST, FINISHED], ids=["first", "finished"])
def test_the_commands_work(tmp_path: Path, module: str) -> None:
    (tmp_path / "clinic_filters.py").write_text(module)
    (tmp_path / "tailor.toml").write_text(CONFIGURATION)
    result = run(tmp_path, "bash", "-e", "-c", COMMANDS)
    assert result.returncode == 0, result.stderr
    assert '"name": "A. S."' in result.stdout


def test_the_finished_filters_options_are_checked(tmp_path: Path) -> None:
    (tmp_path / "clinic_filters.py").write_text(FINISHED)
    (tmp_path / "tailor.toml").write_text(CONFIGURATION.replace('Initials"', 'Initials", mark = 1'))
    result = run(tmp_path, "couch-tailor", "check", "tailor.toml")
    assert result.returncode == 2
    assert "mark: must be a string, not 1" in result.stderr


def test_the_package_has_the_module_and_not_its_tests() -> None:
    described = tomllib.loads(PACKAGE)
    assert described["tool"]["setuptools"]["py-modules"] == ["clinic_filters"]
    [offered] = described["project"]["entry-points"]["couch_tailor.filters"].values()
    assert offered == "clinic_filters:Initials"


@pytest.mark.skipif(find_spec("setuptools") is None, reason="without setuptools, which pip would fetch")
def test_the_package_can_be_made(tmp_path: Path) -> None:
    for name, text in {
        "pyproject.toml": PACKAGE,
        "clinic_filters.py": FINISHED,
        "test_clinic_filters.py": TESTS,
    }.items():
        (tmp_path / name).write_text(text)
    result = run(tmp_path, sys.executable, "-c", "from setuptools import setup; setup()", "-q", "egg_info")
    assert result.returncode == 0, result.stderr
    made = PathDistribution(tmp_path / "clinic_filters.egg-info")
    assert made.read_text("top_level.txt") == "clinic_filters\n"
    assert [(entry.name, entry.value) for entry in made.entry_points] == [("initials", "clinic_filters:Initials")]
