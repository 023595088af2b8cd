"""A profile's `filters`: from tables in the file to built filters, each mistake placed at its option."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path as FilePath
from typing import Any

from proxy.config import modules
from proxy.config.lines import Path, dotted
from proxy.config.model import Rule
from proxy.config.problems import BadValue, Problems, did_you_mean, kind_of
from proxy.config.soundness import fault
from proxy.contract import Filter, OptionError
from proxy.core.audience import audience_of
from proxy.core.lens import Chain, Link

_PART = re.compile(r'\[(\d+)\]|"((?:[^"\\]|\\.)*)"|([^.\[\]"]+)')


@dataclass(frozen=True)
class Workshop:
    """What building filters needs: those registered, where a site's own modules lie, where mistakes go."""

    registered: Mapping[str, list[EntryPoint]]
    directory: FilePath
    problems: Problems

    def build(self, value: Any, path: Path, device: Collection[str] | None = None) -> tuple[Chain, tuple[Rule, ...]]:
        """The chain of a profile's `filters` (`value`; None if there are none). Mistakes are left out.

        `device`: what clients can say of themselves in this profile; None if that cannot be told.
        """
        if value is None:
            value = []
        if not isinstance(value, list):
            self.problems.add(path, f"expected an array of tables, not {kind_of(value)}; write [[{dotted(path)}]]")
            return Chain(), ()
        rules, links = [], []
        for index, item in enumerate(value):
            built = self._build_one(item, (*path, index), device)
            if built is not None:
                rules.append(built)
                links.append(Link(f"{dotted((*path, index))} ({built.use})", built.filter))
        self._check_stamps(value, path)
        return Chain(links), tuple(rules)

    def _check_stamps(self, items: list[Any], path: Path) -> None:
        """What comes back of a computed field is never stored, so a stamp behind it could set nothing."""
        computed: dict[str, int] = {}
        for index, item in enumerate(items):
            fields = item.get("fields") if isinstance(item, dict) else None
            if not isinstance(fields, dict):
                continue
            if item.get("use") == "compute":
                computed.update(dict.fromkeys(fields, index))
            for name in computed.keys() & fields.keys() if item.get("use") == "stamp" else ():
                first = dotted((*path, computed[name]))
                message = (
                    f"could never be stored: {first} computes this field; put the stamp before it, or leave it out"
                )
                self.problems.add((*path, index, "fields", name), message)

    def _build_one(self, item: Any, path: Path, device: Collection[str] | None) -> Rule | None:
        if not isinstance(item, dict):
            self.problems.add(path, f'expected a table, as {{ use = "drop" }}, not {kind_of(item)}')
            return None
        use = item.get("use")
        if not isinstance(use, str) or not use:
            what = (
                "is missing" if use is None else "is empty" if use == "" else f"expected a string, not {kind_of(use)}"
            )
            self.problems.add((*path, "use"), f'{what}; name a filter, as use = "drop" or use = "module:Class"')
            return None
        try:
            found = modules.find(use, self.registered, self.directory)
        except BadValue as error:
            self.problems.add((*path, "use"), error.message)
            return None
        options = {name: option for name, option in item.items() if name != "use"}
        if not self._options_fit(found.cls, options, path):
            return None
        return self._construct(use, found, options, path, device)

    def _options_fit(self, cls: type[Filter], options: dict[str, Any], path: Path) -> bool:
        """Whether the constructor takes these options: so a wrong name does not end as a TypeError."""
        parameters = [p for p in inspect.signature(cls).parameters.values() if p.kind in _BY_NAME]
        known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        unknown = [] if len(known) < len(parameters) else [name for name in options if name not in known]
        for name in unknown:
            none = "" if known else "; this filter has no options"
            self.problems.add((*path, name), f"unknown option{did_you_mean(name, known)}{none}")
        missing = [p.name for p in parameters if _required(p) and p.name not in options]
        for name in missing:
            self.problems.add((*path, name), "is missing; this filter needs it")
        return not unknown and not missing

    def _construct(
        self, use: str, found: modules.Found, options: dict[str, Any], path: Path, device: Collection[str] | None
    ) -> Rule | None:
        try:
            built = found.cls(**options)
            if device is not None and not found.stamp:  # what a site's own does with expressions is its affair
                _check_device(built, device)
            if (wrong := fault(built)) is not None:
                self.problems.add((*path, "use"), f'"{use}" {wrong}')
                return None
            audience_of(Chain([Link(use, built)]))  # asks it for what a chain needs to know: that may fail as well
            return Rule(use, options, built, _description(built, options), _identity(use, found, options))
        except OptionError as error:
            self.problems.add((*path, *option_path(error.option)), error.message, _caret(error))
        except modules.FAULTS as error:
            place = modules.place_in(self.directory, error)
            self.problems.add(path, f"the filter {use} failed: {place}{type(error).__name__}: {error}")
        return None


_BY_NAME = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
)


def _check_device(built: Filter, device: Collection[str]) -> None:
    """Raises OptionError for an expression that reads what no client can say of itself: it is always null."""
    expressions = getattr(built, "expressions", None)
    for option, expression in expressions() if callable(expressions) else ():
        for path in expression.client_paths:
            if len(path) > 1 and path[0] == "device" and path[1] not in device and isinstance(path[1], str):
                read = dotted(("client", *path[:2]))
                why = (
                    f"the profile's device has no such name{did_you_mean(path[1], device)}"
                    if device
                    else 'the profile has no device; add it, as device = { model = "X-Device-Model" }'
                )
                raise OptionError(option, f"{read} is always null: {why}", text=expression.text)


def _required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD


def option_path(option: str) -> Path:
    """`fields[2].path` as `("fields", 2, "path")`."""
    return tuple(int(index) if index else quoted or bare for index, quoted, bare in _PART.findall(option))


def _caret(error: OptionError) -> str:
    """The expression on a line of its own (of several, the one with the fault), a caret below the fault."""
    if error.text is None:
        return ""
    if error.at is None:
        return "".join(f"\n    {_visible(line)}" for line in error.text.splitlines())
    at = min(max(error.at, 0), len(error.text))
    start = error.text.rfind("\n", 0, at) + 1
    line = error.text[start:].partition("\n")[0]
    indent = "".join("\t" if character == "\t" else " " for character in line[: at - start])
    return f"\n    {_visible(line)}\n    {indent}^"


def _visible(line: str) -> str:
    """A line that takes as many columns as it has characters."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in line)


def _description(built: Filter, options: dict[str, Any]) -> str:
    describe = getattr(built, "describe", None)
    if callable(describe):
        return str(describe()).replace("\n", " ")
    return ", ".join(f"{name} = {_plain(name, value)}" for name, value in options.items())


def _identity(use: str, found: modules.Found, options: dict[str, Any]) -> str:
    """What decides what the filter shows, for the epoch: options left out count with their defaults."""
    defaults = {p.name: p.default for p in inspect.signature(found.cls).parameters.values() if _is_json(p.default)}
    version = getattr(found.cls, "version", None)
    return json.dumps([use, found.stamp, version, {**defaults, **options}], sort_keys=True, default=str)


def _is_json(default: Any) -> bool:
    """Whether a default is a plain value: the text of a sentinel would differ from run to run."""
    try:
        json.dumps(default)
    except (TypeError, ValueError):
        return False
    return True


SECRET_OPTIONS = frozenset(("key", "secret", "password", "token"))
"""Options whose values are not for a terminal or the log of a build."""


def _plain(name: str, value: Any) -> str:
    if name in SECRET_OPTIONS:
        return "(not shown)"
    return json.dumps(value, ensure_ascii=False, default=str)
