"""The processes that a process has started, on Linux: to find, and to kill, the one that a test means."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> dict[str, int]:
    """The children of `couch-tailor serve`, by their names: "follower", "worker 1"."""
    found = {}
    with suppress(FileNotFoundError):
        # by thread: the one that forked counts
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                arguments = _arguments(child)
                if "_process" in arguments:
                    found[arguments[arguments.index("_process") + 1]] = child
    return found


def alive(pid: int) -> bool:
    """Whether a process is there, and not only its exit status."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
