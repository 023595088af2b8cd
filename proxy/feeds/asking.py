"""What a follower asks a source: its feed, and what it has of documents. Nothing here knows of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.core.query import Pairs
from proxy.core.seqs import as_text, number
from proxy.errors import Unavailable
from proxy.feeds.looks import Change, change_of
from proxy.fetch import fetch_leaves
from proxy.place import Place
from proxy.reply import Reply
from proxy.sizes import at_once
from proxy.upstream import JSON_HEADERS

_HEARTBEAT_MS = 20_000


async def ask_feed(place: Place, since: Any, pairs: Pairs, timeout: float = 0) -> Reply:
    """The reply to a GET of `_changes` with `style=all_docs`, to be used as a context. `timeout`: seconds, 0 for the
    source's own. Raises CouchError.
    """
    reply = await place.upstream.request(
        "GET",
        place.path("_changes"),
        [("style", "all_docs"), ("since", as_text(since)), *pairs],
        headers={**JSON_HEADERS, **place.headers},
        timeout=timeout,
    )
    if reply.status != 200:
        async with reply:
            raise await reply.error()
    return reply


async def changed(place: Place, since: Any) -> bool:
    """Waits for a change after a sequence: whether there is one when the request ends. Raises CouchError."""
    pairs = [("feed", "longpoll"), ("heartbeat", str(_HEARTBEAT_MS)), ("limit", "1")]
    async with await ask_feed(place, since, pairs, _HEARTBEAT_MS * 3 / 1000) as reply:
        return bool(_results(await reply.json()))


async def behind(place: Place, since: Any) -> int | None:
    """How many changes the source has after a sequence; None if it does not say. Raises CouchError."""
    async with await ask_feed(place, since, [("limit", "1")]) as reply:
        found = await reply.json()
    rows = _results(found)
    if not rows:
        return 0
    if isinstance(found.get("pending"), int):
        return int(found["pending"]) + len(rows)
    # sequences without `pending` are integers
    info = await place.info()
    return max(number(info.get("update_seq")) - number(since), 0) or None


def _results(found: Any) -> list[Any]:
    """The rows of a page. Raises Unavailable for what is none."""
    if not isinstance(found, dict) or not isinstance(found.get("results"), list):
        raise Unavailable("The source's _changes is not of CouchDB's form.")
    rows: list[Any] = found["results"]
    return rows


async def still_there(place: Place, doc_ids: Sequence[str], seq: Any) -> list[Change]:
    """Those of the documents that the source has, as changes at `seq`. Raises CouchError."""
    found: list[Change] = []
    few = at_once(place)
    for start in range(0, len(doc_ids), few):
        leaves = await fetch_leaves(place, doc_ids[start : start + few])
        found += [change_of(doc_id, docs, seq) for doc_id, docs in leaves.items()]
    return found


def incarnation(info: dict[str, Any]) -> str:
    """What tells a database from another one by the same name; "0" where nothing does."""
    return str(info.get("instance_start_time", "0"))
