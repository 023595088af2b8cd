"""Users: administrators from the configuration, all others documents of `_users`, as in CouchDB.

A user's document has `name`, `roles`, `type: "user"` and, when it is sent, a `password`, which is replaced
with CouchDB's own PBKDF2 members before it is stored. Administrators alone read and write them, as in a CouchDB whose
`users_db_security_editable` is not set; what holds for those is here (`_auth`'s validation function in CouchDB).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from proxy.core import jsonio
from proxy.endpoint.incoming import Edit
from proxy.errors import Forbidden, Unauthorized

PREFIX = "org.couchdb.user:"
DATABASE = "_users"

_DESIGN = "_design/"
_REMEMBERED = 1000
_MAX_ITERATIONS = 10_000_000
_PASSWORD_MEMBERS = frozenset(
    {
        "derived_key",
        "iterations",
        "password",
        "password_scheme",
        "password_sha",
        "pbkdf2_prf",
        "preserve_salt",
        "salt",
    }
)
_SCHEMES = ("simple", "pbkdf2", "simple+pbkdf2")
_DIGESTS = {"sha": "sha1", "sha224": "sha224", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
_WRONG = "Name or password is incorrect."


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking. `name` is None for anonymous. Administrators have the role `_admin`.

    `salt` goes into the signature of session cookies, so that a changed password ends its sessions.
    """

    name: str | None
    roles: tuple[str, ...] = ()
    salt: str = ""


class Users:
    """`find` gives the body of a live document of `_users` by its id, or None."""

    def __init__(
        self,
        find: Callable[[str], Mapping[str, Any] | None],
        admins: Mapping[str, str],
        secret: bytes,
        iterations: int,
    ) -> None:
        self._find = find
        self._admins = dict(admins)
        self._secret = secret
        self._iterations = iterations
        self._verified: OrderedDict[bytes, None] = OrderedDict()

    def user(self, name: str) -> User | None:
        """An administrator, or a user with a document that is in order; None for others."""
        if name in self._admins:
            salt = hmac.digest(self._secret, f"{name}:{self._admins[name]}".encode(), "sha256").hex()
            return User(name, ("_admin",), salt)
        document = self._find(PREFIX + name)
        return None if document is None else _user(name, document)

    async def authenticate(self, name: str, password: str) -> User:
        """Raises Unauthorized, in the same time whether it is the name or the password that is wrong."""
        if name in self._admins:
            right = hmac.compare_digest(self._admins[name].encode(), password.encode("utf-8", "replace"))
        else:
            right = await self._verify(self._find(PREFIX + name) or {}, password)
        user = self.user(name) if right else None
        if user is None:
            raise Unauthorized(_WRONG)
        return user

    async def prepare(self, edit: Edit) -> Edit:
        """What `_users` does with an edit before it is stored: also a tombstone keeps no password.

        Raises Forbidden, for the request as a whole, where a password is no string.
        """
        if edit.is_local or edit.id.startswith(_DESIGN):
            return edit
        body, text = edit.body, edit.text
        password = body.get("password")
        if password is not None:
            if not isinstance(password, str):
                raise Forbidden(f"Password value of '{_shown(password)}' is invalid.")
            salt = secrets.token_hex(16)
            key = await asyncio.to_thread(_derive, "sha256", password, salt, self._iterations)
            body = {
                "password_scheme": "pbkdf2",
                "pbkdf2_prf": "sha256",
                "salt": salt,
                "iterations": self._iterations,
                "derived_key": key,
                **{name: value for name, value in body.items() if name not in _PASSWORD_MEMBERS},
            }
            text = jsonio.dumps(body)
        problem = None if edit.deleted else _problem(edit.id, body)
        return replace(edit, body=body, text=text, problem=problem)

    async def _verify(self, document: Mapping[str, Any], password: str) -> bool:
        """A password once found right is remembered, as a keyed digest, while the document keeps its hash."""
        known = jsonio.dumps([password, document.get("salt"), document.get("derived_key")])
        digest = hmac.digest(self._secret, known, "sha256")
        if digest in self._verified:
            self._verified.move_to_end(digest)
            return True
        right = await asyncio.to_thread(_matches, document, password, self._iterations)
        if right:
            self._verified[digest] = None
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        return right


