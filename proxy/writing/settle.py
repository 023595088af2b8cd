"""After the source broke off: what of a write did it store? And which of its words may a client hear?

Nothing is acknowledged that is not stored, and nothing is reported as failed that is, as far as the source can be
asked. A replicated revision has a name, so the source can: `_revs_diff`. The revision of an interactive write is made
by the source: only it could have said. A client that is told "unknown" finds out by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from logging import INFO, WARNING

from proxy.errors import CouchError, Unavailable
from proxy.reply import OF_ACCESS, word
from proxy.view import View
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Rules, log

_PAUSES = (0.1, 0.5, 1.5)
"""Seconds before each time the source is asked."""

VALIDATION = "The source's validation refused the document."
FAILED = "The source could not store it; the proxy's log has its words."

_OF_REQUESTS = frozenset(
    [
        "conflict",
        "not_found",
        "bad_request",
        "doc_validation",
        "illegal_docid",
        "file_exists",
        "too_large",
        "document_too_large",
        "attachment_too_large",
        "bad_content_type",
        "method_not_allowed",
    ]
)
"""CouchDB's errors whose reasons are about what was sent, and fixed text otherwise."""


class Untold(Unavailable):
    """The source cannot be asked what it stored."""

    status = 503
    error = "service_unavailable"


def not_stored(error: Unavailable) -> Unavailable:
    """The answer to a replicated write that failed, and of which the source says that it does not have it."""
    reason = "The source broke off before it stored this revision; send it again."
    return Unavailable(reason, error="unavailable", details=error.details)


def partly_stored(error: CouchError, missing: Sequence[tuple[str, str]], total: int) -> CouchError:
    """The answer to `total` replicated revisions of which the source has all but some: `missing`, (id, rev) pairs.

    The error is the source's, with the missing in the form of `_revs_diff`. Sent again, what is stored does no harm.
    """
    by_id: dict[str, list[str]] = {}
    for doc_id, rev in missing:
        by_id.setdefault(doc_id, []).append(rev)
    reason = f"{error.reason} {len(missing)} of {total} documents are not stored; send the request again."
    told = error.saying(reason)
    told.members = {"missing": {doc_id: {"missing": revs} for doc_id, revs in by_id.items()}}
    return told


async def missing_revisions(view: View, batch: Iterable[Pushed]) -> set[tuple[str, str]]:
    """Those of replicated revisions, as (id, rev), that the source does not have. Raises Untold."""
    asked: dict[str, list[str]] = {}
    for pushed in batch:
        asked.setdefault(pushed.id, []).append(str(pushed.path[0]))
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        try:
            reply = await view.upstream.json("POST", view.path("_revs_diff"), headers=view.headers, body=asked)
            return {(doc_id, rev) for doc_id, entry in reply.items() for rev in entry["missing"]}
        except (CouchError, AttributeError, KeyError, TypeError) as error:
            log.warning("the source broke off, and cannot be asked what it stored: %s", error)
    raise Untold("The source broke off and cannot be asked what it stored; send the request again.")


def heard(error: CouchError, rules: Rules, batch: Iterable[Pushed]) -> CouchError:
    """A source's error in words that tell a client nothing of what it may not see.

    The messages of `validate_doc_update` can quote the stored document, by whatever error they are thrown, and a stub
    that fails can be one that the client did not send. Only a profile without filters hears them; the others hear what
    CouchDB says of requests.
    """
    if not rules.chain or isinstance(error, Unavailable):
        return error
    reason = error.reason
    if error.error in ("forbidden", "unauthorized"):
        reason = reason if reason in OF_ACCESS else VALIDATION
    elif error.error == "missing_stub":
        reason = reason if _own_stub(reason, batch) else "Invalid attachment stub"
    elif error.error not in _OF_REQUESTS:
        reason = FAILED
    if reason != error.reason:
        log.log(WARNING if reason == FAILED else INFO, "the source refused a write: %s: %s", error.error, error.reason)
    return CouchError(reason, error=word(error.error), status=error.status)


def is_conflict(error: object) -> bool:
    """Whether a source's error says so; some begin it with a capital."""
    return isinstance(error, str) and error.lower() == "conflict"


def _own_stub(reason: str, batch: Iterable[Pushed]) -> bool:
    return any(
        reason == f"Invalid attachment stub in {pushed.id} for {name}"
        for pushed in batch
        for name in pushed.attachments
    )
