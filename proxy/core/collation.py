"""CouchDB's view collation as a sort key: null < false < true < numbers < strings < arrays < objects.

Arrays compare element by element, objects member by member in the order that they have, the shorter first. Strings
are ordered as ICU's root collation orders them, approximately:

  - ASCII exactly, but for control characters: white space, punctuation, symbols, digits, letters; accents count after
    letters, and case after accents (a, A, á, aa);
  - other scripts by code point, after Latin; letters that do not decompose (ø, æ) after z; other symbols together;
  - no two different strings are equal (ICU ignores control characters and holds "é" equal in both normal forms).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

Key = tuple[Any, ...]

_PUNCTUATION = "\t\n\x0b\x0c\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~"
_OTHER_SYMBOLS, _CURRENCY, _DIGITS, _LETTERS = 0x60, 0x70, 0x80, 0xA0


def _ascii_weights() -> dict[int, int | None]:
    weights: dict[int, int | None] = dict.fromkeys(range(128))  # control characters are ignored
    weights.update({ord(char): place for place, char in enumerate(_PUNCTUATION, start=1)})
    weights[ord("$")] = _CURRENCY
    weights.update({ord("0") + digit: _DIGITS + digit for digit in range(10)})
    for place in range(26):
        weights[ord("a") + place] = weights[ord("A") + place] = _LETTERS + place
    return weights


_ASCII = _ascii_weights()


def collation_key(value: Any) -> Key:
    """A key that orders JSON values as CouchDB's views do. Values are equal if and only if their keys are."""
    if isinstance(value, str):
        return (4, *string_key(value))
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (2,) if value else (1,)
    if isinstance(value, (int, float)):
        return (3, value)
    if isinstance(value, list):
        return (5, [collation_key(item) for item in value])
    return (6, [(string_key(name), collation_key(member)) for name, member in value.items()])


def string_key(text: str) -> tuple[str, str, str, str]:
    """The key of a string: letters first, then accents, then case (lower first), then code points."""
    if text.isascii():
        return text.translate(_ASCII), "", text.swapcase(), text
    plain = unicodedata.normalize("NFD", text)
    letters = "".join(map(_weight, plain))
    accents = "".join(char if unicodedata.combining(char) else " " for char in plain)
    return letters, accents.rstrip(" "), plain.swapcase(), text


@lru_cache(maxsize=4096)
def _weight(char: str) -> str:
    """What stands for a character in the first level, where order is by code point."""
    if char.isascii():
        return char.translate(_ASCII)
    category = unicodedata.category(char)
    if category in ("Cc", "Cf") or unicodedata.combining(char):
        return ""
    if category[0] == "Z":
        return " ".translate(_ASCII)
    if category == "Sc":
        return chr(_CURRENCY) + char
    if category == "Nd":
        return chr(_DIGITS + unicodedata.decimal(char))
    if category[0] in "PS":
        return chr(_OTHER_SYMBOLS) + char
    return char.casefold().translate(_ASCII)
