"""Replacements of words, numbers and bytes, with a key: the same for the same, another for another, alike in form.

A word is a run of ASCII letters and digits and of characters beyond ASCII. Each character becomes one of its own kind
(digit, lower case, upper case, as many bytes of UTF-8), so lengths stay what they are, and so does what stands between
words. The replacement is a permutation: two words of the same form never become one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import md5, shake_256
from math import isfinite

_BLOCK = 64
"""Characters that are permuted together; longer words are cut, as the cost grows with the square."""
_ROUNDS = 8
_WORD = re.compile(r"[0-9A-Za-z\u0080-\U0010ffff]+")
_MADE = re.compile(
    r"(?<![0-9A-Za-z])(?P<gen>\d+-)?(?P<hex>[0-9a-f]{32})(?![0-9A-Za-z])"
    r"|md5-[A-Za-z0-9+/]{22}=="
    r"|(?<![0-9A-Za-z+/])[A-Za-z0-9+/]{22}==(?![0-9A-Za-z+/=])"
    r"|[0-9A-Za-z\u0080-\U0010ffff]+"
)
_RANGES = (
    *((ord("0"), ord("9")), (ord("a"), ord("z")), (ord("A"), ord("Z"))),
    *((0xC0, 0x17F), (0x80, 0xBF), (0x180, 0x7FF), (0x4E00, 0x9FFF)),
    *((0x800, 0x4DFF), (0xA000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)),
)


class Scrambler:
    """`key`: whoever has it, and guesses a word, can check the guess; nobody else can."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._digests: dict[str, str] = {}
        self._block = lru_cache(maxsize=65536)(self._permuted)

    def text(self, text: str) -> str:
        """Words replaced; revisions and generated ids stay hexadecimal, digests are those of the replaced bytes."""
        return _MADE.sub(self._made, text)

    def _made(self, match: re.Match[str]) -> str:
        if match["hex"]:
            return (match["gen"] or "") + self._hex(match["hex"])
        found = match[0]
        if found.endswith("=="):
            bare = found.removeprefix("md5-")
            return found[: len(found) - len(bare)] + self._digest(bare)
        return self._word(found)

    def words(self, text: str) -> str:
        """Words replaced, whatever they look like."""
        return _WORD.sub(lambda match: self._word(match[0]), text)

    def _word(self, word: str) -> str:
        return "".join(self._block(word[at : at + _BLOCK]) for at in range(0, len(word), _BLOCK))

    def number(self, value: int | float) -> int | float:
        """Another number of the same sign and size: an integer has as many digits, a float about as many."""
        text = repr(value)
        mantissa, e, exponent = text.partition("e")
        whole, point, fraction = mantissa.lstrip("-").partition(".")
        new = self._digits(whole, first=len(whole) > 1)
        if point:
            new += point + (fraction if fraction == "0" else self._digits(fraction, last=True))
        new = ("-" if text.startswith("-") else "") + new
        if isinstance(value, int):
            return int(new)
        found = float(new + e + exponent)
        return found if isfinite(found) else float(f"{new}e{int(exponent) - 1}")

    def _digits(self, digits: str, *, first: bool = False, last: bool = False) -> str:
        """Digits; the first or the last one not 0 if it may not become so."""
        ranges = [(ord("0"), ord("9"))] * len(digits)
        if first:
            ranges[0] = (ord("1"), ord("9"))
        if last and digits[-1] != "0":
            ranges[-1] = (ord("1"), ord("9"))
        return "".join(
            self._in_ranges(digits[at : at + _BLOCK], ranges[at : at + _BLOCK]) for at in range(0, len(digits), _BLOCK)
        )

    def data(self, data: bytes) -> bytes:
        """Bytes of an attachment, as many; text stays text. Its digest is remembered for `text`."""
        try:
            new = self.words(data.decode()).encode()
        except UnicodeDecodeError:
            new = shake_256(self._key + b"data" + data).digest(len(data))
        self.learn(data, new)
        return new

    def learn(self, data: bytes, new: bytes) -> None:
        """From now on the digest of `data` becomes that of `new`."""
        self._digests[_md5(data)] = _md5(new)

    def _digest(self, digest: str) -> str:
        known = self._digests.get(digest)
        return known or b64encode(shake_256(self._key + b"digest" + digest.encode()).digest(16)).decode()

    def _hex(self, digits: str) -> str:
        """The first two digits stay: of two conflicting revisions, the one that sorts higher wins."""
        kept, rest = digits[:2], digits[2:]
        number = self._permute(int(rest, 16), 16 ** len(rest), b"hex" + kept.encode())
        return f"{kept}{number:0{len(rest)}x}"

    def _permuted(self, word: str) -> str:
        return self._in_ranges(word, [_range(ord(char)) for char in word])

    def _in_ranges(self, word: str, ranges: list[tuple[int, int]]) -> str:
        """`word` as a number whose digits are the places of its characters in their ranges, permuted."""
        number, size = 0, 1
        for char, (low, high) in zip(word, ranges, strict=True):
            number = number * (high - low + 1) + ord(char) - low
            size *= high - low + 1
        number = self._permute(number, size, repr(ranges).encode())
        found = []
        for low, high in reversed(ranges):
            number, place = divmod(number, high - low + 1)
            found.append(chr(low + place))
        return "".join(reversed(found))

    def _permute(self, number: int, size: int, form: bytes) -> int:
        """A permutation of the numbers below `size`: a Feistel network, walked on until it is among them again."""
        half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        mask = (1 << half) - 1
        while True:
            left, right = number >> half, number & mask
            for turn in range(_ROUNDS):
                seed = b"%s|%s|%d|%x" % (self._key, form, turn, right)
                noise = int.from_bytes(shake_256(seed).digest((half + 7) // 8), "big") & mask
                left, right = right, left ^ noise
            number = left << half | right
            if number < size:
                return number


def _range(char: int) -> tuple[int, int]:
    return next(each for each in _RANGES if each[0] <= char <= each[1])


def _md5(data: bytes) -> str:
    return b64encode(md5(data, usedforsecurity=False).digest()).decode()
