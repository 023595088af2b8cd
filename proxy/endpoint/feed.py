"""A database's changes: the feed by sequence, waiting for more, and what replicators ask about revisions."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence

from proxy.core import jsonio, revisions
from proxy.core.revisions import Rev
from proxy.endpoint.documents import Change
from proxy.endpoint.reading import PAGE, entry_document, parse, tree_of
from proxy.endpoint.repository import Entry, Repository
from proxy.errors import BadRequest

_SEQ = re.compile(r'"?([0-9]{1,18})(?:-([0-9a-z]*))?"?')
_END = 2**63 - 1


class Feed:
    """The part of a database that has to do with sequences. `_tag` marks those of this very database."""

    _repository: Repository
    _tag: str

    def __init__(self) -> None:
        super().__init__()
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def update_seq(self) -> int:
        """The sequence of the last change."""
        return self._repository.counts.seq

    def seq_text(self, seq: int) -> str:
        """A sequence as the wire shows it: `12-<tag>`."""
        return f"{seq}-{self._tag}"

    def parse_seq(self, text: str) -> int:
        """The sequence that a client's `since` means: 0 if it is from a previous database of this name.

        `now` is the present update_seq; quotes around it (CouchDB 2.x replicators) are ignored. Raises BadRequest
        "Malformed sequence supplied in 'since' parameter." for what is no sequence,
        or only a number that is yet to come.
        """
        if text == "now":
            return self.update_seq
        match = _SEQ.fullmatch(text)
        if match is None:
            raise BadRequest("Malformed sequence supplied in 'since' parameter.")
        seq = int(match[1])
        if match[2] is None and seq > self.update_seq:  # a number alone does not tell of which database it is
            raise BadRequest("Malformed sequence supplied in 'since' parameter.")
        return seq if match[2] in (None, self._tag) else 0

    def changes(
        self,
        since: int = 0,
        *,
        limit: int | None = None,
        descending: bool = False,
        include_docs: bool = False,
        conflicts: bool = False,
    ) -> Iterator[Change]:
        """The changes after `since`, oldest first, lazily in pages, until there are no more at that moment.

        With `descending`: all changes newest first (CouchDB ignores since there).
        """
        at = _END if descending else since
        left = _END if limit is None else limit
        while left > 0:
            page = self._repository.by_seq(at, min(left, PAGE), descending=descending, bodies=include_docs)
            for entry in page:
                yield _change(entry, conflicts)
            if len(page) < PAGE:
                return
            left -= len(page)
            at = page[-1].seq

    def changes_pending(self, since: int) -> int:
        """How many changes there are after `since`."""
        counts = self._repository.counts
        if since >= counts.seq:
            return 0
        return self._repository.count_by_seq(since) if since > 0 else counts.live + counts.deleted

    async def wait_for_change(self, since: int, timeout: float | None = None) -> bool:
        """Wait until `update_seq > since`; at most `timeout` seconds. False if there is still no change.

        Raises NotFound if the database is deleted meanwhile.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self.update_seq <= since:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait((waiter,), timeout=left)
            finally:
                self._waiters.discard(waiter)
        return True

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def revs_diff(self, revs_by_id: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
        """`{id: {"missing": [...], "possible_ancestors": [...]}}`: only ids that miss something, no empty lists."""
        answer: dict[str, dict[str, list[str]]] = {}
        for doc_id, texts in revs_by_id.items():
            absent, ancestors = self._missing(doc_id, [parse(text) for text in texts])
            if absent:
                answer[doc_id] = {"missing": [str(rev) for rev in absent]}
                if ancestors:
                    answer[doc_id]["possible_ancestors"] = [str(rev) for rev in ancestors]
        return answer

    def missing_revs(self, revs_by_id: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """`{id: [rev, ...]}`: only ids that miss something."""
        return {doc_id: found["missing"] for doc_id, found in self.revs_diff(revs_by_id).items()}

    def _missing(self, doc_id: str, wanted: list[Rev]) -> tuple[list[Rev], list[Rev]]:
        stored = self._repository.tree(doc_id)
        if stored is None:
            return wanted, []
        tree = tree_of(stored)
        absent = revisions.missing(tree, wanted)
        return absent, revisions.possible_ancestors(tree, absent)


def _change(entry: Entry, conflicts: bool) -> Change:
    others = () if entry.others is None else (rev for rev, _ in jsonio.loads(entry.others))
    leaves = (entry.rev, *others)
    return Change(entry.seq, entry.id, entry.rev, bool(entry.deleted), leaves, entry_document(entry, conflicts))
