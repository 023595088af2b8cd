"""Whether the last of what an index holds is still there: a source whose files were replaced by older ones is another.

Numbers tell (`core.seqs.fell_back`), as long as the source is not as far again as it was. After that what was written
last before is missing, and nothing came in its place. That can be said of a source with one copy of each document
only: where there are several, the one that answers may lag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.core import jsonio
from proxy.core.seqs import as_text, shards
from proxy.errors import CouchError, Unavailable
from proxy.feeds.index import Row, split_leaves
from proxy.place import Place

LOOKED_AT = 20
"""Documents: those that changed last."""
_NO_SUCH_ENDPOINT = (400, 404, 405, 501)


def has_one_copy(info: dict[str, Any]) -> bool:
    """Whether the source keeps each document once, by what it says of the database."""
    cluster = info.get("cluster")
    if isinstance(cluster, dict):
        return cluster.get("n") == 1
    return set(shards(info.get("update_seq")) or ()) == {""}  # no cluster counts like that


async def lacks(place: Place, rows: Sequence[Row], since: Any) -> bool:
    """Whether the source knows nothing of what some of these rows name, which it had up to its sequence `since`.

    A document that has changed after that may have forgotten its former revisions. Raises CouchError.
    """
    missing = await _missing(place, {row.doc_id: [rev for rev, _ in split_leaves(row.leaves)] for row in rows})
    if not missing:
        return False
    pairs = [("filter", "_doc_ids"), ("since", as_text(since))]
    async with await place.upstream.request(
        "POST",
        place.path("_changes"),
        pairs,
        headers={"Content-Type": "application/json", "Accept": "application/json", **place.headers},
        body=jsonio.dumps({"doc_ids": missing}),
        timeout=0,
    ) as reply:
        if reply.status != 200:
            raise await reply.error()
        try:
            changed = {row["id"] for row in (await reply.json())["results"]}
        except (TypeError, KeyError):
            raise Unavailable("The source's _changes is not of CouchDB's form.") from None
    return not changed.issuperset(missing)


async def _missing(place: Place, revs: dict[str, list[str]]) -> list[str]:
    """The documents that lack one of the revisions; none, of a source that cannot be asked."""
    try:
        found = await place.upstream.json("POST", place.path("_revs_diff"), headers=place.headers, body=revs)
    except CouchError as error:
        if error.status in _NO_SUCH_ENDPOINT:
            return []
        raise
    return [doc_id for doc_id in found if doc_id in revs] if isinstance(found, dict) else []
