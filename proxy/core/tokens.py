"""Update sequences as the proxy gives them out: opaque tokens `N-...` around the source's own sequence.

A token is `N-HHHHHHHHHHHHHHHHrest`: N the integer prefix of the source's sequence (PouchDB applies `parseInt`), 16
characters of URL-safe base64 over one byte of form, three of the view's epoch and eight of a keyed digest, then, where
the feed came from an index, 19 characters for the index and the position in it, and then the rest of the source's
sequence. Rules:

  - a token of another epoch of the same view starts over: what the new rules show must be announced again, and what
    only former ones have shown is gone. What has to be known of the client for that goes on with them (`Carried`);
  - a token that was tampered with, or is no token, is CouchDB's 400 for a malformed sequence;
  - `0` is the beginning and stays `0`, as number and as text; `now` is not a token and is handled by the feed;
  - CouchDB's replicator of 2.x and 3.x sends `since` as a JSON string, quotes and all: one pair of quotes is undone.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from copy import copy
from hashlib import blake2b
from typing import Any, NamedTuple

from proxy.core import jsonio
from proxy.core.seqs import includes
from proxy.errors import BadRequest


class Position(NamedTuple):
    """Where a feed is in an index. `index_id`: 8 bytes; `seq`: the source's sequence there."""

    index_id: bytes
    at: int
    seq: Any


class Carried(NamedTuple):
    """What tokens say of the client itself. Of a feed that has begun anew and is not at its end yet: `had`, the
    source's sequence up to which the client had been told before; `anew`, whether that is not known; `turn`, since when
    (see `cuts.record`). `returns`: how many entries the record of returns had when it was told of some.
    """

    had: Any = None
    returns: int = 0
    anew: bool = False
    turn: int = 0

    @property
    def begins(self) -> bool:
        """Whether it is of a feed that has begun anew."""
        return self.anew or self.had is not None


_INTEGER, _TEXT, _OTHER = 0, 1, 2
_IN_INDEX = 4
_CARRIES = 8
_TOKEN = re.compile(r"([0-9]+)-([A-Za-z0-9_-]{16})([A-Za-z0-9_-]*)\Z")
_DIGEST_SIZE = 8
_INDEX_SIZE, _AT_SIZE = 8, 6
_POSITION = 19
"""Characters of base64 for both together."""
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Tokens:
    """Makes and reads the tokens of one view. `key`: secret, per view; `epoch`: text that changes with its rules."""

    def __init__(self, key: bytes, epoch: str) -> None:
        self._keyed = blake2b(key=key[:64], digest_size=_DIGEST_SIZE)
        self._text = epoch
        self._numbered: Tokens | None = None
        self._number = 0
        self._begin(epoch)

    def _begin(self, epoch: str) -> None:
        self._head = {form: bytes([form]) + _short(epoch) for form in range(_CARRIES)}
        carrying = _short(f"{epoch}\0carries")  # unknown to versions that cannot read it: they start over
        self._head |= {form: bytes([form]) + carrying for form in range(_CARRIES, 2 * _CARRIES)}

    def numbered(self, number: int) -> Tokens:
        """Those of the same rules when they are in force for another time; `number`: of that time, 0: the first one."""
        if not number:
            return self
        if self._numbered is None or self._numbered._number != number:
            self._numbered = copy(self)
            self._numbered._number = number
            self._numbered._begin(f"{self._text}\0{number}")
        return self._numbered

    def encode(self, seq: Any, carried: Carried | None = None) -> str | int:
        """The token for a source's sequence (a string such as `12-g1AAA...`, an integer, or any other JSON value) or a
        Position.
        """
        more, before = (0, "") if carried is None else (_CARRIES, _written(carried))
        if type(seq) is Position:
            form, number, rest = _parts(seq.seq)
            place = b2a_base64(seq.index_id + seq.at.to_bytes(_AT_SIZE, "big"), newline=False).translate(_URL_SAFE)
            return self._token(form | _IN_INDEX | more, number, before + place[:_POSITION].decode() + rest)
        form, number, rest = _parts(seq)
        return self._token(form | more, number, before + rest) if number != "0" or rest else 0

    def decode(self, token: str) -> Any:
        """The source's sequence, or the Position, in a token; 0 for the beginning and for a token of an older epoch."""
        return self.read(token)[0]

    def read(self, token: str) -> tuple[Any, Carried | None]:
        """As `decode`, and what the token carries; None: nothing. A feed that begins anew by it goes on with that."""
        if len(token) > 1 and token[0] == token[-1] == '"':
            token = token[1:-1]
        if token in ("0", ""):
            return 0, None
        match = _TOKEN.match(token)
        if match is None:
            raise _malformed()
        number, head, rest = match.groups()
        packed = urlsafe_b64decode(head)
        if self._digest(packed[:4], number, rest) != packed[4:]:
            raise _malformed()
        form, carried = packed[0], None
        if form & _CARRIES:
            carried, rest = _read(rest)
        seq = _place(form & ~_CARRIES, number, rest)
        if packed[:4] == self._head[form]:
            return seq, carried
        told, carried = source_seq(seq), carried or Carried()
        if carried.had is not None and not includes(told, carried.had):
            told = carried.had
        return 0, carried._replace(had=told)

    def _token(self, form: int, number: str, rest: str) -> str:
        head = self._head[form]
        packed = b2a_base64(head + self._digest(head, number, rest), newline=False)
        return f"{number}-{packed.translate(_URL_SAFE).decode()}{rest}"

    def _digest(self, head: bytes, number: str, rest: str) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(head + f"{number}-{rest}".encode())
        return keyed.digest()


