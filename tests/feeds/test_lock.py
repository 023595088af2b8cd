"""One couch-tailor at a time keeps a directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.feeds.lock import InUse, holder, lock


def test_one_at_a_time(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    assert holder(directory) is None
    with lock(directory):
        assert holder(directory) == f"process {os.getpid()}"
        with pytest.raises(InUse, match=rf"^process {os.getpid()}$"):
            lock(directory)
    assert holder(directory) is None
    with lock(directory):
        pass


def test_nobody_else_can_look_into_it(tmp_path: Path) -> None:
    with lock(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_it_is_kept_as_long_as_anybody_has_it(tmp_path: Path) -> None:
    """A follower that outlives its supervisor for a moment still writes."""
    wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with lock(tmp_path) as kept:
        child = subprocess.Popen(wait, stdin=subprocess.PIPE, pass_fds=[kept.fileno()])
    with pytest.raises(InUse):
        lock(tmp_path)
    child.communicate()
    lock(tmp_path).close()


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(OSError, match="exists"):
        lock(tmp_path / "data")
