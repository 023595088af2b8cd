"""Documents as the source has them: leaves and revisions, in batches, whatever its `_bulk_get` can do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from proxy.bodies import TooMany
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.core.revisions import is_ancestry
from proxy.errors import Unavailable
from proxy.http_client import TooLong
from proxy.leaves import are_in_bulk, not_in_bulk, one_by_one, revisions_are_in_bulk, revisions_one_by_one
from proxy.place import Place
from proxy.sizes import LONGEST, cut, in_parts, noticed, was_too_long
from proxy.turns import in_turns
from proxy.upstream import JSON_HEADERS

R = TypeVar("R")
Revision = tuple[str, str]
"""A document's id and one of its revisions."""

ANCESTORS = 16
"""How many ancestors of a revision are looked at, for what became of a document."""
PROTOCOL = ("_revisions", "_revs_info", "_conflicts", "_deleted_conflicts", "_local_seq")
"""Members that describe a document's place in its tree: never shown to filters, passed on beside the shaped body."""


def attachments_of(doc: Doc) -> dict[str, dict[str, Any]]:
    """What a document says of its attachments, by name. Raises Unavailable if that is not of CouchDB's form."""
    entries = doc.get("_attachments") or {}
    if isinstance(entries, dict) and all(_is_entry(entry) for entry in entries.values()):
        return entries
    raise Unavailable("The source gives a document with attachments that are not of CouchDB's form.")


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and type(entry.get("revpos", 1)) is int


def path_of(doc: Doc) -> tuple[int, list[str]]:
    """`_revisions`, if a document has them: where its path starts, and the hashes. Raises Unavailable for odd ones."""
    if "_revisions" not in doc:
        return 0, []
    revisions = doc["_revisions"]
    if not is_ancestry(revisions):
        raise Unavailable("The source gives a document with _revisions that are not of CouchDB's form.")
    return revisions["start"], revisions["ids"]


def ancestry(doc: Doc, most: int | None = None) -> list[str]:
    """The revisions above a document's own, nearest first, by its `_revisions`: all, or so many. Raises Unavailable."""
    start, ids = path_of(doc)
    above = ids[1:] if most is None else ids[1 : most + 1]
    return [f"{start - index}-{digest}" for index, digest in enumerate(above, 1)]


async def fetch_leaves(
    place: Place, ids: Iterable[str], *, extra: Sequence[tuple[str, str]] = (), at_once: bool = False
) -> dict[str, list[Doc]]:
    """All leaves of documents with their `_revisions`, by id; ids that the source does not know are absent.

    `at_once`: raises TooMany if they are too large to be held together; otherwise they are read some after the other.
    """
    found: dict[str, list[Doc]] = defaultdict(list)
    unique = list(dict.fromkeys(ids))
    docs: list[Doc] | None = None
    if not unique or await are_in_bulk(place):
        docs = await _bulk_get(place, [{"id": doc_id} for doc_id in unique], extra, at_once=at_once)
    if docs is None:
        docs = _checked(await one_by_one(place, unique, extra, at_once=at_once))
    once: dict[Revision, Doc] = {}
    for doc in docs:
        once.setdefault((doc["_id"], doc["_rev"]), doc)
    for (doc_id, _), doc in once.items():
        found[doc_id].append(doc)
    return found


async def look_at(
    place: Place,
    wanted: Iterable[Revision],
    look: Callable[[Doc], R],
    *,
    extra: Sequence[tuple[str, str]] = (),
    kept: bool = False,
    revs: bool = True,
) -> dict[Revision, R]:
    """`look(body)` of each revision that the source has: of bodies, no more are held than are read at once.

    `extra`, `kept` and `revs` as in `fetch_revisions`.
    """

    async def some(part: Sequence[Revision]) -> dict[Revision, R]:
        bodies = await fetch_revisions(place, part, extra=extra, kept=kept, revs=revs, at_once=len(part) > 1)
        return dict(zip(bodies, await in_turns(bodies.values(), look), strict=True))

    seen: dict[Revision, R] = {}
    async with aclosing(in_parts(place, list(dict.fromkeys(wanted)), some)) as parts:
        async for part in parts:
            seen |= part
    return seen


async def fetch_revisions(
    place: Place,
    wanted: Iterable[Revision],
    *,
    extra: Sequence[tuple[str, str]] = (),
    kept: bool = False,
    revs: bool = True,
    at_once: bool = False,
) -> dict[Revision, Doc]:
    """The bodies of revisions with their `_revisions`; what the source does not have is absent.

    `kept`: or what it had when it was read last. That is not for writes: what is sewn onto an ancestor has its
    attachments, which must still be there. `revs`: whether `_revisions` are needed where there can be ancestors.
    `at_once`: raises TooMany if they are too large to be held together.
    """
    unique = list(dict.fromkeys(wanted))
    read = partial(_read_revisions, place, extra=extra, revs=revs, at_once=at_once)
    if kept and place.bodies is not None and not extra:
        return await place.bodies.fetch(unique, read)
    return await read(unique)


