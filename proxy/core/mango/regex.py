"""CouchDB's regular expressions (PCRE, on bytes) with Python's engine.

CouchDB matches the UTF-8 bytes of a string, not its characters, and `.` is one byte: so is it here. What PCRE writes
differently is translated (`\\z`, `\\Z`, `\\h`, `\\v`, `\\R`, `\\K`, `\\Q...\\E`, `(?<name>`, `[[:alpha:]]`); what
Python does not have (recursion, callouts) is refused. Only ASCII letters are letters: CouchDB takes some bytes of UTF-8
for such.

PCRE gives up after a number of steps, Python does not: a pattern such as `(a+)+$` can keep it busy for years. Patterns
of clients are therefore bounded: a group that contains repetition or alternatives may not be repeated, there are no
back references and no conditions, and only strings are looked at that are short enough for the number of repetitions.
As in CouchDB, a string that would cost too much does not match.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

_STEPS = 10_000_000  # PCRE's own limit
_MAX_REPEATS = 5
_TOKEN = re.compile(
    rb"\\Q(?P<literal>.*?)(?:\\E|\Z)|\\x\{(?P<code>[0-9A-Fa-f]{1,2})\}|(?P<escape>\\.)|(?P<class>\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\])"
    rb"|(?P<open>\((?:\?(?:P?<[A-Za-z_]\w*>|<?[=!]|>|#[^)]*|[ims-]*:?))?)|(?P<close>\))"
    rb"|(?P<repeat>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})[?+]?)|(?P<bar>\|)|(?P<other>.)",
    re.DOTALL,
)
_ESCAPES = {
    b"\\z": rb"\Z",
    b"\\Z": rb"(?=\n?\Z)",
    b"\\h": rb"[ \t\xa0]",
    b"\\H": rb"[^ \t\xa0]",
    b"\\v": rb"[\n-\r\x85]",
    b"\\V": rb"[^\n-\r\x85]",
    b"\\R": rb"(?:\r\n|[\n-\r\x85])",
    b"\\N": rb"[^\n]",
    b"\\K": rb"",
    b"\\E": rb"",
    b"\\e": rb"\x1b",
}
_ESCAPES_IN_CLASS = {b"\\h": rb" \t\xa0", b"\\v": rb"\n-\r\x85", b"\\V": rb"\x00-\x09\x0e-\x84\x86-\xff"}
_POSIX = {
    b"alpha": rb"a-zA-Z",
    b"digit": rb"0-9",
    b"alnum": rb"a-zA-Z0-9",
    b"upper": rb"A-Z",
    b"lower": rb"a-z",
    b"space": rb"\s",
    b"blank": rb" \t",
    b"punct": rb"!-/:-@\[-`{-~",
    b"xdigit": rb"0-9A-Fa-f",
    b"word": rb"\w",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"print": rb" -~",
    b"graph": rb"!-~",
}
_IN_CLASS = re.compile(rb"\[:([a-z]+):\]|(\\.)|([\[&~|])", re.DOTALL)
_EXACTLY = re.compile(rb"\{[0-9]+\}")
_BACK_REFERENCE = re.compile(rb"\\[1-9gk]")


class PatternError(ValueError):
    """The pattern is none, or a client may not use it. The message says why."""


def compile_pattern(pattern: str, *, trusted: bool) -> Callable[[str], bool]:
    """Whether a string matches `pattern` somewhere. Raises PatternError.

    `trusted`: whether the pattern may take as long as it likes.
    """
    source, limit = _translate(pattern.encode("utf-8", "surrogatepass"), trusted)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            search = re.compile(source).search
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise PatternError(str(error)) from None

    def matches(text: str) -> bool:
        data = text.encode("utf-8", "surrogatepass")
        return (limit is None or len(data) <= limit) and search(data) is not None

    return matches


def _translate(pattern: bytes, trusted: bool) -> tuple[bytes, int | None]:
    """The pattern in Python's syntax, and how many bytes of text it may be tried on (None: any number)."""
    out: list[bytes] = []
    guard = _Guard()
    for token in _TOKEN.finditer(pattern):
        kind, text = token.lastgroup, token[0]
        if token["literal"] is not None:
            out.append(re.escape(token["literal"]))
        elif token["code"] is not None:
            out.append(b"\\x" + token["code"].rjust(2, b"0"))
        elif kind == "escape":
            out.append(_ESCAPES.get(text, text))
        elif kind == "class":
            out.append(_IN_CLASS.sub(_class_item, text[1:-1]).join((b"[", b"]")))
        elif kind == "open" and text.startswith(b"(?<") and text.endswith(b">"):
            out.append(b"(?P" + text[2:])
        elif text == b"{":  # Python takes {,5} for a repetition
            out.append(b"\\{")
        else:
            out.append(text)
        guard.see(kind or "literal", text)
    return b"".join(out), None if trusted else guard.limit()


def _class_item(found: re.Match[bytes]) -> bytes:
    name, escape, special = found.groups()
    if name is not None:
        if name not in _POSIX:
            raise PatternError(f"unknown character class {found[0].decode('ascii')}")
        return _POSIX[name]
    if escape is not None:
        return _ESCAPES_IN_CLASS.get(escape, bytes(escape))
    return b"\\" + bytes(special)


class _Guard:
    """Counts what makes a pattern slow. See the module's text."""

    def __init__(self) -> None:
        self._open = [False]  # for each group: does it contain repetition or alternatives
        self._closed = False  # the same for the group that was just closed
        self._repeats = 0
        self._options = 0
        self._anchored = False
        self._alternatives = False
        self._first = True
        self._refusal = ""

    def see(self, kind: str, text: bytes) -> None:
        if self._first:
            self._anchored = text in (b"^", b"\\A")
            self._first = kind == "close" or text in (b"(?i", b"(?s", b"(?is", b"(?si")
        closed, self._closed = self._closed, False
        if kind == "open":
            self._open.append(False)
            self._refuse_if(text == b"(?", "it has a group of an uncommon kind")
        elif kind == "close":
            self._closed = self._open.pop() if len(self._open) > 1 else False
            self._open[-1] |= self._closed
        elif kind == "bar":
            self._alternatives |= len(self._open) == 1
            self._open[-1] = True
        elif kind == "repeat":
            self._repeat(text, closed)
        elif kind == "escape":
            self._refuse_if(_BACK_REFERENCE.match(text) is not None, "it has a back reference")

    def _repeat(self, text: bytes, nested: bool) -> None:
        if text[:1] == b"?":
            self._options += 1
        else:
            self._refuse_if(nested, "it repeats a group that contains repetition or alternatives")
            self._repeats += _EXACTLY.match(text) is None
        self._open[-1] = True

    def _refuse_if(self, condition: bool, why: str) -> None:
        if condition and not self._refusal:
            self._refusal = why

    def limit(self) -> int | None:
        """The bytes that a text may have. Raises PatternError for a pattern that no limit makes harmless."""
        repeats = self._repeats + (not self._anchored or self._alternatives)
        if self._repeats > _MAX_REPEATS or self._options > _MAX_REPEATS:
            self._refuse_if(True, f"it has more than {_MAX_REPEATS} repetitions")
        if self._refusal:
            raise PatternError(f"the expression could take too long: {self._refusal}")
        return int((_STEPS >> self._options) ** (1 / repeats)) if repeats > 1 else None
