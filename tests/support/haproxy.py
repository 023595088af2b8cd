"""haproxy in front of several nodes, configured as docs/deploying.md says."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.support.process import ServerProcess, free_port

_DOCS = Path(__file__).parents[2] / "docs" / "deploying.md"
_DEFAULTS = """
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
"""
"""Of the configuration that Debian's package comes with."""


def find() -> str | None:
    """The command, if there is one."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def balancer(command: str, directory: Path, ports: Sequence[int]) -> ServerProcess:
    """A balancer for nodes on these ports of 127.0.0.1, which hands out requests in turn. It is not started yet."""
    directory.mkdir()
    port, config = free_port(), directory / "haproxy.cfg"
    config.write_text(_DEFAULTS + _documented(port, ports))
    return ServerProcess([command, "-db", "-f", str(config)], port, directory / "haproxy.log", ready="/_up")


def _documented(port: int, ports: Sequence[int]) -> str:
    """The documented configuration, without TLS."""
    found = re.search(r"^haproxy:\n\n((?:    .*\n|\n)+)", _DOCS.read_text(), re.MULTILINE)
    assert found is not None
    lines = [line[4:] for line in found[1].splitlines() if not line.lstrip().startswith("server ")]
    servers = [f"  server node{number} 127.0.0.1:{each} check" for number, each in enumerate(ports)]
    text, count = re.subn(r"bind :443 ssl .*", f"bind 127.0.0.1:{port}", "\n".join(lines).rstrip())
    assert count == 1
    return "\n".join([text, *servers, ""])
