"""Fetches what plans need: of each document its leaves and, for what is not edited on a leaf, some of its ancestors.

At the most three requests for as many documents as are read at once: the leaves; where what was edited is none of them,
the newest ancestor that the source knows; and more of them where it has no body of that. Planning goes on beside the
source's work: on what was looked up while it looks up the next, and on creations before it is known that they are.

What the client has just asked about, by `_revs_diff`, is known (see `recent`): the first revision of what was not
there, and the child of a leaf, are not looked up again.

An interactive creation that may be written is not looked up at all: the source stores it only if there is no such
document, and says `conflict` otherwise, in one step, which is safer than any question before. What the client is to
hear of the conflict is decided then (`errors_of_taken`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from proxy import recent
from proxy.ahead import ahead, under_way
from proxy.contract import Doc
from proxy.core.grafts import may_be_return
from proxy.core.revisions import known_of
from proxy.cuts import returns
from proxy.errors import Conflict, CouchError
from proxy.fetch import fetch_leaves, fetch_revisions
from proxy.sizes import AT_ONCE, are_large, at_once, cut, first_part
from proxy.turns import Turn
from proxy.view import View
from proxy.writing.aside import plan_in_turns
from proxy.writing.doubt import settle
from proxy.writing.plan import ANCESTORS, needed, plan
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Outcome, Refuse, Rules, Send, log
from proxy.writing.stored import NOTHING, Stored

Bodies = dict[tuple[str, str], Doc]


def rules_of(view: View) -> Rules:
    """The rules by which the view's client writes."""
    profile = view.profile
    return Rules(
        chain=profile.chain,
        client=view.client,
        grafts=view.grafts,
        write=profile.write,
        trusted=profile.trusted,
        orphans=profile.orphans,
        on_surplus=profile.on_surplus,
    )


async def plan_some(
    view: View, batch: Sequence[Pushed], rules: Rules | None = None, *, suppose: bool = True
) -> list[Outcome]:
    """What becomes of the documents, in order: of all, or of the first ones where what the source has of them is too
    large to be held together. `rules`: others than the view's with its former cuts. `suppose`: that there is nothing
    where an interactive write creates, since the source will say so.

    Raises the source's error if it cannot tell what it has.
    """
    rules = rules or await _rules_of_edits(view, batch)
    if not (rules.write and (rules.chain or rules.former or rules.lost_rules)):
        recent.take(view, (pushed.id for pushed in batch))
        return [plan(pushed, NOTHING, rules) for pushed in batch]
    guesses: list[Send | None] = []
    others: list[Pushed] = []
    turn = Turn()
    step = at_once(view) if are_large(view) else AT_ONCE
    for start in range(0, len(batch), step):
        some = batch[start : start + step]
        taken = recent.take(view, (pushed.id for pushed in some)) if suppose else {}
        known = {doc_id: Stored(leaves) for doc_id, leaves in taken.items()}
        found = await _guesses(some, known, rules, suppose, turn)
        guesses += found
        others += [pushed for pushed, guess in zip(some, found, strict=True) if guess is None]
        if step < AT_ONCE and len(others) >= step:
            break
    looked_up: list[Outcome] = []
    if others:
        async with aclosing(ahead(_parts(view, others), partial(_plan_first, view, rules))) as planned:
            async for count, part in planned:
                looked_up += part
                if len(part) < count or are_large(view):
                    break
    rest = iter(looked_up)
    outcomes: list[Outcome] = []
    for guess in guesses:
        outcome = guess or next(rest, None)
        if outcome is None:
            break
        outcomes.append(outcome)
    return outcomes


async def _rules_of_edits(view: View, batch: Sequence[Pushed]) -> Rules:
    """The rules with the former cuts of which edits may be. What returned in the present turn is of the present cut."""
    rules, past = rules_of(view), view.past
    if past.is_clear:
        return rules
    rules = replace(rules, former=past.cuts, lost_rules=past.lost_rules)
    edited = [(pushed.id, str(pushed.ancestors[0])) for pushed in batch if pushed.ancestors]
    if not any(may_be_return(rev) for _, rev in edited):
        return rules
    known = (await returns.read(view)).of
    turn = (past.stint.last, past.strand.kind)
    present = {
        (doc_id, rev)
        for doc_id, rev in edited
        for held, last in known.get(doc_id, {}).items()
        if last[1:] == turn and view.grafts.returned(doc_id, held, last.number) == rev
    }
    return replace(rules, present=present)


async def _parts(view: View, batch: Sequence[Pushed]) -> AsyncGenerator[Sequence[Pushed], None]:
    for part in cut(view, batch):
        yield part


