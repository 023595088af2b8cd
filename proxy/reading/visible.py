"""The revision of a document that a request is about, as the view shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.contract import Doc
from proxy.core.query import Query
from proxy.core.revisions import canonical
from proxy.errors import BadRequest, NotFound, Unavailable
from proxy.fetch import attachments_of, path_of
from proxy.gather import look_up
from proxy.resolve import Shown, precedence, resolve, view_leaves
from proxy.view import View


def check_rev(rev: str) -> str:
    """A revision in CouchDB's own spelling, by which others are compared. Raises BadRequest in CouchDB's words."""
    try:
        return canonical(rev)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def named_rev(query: Query) -> str | None:
    """The revision that a query names: the last of several, as in CouchDB. Raises BadRequest if one of them is none."""
    revs = [check_rev(text) for text in query.all("rev")]
    return revs[-1] if revs else None


async def visible_document(view: View, doc_id: str, rev: str | None, *, extra: Sequence[tuple[str, str]] = ()) -> Shown:
    """The named revision, or the view's winner. Raises NotFound as CouchDB would for a document that is not there.

    One look-up where the source's own answer is visible; otherwise the whole tree is judged.
    """
    rev = None if rev is None else check_rev(rev)

    async def ask() -> list[Doc]:
        pairs = [*extra, *([("rev", rev)] if rev is not None else [])]
        async with await view.upstream.request("GET", view.document_path(doc_id), pairs, headers=view.asking) as reply:
            if reply.status == 200:
                return [_the_one(await reply.json(), doc_id, rev)]
            if reply.status != 404:
                raise await reply.error()
            await reply.skip()
            return []

    found = await look_up(view, (doc_id, rev), extra, ask)
    if found:
        doc = found[0] if len(found) == 1 else max(found, key=lambda leaf: precedence(leaf["_rev"], "_deleted" in leaf))
        if rev is not None or "_deleted" not in doc:
            shaped = view.shape(doc)
            if shaped is not None:
                return Shown(shaped, doc["_rev"])
    return await (_winner(view, doc_id) if rev is None else _revision(view, doc_id, rev, extra))


def _the_one(doc: Any, doc_id: str, rev: str | None) -> Doc:
    """The document, if it is what was asked for: a source that knows no trees gives its winner for any `rev`."""
    try:
        answered = _parts(doc["_rev"])
        if doc["_id"] == doc_id and (rev is None or answered == _parts(rev)):
            found: Doc = doc
            path_of(found), attachments_of(found)
            return found
    except (TypeError, KeyError, ValueError, AttributeError):
        pass
    raise Unavailable("The source answered with another document or revision than the one that was asked for.")


def _parts(rev: str) -> tuple[int, str]:
    """CouchDB takes zeros in front of the generation, and capitals in the digest, for the same revision."""
    generation, _, digest = rev.partition("-")
    return int(generation), digest.lower()


async def _winner(view: View, doc_id: str) -> Shown:
    leaves = (await view_leaves(view, [doc_id])).get(doc_id)
    if not leaves:
        raise NotFound("missing")
    if leaves[0].deleted:
        raise NotFound("deleted")
    return leaves[0]


async def _revision(view: View, doc_id: str, rev: str, extra: Sequence[tuple[str, str]]) -> Shown:
    [found] = await resolve(view, [(doc_id, rev)], latest=False, encodings=("att_encoding_info", "true") in extra)
    if not found:
        raise NotFound("missing")
    return found[0]
