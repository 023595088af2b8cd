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
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from proxy import own
from proxy.contract import Doc
from proxy.errors import CouchError, Unavailable
from proxy.fetch import ancestry
from proxy.view import View
from proxy.writing.plan import plan
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Acknowledge, Outcome, Rules, Stored

log = logging.getLogger("couch_tailor.writing")

_EDITS = "edits"
_MOST_NOTED = 32
"""Edits of one document by one user that are noted: of more, the oldest are forgotten."""
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
    new = await _are_new(view, [(batch[index], stored[batch[index].id]) for index in doubtful])
    present = replace(rules, former=())
    for index in doubtful:
        if batch[index].id in new:
            settled[index] = plan(batch[index], stored[batch[index].id], present)
    former = [batch[index] for index in doubtful if _is_former(settled[index])]
    if former:
        log.info("%d edits in %s are of what their devices were shown before", len(former), view.name)
    await _all(_note(view, pushed) for pushed in former)
    return settled


def _is_former(outcome: Outcome) -> bool:
    return not isinstance(outcome, Acknowledge) and outcome.former


async def _are_new(view: View, edits: Sequence[tuple[Pushed, Stored]]) -> set[str]:
    """The documents of which the edited revision is new."""
    leaves = {pushed.id: leaf for pushed, held in edits if (leaf := _only_leaf(pushed, held)) is not None}
    if view.past.since is None or not leaves:
        return set()
    try:
        new = {doc_id async for doc_id in _changed(view, leaves)}
        noted = await _all(_is_noted(view, doc_id, leaves[doc_id]) for doc_id in new)
    except CouchError as error:
        log.warning("whether edits in %s are of a former cut cannot be told: %s", view.name, error)
        return set()
    return {doc_id for doc_id, is_noted in zip(new, noted, strict=True) if not is_noted}


def _only_leaf(pushed: Pushed, held: Stored) -> Doc | None:
    """The edited revision, if it is all that there is of the document."""
    if not pushed.ancestors or len(held.leaves) != 1:
        return None
    return held.leaf(str(pushed.ancestors[0]))


async def _changed(view: View, leaves: Mapping[str, Doc]) -> AsyncIterator[str]:
    """The documents whose leaf came after the present cut began. Raises the source's error."""
    ids = list(leaves)
    pairs = [("filter", "_doc_ids"), ("style", "all_docs"), ("since", _since(view.past.since))]
    for start in range(0, len(ids), _AT_ONCE):
        body = {"doc_ids": ids[start : start + _AT_ONCE]}
        found = await view.upstream.json("POST", view.path("_changes"), pairs, headers=view.headers, body=body)
        try:
            for row in found["results"]:
                if row["id"] in leaves and [each["rev"] for each in row["changes"]] == [leaves[row["id"]]["_rev"]]:
                    yield row["id"]
        except (TypeError, KeyError) as error:
            raise Unavailable("The source's _changes is not of CouchDB's form.") from error


def _since(seq: Any) -> str:
    return seq if isinstance(seq, str) else str(seq)


async def _is_noted(view: View, doc_id: str, leaf: Doc) -> bool:
    """Whether a revision is an edit that was read by a former cut."""
    noted = _revs(await own.read(view, view.past.own_id(_EDITS, doc_id)))
    return any(parent in noted for parent in ancestry(leaf, 1))


async def _note(view: View, pushed: Pushed) -> None:
    edited = str(pushed.ancestors[0]) if pushed.ancestors else None
    if edited is None:
        return

    def noted(held: Doc | None) -> Doc | None:
        revs = _revs(held)
        return None if edited in revs else {"edited": [*revs, edited][-_MOST_NOTED:]}

    await own.update(view, view.past.own_id(_EDITS, pushed.id), noted)


def _revs(held: Doc | None) -> list[Any]:
    revs = held.get("edited") if held else None
    return revs if isinstance(revs, list) else []


async def _all(tasks: Iterator[Any]) -> list[Any]:
    """The results, of a few side by side."""
    results: list[Any] = []
    todo = list(tasks)
    for start in range(0, len(todo), _SIDE_BY_SIDE):
        results += await asyncio.gather(*todo[start : start + _SIDE_BY_SIDE])
    return results
