"""One database of the endpoint: what CouchDB does with documents, on top of a repository.

Reads are plain calls: they take microseconds and see the last commit. Writes are coroutines and return when the change
is durable. Revisions are strings (`"3-abc"`) at this door. Errors are `proxy.errors` with CouchDB's words.

Sequences are integers here. On the wire they are `seq_text(n)`: `N-` and a tag of this very database, so that a since
of a database that was deleted and created again starts from the beginning instead of skipping documents.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, cast

from proxy.core import jsonio
from proxy.endpoint.attachments import Attachment, Upload
from proxy.endpoint.compaction import Compaction
from proxy.endpoint.documents import Change, Document, MissingRev, Row, Updated
from proxy.endpoint.feed import Feed
from proxy.endpoint.incoming import Edit
from proxy.endpoint.repository import Repository
from proxy.endpoint.writing import Writing
from proxy.errors import BadRequest, NotFound

__all__ = ["Attachment", "Change", "Database", "Document", "MissingRev", "Row", "Updated", "Upload"]

_FRESH_SECURITY = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}
_REVS_LIMIT = 1000


class Database(Feed, Compaction, Writing):
    """Created, opened and deleted by `Server`. After deletion every call raises NotFound, every waiter wakes.

    `prepare` may change or refuse an edit before it is stored (passwords of users are hashed there).
    """

    def __init__(
        self, name: str, repository: Repository, prepare: Callable[[Edit], Awaitable[Edit]] | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self._repository = repository
        self._prepare = prepare
        repository.on_commit = self._wake
        self._security: dict[str, Any] = _setting(repository, "security", _FRESH_SECURITY)
        self._revs_limit: int = _setting(repository, "revs_limit", _REVS_LIMIT)
        self._tag: str = _setting(repository, "tag", "")
        self.instance_start_time: str = _setting(repository, "instance_start_time", "0")
        """Seconds since 1970, as text; stays the same as long as the database exists."""

    @staticmethod
    def found(repository: Repository) -> None:
        """Give a new database its identity."""
        born = {"tag": secrets.token_hex(8), "instance_start_time": str(time.time_ns() // 1000)}
        repository.found({name: jsonio.dumps(value) for name, value in born.items()})

    @property
    def doc_count(self) -> int:
        """How many documents are not deleted: `total_rows` of `_all_docs`."""
        return self._repository.counts.live

    def info(self) -> dict[str, Any]:
        """The object that `GET /{db}` answers with."""
        counts = self._repository.counts
        return {
            "instance_start_time": self.instance_start_time,
            "db_name": self.name,
            "purge_seq": self.seq_text(0),
            "update_seq": self.seq_text(counts.seq),
            "sizes": {
                "file": self._repository.file_size(),
                "external": counts.external,
                "active": counts.external,
            },
            "props": {},
            "doc_del_count": counts.deleted,
            "doc_count": counts.live,
            "disk_format_version": 8,
            "compact_running": self.compact_running,
            "cluster": {"q": 1, "n": 1, "w": 1, "r": 1},
        }

    def security(self) -> dict[str, Any]:
        """The `_security` object; only administrators may use a new database, as in CouchDB 3."""
        return self._security

    async def set_security(self, value: Any) -> None:
        """Raises BadRequest if `value` is not a security object."""
        _check_security(value)
        await self._set("security", value)
        self._security = value

    def revs_limit(self) -> int:
        """How many revisions of each path are kept."""
        return self._revs_limit

    async def set_revs_limit(self, value: Any) -> None:
        """Raises BadRequest if `value` is not a positive integer."""
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequest("`_revs_limit` must be a positive integer.")
        await self._set("revs_limit", value)
        self._revs_limit = value

    async def _set(self, name: str, value: Any) -> None:
        text = jsonio.dumps(value)
        await self._repository.write(lambda transaction: transaction.set(name, text))

    async def close(self) -> None:
        """Wait for pending writes and close the files; only the server does this."""
        repository = self._leave()
        await self._stop_compaction()
        await repository.close()

    async def destroy(self) -> None:
        """Remove everything; only the server does this."""
        repository = self._leave()
        await self._stop_compaction()
        await repository.destroy()

    def _leave(self) -> Repository:
        repository, self._repository = self._repository, cast(Repository, _Gone())
        self._wake()
        return repository


class _Gone:
    """What a deleted database's repository turns into: everything raises NotFound."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NotFound("Database does not exist.")


def _setting(repository: Repository, name: str, default: Any) -> Any:
    stored = repository.setting(name)
    return default if stored is None else jsonio.loads(stored)


def _check_security(value: Any) -> None:
    """CouchDB's own rules (couch_db:validate_security_object)."""
    if not isinstance(value, dict):
        raise BadRequest("Request body must be a JSON object")
    for group in ("admins", "members"):
        members = value.get(group, {})
        if not isinstance(members, dict):
            raise BadRequest(f"{group} must be a JSON object with lists of names and roles")
        for kind in ("names", "roles"):
            listed = members.get(kind, [])
            if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
                raise BadRequest(f"{kind} must be a JSON list of strings")
