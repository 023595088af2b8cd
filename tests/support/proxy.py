"""The proxy in a process of its own, as a site would run it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.family import alive, children
from tests.support.http import Http, basic, eventually
from tests.support.process import ServerProcess, free_port

SECRET = "a secret that all nodes share, for tests"


class Proxy:
    """`couch-tailor serve` with a configuration file that is written to `directory`."""

    def __init__(
        self,
        directory: Path,
        source_url: str,
        databases: Sequence[str],
        profiles: Mapping[str, Mapping[str, Any]],
        *,
        source_options: Mapping[str, Any] | None = None,
        server_options: Mapping[str, Any] | None = None,
        modules: Mapping[str, str] | None = None,
    ) -> None:
        """`profiles`: as in the file, each for all of the databases. `modules`: a site's own, by name: their text."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.port = free_port()
        self._sections: dict[str, Any] = {
            "server": {"bind": f"127.0.0.1:{self.port}", "secret": SECRET, **(server_options or {})},
            "sources": {"main": {"url": source_url, **(source_options or {})}},
            "databases": {name: {} for name in databases},
        }
        self._databases = list(databases)
        for name, text in (modules or {}).items():
            (directory / f"{name}.py").write_text(text)
        self.configure(profiles)
        command = [str(Path(sys.executable).with_name("couch-tailor")), "serve"]
        env = {"COUCH_TAILOR_CONFIG": str(directory / "couch-tailor.toml")}
        self.process = ServerProcess(command, self.port, directory / "proxy.log", ready="/_up", env=env)

    def configure(self, profiles: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the configuration with these profiles; it applies from the next start on."""
        sections = {
            **self._sections,
            "profiles": {name: {"databases": self._databases, **profile} for name, profile in profiles.items()},
        }
        (self._directory / "couch-tailor.toml").write_text(to_toml(sections))

    @property
    def url(self) -> str:
        return self.process.url

    def start(self) -> Proxy:
        self.process.start()
        return self

    def kill(self) -> None:
        """Kill all of its processes at once."""
        pids = children(self.process.pid).values()
        self.process.kill()
        for pid in pids:
            with suppress(ProcessLookupError):  # it ends by itself as well
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(alive, pids)), "all processes of the proxy have ended")

    def http(self, user: str, password: str) -> Http:
        return Http(self.url, basic(user, password))


def to_toml(sections: Mapping[str, Any]) -> str:
    """Sections of plain values and tables of such; everything below that becomes inline."""
    lines = []
    for section, table in sections.items():
        if any(isinstance(value, dict) for value in table.values()):
            for name, inner in table.items():
                lines += [f"[{section}.{_key(name)}]", *_pairs(inner), ""]
        else:
            lines += [f"[{section}]", *_pairs(table), ""]
    return "\n".join(lines)


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items()]


def _key(name: str) -> str:
    return json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)
