"""Users: administrators from the configuration, all others documents of `_users`, as in CouchDB."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking. `name` is None for anonymous. Administrators have the role `_admin`.

    `salt` goes into the signature of session cookies, so that a changed password ends its sessions.
    """

    name: str | None
    roles: tuple[str, ...] = ()
    salt: str = ""
