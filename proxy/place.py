"""A database of a source, and as whom it is asked: what requests need to know, apart from any client's view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config.model import Database
from proxy.core.endpoints import document_path, path
from proxy.upstream import Upstream


@dataclass(frozen=True)
class Place:
    """Where documents come from. `headers`: what authenticates requests to the source."""

    database: Database
    upstream: Upstream
    headers: Mapping[str, str]

    def path(self, *pieces: str) -> str:
        """The source's path below the database."""
        return path(self.database.source_db, *pieces)

    def document_path(self, doc_id: str, attachment: str = "") -> str:
        """The source's path of a document or attachment."""
        return document_path(self.database.source_db, doc_id, attachment)
