"""Where a live reply differs from the recorded one.

What the server made up is matched by its role: revisions in the answers to writes, generated ids, sequences, bookmarks
and cookies are bound at their first appearance and have to be the same afterwards (see binding). Identity and measures
of a server (`IDENTITY`) say nothing. Where CouchDB promises no order, there is none: rows of feeds, `open_revs`, sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from proxy.core import jsonio
from proxy.traffic.binding import REV, UUID, Bindings
from proxy.traffic.content import Content, Json, Lines, Part, Parts, Plain, content, kind
from proxy.traffic.exchange import Headers, Reply, Request, header
from proxy.traffic.feed import Feed, feed_of

HEADERS = (
    *("etag", "content-encoding", "content-range", "accept-ranges", "cache-control", "allow"),
    "content-security-policy",
)
"""Headers with the same value on every server, but for bound values. Others are compared by their parts."""
SEQUENCES = frozenset(("seq", "last_seq", "update_seq", "purge_seq", "source_last_seq"))
IDENTITY = frozenset(
    (
        *("version", "git_sha", "features", "vendor", "instance_start_time", "disk_format_version", "_local_seq"),
        *("execution_time_ms", "authentication_handlers", "authentication_db", "info"),
    )
)
"""Members about the server itself: there or not, with this value or that."""
_MEASURES = frozenset(("sizes", "cluster", "execution_stats"))
_SETS = frozenset(("possible_ancestors",))
_MADE_IDS = frozenset(("id", "_id", "uuid", "uuids"))
_READING_POSTS = re.compile(r"/_(all_docs|bulk_get|changes|design_docs|find|local_docs|missing_revs|revs_diff|view)\b")
_DIGEST = re.compile(r'"[0-9A-Z]{20,26}"\Z')
_LOCAL_REV = re.compile(r"0-\d+\Z")


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """`where`: status, header NAME, or a path into the body. `recorded` is in the live server's terms."""

    where: str
    recorded: Any
    live: Any

    def __str__(self) -> str:
        return f"{self.where}\n  recorded  {_short(self.recorded)}\n  live      {_short(self.live)}"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, bytes | _Absent) else jsonio.dumps(value).decode()
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"


def differences(
    request: Request, recorded: Reply, live: Reply, bindings: Bindings, ignored: frozenset[str] = frozenset()
) -> list[Difference]:
    """Compare two replies to a recorded request, and bind what the live one made up.

    `ignored`: names of headers, in lower case, and of JSON members that may differ.
    """
    compared = _Comparison(request, bindings, ignored)
    return list(compared.replies(recorded, live))