def _short(epoch: str) -> bytes:
    return blake2b(epoch.encode(), digest_size=3).digest()


def source_seq(seq: Any) -> Any:
    """The source's sequence of a place in a feed, which may be a Position."""
    return seq.seq if type(seq) is Position else seq


def _place(form: int, number: str, rest: str) -> Any:
    if not form & _IN_INDEX:
        return _source_seq(form, number, rest)
    place = urlsafe_b64decode(rest[:_POSITION] + "=")
    seq = _source_seq(form & ~_IN_INDEX, number, rest[_POSITION:])
    return Position(place[:_INDEX_SIZE], int.from_bytes(place[_INDEX_SIZE:], "big"), seq)


def _written(carried: Carried) -> str:
    """What is carried, in front of a sequence: how long it is, in four digits, and base64 of its JSON."""
    packed = urlsafe_b64encode(jsonio.dumps(list(carried))).decode().rstrip("=")
    return f"{len(packed):04x}{packed}" if len(packed) < 0x10000 else _written(carried._replace(had=0))


def _read(rest: str) -> tuple[Carried, str]:
    end = 4 + int(rest[:4], 16)
    packed = rest[4:end]
    return Carried(*jsonio.loads(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))), rest[end:]


def _parts(seq: Any) -> tuple[int, str, str]:
    """The form of a source's sequence, its number and the rest."""
    if type(seq) is int:
        return _INTEGER, str(seq), ""
    if type(seq) is str:
        number, dash, rest = seq.partition("-")
        if number.isdigit() and seq.isascii():
            # as bytes, in a third of the time that a regular expression takes: every row has one, of a hundred and more
            if rest.encode().replace(b"-", b"").replace(b"_", b"").isalnum():
                return _TEXT, number, rest
            if not dash and (number == "0" or number[0] != "0"):
                return _INTEGER, number, ""
    return _OTHER, "0", urlsafe_b64encode(jsonio.dumps(seq)).decode().rstrip("=")


def _source_seq(form: int, number: str, rest: str) -> Any:
    if form == _INTEGER:
        return int(number)
    if form == _TEXT:
        return f"{number}-{rest}"
    return jsonio.loads(urlsafe_b64decode(rest + "=" * (-len(rest) % 4)))


def _malformed() -> BadRequest:
    return BadRequest("Malformed sequence supplied in 'since' parameter.")
