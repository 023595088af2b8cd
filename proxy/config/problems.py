"""Mistakes in a configuration: collected, never raised one by one, each with its place and its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from proxy.config.lines import Path, dotted, line_of


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds a message for every mistake, in the file's order.

    `warnings`: those that may be why, as of a variable that was to set what is missing.
    """

    def __init__(self, problems: Sequence[str], warnings: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


class BadValue(ValueError):
    """A value is wrong: `message` says how, and what to write; `path` leads from the value to the fault.

    `more`: what else is wrong with it, as other elements of an array.
    """

    def __init__(self, message: str, path: Path = (), more: Iterable[BadValue] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.more = tuple(more)


class Problems:
    """The mistakes and warnings found so far in one configuration."""

    def __init__(self, file: str, lines: dict[Path, int]) -> None:
        self._file = file
        self._lines = lines
        self._found: list[tuple[int, str]] = []
        self._paths: set[Path] = set()
        self._warned: list[tuple[int, str]] = []
        self._ignored: list[str] = []
        self.origins: dict[Path, str] = {}
        """Keys that an environment variable has set, and which: messages name it instead of a line."""

    def add(self, path: Path, message: str, excerpt: str = "") -> None:
        """Note a mistake at a key (which may be missing from the file). `excerpt`: lines to show below the message."""
        self._paths.add(path)
        line, text = self._placed(path, message)
        self._found.append((line, text + excerpt))

    def about(self, path: Path) -> bool:
        """Whether a mistake was noted at this very key, or why it is not set."""
        return path in self._paths

    def warn(self, path: Path, message: str) -> None:
        """Note something that is allowed, and dangerous or without effect."""
        self._warned.append(self._placed(path, message))

    def add_at(self, place: str, message: str, key: Path | None = None) -> None:
        """Note a mistake that is not in the file, as in an environment variable. `key`: what is not set for it."""
        if key is not None:
            self._paths.add(key)
        self._found.append((_LAST, in_one_line(f"{place}: {message}")))

    def warn_at(self, place: str, message: str) -> None:
        """Note something of the environment that is ignored: it may be the reason for a mistake."""
        self._ignored.append(in_one_line(f"{place}: {message}"))

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*_in_order(self._warned), *self._ignored)

    def raise_if_any(self) -> None:
        if self._found:
            raise ConfigError(_in_order(self._found), self._ignored)

    def _placed(self, path: Path, message: str) -> tuple[int, str]:
        key = f"{dotted(path)}: " if path else ""
        variable = next((self.origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.origins), None)
        if variable is not None:
            return _LAST, in_one_line(f"{variable}: {key}{message}")
        line = line_of(path, self._lines)
        place = self._file if line is None else f"{self._file}:{line}"
        return line or _LAST, in_one_line(f"{place}: {key}{message}")


_LAST = 1 << 62


def _in_order(found: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(message for _, message in sorted(found, key=lambda item: item[0]))


def in_one_line(text: str) -> str:
    """A text with what a terminal would not show, or take for a command, escaped: it may have come from anywhere."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return short.get(character) or (
        f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "suffix"?`, or the words to choose from when none is near."""
    candidates = list(known)
    near = get_close_matches(word, candidates, n=1)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known: {', '.join(sorted(candidates))}" if candidates else ""


def kind_of(value: Any) -> str:
    """A TOML value in words, for "expected ..., not ..."."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the string "{value}"'
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list):
        return "an array"
    return "a table" if isinstance(value, dict) else f"the date or time {value}"