def _user(name: str, document: Mapping[str, Any]) -> User | None:
    roles = document.get("roles")
    if document.get("name") != name or not isinstance(roles, list):
        return None
    return User(name, tuple(role for role in roles if isinstance(role, str)), str(document.get("salt", "")))


def _problem(doc_id: str, body: Mapping[str, Any]) -> str | None:
    """Why a document is no user's."""
    name, roles = body.get("name"), body.get("roles")
    problem = None
    if body.get("type") != "user":
        problem = "doc.type must be user"
    elif _is_nothing(name):
        problem = "doc.name is required"
    elif _is_nothing(roles):
        problem = "doc.roles must exist"
    elif not isinstance(roles, list):
        problem = "doc.roles must be an array"
    elif not all(isinstance(role, str) for role in roles):
        problem = "doc.roles can only contain strings"
    elif not isinstance(name, str) or doc_id != PREFIX + name:
        problem = "Doc ID must be of the form org.couchdb.user:name"
    elif (unusable := _unusable(body)) is not None:
        problem = unusable
    elif any(role.startswith("_") and role != "_metrics" for role in roles):
        problem = "No system roles (starting with underscore) in users db."
    elif name.startswith("_"):
        problem = "Username may not start with underscore."
    elif ":" in name:
        problem = "Character `:` is not allowed in usernames."
    return problem


def _unusable(body: Mapping[str, Any]) -> str | None:
    """What is wrong with the hash of a password, as a client may bring one along."""
    scheme, iterations = body.get("password_scheme"), body.get("iterations")
    if not _is_nothing(body.get("password_sha")) and _is_nothing(body.get("salt")):
        return "Users with password_sha must have a salt.See /_utils/script/couch.js for example code."
    if not _is_nothing(scheme) and scheme not in _SCHEMES:
        return f"Password scheme `{_shown(scheme)}` not supported."
    if scheme == "pbkdf2":
        if not isinstance(iterations, int | float) or isinstance(iterations, bool):
            return "iterations must be a number."
        if not isinstance(body.get("derived_key"), str):
            return "derived_key must be a string."
    return None


def _is_nothing(value: Any) -> bool:
    """Whether it counts as absent in JavaScript, where an empty list or object does not."""
    return not value and not isinstance(value, list | dict)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else jsonio.dumps(value).decode()


def _matches(document: Mapping[str, Any], password: str, iterations: int) -> bool:
    """Whether the password is the document's; takes as long if there is none."""
    scheme, salt = document.get("password_scheme"), document.get("salt")
    if scheme == "simple" and isinstance(salt, str):
        computed = hashlib.sha1((password + salt).encode()).hexdigest()
        return _same(computed, document.get("password_sha"))
    count, digest = document.get("iterations", iterations), _DIGESTS.get(document.get("pbkdf2_prf", "sha"))
    usable = scheme == "pbkdf2" and isinstance(salt, str) and digest is not None
    if not usable or not isinstance(count, int) or not 0 < count <= _MAX_ITERATIONS:
        _derive("sha256", password, "", iterations)
        return False
    return _same(_derive(str(digest), password, str(salt), count), document.get("derived_key"))


def _same(computed: str, stored: Any) -> bool:
    return isinstance(stored, str) and hmac.compare_digest(computed.encode(), stored.lower().encode())


def _derive(digest: str, password: str, salt: str, iterations: int) -> str:
    return hashlib.pbkdf2_hmac(digest, password.encode("utf-8", "replace"), salt.encode(), iterations).hex()
