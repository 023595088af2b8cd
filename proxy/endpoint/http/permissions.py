"""What a user may do in a database, by its `_security` object: members read and write, admins also design documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.endpoint import users
from proxy.endpoint.database import Database
from proxy.endpoint.http.auth import Identity
from proxy.endpoint.users import User
from proxy.errors import Forbidden, Unauthorized

_NO_ACCESS = "You are not authorized to access this db."
_NOT_ALLOWED = "You are not allowed to access this db."
_NO_ADMIN = "You are not a db or server admin."
_NO_SERVER_ADMIN = "You are not a server admin."


def need_member(identity: Identity, database: Database) -> None:
    """Raises Unauthorized for anonymous and Forbidden for known users who are not members."""
    if identity.is_admin:
        return
    security = database.security()
    members = security.get("members") or {}
    if not (members.get("names") or members.get("roles")):
        return  # a database without members is open to all
    if _in(identity.user, members) or _in(identity.user, security.get("admins") or {}):
        return
    if identity.user.name is None:
        raise Unauthorized(_NO_ACCESS)
    raise Forbidden(_NOT_ALLOWED)


def need_lister_of_users(identity: Identity, path: Sequence[str]) -> None:
    """Who else there is, and whose document changes, is for administrators of the server, whatever `_security` says."""
    if path[0] == users.DATABASE and path[1:2] in (["_all_docs"], ["_changes"]):
        need_server_admin(identity)


def need_editable(database: Database) -> None:
    """Raises Forbidden for the `_security` that nobody changes."""
    if database.name == users.DATABASE:
        raise Forbidden("You can't edit the security object of the user database.")


def need_admin(identity: Identity, database: Database) -> None:
    """Raises Unauthorized unless the user is an administrator of the server or of this database."""
    if not identity.is_admin and not _in(identity.user, database.security().get("admins") or {}):
        raise Unauthorized(_NO_ADMIN)


def need_designer(identity: Identity, database: Database) -> None:
    """Raises what CouchDB tells those who may not write design documents: Forbidden, Unauthorized if anonymous."""
    try:
        need_admin(identity, database)
    except Unauthorized as error:
        if identity.user.name is None:
            raise
        raise Forbidden(error.reason) from None


def need_server_admin(identity: Identity) -> None:
    if not identity.is_admin:
        raise Unauthorized(_NO_SERVER_ADMIN)


def _in(user: User, group: dict[str, Any]) -> bool:
    if user.name is not None and user.name in (group.get("names") or ()):
        return True
    return not set(user.roles).isdisjoint(group.get("roles") or ())
