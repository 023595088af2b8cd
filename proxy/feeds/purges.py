"""What was purged at the source. CouchDB removes that as if it had never been, and no feed tells of it.

Rules:
  - `purge_seq` of a database grows with each purge. Of a cluster it tells of one copy of each shard, and copies count
    for themselves: the numbers of one and the same copy are compared, and a copy that nobody has asked before tells of
    a purge if it has counted more than all others;
  - `_purged_infos` (of newer CouchDBs) lists the documents, no more of each shard than its limit, which CouchDB tells
    its administrators only. It does not say when: all that are listed are to be looked at again, also those that were
    put back meanwhile;
  - where that cannot be had, or where there were more, nobody can say what was purged.
"""

from __future__ import annotations

from typing import Any

from proxy.core.seqs import shards
from proxy.errors import CouchError, Unavailable
from proxy.place import Place

Counts = dict[str, dict[str, int]]
"""Of each shard, by its copy, the purges that this has counted."""

_NOT_FOR_US = (400, 401, 403, 404, 405, 501)
"""Answers of a source that has no such list, or not for this account."""
_USUAL_LIMIT = 1000
"""CouchDB's, of `_purged_infos`, unless its administrator has set another one."""


def counts_of(purge_seq: Any) -> Counts:
    """What the `purge_seq` of a database says; nothing, of one that has none or writes it in another way."""
    found = shards(purge_seq) or {}
    return {str(shard): {str(copy) if shard else "": number} for shard, (copy, number) in found.items()}


def added(counts: Counts, known: Counts) -> int:
    """How many purges there were at least in one of the shards, since `known` was all that anybody knew."""
    return max([_added(copies, known.get(shard, {})) for shard, copies in counts.items()], default=0)


def _added(copies: dict[str, int], known: dict[str, int]) -> int:
    most = max(known.values(), default=0)
    return max([0, *(number - known.get(copy, most) for copy, number in copies.items())])


def fell_back(counts: Counts, known: Counts) -> bool:
    """Whether a copy has counted less than it had before: older files took the place of its own."""
    return any(
        number < known.get(shard, {}).get(copy, 0)
        for shard, copies in counts.items()
        for copy, number in copies.items()
    )


def together(known: Counts, counts: Counts) -> Counts:
    """What is known from now on: of shards that were split, nothing of the former ones."""
    return {shard: {**known.get(shard, {}), **copies} for shard, copies in counts.items()}


async def purged_ids(place: Place, number: int) -> list[str] | None:
    """The ids of documents that were purged, the last `number` of each shard among them; None if nobody can say.

    Raises CouchError where the source may say so later.
    """
    found = await _told(place, "_purged_infos")
    limit = None if found is None else await _told(place, "_purged_infos_limit")
    if found is None or (limit is not None and type(limit) is not int):
        return None
    try:
        ids = [info["id"] for info in found["purged_infos"]]
        "".join(ids)  # text, all of them
    except (TypeError, KeyError):
        raise Unavailable("The source's _purged_infos is not of CouchDB's form.") from None
    most = min(_USUAL_LIMIT, len(ids)) if limit is None else limit
    return list(dict.fromkeys(ids)) if number <= most else None


async def _told(place: Place, endpoint: str) -> Any:
    """What the source answers; None if it has no such thing, or not for this account."""
    try:
        return await place.upstream.json("GET", place.path(endpoint), headers=place.headers)
    except CouchError as error:
        if error.status in _NOT_FOR_US or (isinstance(error, Unavailable) and error.of_account):
            return None
        raise
