"""Compaction: forget the bodies of revisions that are not leaves, as CouchDB does when `_compact` is posted.

The revisions themselves stay known as ancestors. Attachments' bytes stay too: other revisions may share them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from proxy.core import jsonio, revisions
from proxy.endpoint.reading import PAGE, tree_of
from proxy.endpoint.repository import Repository, Transaction

log = logging.getLogger(__name__)


class Compaction:
    """The part of a database that compacts, in the background."""

    name: str
    _repository: Repository

    def __init__(self) -> None:
        super().__init__()
        self._compacting: asyncio.Task[None] | None = None

    @property
    def compact_running(self) -> bool:
        """Whether a compaction is under way."""
        return self._compacting is not None

    def compact(self) -> asyncio.Task[None]:
        """The compaction that is running, or a new one of what there is now. Nobody need wait for it."""
        if self._compacting is None:
            self._compacting = asyncio.create_task(compact(self._repository))
            self._compacting.add_done_callback(self._compacted)
        return self._compacting

    def _compacted(self, task: asyncio.Task[None]) -> None:
        self._compacting = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the compaction of %s failed: %s", self.name, error)

    async def _stop_compaction(self) -> None:
        """What is done so far stays done; nothing is written after this."""
        if self._compacting is not None:
            self._compacting.cancel()
            await asyncio.wait((self._compacting,))


async def compact(repository: Repository) -> None:
    """Page by page, with other writes in between. Documents that change meanwhile are left to the next one."""
    at, end = 0, repository.counts.seq
    while at < end:
        page = repository.by_seq(at, PAGE, descending=False, bodies=False)
        if not page:
            return
        at = page[-1].seq
        edited = [entry.id for entry in page if entry.others is not None or not entry.rev.startswith("1-")]
        await repository.write(partial(_compact_documents, ids=edited))
        await asyncio.sleep(0)  # in memory a write does not wait for anything


def _compact_documents(transaction: Transaction, ids: Iterable[str]) -> None:
    for doc_id in ids:
        stored = transaction.tree(doc_id)
        assert stored is not None  # documents do not go away
        tree = tree_of(stored)
        slim = revisions.compact(tree)
        if slim is tree:
            continue
        for rev, node in tree.items():
            if node.stored and not slim[rev].stored:
                transaction.drop_body(doc_id, str(rev))
        transaction.put_tree(doc_id, jsonio.dumps(revisions.to_json(slim)))