class _Comparison:
    def __init__(self, request: Request, bindings: Bindings, ignored: frozenset[str]) -> None:
        self._request = request
        self._bindings = bindings
        self._ignored = ignored
        posts = request.method == "POST" and _READING_POSTS.search(request.path)
        self._writes = request.method not in ("GET", "HEAD") and not posts
        self._feed = "/_changes" in request.path
        self._unordered = "open_revs=" in request.target
        self._local = "/_local/" in request.path.replace("%2F", "/")

    def replies(self, recorded: Reply, live: Reply) -> Iterator[Difference]:
        if recorded.status != live.status:  # another answer altogether: its details are no differences of their own
            yield Difference("status", _answer(recorded), _answer(live))
            return
        yield from self._headers(recorded.headers, live.headers)
        if self._request.method != "HEAD":
            yield from self._contents(
                "body", content(recorded.headers, recorded.body), content(live.headers, live.body)
            )

    # ---- headers

    def _headers(self, recorded: Headers, live: Headers) -> Iterator[Difference]:
        yield from self._header("content-type", _kind(recorded), _kind(live))
        for name in HEADERS:
            yield from self._header(name, header(recorded, name), header(live, name))
        yield from self._header("location", _path(header(recorded, "Location")), _path(header(live, "Location")))
        yield from self._cookies(recorded, live)

    def _header(self, name: str, recorded: str | None, live: str | None) -> Iterator[Difference]:
        if name in self._ignored or (name == "etag" and (self._local or self._feed)):
            return
        expected = recorded and self._bindings.text(recorded)
        if expected == live or (recorded and live and self._same_header(name, recorded, live)):
            return
        yield Difference(f"header {name}", _or_absent(expected), _or_absent(live))

    def _same_header(self, name: str, recorded: str, live: str) -> bool:
        if name == "etag":
            if _DIGEST.match(recorded):  # a hash of what the server knows
                return bool(_DIGEST.match(live)) or not REV.match(live.strip('"'))
            return self._writes and self._bindings.bind_rev(recorded.strip('"'), live.strip('"'))
        if name == "location" and self._writes:
            front, _, made = recorded.rpartition("/")
            live_front, _, live_made = live.rpartition("/")
            return front == live_front and bool(UUID.match(made)) and self._bindings.bind(made, live_made)
        return False

    def _cookies(self, recorded: Headers, live: Headers) -> Iterator[Difference]:
        if "set-cookie" in self._ignored:
            return
        left, right = _cookies(recorded), _cookies(live)
        for name in left.keys() | right.keys():
            ours, theirs = left.get(name), right.get(name)
            if ours is None or theirs is None or ours[1] != theirs[1] or bool(ours[0]) != bool(theirs[0]):
                yield Difference(f"header set-cookie {name}", _shown_cookie(ours), _shown_cookie(theirs))
            elif ours[0]:
                self._bindings.bind_cookie(ours[0], theirs[0])

    # ---- bodies

    def _contents(self, where: str, recorded: Content, live: Content) -> Iterator[Difference]:
        if self._feed and (left := feed_of(recorded)) and (right := feed_of(live)):
            yield from self._feeds(left, right)
        elif isinstance(recorded, Json) and isinstance(live, Json):
            left, right = self._listed(recorded.value), live.value
            if left is not recorded.value:
                right = self._listed(live.value, by_id=True)
            yield from self._value(where, "", self._ordered(left), self._ordered(right))
        elif isinstance(recorded, Lines) and isinstance(live, Lines):
            yield from self._list(where, "", recorded.values, live.values)
        elif isinstance(recorded, Parts) and isinstance(live, Parts):
            yield from self._parts(where, recorded.parts, live.parts)
        elif recorded != live:
            yield Difference(where, _plain(recorded), _plain(live))

    def _listed(self, value: Any, *, by_id: bool = False) -> Any:
        """An answer of `_all_docs` by the live ids, if the server made some up: those sort as they happen to."""
        rows = value.get("rows") if isinstance(value, dict) and self._request.path.endswith("/_all_docs") else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
            return value
        live = [self._bindings.text(str(row["id"])) for row in rows]
        if not by_id and live == [row["id"] for row in rows]:
            return value
        return {**value, "rows": [row for _, row in sorted(zip(live, rows, strict=True), key=lambda pair: pair[0])]}

    def _ordered(self, value: Any) -> Any:
        """The answer to `open_revs`, in the order of its revisions: CouchDB's own is that of its hash."""
        if not self._unordered or not isinstance(value, list):
            return value
        return sorted(value, key=lambda item: jsonio.dumps(self._bindings.value(_rev_of(item))))

    def _parts(self, where: str, recorded: list[Part], live: list[Part]) -> Iterator[Difference]:
        if len(recorded) != len(live):
            yield Difference(f"{where}: number of parts", len(recorded), len(live))
            return
        if self._unordered and where == "body":
            recorded, live = (sorted(parts, key=self._order_of_part) for parts in (recorded, live))
        for index, (left, right) in enumerate(zip(recorded, live, strict=True)):
            here = f"{where} part {index}"
            for name in sorted((left.headers.keys() | right.headers.keys()) - {"content-length"} - self._ignored):
                ours, theirs = left.headers.get(name), right.headers.get(name)
                if name == "content-type":
                    ours, theirs = kind(ours or ""), kind(theirs or "")
                if ours != theirs and (ours is None or self._bindings.text(ours) != theirs):
                    yield Difference(f"{here} header {name}", _or_absent(ours), _or_absent(theirs))
            yield from self._contents(here, left.content, right.content)

    def _order_of_part(self, part: Part) -> str:
        first = part.content
        while isinstance(first, Parts) and first.parts:
            first = first.parts[0].content
        return str(self._bindings.value(_rev_of(first.value))) if isinstance(first, Json) else ""

    def _value(self, where: str, name: str, recorded: Any, live: Any) -> Iterator[Difference]:
        if name in self._ignored or name in IDENTITY:
            return
        if name in SEQUENCES:
            self._bindings.bind_seq(recorded, live)
            if _has_begun(recorded) != _has_begun(live):
                yield Difference(where, recorded, live)
        elif isinstance(recorded, dict) and isinstance(live, dict):
            yield from self._object(where, name, recorded, live)
        elif isinstance(recorded, list) and isinstance(live, list):
            yield from self._list(where, name, recorded, live)
        elif isinstance(recorded, str) and isinstance(live, str):
            expected = self._bindings.text(recorded)
            if expected != live and not self._same_role(name, recorded, live):
                yield Difference(where, expected, live)
        elif isinstance(recorded, bool) != isinstance(live, bool) or recorded != live:
            yield Difference(where, recorded, live)

    def _object(self, where: str, name: str, recorded: dict[str, Any], live: dict[str, Any]) -> Iterator[Difference]:
        if name in _MEASURES:
            recorded, live = dict.fromkeys(recorded), dict.fromkeys(live)
        expected = {self._bindings.text(key): (key, value) for key, value in recorded.items()}
        for key in [*expected, *(key for key in live if key not in expected)]:
            if key in self._ignored or key in IDENTITY:
                continue
            if key not in expected or key not in live:
                present = expected[key][1] if key in expected else ABSENT
                yield Difference(f"{where}.{key}", present, live.get(key, ABSENT))
            else:
                yield from self._value(f"{where}.{key}", key, expected[key][1], live[key])

    def _list(self, where: str, name: str, recorded: list[Any], live: list[Any]) -> Iterator[Difference]:
        if len(recorded) != len(live):
            yield Difference(f"{where}: {len(recorded)} elements, now {len(live)}", recorded, live)
            return
        if name in _SETS or (name == "" and self._request.path == "/_all_dbs"):
            recorded, live = sorted(map(self._bindings.value, recorded), key=str), sorted(live, key=str)
        for index, (left, right) in enumerate(zip(recorded, live, strict=True)):
            yield from self._value(f"{where}[{index}]", name if name in _MADE_IDS else "", left, right)

    def _same_role(self, name: str, recorded: str, live: str) -> bool:
        """Whether two unlike strings are what each server made up in the same place."""
        if _LOCAL_REV.match(recorded):  # counts the writes to a local document, which another client may have made
            return bool(_LOCAL_REV.match(live))
        if name == "bookmark":
            return self._bindings.bind_opaque(recorded, live)
        if name in ("rev", "_rev") and self._writes:
            return self._bindings.bind_rev(recorded, live)
        if (
            name in _MADE_IDS
            and (self._writes or name.startswith("uuid"))
            and UUID.match(recorded)
            and UUID.match(live)
        ):
            return self._bindings.bind(recorded, live)
        return False

    # ---- feeds

    def _feeds(self, recorded: Feed, live: Feed) -> Iterator[Difference]:
        """Rows by id. Which rows a page has depends on the order, which clusters do not keep: there, ids may differ."""
        for left, right in zip(recorded.rows, live.rows, strict=False):
            self._bindings.bind_seq(left.get("seq"), right.get("seq"))
        yield from self._end(recorded, live)
        ours = {self._bindings.text(str(row["id"])): row for row in recorded.rows}
        theirs = {str(row["id"]): row for row in live.rows}
        if self._is_page() and ours.keys() != theirs.keys():
            if len(recorded.rows) != len(live.rows):
                yield Difference("body: number of rows", len(recorded.rows), len(live.rows))
            return
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            if key not in ours or key not in theirs:
                yield Difference(f"body row {key}", ours.get(key, ABSENT), theirs.get(key, ABSENT))
            else:
                row, live_row = ({**row, "seq": ""} for row in (ours[key], theirs[key]))
                yield from self._value(f"body row {key}", "", row, live_row)

    def _end(self, recorded: Feed, live: Feed) -> Iterator[Difference]:
        """What follows the rows. `pending` counts, behind a filter or on a page, what nobody has looked at yet."""
        left, right = dict(recorded.end), dict(live.end)
        if self._is_page() or "filter=" in self._request.target:
            for end in (left, right):
                end.pop("pending", None)
        yield from self._value("body", "", left, right)

    def _is_page(self) -> bool:
        target = self._request.target
        return any(word in target for word in ("limit=", "descending=", "seq_interval=")) or (
            "since=" in target and not re.search(r"since=(0|%220%22|now)(&|$)", target)
        )


