"""Strategies that make bad requests out of good ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from proxy.openapi.parameters import HEADER, QUERY
from tests.badinput.requests import REV, Request

_MARK = "here belongs something else"

TEXTS = [
    *(b"null", b"true", b"false", b"0", b"-1", b"-0.0", b"1.5", b"1e3", b"1e400", b"NaN", b"9" * 25, b"1" * 5000),
    *(b"18446744073709551616", b"-9223372036854775809", b'""', b'"x"', b'"all"', b'"\\u0000"', b'"\\ud800"', b'"\xff"'),
    *(b'"_design/x"', b'"_local/x"', b'"_x"', b'"../x"', b'"' + b"x" * 5000 + b'"', b'"\\udbff\\udfff"'),
    *(b"[]", b"{}", b"[[]]", b"[null]", b"[{}]", b'[1,"a",{}]', b'{"":{}}', b'{"a":1,"a":2}', b'["a","a"]', b"[" * 900),
    *(b'"1-"', b'"0-0"', b'"-1-a"', b'"99999999999999999999-a"', b'"1-\\u00ff"', b'"1-a"', b'["1-a"]', b'"1-a\\n"'),
    *(f'"{REV}"'.encode(), f'["{REV}"]'.encode(), b'{"start":1,"ids":["a"]}', b'{"start":1e3,"ids":[]}'),
    *(
        b'{"start":-1,"ids":[1]}',
        b'{"start":999999999999999999999999,"ids":["a","b"]}',
        b'{"start":2,"ids":["a",null]}',
    ),
    *(b'{"stub":true}', b'{"follows":true,"length":3}', b'{"follows":true,"length":-1}', b'{"data":"%%%"}'),
    *(b'{"data":"","stub":true}', b'{"x":{"stub":true}}', b'{"_x":{"data":""}}', b'{"x":{"data":"AAAA","length":-5}}'),
    *(b'{"$regex":"("}', b'{"$regex":5}', b'{"$gt":{"$lt":1}}', b'{"$mod":[0,0]}', b'{"$in":5}', b'{"$foo":1}'),
    *(b'{"$elemMatch":{"$all":[]}}', b'{"$not":{"$or":[]}}', b'{"$type":"x"}', b'{"$size":-1}', b'[{"n":"up"}]'),
]
"""JSON values, or nearly, where others are expected."""

MEMBERS = [
    *("_id", "_rev", "_revisions", "_attachments", "_deleted", "_conflicts", "_local_seq", "_x", "", "x" * 300),
    *("docs", "new_edits", "all_or_nothing", "keys", "key", "startkey", "endkey", "limit", "skip", "descending"),
    *("fields", "sort", "bookmark", "selector", "doc_ids", "rev", "atts_since", "id", "queries", "r", "use_index"),
    *("$and", "$or", "$nor", "$not", "$in", "$all", "$elemMatch", "$regex", "$mod", "$type", "$size", "$exists"),
    *("n", "facility", "stub", "follows", "data", "length", "content_type", "encoding", "encoded_length", "digest"),
    *("revpos", "include_docs", "attachments", "conflicts", "name", "password", "username", "ids", "start"),
]

VALUES = [
    *("", "true", "false", "TRUE", "null", "0", "-1", "1", "1.5", "1e5", "0x10", "1_0", "%205", "%2B5", "%D9%A3"),
    *("9" * 30, "9" * 5000, "%22x%22", "%5B%5D", "%5B%221-a%22%5D", f"%5B%22{REV}%22%5D", "%5Bnull%5D", "%5B" * 2000),
    *(
        "%7B%7D",
        "%22%5Cud800%22",
        "%ff",
        "%00",
        "%",
        "%zz",
        "+",
        "all",
        "now",
        "0-",
        "5-abc",
        REV,
        "1-%C3%BF",
        "1-%0D%0A",
    ),
    *(
        "99999999999999999999-a",
        "..",
        "a/b",
        "x" * 3000,
        "%F0%9F%98%80",
        "%ED%A0%80",
        "_doc_ids",
        "_selector",
        "_design",
    ),
    *(
        "_view",
        "app/x",
        "normal",
        "longpoll",
        "continuous",
        "eventsource",
        "live",
        "all_docs",
        "%22%22",
        "12-AAAAAAAAAAAAAAAA",
    ),
]

HEADERS = [
    *(
        "",
        "\xff",
        "*",
        "bytes=9-1",
        "bytes=-",
        "bytes=0-1,2-3",
        "bytes=" + "0-," * 500,
        "gzip",
        "deflate",
        "GET",
        "HEAD",
    ),
    *(
        "COPY",
        "DELETE",
        "multipart/mixed",
        "multipart/related;boundary=",
        "multipart/related; boundary=\xff",
        "x;q=9,;q=",
    ),
    *("application/json; q=0, */*", "1-x", '"1-x"', "W/", "mine?rev=", "mine?rev=1-a&x=", "_design/x", "0", "a" * 3000),
    *("%2E%2E/x", "http://[", "http://proxy.test/", "text/plain", "application/json;", "Basic", "now"),
]

_NAMES = [*QUERY, "w", "view", "seq_interval", "r", "partition", "reduce", "group_level", "callback"]


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from _places(value[key], (*at, key))


def _with(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    if isinstance(value, dict):
        return {**value, at[0]: _with(value.get(at[0]), at[1:], new)}
    return [_with(each, at[1:], new) if index == at[0] else each for index, each in enumerate(value)]


@st.composite
def json_texts(draw: st.DrawFn, good: bytes) -> bytes:
    """JSON with other values, or members, in some places of a good one."""
    value = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(list(_places(value))))
        target = value
        for key in at:
            target = target[key]
        if isinstance(target, dict) and draw(st.booleans()):
            at = (*at, draw(st.sampled_from(MEMBERS)))
        value = _with(value, at, _MARK)
    pieces = json.dumps(value).encode().split(f'"{_MARK}"'.encode())
    text = pieces[0]
    for piece in pieces[1:]:
        text += draw(st.sampled_from(TEXTS)) + piece
    return text


@st.composite
def byte_strings(draw: st.DrawFn, good: bytes, words: tuple[bytes, ...] = ()) -> bytes:
    """Bytes with some taken out, put in, doubled, changed or cut off. `words`: what to put in beside single bytes."""
    data = good
    odd = st.sampled_from([*words, b"\0", b"\xff", b"\r\n", b"\r\n\r\n", b"--", b"[", b"{", b'"', b":", b" "])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        before, after = data[:at], data[at:]
        match draw(st.sampled_from(["out", "in", "double", "other", "cut"])):
            case "out":
                data = before + after[draw(st.integers(1, 20)) :]
            case "in":
                data = before + draw(odd) + after
            case "double":
                data = before + after + after
            case "other":
                data = before + draw(st.binary(min_size=1, max_size=1)) + after[1:]
            case _:
                data = before
    return data


@st.composite
def queries(draw: st.DrawFn, good: Request) -> Request:
    """The request with other, more, or fewer parameters. A feed that waits does not wait long."""
    pairs = [pair for pair in good.target.partition("?")[2].split("&") if pair]
    for _ in range(draw(st.integers(1, 4))):
        name, value = draw(st.sampled_from(_NAMES)), draw(st.sampled_from(VALUES))
        if name != "heartbeat" or value not in ("true", "TRUE"):
            pairs.insert(draw(st.integers(0, len(pairs))), f"{name}={value}")
    if any(pair.startswith("feed=") for pair in pairs):
        pairs = [pair for pair in pairs if not pair.startswith("heartbeat=")] + ["timeout=1"]
    return good.with_query("&".join(pairs))


@st.composite
def headers(draw: st.DrawFn) -> dict[str, str]:
    """One or two headers with values that are not theirs."""
    names = st.sampled_from(sorted({*HEADER, "Content-Type", "Cookie", "X-Couch-Request-ID", "Expect", "Connection"}))
    return draw(st.dictionaries(names, st.sampled_from(HEADERS), min_size=1, max_size=2))