async def _guesses(
    batch: Sequence[Pushed], known: Mapping[str, Stored], rules: Rules, suppose: bool, turn: Turn
) -> list[Send | None]:
    """Of each document what may be sent without a look-up, or None. `known`: what there was when the client asked about
    it, which may be out of date.

    What stubs of attachments stand for the source itself has to have.
    """
    supposed = [_supposed(pushed, known, suppose) for pushed in batch]
    asked = [(pushed, stored) for pushed, stored in zip(batch, supposed, strict=True) if stored is not None]
    outcomes = iter(await plan_in_turns(asked, rules, turn))
    guesses: list[Send | None] = []
    for stored in supposed:
        outcome = None if stored is None else next(outcomes)
        sure = isinstance(outcome, Send) and not (outcome.former or _has_stubs(outcome.doc))
        guesses.append(outcome if isinstance(outcome, Send) and sure else None)
    return guesses


def _supposed(pushed: Pushed, known: Mapping[str, Stored], suppose: bool) -> Stored | None:
    """What the source has of a document without a look-up: nothing of a first revision of what was not there, or the
    very parent, which was a live leaf.

    The body of the parent is what it was, whatever came after it. Any other ancestor may have been followed by what is
    hidden, and the pushed revision may follow that.
    """
    path, stored = pushed.path, NOTHING
    if pushed.new_edits:
        if path or not suppose:
            return None
    else:
        held = known.get(pushed.id)
        if held is None or (held.leaves and len(path) < 2):
            return None
        if len(path) > 1:
            stored = held
            parent = stored.leaf(str(path[1]))
            if parent is None or parent.get("_deleted") is True:
                return None
            if len([*known_of(parent, path[1:])]) < len(path) - 1:
                return None  # other ancestors may be leaves by now
    return stored


def _has_stubs(doc: Doc) -> bool:
    return any(entry.get("stub") is True for entry in (doc.get("_attachments") or {}).values())


async def _plan_first(view: View, rules: Rules, batch: Sequence[Pushed]) -> tuple[int, list[Outcome]]:
    """How many documents these are, and what becomes of them, or of the first ones."""
    return len(batch), await first_part(view, batch, partial(_plan_looked_up, view, rules))


async def _plan_looked_up(view: View, rules: Rules, batch: Sequence[Pushed]) -> list[Outcome]:
    """While the source looks up what it has, what edits nothing is planned as new: mostly it is. Raises TooMany."""
    looking = asyncio.ensure_future(fetch_stored(view, [each for each in batch if not each.id.startswith("_design/")]))
    try:
        await under_way()
        new = [index for index, pushed in enumerate(batch) if not pushed.ancestors]
        guesses = dict(zip(new, await plan_in_turns([(batch[index], NOTHING) for index in new], rules), strict=True))
        stored = await looking
    finally:
        looking.cancel()
        del looking  # its error would refer to this frame

    left = [index for index, pushed in enumerate(batch) if index not in guesses or pushed.id in stored]
    asked = [(batch[index], stored.get(batch[index].id, NOTHING)) for index in left]
    outcomes = guesses | dict(zip(left, await plan_in_turns(asked, rules), strict=True))
    return await settle(view, batch, stored, rules, [outcomes[index] for index in range(len(batch))])


async def errors_of_taken(view: View, batch: Sequence[Pushed], rules: Rules | None = None) -> list[CouchError]:
    """What the client is told of creations for which the source said `conflict`, in order: as had it been asked before.

    That is Conflict also where the document is gone by now, or the source cannot be asked: it was the source's word.
    """
    rules = rules or rules_of(view)
    errors: list[CouchError] = []
    try:
        while len(errors) < len(batch):
            outcomes = await plan_some(view, batch[len(errors) :], rules, suppose=False)
            errors += [outcome.told(rules.chain) if isinstance(outcome, Refuse) else Conflict() for outcome in outcomes]
    except CouchError as error:
        log.warning("the source said conflict, and cannot be asked what it has: %s", error)
        errors += [Conflict() for _ in batch[len(errors) :]]
    return errors


async def fetch_stored(view: View, batch: Sequence[Pushed]) -> dict[str, Stored]:
    """What the source has of the documents, as far as it matters to these writes, by id.

    Raises TooMany if several are too large to be held together.
    """
    if not batch:
        return {}
    several = len(batch) > 1
    leaves = await fetch_leaves(view, [pushed.id for pushed in batch], at_once=several)
    bodies: Bodies = {}
    stored = _stored(leaves, bodies)
    asked: dict[str, set[str]] = defaultdict(set)
    for most in (1, ANCESTORS):
        wanted = [
            (pushed.id, rev)
            for pushed in batch
            if pushed.id in stored
            for rev in needed(pushed, stored[pushed.id], asked[pushed.id])[:most]
        ]
        if not wanted:
            break
        bodies |= await fetch_revisions(view, wanted, at_once=several)
        stored = _stored(leaves, bodies)
        for doc_id, rev in wanted:
            asked[doc_id].add(rev)
    return stored


def _stored(leaves: dict[str, list[Doc]], bodies: Bodies) -> dict[str, Stored]:
    by_id: dict[str, dict[str, Doc]] = {}
    for (doc_id, rev), doc in bodies.items():
        by_id.setdefault(doc_id, {})[rev] = doc
    return {doc_id: Stored(docs, by_id.get(doc_id, {})) for doc_id, docs in leaves.items()}
