"""The databases of one endpoint, its identity and its users."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

from proxy.core import jsonio
from proxy.endpoint import users
from proxy.endpoint.database import Database
from proxy.endpoint.memory import MemoryRepository
from proxy.endpoint.repository import Repository
from proxy.endpoint.sqlite import TRASH, SqliteRepository
from proxy.endpoint.sqlite_reader import FILE
from proxy.endpoint.users import User, Users
from proxy.errors import BadRequest, CouchError, NotFound, PreconditionFailed

_NAME = re.compile(r"[a-z][a-z0-9_$()+/-]*")
_SYSTEM_NAMES = frozenset({"_global_changes", "_replicator", users.DATABASE})
_MAX_NAME = 238
_SERVER_FILE = "server.sqlite"


class Server:
    """`directory`: where the databases live (created if need be), a directory each; None keeps all in memory.

    `admins`: passwords of server administrators by name. `iterations`: the PBKDF2 count for new passwords. One process
    uses a directory: a second raises CouchError. `_users` is there from the start.
    """

    def __init__(
        self, directory: Path | None, *, admins: Mapping[str, str] | None = None, iterations: int = 10_000
    ) -> None:
        self._directory = directory
        self._open: dict[str, Database] = {}
        self._names: set[str] = set()
        self._changing = asyncio.Lock()
        """Held while databases come and go: a name is not taken again before its old files are gone."""
        self._file: sqlite3.Connection | None = None
        self.uuid, self.secret = uuid4().hex, secrets.token_bytes(32)
        """32 hex digits, and the key for signing session cookies; both the same after a restart."""
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = _lock(directory / _SERVER_FILE)
            self.uuid, self.secret = _identity(self._file, self.uuid, self.secret)
            self._names = _find(directory)
        self._users = Users(self._user_document, admins or {}, self.secret, iterations)
        self._uuid_prefix, self._uuid_number = "", 0xFFFFFF
        if users.DATABASE not in self._names:
            self._create(users.DATABASE)

    async def close(self) -> None:
        """Wait for pending writes and close all files. Idempotent."""
        while self._open:
            _, database = self._open.popitem()
            await database.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def names(self) -> list[str]:
        """All databases, sorted."""
        return sorted(self._names)

    def database(self, name: str) -> Database:
        """Raises NotFound "Database does not exist."."""
        database = self._open.get(name)
        if database is None:
            if name not in self._names:
                raise NotFound("Database does not exist.")
            database = self._open[name] = self._database(name, self._repository(name))
        return database

    async def create(self, name: str) -> Database:
        """Raises PreconditionFailed file_exists, BadRequest illegal_database_name or database_name_too_long."""
        _check_name(name)
        async with self._changing:
            if name in self._names:
                reason = "The database could not be created, the file already exists."
                raise PreconditionFailed(reason, error="file_exists")
            return self._create(name)

    async def delete(self, name: str) -> None:
        """Raises NotFound "Database does not exist."."""
        self.database(name)
        await asyncio.shield(self._delete(name))  # a client that hangs up does not leave half of it behind

    async def authenticate(self, name: str, password: str) -> User:
        """Raises Unauthorized "Name or password is incorrect."."""
        return await self._users.authenticate(name, password)

    def user(self, name: str) -> User | None:
        """A known user's roles, for a cookie that names them: an administrator or a document of `_users`."""
        return self._users.user(name)

    def uuids(self, count: int) -> list[str]:
        """Fresh ids of 32 hex digits, ascending like CouchDB's sequential ones: 26 random digits, then a counter."""
        return [self._next_uuid() for _ in range(count)]

    def info(self) -> dict[str, Any]:
        """The object that `GET /` answers with, without features and version."""
        return {"couchdb": "Welcome", "uuid": self.uuid, "vendor": {"name": "couch-tailor"}}

    def _create(self, name: str) -> Database:
        repository = self._repository(name)
        Database.found(repository)
        database = self._open[name] = self._database(name, repository)
        self._names.add(name)
        return database

    async def _delete(self, name: str) -> None:
        async with self._changing:
            database = self.database(name)
            del self._open[name]
            self._names.discard(name)
            await database.destroy()

    def _next_uuid(self) -> str:
        self._uuid_number += 1 + secrets.randbelow(0xFFE)
        if self._uuid_number > 0xFFFFFF:
            self._uuid_prefix, self._uuid_number = secrets.token_hex(13), secrets.randbelow(0xFFFF)
        return f"{self._uuid_prefix}{self._uuid_number:06x}"

    def _repository(self, name: str) -> Repository:
        if self._directory is None:
            return MemoryRepository()
        return SqliteRepository(self._directory / quote(name, safe=""))

    def _database(self, name: str, repository: Repository) -> Database:
        return Database(name, repository, self._users.prepare if name == users.DATABASE else None)

    def _user_document(self, doc_id: str) -> Mapping[str, Any] | None:
        try:
            document: dict[str, Any] = jsonio.loads(self.database(users.DATABASE).get(doc_id).body)
        except NotFound:
            return None
        return document


def _check_name(name: str) -> None:
    if name not in _SYSTEM_NAMES and _NAME.fullmatch(name) is None:
        raise BadRequest(
            f"Name: '{name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters "
            "_, $, (, ), +, -, and / are allowed. Must begin with a letter.",
            error="illegal_database_name",
        )
    if len(quote(name, safe="")) > _MAX_NAME:
        raise BadRequest(f"At least one path segment of `{name}` is too long.", error="database_name_too_long")


def _find(directory: Path) -> set[str]:
    """The databases of a directory. Removes what is left of deleted ones."""
    for trash in directory.glob(f"{TRASH}*"):
        shutil.rmtree(trash, ignore_errors=True)
    return {unquote(file.parent.name) for file in directory.glob(f"*/{FILE}")}


def _lock(file: Path) -> sqlite3.Connection:
    """Open the server's own file and hold it as long as the connection is open; the system frees it on a crash."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=0, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("CREATE TABLE IF NOT EXISTS identity (uuid TEXT NOT NULL, secret BLOB NOT NULL)")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError):
            raise
        raise CouchError(f"{file.parent} cannot be used ({error}): is another endpoint running on it?") from None
    return connection


def _identity(connection: sqlite3.Connection, uuid: str, secret: bytes) -> tuple[str, bytes]:
    """The stored uuid and secret; those given become the stored ones if there are none."""
    row = connection.execute("SELECT uuid, secret FROM identity").fetchone()
    if row is not None:
        return row[0], row[1]
    connection.execute("INSERT INTO identity VALUES (?, ?)", (uuid, secret))
    return uuid, secret
