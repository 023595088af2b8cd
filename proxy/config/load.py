"""One file and the environment in, a `Config` out, or all the mistakes at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path as FilePath
from typing import Any

from proxy.config import environment, modules, schema, values
from proxy.config.checks import check
from proxy.config.epoch import epoch
from proxy.config.lines import Path, key_lines
from proxy.config.model import Config, Cors, Database, Profile, Server, Source
from proxy.config.problems import BadValue, ConfigError, Problems, did_you_mean, in_one_line
from proxy.config.rules import Workshop
from proxy.core.lens import Chain

_SYNTAX_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def load(
    path: str | FilePath,
    env: Mapping[str, str],
    *,
    registered: Mapping[str, list[EntryPoint]] | None = None,
) -> Config:
    """The configuration in the TOML file at `path`, with what the environment `env` overrides.

    `registered` are the filters that `use` may name; by default those of the installed packages. Modules that
    the file names are imported from its directory. Raises ConfigError with every mistake.
    """
    raw, text = _parse(FilePath(path))
    problems = Problems(str(path), key_lines(text))
    environment.apply(raw, env, problems)
    _unknown_sections(raw, problems)
    directory = FilePath(path).absolute().parent
    workshop = Workshop(modules.installed() if registered is None else registered, directory, problems)
    config = _assemble(raw, workshop, problems)
    problems.raise_if_any()
    return config


def places(path: str | FilePath, env: Mapping[str, str]) -> Problems:
    """No mistakes yet, and where each would be: for those that are found elsewhere, once `load` has found none."""
    raw, text = _parse(FilePath(path))
    told, problems = (Problems(str(path), key_lines(text)) for _ in range(2))
    environment.apply(raw, env, told)
    problems.origins |= told.origins
    return problems


def _parse(path: FilePath) -> tuple[dict[str, Any], str]:
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")  # some editors begin a file with a mark
        return tomllib.loads(text), text
    except OSError as error:
        raise ConfigError([in_one_line(f"{path}: cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([in_one_line(f"{path}:{line}: is not UTF-8 text; save the file in that encoding")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([in_one_line(_syntax_error(path, str(error), text))]) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise ConfigError([in_one_line(f"{path}: cannot be parsed: {error}")]) from None


def _syntax_error(path: FilePath, message: str, text: str) -> str:
    match = _SYNTAX_PLACE.fullmatch(message)
    if match is None:
        return f"{path}: not TOML: {message}"
    last_line = text.rpartition("\n")[2]
    line, column = match[2] or text.count("\n") + 1, match[3] or len(last_line) + 1
    return f"{path}:{line}:{column}: not TOML: {match[1]}"


def _unknown_sections(raw: dict[str, Any], problems: Problems) -> None:
    for name in [name for name in raw if name not in schema.SECTIONS]:
        problems.add((name,), f"unknown section{did_you_mean(name, schema.SECTIONS)}")


def _assemble(raw: dict[str, Any], workshop: Workshop, problems: Problems) -> Config:
    """What the file is good for: what is broken is left out, so that the rest is still checked."""
    server_table = schema.subtable(raw, "server", ("server",), problems)
    cors = _cors(server_table, problems)
    server = _server(schema.read(server_table, ("server",), schema.SERVER, problems), cors)
    named = {section: schema.tables(raw, section, problems) for section in ("sources", "databases", "profiles")}
    only = len(named["sources"]) == 1
    sources = {name: _source(name, table, only, problems) for name, table in named["sources"].items()}
    refer = {section: schema.names(raw, section) for section in named}
    databases = {
        name: _database(name, table, _source_of(name, table, refer["sources"], problems), sources, problems)
        for name, table in named["databases"].items()
    }
    profiles = {name: _profile(name, table, refer["databases"], workshop) for name, table in named["profiles"].items()}
    profiles = {name: _keeping(profile, profiles.values()) for name, profile in profiles.items()}
    config = Config(
        server,
        sources,
        {name: database for name, database in databases.items() if database},
        profiles,
        registered=workshop.registered,
        directory=workshop.directory,
    )
    check(config, raw, problems)
    return replace(config, warnings=problems.warnings)


def _server(values: dict[str, Any], cors: Cors | None) -> Server:
    host, port = values.pop("bind")
    return Server(host, port, **{**values, "cors": cors})


def _cors(server: dict[str, Any], problems: Problems) -> Cors | None:
    if "cors" not in server:
        return None
    path: Path = ("server", "cors")
    values = schema.read(schema.subtable(server, "cors", path, problems), path, schema.CORS, problems)
    return Cors(**{"origins": (), **values, "max_age": int(values["max_age"])})


def _source(name: str, table: dict[str, Any], only: bool, problems: Problems) -> Source:
    elsewhere = {"url": f", or set {environment.variable_for(name, 'url', only=only)}"}
    values = schema.read(table, ("sources", name), schema.SOURCE, problems, elsewhere)
    return Source(name, **{"url": "", **values})  # an empty one is noted as a mistake: nobody gets to see it


def _database(
    name: str, table: dict[str, Any], source: str | None, sources: Mapping[str, Source], problems: Problems
) -> Database | None:
    values = schema.read(table, ("databases", name), schema.DATABASE, problems)
    found = sources.get(source) if source is not None else None
    return Database(name, found, values["name"] or name, values.get("index", True)) if found else None


def _source_of(name: str, table: dict[str, Any], sources: Collection[str], problems: Problems) -> str | None:
    """The name of the source that a database comes from: the only one need not be named."""
    path: Path = ("databases", name, "source")
    named = table.get("source")
    if named is None and len(sources) == 1:
        return next(iter(sources))
    if named is None and sources:
        problems.add(path, f"is missing; name one of the sources: {', '.join(sorted(sources))}")
    if isinstance(named, str) and named and named not in sources:
        problems.add(path, f'there is no source "{named}"{did_you_mean(named, sources)}')
    return named if isinstance(named, str) else None


def _profile(name: str, table: dict[str, Any], databases: Collection[str], workshop: Workshop) -> Profile:
    path: Path = ("profiles", name)
    problems = workshop.problems
    values = schema.read(table, path, schema.PROFILE, problems)
    named = values.pop("databases", ())
    for index, database in enumerate(named):
        if database not in databases:
            at = (*path, "databases", index)
            problems.add(at, f'there is no database "{database}"{did_you_mean(database, databases)}')
    device = values.pop("device") or {}
    said = table.get("device", {})  # also what comes from a header that is none
    chain, rules = workshop.build(values.pop("filters"), (*path, "filters"), said if isinstance(said, dict) else None)
    return Profile(
        name=name,
        databases=frozenset(named),
        chain=chain,
        suffix=_suffix(name, table, values.pop("suffix"), path, problems),
        roles=frozenset(values.pop("roles")),
        users=frozenset(values.pop("users")),
        device_headers=device,
        epoch=epoch(rules, values["design_docs"], device),
        rules=rules,
        **values,
    )


def _keeping(profile: Profile, profiles: Iterable[Profile]) -> Profile:
    """The profile, so that its clients' deletions keep what decides for those of others whom they concern. Not where
    others hide fields on conditions: without the fields that these read, they would show what is kept.
    """
    others = [each.chain for each in profiles if not profile.databases.isdisjoint(each.databases)]
    if not all(chain.hides_by_place for chain in others):
        return profile
    return replace(profile, chain=Chain(profile.chain.links, others=[chain.audience_fields for chain in others]))


def _suffix(name: str, table: dict[str, Any], given: str | None, path: Path, problems: Problems) -> str | None:
    """The suffix in the file, or else the profile's name, which must then be fit for a database's name."""
    if "suffix" in table:
        return given
    try:
        return values.suffix(name)
    except BadValue:
        remedy = 'give it a suffix of its own, as suffix = "phone", or suffix = false'
        problems.add(path, f'the profile\'s name "{name}" cannot end the name of a virtual database; {remedy}')
        return None
