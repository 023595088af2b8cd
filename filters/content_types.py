"""Patterns of content types, as `image/*`. One that could never match would hide nothing, so it is a mistake."""

from __future__ import annotations

import re
from fnmatch import translate

from filters.options import texts
from proxy.contract import OptionError

_UNKNOWN = "application/octet-stream"
_PIECE = r"[\w!#$%&'*+.^`|~?\[\]-]+"  # the characters of a type (RFC 9110), and those of patterns
_PATTERN = re.compile(rf"{_PIECE}/{_PIECE}|(?!\*\.)(?=[^*]*\*){_PIECE}", re.ASCII)
"""A type, or what a `*` makes match one; not what looks like the name of a file."""
_ALTERNATIVES = re.compile(r"([^{}]*)\{([^{}]*)\}([^{}]*)")
_TOP_LEVEL = frozenset(["application", "audio", "font", "image", "message", "model", "multipart", "text", "video"])


def content_types(option: str, value: object) -> list[re.Pattern[str]]:
    """What matches the types that the patterns in an option stand for. Types have no case."""
    patterns = texts(option, value)
    for index, pattern in enumerate(patterns):
        if not _PATTERN.fullmatch(pattern):
            raise OptionError(f"{option}[{index}]", f"is no content type: {_remedy(option, pattern)}, not {pattern!r}")
    return [re.compile(translate(pattern), re.IGNORECASE) for pattern in patterns]


def content_type(stored: object) -> str:
    """The type that an attachment counts as: without parameters, and what is no type as one that is not known."""
    kind = str(stored or _UNKNOWN).partition(";")[0].strip()
    return kind if "/" in kind else _UNKNOWN


def _remedy(option: str, text: str) -> str:
    bare = text.partition(";")[0].strip()
    if _PATTERN.fullmatch(bare):
        return f'write "{bare}"'
    if len(several := _several(text)) > 1 and all(map(_PATTERN.fullmatch, several)):
        return "write them one by one, as " + ", ".join(f'"{each}"' for each in several)
    if (top := bare.rstrip("/*").lower()) in _TOP_LEVEL:
        return f'write "{top}/*"'
    return f'write one as "image/png" or "image/*" (for names there is {option}_names)'


def _several(text: str) -> list[str]:
    """What is meant by a text that names several types at once."""
    found = _ALTERNATIVES.fullmatch(text)
    pieces = found[2].split(",") if found else text.split(",")
    before, after = (found[1], found[3]) if found else ("", "")
    return [f"{before}{piece.strip()}{after}" for piece in pieces]
