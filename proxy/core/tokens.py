"""Update sequences as the proxy gives them out: opaque tokens `N-...` around the source's own sequence.

A token is `N-HHHHHHHHHHHHHHHHrest`: N the integer prefix of the source's sequence (PouchDB applies `parseInt`), 16
characters of URL-safe base64 over one byte of form, three of the view's epoch and eight of a keyed digest, then, where
the feed came from an index, 19 characters for the index and the position in it, and then the rest of the source's
sequence. Rules:

  - a token of another epoch of the same view starts over: what the new rules show must be announced again;
  - a token that was tampered with, or is no token, is CouchDB's 400 for a malformed sequence;
  - `0` is the beginning and stays `0`, as number and as text; `now` is not a token and is handled by the feed;
  - CouchDB's replicator of 2.x and 3.x sends `since` as a JSON string, quotes and all: one pair of quotes is undone.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from hashlib import blake2b
from typing import Any, NamedTuple

from proxy.core import jsonio
from proxy.errors import BadRequest


class Position(NamedTuple):
    """Where a feed is in an index. `index_id`: 8 bytes; `seq`: the source's sequence there."""

    index_id: bytes
    at: int
    seq: Any


_INTEGER, _TEXT, _OTHER = 0, 1, 2
_IN_INDEX = 4
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
        self._epoch = blake2b(epoch.encode(), digest_size=3).digest()
        forms = (_INTEGER, _TEXT, _OTHER)
        self._head = {form: bytes([form]) + self._epoch for form in (*forms, *(form | _IN_INDEX for form in forms))}

    def encode(self, seq: Any) -> str | int:
        """The token for a source's sequence (a string such as `12-g1AAA...`, an integer, or any other JSON value) or a
        Position.
        """
        if type(seq) is Position:
            form, number, rest = _parts(seq.seq)
            place = b2a_base64(seq.index_id + seq.at.to_bytes(_AT_SIZE, "big"), newline=False).translate(_URL_SAFE)
            return self._token(form | _IN_INDEX, number, place[:_POSITION].decode() + rest)
        form, number, rest = _parts(seq)
        return self._token(form, number, rest) if number != "0" or rest else 0

    def decode(self, token: str) -> Any:
        """The source's sequence, or the Position, in a token; 0 for the beginning and for a token of an older epoch."""
        if len(token) > 1 and token[0] == token[-1] == '"':
            token = token[1:-1]
        if token in ("0", ""):
            return 0
        match = _TOKEN.match(token)
        if match is None:
            raise _malformed()
        number, head, rest = match.groups()
        packed = urlsafe_b64decode(head)
        if self._digest(packed[:4], number, rest) != packed[4:]:
            raise _malformed()
        if packed[1:4] != self._epoch:
            return 0
        if packed[0] & _IN_INDEX:
            place = urlsafe_b64decode(rest[:_POSITION] + "=")
            seq = _source_seq(packed[0] & ~_IN_INDEX, number, rest[_POSITION:])
            return Position(place[:_INDEX_SIZE], int.from_bytes(place[_INDEX_SIZE:], "big"), seq)
        return _source_seq(packed[0], number, rest)

    def _token(self, form: int, number: str, rest: str) -> str:
        head = self._head[form]
        packed = b2a_base64(head + self._digest(head, number, rest), newline=False)
        return f"{number}-{packed.translate(_URL_SAFE).decode()}{rest}"

    def _digest(self, head: bytes, number: str, rest: str) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(head + f"{number}-{rest}".encode())
        return keyed.digest()


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
