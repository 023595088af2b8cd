"""What runs are the versions that are pinned."""

from __future__ import annotations

import subprocess

from tests.compatibility.clients.driver import PYTHON
from tests.support.devices import CLIENTS

PINNED = CLIENTS / "python" / "requirements.txt"


def test_the_packages_are_installed_as_pinned() -> None:
    wanted = [line for line in PINNED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    listing = subprocess.run([PYTHON, "-m", "pip", "list", "--format=freeze"], capture_output=True, check=True)
    found = listing.stdout.decode().lower().splitlines()
    assert [line for line in wanted if line.lower() not in found] == []
