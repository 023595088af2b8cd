"""Settings from environment variables, for what differs between containers of one image. They win."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any

from proxy.config.lines import Path
from proxy.config.problems import Problems

PREFIX = "COUCH_TAILOR_"
CONFIG = "COUCH_TAILOR_CONFIG"
"""Where the configuration file is: read by the command line, not by the loader."""

ENDPOINT_SECRET = "COUCH_TAILOR_PROXY_SECRET"
"""Read by `couch-tailor endpoint`; here it is only known."""

SERVER_VARIABLES = {"COUCH_TAILOR_BIND": "bind", "COUCH_TAILOR_SECRET": "secret"}
SOURCE_KEYS = ("url", "auth", "username", "password", "proxy_secret", "api_key")
_ONLY_SOURCE = "COUCH_TAILOR_SOURCE_"
_NAMED_SOURCE = "COUCH_TAILOR_SOURCES_"
_ORCHESTRATOR = re.compile(r"COUCH_TAILOR_(?:SERVICE_(?:HOST|PORT.*)|PORT(?:_[0-9]+_.*)?)")
"""What Kubernetes sets in every container beside a service called `couch-tailor`."""


@dataclass(frozen=True)
class Variable:
    """An environment variable and the key that it sets."""

    name: str
    path: Path


def documented() -> list[str]:
    """The names of all variables, for the documentation; `<NAME>` stands for a source's name."""
    server = [name + tail for name in SERVER_VARIABLES for tail in ("", "_FILE")]
    only, named = (
        [f"{prefix}{key.upper()}{tail}" for key in SOURCE_KEYS for tail in ("", "_FILE")]
        for prefix in (_ONLY_SOURCE, f"{_NAMED_SOURCE}<NAME>_")
    )
    return [CONFIG, ENDPOINT_SECRET, *server, *only, *named]


def apply(raw: dict[str, Any], env: Mapping[str, str], problems: Problems) -> None:
    """Put what the environment says into `raw`, as if the file had said it. Empty counts as not set."""
    if _sources_to_make(raw) and any(env.get(_ONLY_SOURCE + "URL" + tail) for tail in ("", "_FILE")):
        raw["sources"] = {"main": {}}
    known = {CONFIG, ENDPOINT_SECRET}
    for variable in _variables(raw, env, problems):
        known |= {variable.name, f"{variable.name}_FILE"}
        found = _value(variable, env, problems)
        if found is not None and _put(raw, variable.path, found[1]):
            problems.origins[variable.path] = found[0]
    _report_unknown(env, known, problems)


def _sources_to_make(raw: dict[str, Any]) -> bool:
    return bool(raw.get("sources", {}) == {})


def _variables(raw: dict[str, Any], env: Mapping[str, str], problems: Problems) -> Iterator[Variable]:
    for name, key in SERVER_VARIABLES.items():
        yield Variable(name, ("server", key))
    sources = raw.get("sources")
    names = list(sources) if isinstance(sources, dict) else []
    for key in SOURCE_KEYS:
        variable = _ONLY_SOURCE + key.upper()
        if len(names) == 1:
            yield Variable(variable, ("sources", names[0], key))
        elif names and (env.get(variable) or env.get(f"{variable}_FILE")):
            instead = _named(names[0], key)
            problems.add_at(variable, f"there is more than one source; name the one that is meant, as {instead}")
        for variable, meant in _by_variable(names, key).items():
            if len(meant) > 1 and (env.get(variable) or env.get(f"{variable}_FILE")):
                listed = " and ".join(f'"{name}"' for name in meant)
                problems.add_at(variable, f"is ambiguous: it stands for the sources {listed}; rename all but one")
            yield Variable(variable, ("sources", meant[0], key))


def _by_variable(sources: Iterable[str], key: str) -> dict[str, list[str]]:
    """The sources that each variable for the key stands for: mostly one."""
    found: dict[str, list[str]] = {}
    for source in sources:
        found.setdefault(_named(source, key), []).append(source)
    return found


def variable_for(source: str, key: str, *, only: bool) -> str:
    """The variable that sets a key of a source; `only`: of the only one."""
    return _ONLY_SOURCE + key.upper() if only else _named(source, key)


def _named(source: str, key: str) -> str:
    return f"{_NAMED_SOURCE}{re.sub('[^A-Za-z0-9]', '_', source).upper()}_{key.upper()}"


def _value(variable: Variable, env: Mapping[str, str], problems: Problems) -> tuple[str, str] | None:
    """What a variable says, or the file that it names, behind the name that it has in the environment."""
    in_file = f"{variable.name}_FILE"
    value, file = env.get(variable.name), env.get(in_file)
    if value and file:
        problems.add_at(variable.name, f"is set, and so is {in_file}; set only one of them")
    if value and not _is_text(value):
        problems.add_at(variable.name, "is not UTF-8 text", variable.path)
        return None
    if value or not file:
        return (variable.name, value) if value else None
    try:
        return in_file, FilePath(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problems.add_at(in_file, f"cannot read {file}: {reason}", variable.path)
        return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # Python keeps bytes that are none as lone surrogates
        return False
    return True


def _put(raw: dict[str, Any], path: Path, value: str) -> bool:
    """Whether the value could be set: not where the file has something else than a table."""
    table = raw
    for name in path[:-1]:
        table = table.setdefault(str(name), {})
        if not isinstance(table, dict):
            return False
    table[str(path[-1])] = value
    return True


def _report_unknown(env: Mapping[str, str], known: set[str], problems: Problems) -> None:
    candidates = [*known, *documented()]
    for name in sorted(env.keys() - known):
        if name.startswith(_NAMED_SOURCE) and env[name]:
            problems.add_at(name, "no source of the file has this name, or sources have no such setting")
        elif name.startswith(PREFIX) and name not in candidates and not _ORCHESTRATOR.fullmatch(name):
            near = get_close_matches(name, candidates, n=1, cutoff=0.9)
            problems.warn_at(name, "unknown variable, ignored" + (f"; did you mean {near[0]}?" if near else ""))
