"""CouchDB's session cookie: `AuthSession=` base64url of `name:HEXTIME:` and a raw HMAC-SHA256.

The key is the server's secret followed by the user's salt, so that a new password ends the sessions of the old one.
"""

from __future__ import annotations

import base64
import hmac
from email.utils import formatdate

from proxy.endpoint.http.reply import line
from proxy.errors import BadRequest

NAME = "AuthSession"


def sign(name: str, issued: int, key: bytes) -> str:
    """The value of the cookie for a user, issued at a time in seconds since the epoch."""
    stamped = f"{name}:{issued:X}".encode()
    return base64.urlsafe_b64encode(stamped + b":" + _mac(stamped, key)).rstrip(b"=").decode()


def parse(value: str) -> tuple[str, int, bytes]:
    """User name, time of issue and signature, unchecked. Raises BadRequest for what cannot be a cookie of ours."""
    try:
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        name, stamp, mac = raw.split(b":", 2)
        return name.decode(), int(stamp, 16), mac
    except ValueError:
        raise BadRequest("Malformed AuthSession cookie. Please clear your cookies.") from None


def genuine(name: str, issued: int, mac: bytes, key: bytes) -> bool:
    """Whether the signature is that of the name and time. Takes the same time whatever differs."""
    return hmac.compare_digest(mac, _mac(f"{name}:{issued:X}".encode(), key))


def set_cookie(value: str, now: float, max_age: int) -> bytes:
    """The `Set-Cookie` line; an empty value clears the cookie."""
    expires = formatdate(now + max_age, usegmt=True)
    date = f"{expires[:7]}-{expires[8:11]}-{expires[12:]}"  # CouchDB writes 22-Nov-2026 here
    return line("Set-Cookie", f"{NAME}={value}; Version=1; Expires={date}; Max-Age={max_age}; Path=/; HttpOnly")


def _mac(stamped: bytes, key: bytes) -> bytes:
    return hmac.digest(key, stamped, "sha256")
