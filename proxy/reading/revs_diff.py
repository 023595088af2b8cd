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

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from aiohttp import web

from proxy import recent
from proxy.ahead import ahead
from proxy.contract import Doc
from proxy.core.grafts import may_be_graft
from proxy.core.revisions import canonical, known_among
from proxy.errors import BadRequest, Unavailable
from proxy.exchange import Exchange
from proxy.fetch import fetch_leaves, look_at
from proxy.resolve import Shown, departures, graft_path, graft_paths, judge
from proxy.sizes import cut, in_parts
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
            if len(revs) == 1:  # most are: a new document, or the next revision of one
                asked[doc_id] = [canonical(revs[0])]
            elif revs:
                asked[doc_id] = list(dict.fromkeys(map(canonical, revs)))
        except ValueError as error:
            raise BadRequest(str(error)) from None
    return asked


async def _diff(view: View, asked: _Asked) -> dict[str, Any]:
    if _can_leave_it_to_the_source(view):
        lacking, ancestors = await _as_the_source_has_it(view, asked)
        return _entries(lacking, ancestors)
    diff: dict[str, Any] = {}
    async with aclosing(ahead(_parts(view, asked), partial(_diff_of_some, view))) as parts:
        async for part in parts:
            diff |= part
    return diff


def _can_leave_it_to_the_source(view: View) -> bool:
    """Whether nothing is hidden but design documents, which are told by their ids, and no body has to be read.

    With filters the writes that follow need the bodies: to read them for the answer saves to ask twice.
    """
    return not view.judges and (view.profile.design_docs or not view.profile.chain)


async def _diff_of_some(view: View, asked: Sequence[tuple[str, list[str]]]) -> dict[str, Any]:
    diff: dict[str, Any] = {}
    async with aclosing(in_parts(view, asked, partial(_as_the_view_has_it, view))) as parts:
        async for lacking, ancestors in parts:
            diff |= _entries(lacking, ancestors)
    return diff


async def _parts(view: View, asked: _Asked) -> AsyncGenerator[Sequence[tuple[str, list[str]]], None]:
    for part in cut(view, list(asked.items())):
        yield part


def _entries(lacking: _Asked, ancestors: _Asked) -> dict[str, Any]:
    return {doc_id: _entry(revs, ancestors.get(doc_id)) for doc_id, revs in lacking.items() if revs}


def _entry(missing: list[str], ancestors: list[str] | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"missing": missing}
    if ancestors:
        entry["possible_ancestors"] = ancestors
    return entry


async def _as_the_source_has_it(view: View, asked: _Asked) -> tuple[_Asked, _Asked]:
    """What a view lacks that hides nothing but design documents: what the source does, but for grafts; and the
    ancestors that it names.
    """
    lacking, ancestors = await _ask_source(view, asked)
    candidates = [pair for pair in _pairs(lacking) if _is_document(pair[0]) and may_be_graft(pair[1])]
    grafts = await graft_paths(view, candidates)
    return {doc_id: [rev for rev in revs if (doc_id, rev) not in grafts] for doc_id, revs in lacking.items()}, ancestors


async def _ask_source(view: View, asked: _Asked) -> tuple[_Asked, _Asked]:
    """What the source lacks of the revisions, in their order, and the ancestors that it names."""
    designs = view.profile.design_docs
    sent = {doc_id: revs for doc_id, revs in asked.items() if _is_document(doc_id) and (designs or doc_id[0] != "_")}
    reply: Any = {}
    if sent:
        reply = await view.upstream.json("POST", view.path("_revs_diff"), headers=view.headers, body=sent)
    if not isinstance(reply, dict):
        raise Unavailable("The source's _revs_diff reply is not of CouchDB's form.")
    lacking: _Asked = {}
    ancestors: _Asked = {}
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


async def _as_the_view_has_it(view: View, part: Sequence[tuple[str, list[str]]]) -> tuple[_Asked, _Asked]:
    """What the view lacks, and the ancestors that it shows, from the documents' leaves. Raises TooMany."""
    asked = dict(part)
    asked_at, documents = recent.now(), [doc_id for doc_id in asked if _is_document(doc_id)]
    leaves = await fetch_leaves(view, documents, at_once=len(documents) > 1) if documents else {}
    recent.keep(view, documents, leaves, asked_at)
    if not leaves:
        return asked, {}
    shown = await judge(view, leaves, None)
    known = await _known(view, {doc_id: revs for doc_id, revs in asked.items() if doc_id in leaves}, leaves, shown)
    missing = asked
    if known:
        missing = {doc_id: [rev for rev in revs if (doc_id, rev) not in known] for doc_id, revs in asked.items()}
    return missing, {d: _ancestors(missing[d], of) for d, of in shown.items() if missing[d]}


async def _known(view: View, asked: _Asked, leaves: dict[str, list[Doc]], shown: dict[str, list[Shown]]) -> set[_Pair]:
    """Those of the revisions that the view shows, or once did."""
    known: set[_Pair] = set()
    inner: list[_Pair] = []
    for doc_id, revs in asked.items():
        own = {leaf.rev for leaf in shown.get(doc_id, ())}
        stored = known_among(leaves[doc_id], revs)
        for rev in revs:
            if rev in own or _is_graft(view, (doc_id, rev), leaves):
                known.add((doc_id, rev))
            elif rev in stored:
                inner.append((doc_id, rev))
    seen, gone = await _judge_bodies(view, inner)
    known |= seen
    bodiless: defaultdict[str, list[str]] = defaultdict(list)
    for doc_id, rev in gone:
        bodiless[doc_id].append(rev)
    for doc_id, revs in bodiless.items():
        known |= {(doc_id, rev) for rev in known_among([leaf.doc for leaf in shown.get(doc_id, ())], revs)}
    return known


def _ancestors(missing: list[str], leaves: Iterable[Shown]) -> list[str]:
    """What CouchDB calls possible ancestors; grafts are none, nothing can build on them."""
    highest = max(map(_generation, missing))
    return [leaf.rev for leaf in leaves if leaf.origin and _generation(leaf.rev) < highest]


async def _judge_bodies(view: View, held: list[_Pair]) -> tuple[set[_Pair], set[_Pair]]:
    """Of the revisions that the source has: those that the view shows, and those without a body to judge."""
    seen = await look_at(view, held, partial(_verdict, view))
    known = {pair for pair, verdict in seen.items() if verdict is True}
    dark = [verdict for verdict in seen.values() if not isinstance(verdict, bool)]
    known |= {(departed.doc["_id"], departed.rev) for departed in await departures(view, dark)}
    return known, {pair for pair in held if pair not in seen}


def _verdict(view: View, body: Doc) -> bool | Doc:
    """Whether the view shows a body; a deletion that it does not show itself: what it deleted may tell."""
    return view.shape(body) is not None or (body if body.get("_deleted") else False)


def _is_graft(view: View, pair: _Pair, leaves: dict[str, list[Doc]]) -> bool:
    """Whether a revision is the view's own: its hash is keyed by its parent, which may have lost its body since."""
    doc_id, rev = pair
    return may_be_graft(rev) and any(graft_path(view, doc_id, rev, leaf) is not None for leaf in leaves.get(doc_id, ()))


def _generation(rev: str) -> int:
    return int(rev.partition("-")[0])


def _is_document(doc_id: str) -> bool:
    """Whether the source may be asked about an id; no other has revisions."""
    return doc_id not in ("", "_design/") and (not doc_id.startswith("_") or doc_id.startswith("_design/"))


def _pairs(revs: _Asked) -> list[_Pair]:
    return [(doc_id, rev) for doc_id, all_revs in revs.items() for rev in all_revs]
