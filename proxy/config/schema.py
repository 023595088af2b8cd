"""Every key that a configuration file may have, section by section: its reader and its default.

`docs/configuration.md` documents each; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from proxy.config import origins, values
from proxy.config.lines import Path
from proxy.config.problems import BadValue, Problems, did_you_mean, kind_of

REQUIRED = object()
"""The default of a key that has none."""


@dataclass(frozen=True)
class Key:
    """One key of a section. `default` is written as in the file; None: the section's builder decides."""

    name: str
    read: Callable[[Any], Any]
    default: Any = None
    remedy: str = ""
    """What to write, for the message that a required key is missing."""
    fallback: str = "none"
    """In words, for the documentation: what holds where `default` is None."""


SERVER = (
    Key("bind", values.bind, "127.0.0.1:5984"),
    Key(
        "secret",
        values.secret,
        REQUIRED,
        f"{values.MAKE_SECRET} and set it here or in COUCH_TAILOR_SECRET, the same on every node",
    ),
    Key("max_body", values.size, "64MiB"),
    Key("max_bodies", values.size, "128MiB"),
    Key("session_ttl", values.duration, "10s"),
    Key("remember", values.duration, "365d"),
    Key("lost_rules", values.choice("refuse", "present"), "refuse"),
    Key("anonymous", values.boolean, False),
    Key("trust_forwarded", values.boolean, False),
    Key("timeout", values.timeout, "60s"),
    Key("client_timeout", values.timeout, "60s"),
    Key("data", values.directory),
    Key("cache", values.size, "64MiB"),
    Key("workers", values.count, 1),
    Key("metrics", values.bind),
    Key("cors", lambda value: value),  # a table of its own: CORS
)

CORS = (
    Key("origins", origins.origins, REQUIRED, 'name those of your pages, as origins = ["https://app.example.org"]'),
    Key("credentials", values.boolean, False),
    Key("headers", origins.header_names, fallback="CouchDB's list"),
    Key("methods", origins.methods, list(origins.METHODS)),
    Key("max_age", values.duration, "10m"),
)

SOURCE = (
    Key("url", values.url, REQUIRED, 'write the CouchDB\'s address, as url = "http://127.0.0.1:5984"'),
    Key("auth", values.choice("client", "service", "cookie", "iam", "proxy"), "client"),
    Key("username", values.user_name),
    Key("password", values.hidden),
    Key("roles", values.strings, ()),
    Key("proxy_secret", values.hidden),
    Key("proxy_hash", values.choice("sha256", "sha1"), "sha256"),
    Key("api_key", values.hidden),
    Key("token_url", values.token_url, "https://iam.cloud.ibm.com/identity/token"),
)

DATABASE = (
    Key("source", values.string, fallback="the only source"),
    Key("name", values.database_name, fallback="the same name"),
    Key("index", values.boolean, True),
)

PROFILE = (
    Key("databases", values.databases, REQUIRED, 'name those that it shows, as databases = ["clinic"]'),
    Key("suffix", values.suffix, fallback="the profile's name"),
    Key("roles", values.strings, ()),
    Key("users", values.strings, ()),
    Key("by_role", values.boolean, False),
    Key("header", values.header),
    Key("device", values.header_names),
    Key("design_docs", values.boolean, False),
    Key("all_docs", values.boolean, True),
    Key("find", values.boolean, True),
    Key("write", values.boolean, True),
    Key("trusted", values.boolean, False),
    Key("orphans", values.choice("winner", "refuse"), "winner"),
    Key("on_surplus", values.choice("refuse", "discard"), "refuse"),
    Key("filters", lambda value: value),  # `rules` reads them: they stay tables here
)

SECTIONS = {
    "server": SERVER,
    "sources": SOURCE,
    "databases": DATABASE,
    "profiles": PROFILE,
}
"""The file's tables. All but `server` hold one table for each name."""


def read(
    table: dict[str, Any],
    path: Path,
    keys: Sequence[Key],
    problems: Problems,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The values of a section by key, as read, or the default. A key with neither is noted and left out.

    `elsewhere`: where else some of the keys can be set, in words that end the remedy.
    """
    known = {key.name: key for key in keys}
    for name in [name for name in table if name not in known]:
        problems.add((*path, name), f"unknown key{did_you_mean(name, known)}")
    result = {}
    for key in keys:
        if key.name not in table and key.default is REQUIRED:
            if not problems.about((*path, key.name)):
                problems.add((*path, key.name), f"is missing; {key.remedy}{elsewhere.get(key.name, '')}")
            continue
        value, ok = _read_one(table, path, key, problems)
        if ok:
            result[key.name] = value
    return result


def _read_one(table: dict[str, Any], path: Path, key: Key, problems: Problems) -> tuple[Any, bool]:
    if key.name in table:
        try:
            return key.read(table[key.name]), True
        except BadValue as error:
            for each in (error, *error.more):
                problems.add((*path, key.name, *each.path), each.message)
    if key.default is REQUIRED:
        return None, False
    if key.default is None or key.default == ():
        return key.default, True
    return key.read(key.default), True


def tables(raw: dict[str, Any], section: str, problems: Problems) -> dict[str, dict[str, Any]]:
    """The tables of a section: `[sources.main]` as `{"main": {...}}`. What is no table is noted, left out."""
    whole = subtable(raw, section, (section,), problems)
    return {
        name: subtable(whole, name, (section, name), problems)
        for name in whole
        if isinstance(whole[name], dict) or _no_table(whole[name], (section, name), problems)
    }


def names(raw: dict[str, Any], section: str) -> list[str]:
    """The names in a section, also of what is no table: what refers to one of those is no further mistake."""
    whole = raw.get(section)
    return list(whole) if isinstance(whole, dict) else []


def subtable(raw: dict[str, Any], name: str, path: Path, problems: Problems) -> dict[str, Any]:
    """The table `name`, or an empty one if it is missing or something else, which is noted."""
    value = raw.get(name, {})
    if isinstance(value, dict):
        return value
    _no_table(value, path, problems)
    return {}


def _no_table(value: Any, path: Path, problems: Problems) -> bool:
    problems.add(path, f"expected a table, not {kind_of(value)}")
    return False
