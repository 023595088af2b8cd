"""A database of a source, and as whom it is asked: what requests need to know, apart from any client's view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.bodies import Bodies
from proxy.claim import FORWARDED
from proxy.config.model import Database
from proxy.core.endpoints import document_path, path
from proxy.errors import Unavailable
from proxy.upstream import Upstream


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where documents come from. `headers`: what authenticates requests to the source. `bodies`: those that are kept,
    where all who ask may have them.
    """

    database: Database
    upstream: Upstream
    headers: Mapping[str, str]
    bodies: Bodies | None = field(default=None, compare=False, repr=False)

    @property
    def whom(self) -> tuple[tuple[str, str], ...]:
        """As whom the source is asked, wherever that is from."""
        return tuple([pair for pair in self.headers.items() if pair[0] != FORWARDED])

    async def info(self) -> dict[str, Any]:
        """What the source says of the database. Raises its error, and Unavailable for what no CouchDB says."""
        found = await self.upstream.json("GET", self.path(), headers=self.headers)
        if not isinstance(found, dict) or "error" in found or not {"db_name", "update_seq"} & found.keys():
            raise Unavailable("The source's answer about the database is not of CouchDB's form: is it a CouchDB?")
        return found

    def path(self, *pieces: str) -> str:
        """The source's path below the database."""
        return path(self.database.source_db, *pieces)

    def document_path(self, doc_id: str, attachment: str | None = None) -> str:
        """The source's path of a document or attachment."""
        return document_path(self.database.source_db, doc_id, attachment)