async def _read_revisions(
    place: Place, wanted: list[Revision], *, extra: Sequence[tuple[str, str]], revs: bool, at_once: bool
) -> dict[Revision, Doc]:
    docs: list[Doc] | None = None
    if not wanted or await revisions_are_in_bulk(place):
        entries = [{"id": doc_id, "rev": rev} for doc_id, rev in wanted]
        docs = await _bulk_get(place, entries, extra, revs=revs, at_once=at_once)
    if docs is None:
        docs = _checked(await revisions_one_by_one(place, wanted, extra, at_once=at_once))
    return {(doc["_id"], doc["_rev"]): doc for doc in docs}


def _checked(docs: list[Doc]) -> list[Doc]:
    for doc in docs:
        attachments_of(doc)
    return docs


async def _bulk_get(
    place: Place,
    entries: Sequence[dict[str, str]],
    extra: Sequence[tuple[str, str]],
    *,
    revs: bool = True,
    at_once: bool = False,
) -> list[Doc] | None:
    """The documents, None from a source whose `_bulk_get` gives no `_revisions`: they must be had in another way."""
    docs = await _in_parts(place, entries, [*([("revs", "true")] if revs else []), *extra], at_once)
    if revs and not all("_revisions" in doc for doc in docs):
        not_in_bulk(place)
        return None
    if revs and not all(is_ancestry(doc["_revisions"]) for doc in docs):
        raise Unavailable("The source's _bulk_get gives _revisions that are not of CouchDB's form.")
    return docs


async def _in_parts(place: Place, entries: Sequence[dict[str, str]], pairs: Pairs, at_once: bool) -> list[Doc]:
    """What `_bulk_get` gives for the entries, of which few are asked for at once if the documents are large."""
    docs: list[Doc] = []
    for asked in cut(place, entries):
        if at_once and len(asked) < len(entries):
            raise TooMany
        answer = await _ask(place, asked, pairs)
        if answer is not None:
            docs += documents(answer, asked)
        elif at_once:
            raise TooMany
        else:
            docs += await _in_parts(place, asked, pairs, at_once)
    return docs


async def _ask(place: Place, asked: Sequence[dict[str, str]], pairs: Pairs) -> Any:
    """The JSON of a `_bulk_get` reply; None if it is too long, so that fewer are to be asked for at once.

    Raises the source's error.
    """
    path, headers, body = place.path("_bulk_get"), {**JSON_HEADERS, **place.headers}, jsonio.dumps({"docs": asked})
    async with await place.upstream.request("POST", path, pairs, headers=headers, body=body) as reply:
        if reply.status >= 300:
            raise await reply.error()
        try:
            answer = await reply.json(LONGEST if len(asked) > 1 else None)
        except TooLong:
            was_too_long(place, len(asked))
            return None
    noticed(place, reply.size, len(asked))
    return answer or {}  # which is no answer


def documents(reply: Any, asked: Sequence[dict[str, str]]) -> list[Doc]:
    """The documents in the JSON of a `_bulk_get` reply.

    Raises Unavailable for a reply of another form, and for one that leaves open whether there is what was `asked` for:
    a document that the source failed to read is not one that it does not have. A write would be taken for a creation,
    and what is hidden would be lost.
    """
    docs: list[Doc] = []
    try:
        open_questions = Counter([entry["id"] for entry in asked])
        for result in reply["results"]:
            answers = 0
            for entry in result["docs"]:
                if (doc := _document(entry)) is not None:
                    if doc["_id"] not in open_questions:
                        raise KeyError("a document that was not asked for")
                    docs.append(doc)
                answers += is_answer(entry)
            if answers == len(result["docs"]):
                open_questions[result["id"]] -= answers
    except (TypeError, KeyError, AttributeError) as error:
        raise Unavailable("The source's _bulk_get reply is not of CouchDB's form.") from error
    if any(count > 0 for count in open_questions.values()):
        raise Unavailable("The source's _bulk_get did not answer for every document.")
    return docs


def is_answer(entry: Any) -> bool:
    """Whether an entry of `_bulk_get` is a document, or says that there is none; PouchDB Server says so by `{}`."""
    error = entry.get("error")
    return error is None or error["error"] in ("not_found", "bad_request")


def documents_of(result: Any) -> list[Doc]:
    """The documents in one element of `results`; entries with an error stand for nothing."""
    return [doc for doc in map(_document, result["docs"]) if doc is not None]


def _document(entry: Any) -> Doc | None:
    doc: Doc | None = entry.get("ok")
    if doc is not None and not (isinstance(doc["_id"], str) and isinstance(doc["_rev"], str)):
        raise TypeError("a document without _id and _rev")
    if doc is not None and "_attachments" in doc:
        attachments_of(doc)
    return doc
