"""What docs/deploying.md says to configure haproxy with is taken by it, without anything else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import haproxy

DOCS = (Path(__file__).parents[1] / "docs" / "deploying.md").read_text()
BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)


def sections(keyword: str) -> list[str]:
    """The documented sections of this kind, in their order."""
    text = "\n".join(re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in BLOCK.findall(DOCS))
    return re.findall(rf"^{keyword} .*\n(?:  .*\n)+", text, re.MULTILINE)


@pytest.mark.parametrize("number", [0, 1])
def test_each_backend_is_taken_behind_the_frontend(tmp_path: Path, number: int) -> None:
    command = haproxy.find()
    if command is None:
        pytest.skip("there is no haproxy; install it (Debian: apt-get install haproxy)")
    [frontend], backends = sections("frontend"), sections("backend")
    assert len(backends) == 2
    config = tmp_path / "haproxy.cfg"
    config.write_text(re.sub(r" ssl crt .*", "", frontend) + "\n" + backends[number])
    said = subprocess.run([command, "-c", "-f", str(config)], capture_output=True, text=True, check=False)
    assert (said.returncode, "WARNING" in said.stdout + said.stderr) == (0, False), said.stdout + said.stderr
