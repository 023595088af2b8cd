"""`_revs_diff` and `_missing_revs`: which of its revisions a client need not send.

Rules (traps 3 and 11):
  - a revision is known if the source has it and the view would show it: judged on its own body, or, where that is gone,
    as an ancestor of a leaf that the view shows;
  - a graft of this view is known: the client has it from here, and it is never to be written;
  - everything else is missing, in the same words as for a document that does not exist: the answer tells nothing of
    what is hidden, and no client is kept from pushing what is its own;
  - possible ancestors are leaves that the view shows, below the highest missing generation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from proxy.contract import Doc
from proxy.core.revisions import canonical
from proxy.errors import BadRequest, Unavailable
from proxy.exchange import Exchange
from proxy.fetch import ancestry, fetch_leaves, fetch_revisions
from proxy.resolve import Shown, departures, judge
from proxy.view import View

_Pair = tuple[str, str]
_Asked = dict[str, list[str]]
"""Revisions by document id, in canonical spelling."""


async def post_revs_diff(exchange: Exchange) -> web.StreamResponse:
    """POST _revs_diff: `{id: {"missing": [...], "possible_ancestors"?: [...]}}` of documents that lack revisions."""
    diff = await _diff(exchange.view, parse_asked(await exchange.read_object()))
    return exchange.json(diff)


async def post_missing_revs(exchange: Exchange) -> web.StreamResponse:
    """POST _missing_revs: the same without possible ancestors. Asked of the source as _revs_diff, which all have."""
    diff = await _diff(exchange.view, parse_asked(await exchange.read_object()))
    return exchange.json({"missing_revs": {doc_id: entry["missing"] for doc_id, entry in diff.items()}})


def parse_asked(body: dict[str, Any]) -> _Asked:
    """The revisions of each document, canonical, each once. Raises BadRequest for what is not a list of revisions."""
    asked: _Asked = {}
    for doc_id, revs in body.items():
        if not isinstance(revs, list):
            raise BadRequest("The value of each document id must be a list of revisions.")
        try:
            asked[doc_id] = list(dict.fromkeys(map(canonical, revs)))
        except ValueError as error:
            raise BadRequest(str(error)) from None
    return {doc_id: revs for doc_id, revs in asked.items() if revs}


async def _diff(view: View, asked: _Asked) -> dict[str, Any]:
    if not asked:
        return {}
    lacking, ancestors = await _ask_source(view, asked)
    if view.hides:
        lacking, ancestors = await _as_the_view_has_it(view, asked, lacking)
    else:
        grafts = await _grafts(view, _pairs(lacking))
        lacking = {doc_id: [rev for rev in revs if (doc_id, rev) not in grafts] for doc_id, revs in lacking.items()}
    return {doc_id: _entry(revs, ancestors.get(doc_id)) for doc_id, revs in lacking.items() if revs}


def _entry(missing: list[str], ancestors: list[str] | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"missing": missing}
    if ancestors:
        entry["possible_ancestors"] = ancestors
    return entry


async def _ask_source(view: View, asked: _Asked) -> tuple[_Asked, dict[str, list[str]]]:
    """What the source lacks of the revisions, in their order, and the ancestors that it names."""
    sent = {doc_id: revs for doc_id, revs in asked.items() if _is_document(doc_id)}
    reply: Any = {}
    if sent:
        reply = await view.upstream.json("POST", view.path("_revs_diff"), headers=view.headers, body=sent)
    if not isinstance(reply, dict):
        raise Unavailable("The source's _revs_diff reply is not of CouchDB's form.")
    lacking: _Asked = {}
    ancestors: dict[str, list[str]] = {}
    try:
        for doc_id, revs in asked.items():
            if doc_id not in sent:
                lacking[doc_id] = revs
            elif doc_id in reply:
                missing = reply[doc_id]["missing"]
                lacking[doc_id] = revs if missing == revs else _those_in(revs, missing)
                ancestors[doc_id] = [str(rev) for rev in reply[doc_id].get("possible_ancestors", ())]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise Unavailable("The source's _revs_diff reply is not of CouchDB's form.") from error
    return lacking, ancestors


def _those_in(revs: list[str], some: Iterable[Any]) -> list[str]:
    """Those of the revisions that are among `some`, however these are spelled. Raises ValueError."""
    found = set(map(canonical, some))
    return [rev for rev in revs if rev in found]


async def _as_the_view_has_it(view: View, asked: _Asked, lacking: _Asked) -> tuple[_Asked, dict[str, list[str]]]:
    """What the view lacks, given what the source lacks, and the ancestors that the view shows."""
    there = {doc_id: revs for doc_id, revs in asked.items() if lacking.get(doc_id) is not revs}
    held = [(doc_id, rev) for doc_id, rev in _pairs(there) if rev not in lacking.get(doc_id, ())]
    known, gone = await _judge_bodies(view, held)
    # a revision of generation 1 is no graft and has no ancestors: its document need not be looked at
    open_questions = [
        pair for pair in _pairs(asked) if pair not in known and (not pair[1].startswith(("0-", "1-")) or pair in gone)
    ]
    leaves = await _leaves(view, open_questions)
    shown = await judge(view, leaves)
    known.update(pair for pair in gone if _is_on_a_path(pair[1], shown.get(pair[0], ())))
    known.update(pair for pair in open_questions if _is_graft(view, pair, leaves))
    if not known:
        missing = asked
    else:
        missing = {doc_id: [rev for rev in revs if (doc_id, rev) not in known] for doc_id, revs in asked.items()}
    return missing, {d: _ancestors(missing[d], leaves) for d, leaves in shown.items() if missing[d]}


def _ancestors(missing: list[str], leaves: Iterable[Shown]) -> list[str]:
    """What CouchDB calls possible ancestors; grafts are none, nothing can build on them."""
    highest = max(map(_generation, missing))
    return [leaf.rev for leaf in leaves if leaf.origin and _generation(leaf.rev) < highest]


async def _judge_bodies(view: View, held: list[_Pair]) -> tuple[set[_Pair], set[_Pair]]:
    """Of the revisions that the source has: those that the view shows, and those without a body to judge."""
    bodies = await fetch_revisions(view, held) if held else {}
    known, gone, dark = set(), set(), []
    for doc_id, rev in held:
        body = bodies.get((doc_id, rev))
        if body is None:
            gone.add((doc_id, rev))
        elif view.shape(body) is not None:
            known.add((doc_id, rev))
        elif body.get("_deleted"):
            dark.append(body)
    for departed in await departures(view, dark):
        known.add((departed.doc["_id"], departed.rev))
    return known, gone


async def _grafts(view: View, pairs: Iterable[_Pair]) -> set[_Pair]:
    """Those of the revisions that are grafts of this view."""
    candidates = [pair for pair in pairs if _may_be_graft(pair[1])]
    leaves = await _leaves(view, candidates)
    return {pair for pair in candidates if _is_graft(view, pair, leaves)}


async def _leaves(view: View, pairs: Iterable[_Pair]) -> dict[str, list[Doc]]:
    ids = dict.fromkeys(doc_id for doc_id, _ in pairs if _is_document(doc_id))
    return await fetch_leaves(view, ids) if ids else {}


def _is_graft(view: View, pair: _Pair, leaves: dict[str, list[Doc]]) -> bool:
    """Whether a revision is the view's own: its hash is keyed by its parent, which may have lost its body since."""
    doc_id, rev = pair
    return _may_be_graft(rev) and any(
        view.grafts.find_departure(doc_id, rev, leaf["_revisions"]["start"], leaf["_revisions"]["ids"])
        for leaf in leaves.get(doc_id, ())
    )


def _may_be_graft(rev: str) -> bool:
    generation, _, digest = rev.partition("-")
    return int(generation) > 1 and len(digest) == 32


def _is_on_a_path(rev: str, leaves: Iterable[Shown]) -> bool:
    return any(rev == leaf.rev or rev in ancestry(leaf.doc) for leaf in leaves)


def _generation(rev: str) -> int:
    return int(rev.partition("-")[0])


def _is_document(doc_id: str) -> bool:
    """Whether the source may be asked about an id; no other has revisions."""
    return doc_id != "" and (not doc_id.startswith("_") or doc_id.startswith("_design/"))


def _pairs(revs: _Asked) -> list[_Pair]:
    return [(doc_id, rev) for doc_id, all_revs in revs.items() for rev in all_revs]
