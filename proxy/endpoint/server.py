"""The databases of one endpoint, its identity and its users."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.endpoint.database import Database
from proxy.endpoint.users import User


class Server:
    """`directory`: where the databases live (created if need be), one SQLite file each; None keeps all in memory.

    `admins`: passwords of server administrators by name. `iterations`: the PBKDF2 count for new passwords.
    """

    uuid: str
    """32 hex digits; the same after a restart."""
    secret: bytes
    """For signing session cookies; the same after a restart."""

    def __init__(
        self, directory: Path | None, *, admins: Mapping[str, str] | None = None, iterations: int = 10_000
    ) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Wait for pending writes and close all files. Idempotent."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """All databases, sorted."""
        raise NotImplementedError

    def database(self, name: str) -> Database:
        """Raises NotFound "Database does not exist."; BadRequest illegal_database_name."""
        raise NotImplementedError

    async def create(self, name: str) -> Database:
        """Raises PreconditionFailed file_exists, BadRequest illegal_database_name."""
        raise NotImplementedError

    async def delete(self, name: str) -> None:
        """Raises NotFound "Database does not exist."; BadRequest illegal_database_name."""
        raise NotImplementedError

    async def authenticate(self, name: str, password: str) -> User:
        """Raises Unauthorized "Name or password is incorrect."."""
        raise NotImplementedError

    def user(self, name: str) -> User | None:
        """A known user's roles, for a cookie that names them: an administrator or a document of `_users`."""
        raise NotImplementedError

    def uuids(self, count: int) -> list[str]:
        """Fresh ids of 32 hex digits, ascending like CouchDB's sequential ones."""
        raise NotImplementedError

    def info(self) -> dict[str, Any]:
        """The object that `GET /` answers with, without features and version."""
        raise NotImplementedError
