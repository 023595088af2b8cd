"""The parameters of a `_changes` request, as CouchDB reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.contract import Doc
from proxy.core.query import Query
from proxy.core.selector import feed_fields, feed_selector
from proxy.errors import BadRequest, Forbidden

_MAX_WAIT_MS = 60_000
_MAX_DIGITS = 1000
_NO_LIMIT = 10**18
_MIN_HEARTBEAT = 0.1
"""Seconds: some hundred feeds that have one each millisecond would leave no time for anything else."""
_FEEDS = ("normal", "continuous", "live", "longpoll", "eventsource")
_KNOWN = frozenset(
    [
        "feed",
        "since",
        "last-event-id",
        "limit",
        "descending",
        "style",
        "include_docs",
        "conflicts",
        "attachments",
        "att_encoding_info",
        "filter",
        "doc_ids",
        "timeout",
        "heartbeat",
        "seq_interval",
    ]
)


@dataclass(frozen=True)
class Wanted:
    """The parameters of a `_changes` request. Times in seconds."""

    feed: str
    since: str
    limit: int | None
    descending: bool
    style: str
    include_docs: bool
    conflicts: bool
    attachments: bool
    att_encoding_info: bool
    heartbeat: float | None
    timeout: float
    doc_ids: list[str] | None = None
    matches: Callable[[Doc], bool] | None = None
    fields: list[str] | None = None
    design_only: bool = False
    source_filter: tuple[tuple[str, str], ...] = ()
    """A filter function of the source, for trusted profiles: passed on with its arguments."""

    @property
    def is_plain(self) -> bool:
        """Whether rows tell of revisions only, of all documents in their order."""
        selects = self.doc_ids is not None or self.matches is not None or self.design_only or self.source_filter
        return not (selects or self.descending or self.include_docs or self.att_encoding_info)

    @property
    def waits(self) -> bool:
        """Whether the feed goes on when the source has no more rows."""
        return self.feed != "normal" and not self.descending


def parse_wanted(query: Query, body: dict[str, Any], event_id: str | None, trusted: bool) -> Wanted:
    """Raises BadRequest for what CouchDB would refuse, Forbidden for filters that run in the source."""
    feed = query.last("feed", "normal")
    if feed not in _FEEDS:
        raise BadRequest("Supported `feed` types: normal, continuous, live, longpoll, eventsource")
    since = _since(query)
    if feed == "eventsource" and event_id is not None:
        since = event_id
    style = query.last("style", "main_only")
    if style not in ("main_only", "all_docs"):
        raise BadRequest(f"Invalid style: {style!r}; use main_only or all_docs.")
    _check_interval(query)
    return Wanted(
        feed="continuous" if feed == "live" else feed,
        since=since,
        limit=_limit(query),
        descending=query.sticky("descending"),
        style=style,
        include_docs=query.sticky("include_docs"),
        conflicts=query.sticky("conflicts"),
        attachments=query.sticky("attachments"),
        att_encoding_info=query.sticky("att_encoding_info"),
        heartbeat=_heartbeat(query),
        timeout=_timeout(query),
        **_parse_filter(query, body, trusted),
    )


def _since(query: Query) -> str:
    """`since`, or its other name `last-event-id`: the later of the two."""
    since = query.last_of("since", "last-event-id")
    if since == "":
        raise BadRequest("Malformed sequence supplied in 'since' parameter.")
    return since or "0"


def _limit(query: Query) -> int | None:
    """A negative limit is none, as in CouchDB."""
    value = query.last("limit")
    number = None if value is None else _integer(value)
    if value is not None and number is None:
        raise BadRequest(f"Invalid value for limit: {value!r} is not an integer.", error="query_parse_error")
    return None if number is None or number < 0 else min(number, _NO_LIMIT)


def _check_interval(query: Query) -> None:
    """`seq_interval` has no effect: every row has its sequence. What CouchDB refuses is refused."""
    value = query.last("seq_interval")
    if value is not None and (_integer(value) or 0) <= 0:
        raise BadRequest("invalid_seq_interval")


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS else None


def _parse_filter(query: Query, body: dict[str, Any], trusted: bool) -> dict[str, Any]:
    name = query.last("filter")
    if not name:
        return {}
    if name == "_doc_ids":
        doc_ids = body.get("doc_ids") if "doc_ids" in body else query.json("doc_ids")
        if not isinstance(doc_ids, list) or not all(isinstance(doc_id, str) for doc_id in doc_ids):
            raise BadRequest("`doc_ids` filter parameter is not a list of doc ids.")
        return {"doc_ids": doc_ids}
    if name == "_selector":
        if "selector" not in body:
            raise BadRequest("Selector must be specified in POST payload")
        return {"matches": feed_selector(body), "fields": feed_fields(body)}
    if name == "_design":
        return {"design_only": True}
    if trusted:
        arguments = [(key, value) for key, value in query.pairs if key not in _KNOWN and key != "style"]
        return {"source_filter": (*arguments, ("filter", name))}
    raise Forbidden("Filter functions run in the source, on what is hidden: use _doc_ids or _selector.")


def _heartbeat(query: Query) -> float | None:
    """Seconds, capped as CouchDB caps them."""
    value = query.last("heartbeat")
    if value is None:
        return None
    if value == "true":
        return _MAX_WAIT_MS / 1000
    number = _integer(value)
    if number is None:
        raise BadRequest("Invalid heartbeat value. Expecting a positive integer value (in milliseconds).")
    if number <= 0:
        raise BadRequest("The heartbeat value should be a positive integer (in milliseconds).")
    return max(min(number, _MAX_WAIT_MS) / 1000, _MIN_HEARTBEAT)


def _timeout(query: Query) -> float:
    """Seconds, capped as CouchDB caps them; CouchDB waits without an end for a negative number."""
    value = query.last("timeout")
    number = _MAX_WAIT_MS if value is None else _integer(value)
    if number is None:
        raise BadRequest("Invalid value for timeout: a number of milliseconds is expected.")
    return (_MAX_WAIT_MS if number < 0 else min(number, _MAX_WAIT_MS)) / 1000