def _has_begun(seq: Any) -> bool | None:
    """Whether a sequence is beyond 0, which is written in several ways; None for none."""
    return None if seq is None else str(seq).partition("-")[0] not in ("0", "")


def _answer(reply: Reply) -> Any:
    """A status, and the error that goes with it."""
    said = content(reply.headers, reply.body)
    error = said.value if isinstance(said, Json) and isinstance(said.value, dict) else {}
    return f"{reply.status} {error['error']}: {error.get('reason')}" if "error" in error else reply.status


def _kind(headers: Headers) -> str | None:
    value = header(headers, "Content-Type")
    return None if value is None else kind(value)


def _path(location: str | None) -> str | None:
    return None if location is None else unquote(urlsplit(location).path)


def _cookies(headers: Headers) -> dict[str, tuple[str, frozenset[str]]]:
    """Value and names of the attributes of each cookie that is set."""
    found = {}
    for name, value in headers:
        if name.lower() == "set-cookie":
            pair, *attributes = value.split(";")
            cookie, _, content = pair.strip().partition("=")
            names = frozenset(item.partition("=")[0].strip().lower() for item in attributes)
            found[cookie] = (content, names - {"expires", "max-age"})
    return found


def _shown_cookie(cookie: tuple[str, frozenset[str]] | None) -> Any:
    """Whether it has a value, and its attributes: the value is a secret."""
    return ABSENT if cookie is None else "; ".join(["..." if cookie[0] else "", *sorted(cookie[1])])


def _rev_of(item: Any) -> Any:
    """By what an element of an `open_revs` answer is told from the others."""
    if not isinstance(item, dict):
        return item
    doc = item.get("ok", item)
    return doc.get("_rev") if isinstance(doc, dict) and "_rev" in doc else item


def _or_absent(value: str | None) -> Any:
    return ABSENT if value is None else value


def _plain(content: Content) -> Any:
    if isinstance(content, Json):
        return content.value
    if isinstance(content, Plain):
        return content.data
    return content.values if isinstance(content, Lines) else f"{len(content.parts)} parts"
