"""What the follower's process and the serving processes say to each other: JSON arrays, one in a line.

    follower ──► worker    ["opened", database, path]        there is an index
                           ["closed", database]              there is none at present
                           ["moved", database, end, keys]    as `Watcher.moved`; null: everybody finds something new
                           ["done", number], ["failed", number]
    worker ──► follower    ["catch_up", database, number]    answered by `done` or `failed` of that number
                           ["ping", number]                  answered by `done` at once
                           ["renew", database, index_id]     that index cannot be read; the id in hexadecimal

Whoever connects is told first of the state of each database. `moved` comes before the `done` that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from proxy.core import jsonio

LONGEST = 1024 * 1024
"""Bytes of a line. What is longer is none of ours."""
MOST_KEYS = 4096
"""Keys that are told apart while somebody does not read; beyond those it is everybody."""


class Opened(NamedTuple):
    database: str
    path: str


class Closed(NamedTuple):
    database: str


class Moved(NamedTuple):
    database: str
    end: int
    keys: frozenset[int] | None


class Done(NamedTuple):
    number: int


class Failed(NamedTuple):
    number: int


class CatchUp(NamedTuple):
    database: str
    number: int


class Ping(NamedTuple):
    number: int


class Renew(NamedTuple):
    database: str
    index_id: str


Message = Opened | Closed | Moved | Done | Failed | CatchUp | Ping | Renew


class BadMessage(Exception):
    """Something else than a message."""


def encode(message: Message) -> bytes:
    """A message as its line."""
    values = [sorted(value) if isinstance(value, frozenset) else value for value in message]
    return jsonio.dumps([_NAMES[type(message)], *values]) + b"\n"


class Decoder:
    """Lines, however they are cut, as messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with `data`. Raises BadMessage."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            raise BadMessage("a line is too long")
        return [_decode(line) for line in lines]


def _decode(line: bytes) -> Message:
    try:
        name, *values = jsonio.loads(line)
        kind, types = _KINDS[name]
        if len(values) != len(types):
            raise ValueError(name)
        return kind(*(read(value) for read, value in zip(types, values, strict=True)))
    except (ValueError, TypeError, KeyError) as error:
        raise BadMessage(f"not a message: {line[:100]!r}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _keys(value: Any) -> frozenset[int] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise TypeError
    return frozenset(map(_number, value))


_KINDS: dict[str, tuple[type[Message], tuple[Callable[[Any], Any], ...]]] = {
    "opened": (Opened, (_text, _text)),
    "closed": (Closed, (_text,)),
    "moved": (Moved, (_text, _number, _keys)),
    "done": (Done, (_number,)),
    "failed": (Failed, (_number,)),
    "catch_up": (CatchUp, (_text, _number)),
    "ping": (Ping, (_number,)),
    "renew": (Renew, (_text, _text)),
}
_NAMES = {kind: name for name, (kind, _) in _KINDS.items()}


class Outbox:
    """What is still to be said to one worker. It takes no more room if the worker does not read.

    Of each database there is its last state and one `Moved`, into which later ones go.
    """

    def __init__(self) -> None:
        self._states: dict[str, Opened | Closed] = {}
        self._moves: dict[str, Moved] = {}
        self._replies: list[Done | Failed] = []

    @property
    def replies(self) -> int:
        """How many answers there are: whoever asks without reading must not be listened to."""
        return len(self._replies)

    def put(self, message: Opened | Closed | Moved | Done | Failed) -> None:
        """Say this, with the next `take`."""
        if isinstance(message, Done | Failed):
            self._replies.append(message)
        elif isinstance(message, Moved):
            known = self._moves.get(message.database, message)
            self._moves[message.database] = _merged(known, message)
        else:
            self._states[message.database] = message
            self._moves.pop(message.database, None)

    def take(self) -> bytes:
        """All there is to say: states before moves, and those before the answers that rest on them."""
        messages: list[Message] = [*self._states.values(), *self._moves.values(), *self._replies]
        self._states, self._moves, self._replies = {}, {}, []
        return b"".join(map(encode, messages))


def _merged(first: Moved, second: Moved) -> Moved:
    keys = None if first.keys is None or second.keys is None else first.keys | second.keys
    if keys is not None and len(keys) > MOST_KEYS:
        keys = None
    return Moved(first.database, max(first.end, second.end), keys)
