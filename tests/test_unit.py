"""The unit of systemd in docs/deploying.md."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli import _parser

TEXT = (Path(__file__).parents[1] / "docs/deploying.md").read_text()
_found = re.search(r"^    (\[Unit\]\n.*?)\n\n- ", TEXT, re.MULTILINE | re.DOTALL)
assert _found is not None
UNIT = re.sub(r"^    ", "", _found[1], flags=re.MULTILINE) + "\n"
COMMAND = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)


def test_what_it_starts_is_a_command() -> None:
    [line] = COMMAND
    program, *arguments = shlex.split(line)
    assert program.endswith("/couch-tailor")
    assert _parser().parse_args(arguments).config == "/etc/couch-tailor/tailor.toml"


def test_systemd_understands_it(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd here")
    here = Path(sys.executable).with_name("couch-tailor")
    unit = tmp_path / "couch-tailor.service"
    unit.write_text(UNIT.replace("/opt/couch-tailor/bin/couch-tailor", str(here)))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    about_it = [line for line in done.stderr.splitlines() if "couch-tailor" in line]
    assert (done.returncode, about_it) == (0, []), done.stderr
