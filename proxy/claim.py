"""What a request claims about who sends it: credentials, and where it comes from. Pure.

Only the `AuthSession` cookie and an `Authorization: Basic` header count; a cookie beats Basic, as in CouchDB.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote_to_bytes

from multidict import MultiMapping

from proxy.errors import BadRequest

_LONGEST = 16 * 1024
_COOKIE = re.compile(r"(?:^|[;,])\s*AuthSession\s*=\s*([^;,\s]+)")
_NAMES = ("name", "username")
FORWARDED = "X-Forwarded-For"


@dataclass(frozen=True)
class Claim:
    """What a request says of who sends it: credentials as headers, and the address that it comes from."""

    credentials: Mapping[str, str] = field(repr=False)
    address: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What the source is told: the credentials, and whose wrong passwords to count."""
        return {**self.credentials, **({} if self.address is None else {FORWARDED: self.address})}

    @property
    def digest(self) -> bytes:
        """What the source's word is kept under."""
        text = f"{self.credentials.get('Cookie', '')}\n{self.credentials.get('Authorization', '')}"
        return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=32).digest()

    @property
    def user(self) -> bytes | None:
        """The name in Basic credentials, as generously as any source may read them."""
        _, _, text = self.credentials.get("Authorization", "").partition(" ")
        try:
            return b64decode(text.encode("utf-8", "surrogateescape") + b"==").partition(b":")[0] if text else None
        except binascii.Error:
            return None

    def renewed(self, set_cookie: str) -> Claim:
        """The claim of a client that has taken the cookie that it got."""
        return Claim(_cookie(set_cookie) or self.credentials, self.address)


def claim(headers: MultiMapping[str], remote: str | None = None, *, behind_gateway: bool = False) -> Claim:
    """The claim of a request. `remote`: the address of its connection; `behind_gateway`: that is a gateway's, which
    tells the client's in X-Forwarded-For. Raises BadRequest if the credentials are longer than any source reads.
    """
    found = _cookie("; ".join(headers.getall("Cookie"))) if "Cookie" in headers else {}
    authorization = headers.get("Authorization", "")
    if authorization[:6].lower() == "basic ":
        found["Authorization"] = authorization
    if sum(map(len, found.values())) > _LONGEST:
        raise BadRequest(f"Credentials are longer than {_LONGEST} bytes.")
    told = headers.getall(FORWARDED, ()) if behind_gateway else ()
    return Claim(found, _address(told[-1].rpartition(",")[2].strip()) if told else _address(remote))


def _cookie(text: str) -> dict[str, str]:
    """The session cookie in a Cookie or Set-Cookie header, as a header; of several the first, as in CouchDB."""
    found = _COOKIE.search(text)
    return {} if found is None else {"Cookie": f"AuthSession={found[1]}"}


@lru_cache(maxsize=4096)
def _address(text: str | None) -> str | None:
    try:
        return None if text is None else str(ip_address(text))
    except ValueError:  # a socket in the file system has no address
        return None


def names_in(body: bytes) -> Iterator[bytes]:
    """All that a source could take for the user's name in the body of a login, a form or JSON."""
    for piece in re.split(b"[&;]", body):
        key, _, value = (unquote_to_bytes(text.replace(b"+", b" ")) for text in piece.partition(b"="))
        if key.decode("latin-1").strip() in _NAMES:
            yield value
    try:
        members = json.loads(body.decode("utf-8", "replace"), object_pairs_hook=_Members, strict=False)
    except (ValueError, RecursionError):
        return
    if isinstance(members, _Members):
        yield from (value.encode() for key, value in members if key in _NAMES and isinstance(value, str))


class _Members(list[tuple[str, Any]]):
    """A JSON object with all of its members: which of two with the same name counts is the reader's choice."""
