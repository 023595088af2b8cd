"""Of edits that were read by a former cut: those that cannot have been of one, and what has to be kept of the others.

Whether an edit of the present cut removed something, or one of a former cut never had it, the edit alone does not tell
(`core.cut`); it is read by the former then, and nothing is lost. But a revision that came into being after the present
cut began was never shown by a former one: who edits it and leaves something out removes it. Unless it is an
edit of a former cut itself: then the device that made it still has what it made of that. So

  - a revision is *new* if the source's feed has it after the present cut's beginning, as the document's only leaf, and
    its parent was not edited by a former cut;
  - each edit that is read by a former cut is first noted, at the source, by the revision that it is an edit of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from proxy import own
from proxy.contract import Doc
from proxy.core.equality import same
from proxy.core.seqs import as_text, includes
from proxy.cuts.record import RECORD, read
from proxy.errors import CouchError, Unavailable
from proxy.fetch import ancestry
from proxy.view import View
from proxy.writing.aside import planned
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Acknowledge, Outcome, Rules, Send
from proxy.writing.stored import Stored

log = logging.getLogger("couch_tailor.writing")

T = TypeVar("T")
R = TypeVar("R")
_AT_ONCE = 100
"""Documents that the source is asked about at once: of so many CouchDB looks at them alone, and not at the feed."""
_SIDE_BY_SIDE = 8


async def settle(
    view: View, batch: Sequence[Pushed], stored: Mapping[str, Stored], rules: Rules, outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """The outcomes, without doubt: what cannot be an edit of a former cut is planned anew, the others are noted.

    Raises the source's error if it cannot be noted.
    """
    settled = list(outcomes)
    doubtful = [index for index, outcome in enumerate(outcomes) if _is_former(outcome)]
    if not doubtful:
        return settled
    leaves = {index: _only_leaf(batch[index], stored[batch[index].id]) for index in doubtful}
    new = await _are_new(view, [leaf for leaf in leaves.values() if leaf is not None])
    present = replace(rules, former=(), lost_rules=False)
    for index in doubtful:
        if leaves[index] is not None and batch[index].id in new:
            settled[index] = await planned(batch[index], stored[batch[index].id], present)
    former = [batch[index] for index in doubtful if isinstance(settled[index], Send) and _is_former(settled[index])]
    if former:
        log.info("%d edits in %s are of what their devices were shown before", len(former), view.name)
    edits = dict.fromkeys((pushed.id, str(pushed.ancestors[0])) for pushed in former if pushed.ancestors)
    await _all(edits, lambda each: _note(view, *each))
    return settled


def _is_former(outcome: Outcome) -> bool:
    return not isinstance(outcome, Acknowledge) and outcome.former


async def _are_new(view: View, edited: Sequence[Doc]) -> set[str]:
    """The ids of those leaves, each alone in its document, that are new."""
    leaves = {leaf["_id"]: leaf for leaf in edited}
    if not leaves:
        return set()
    try:
        since = await _since(view)
        new = [doc_id async for doc_id in _changed(view, leaves, since)] if since is not None else []
        noted = await _all(new, lambda doc_id: _is_noted(view, doc_id, leaves[doc_id]))
    except CouchError as error:
        log.warning("whether edits in %s are of a former cut cannot be told: %s", view.name, error)
        return set()
    return {doc_id for doc_id, is_noted in zip(new, noted, strict=True) if not is_noted}


def _only_leaf(pushed: Pushed, held: Stored) -> Doc | None:
    """The leaf that was edited, if it is all that there is of the document."""
    if len(held.leaves) != 1:
        return None
    leaf = held.leaves[0]
    return leaf if leaf["_rev"] in map(str, pushed.ancestors) else None


async def _since(view: View) -> Any:
    """The source's sequence after which nothing but the present cut was shown; None if there is none. Raises the
    source's error.
    """
    entries = read(await own.read(view, view.past.strand.own_id(RECORD)))
    return entries[-1].since if entries and entries[-1].is_cut == view.past.is_cut else None


async def _changed(view: View, leaves: Mapping[str, Doc], since: Any) -> AsyncIterator[str]:
    """The documents whose leaf came after a sequence. Raises the source's error.

    A cluster that has lost a copy of a shard, or has split one, goes back as far as it must, and gives earlier changes
    as well. Then nothing is known to be later.
    """
    ids = list(leaves)
    pairs = [("filter", "_doc_ids"), ("style", "all_docs"), ("since", as_text(since))]
    for start in range(0, len(ids), _AT_ONCE):
        body = {"doc_ids": ids[start : start + _AT_ONCE]}
        found = await view.upstream.json("POST", view.path("_changes"), pairs, headers=view.headers, body=body)
        try:
            if not includes(found["last_seq"], since):
                view.past.strand.since_is_lost = True
                return
            for row in found["results"]:
                if row["id"] in leaves and [each["rev"] for each in row["changes"]] == [leaves[row["id"]]["_rev"]]:
                    yield row["id"]
        except (TypeError, KeyError) as error:
            raise Unavailable("The source's _changes is not of CouchDB's form.") from error


async def _is_noted(view: View, doc_id: str, leaf: Doc) -> bool:
    """Whether a revision is an edit that was read by a former cut."""
    return any([await own.read(view, _note_id(view, doc_id, parent)) is not None for parent in ancestry(leaf, 1)])


async def note_edit(view: View, rules: Rules, leaf: Doc | None) -> None:
    """Hear that `leaf` is edited by a request that has no body of it: devices keep the one that they have.

    Raises the source's error.
    """
    past = view.past
    shown = None if leaf is None or past.is_clear else rules.shape(leaf)
    if leaf is None or shown is None:
        return
    if past.lost_rules or any(not same(cut.of(shown), shown) for cut in past.cuts):
        await _note(view, leaf["_id"], leaf["_rev"])


async def _note(view: View, doc_id: str, edited: str) -> None:
    await own.update(view, _note_id(view, doc_id, edited), lambda held: None if held else {})


def _note_id(view: View, doc_id: str, edited: str) -> str:
    return view.past.strand.own_id("edit", doc_id, edited)


async def _all(asked: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> list[R]:
    """The answers, of a few asked side by side. Raises the first error."""
    answers: list[R] = []
    left = iter(asked)
    while some := list(islice(left, _SIDE_BY_SIDE)):
        asking = [asyncio.ensure_future(_awaited(ask, each)) for each in some]
        try:
            answers += await asyncio.gather(*asking)
        finally:
            for task in asking:
                task.cancel()
    return answers


async def _awaited(ask: Callable[[T], Awaitable[R]], each: T) -> R:
    return await ask(each)
