"""The parameters of `_changes`. Names are read in any case, flags only as `true`; of duplicates the last wins."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.query import Query
from proxy.endpoint.database import Database
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.render import Shown
from proxy.errors import BadRequest

_FEEDS = {"normal", "continuous", "longpoll", "eventsource"}
_BAD_FEED = "Supported `feed` types: normal, continuous, live, longpoll, eventsource"
_BAD_HEARTBEAT = "Invalid heartbeat value. Expecting a positive integer value (in milliseconds)."
_NO_HEARTBEAT = "The heartbeat value should be a positive integer (in milliseconds)."

DEFAULT_MS = 60_000
"""What a wait lasts at most, and how long it lasts where neither `timeout` nor `heartbeat` says."""


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """`heartbeat` and `wait_ms` in milliseconds; `heartbeat` None: none. `query` has the names in lower case."""

    query: Query
    feed: str
    since: int
    limit: int | None
    descending: bool
    all_leaves: bool
    include_docs: bool
    conflicts: bool
    shown: Shown
    heartbeat: int | None
    wait_ms: int
    seq_interval: int | None


def parse(call: Call, database: Database) -> FeedQuery:
    """Raises BadRequest for values that CouchDB refuses."""
    query = Query(call.query.pairs, fold=True)
    feed = query.last("feed", "normal")
    feed = "continuous" if feed == "live" else feed
    if feed not in _FEEDS:
        raise BadRequest(_BAD_FEED)
    heartbeat = _heartbeat(query.last("heartbeat"))
    return FeedQuery(
        query=query,
        feed=feed,
        since=_since(call, query, feed, database),
        limit=_limit(query.last("limit")),
        descending=query.sticky("descending"),
        all_leaves=_style(query.last("style", "main_only")),
        include_docs=query.sticky("include_docs"),
        conflicts=query.sticky("conflicts"),
        shown=Shown(query.sticky("attachments"), query.sticky("att_encoding_info")),
        heartbeat=heartbeat,
        wait_ms=min(DEFAULT_MS, heartbeat or _timeout(query.last("timeout"))),
        seq_interval=_seq_interval(query.last("seq_interval")),
    )


def _since(call: Call, query: Query, feed: str, database: Database) -> int:
    """`since`, or its other name `last-event-id`; the header of that name wins on an event stream."""
    text = query.last_of("since", "last-event-id")
    text = "0" if text is None else text
    if feed == "eventsource":
        text = call.headers.get("Last-Event-ID", text)
    return database.parse_seq(text)


def _limit(text: str | None) -> int | None:
    """A negative limit is none, as in CouchDB."""
    if text is None:
        return None
    number = _integer(text)
    if number is None:
        raise BadRequest(f"Invalid value for limit: {text} is not an integer")
    return number if number >= 0 else None


def _style(text: str | None) -> bool:
    if text not in ("main_only", "all_docs"):
        raise BadRequest("Supported `style` values: main_only, all_docs")
    return text == "all_docs"


def _heartbeat(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "true":
        return DEFAULT_MS
    number = _integer(text)
    if number is None:
        raise BadRequest(_BAD_HEARTBEAT)
    if number <= 0:
        raise BadRequest(_NO_HEARTBEAT)
    return number


def _timeout(text: str | None) -> int:
    """CouchDB waits without an end for a negative number."""
    if text is None or text == "infinity":
        return DEFAULT_MS
    number = _integer(text)
    if number is None:
        raise BadRequest("Invalid timeout value. Expecting a positive integer value (in milliseconds).")
    return number if number >= 0 else DEFAULT_MS


def _seq_interval(text: str | None) -> int | None:
    if text is None:
        return None
    number = _integer(text)
    if number is None or number <= 0:
        raise BadRequest("invalid_seq_interval")
    return number


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits) if len(digits) <= 18 else 10**18
    return -number if text[0] == "-" else number
