"""The splitter of big arrays: on CouchDB's replies, on layouts of other peers, on what is not JSON."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.rows import ArraySplitter
from proxy.core.wire.values import ValueScanner
from tests.core.wire.cuts import cuts, decode, decode_every_way, fails_every_way
from tests.core.wire.recordings import REPLIES

MEMBERS = {
    "results": [134, *range(137, 146), 148, 150, 153, 154, 155, 161, 162, 163, 164, 166],
    "rows": [*range(121, 134), 135, 136, 177, 178, 179],
    "docs": [174, 175],
}
ARRAYS = [26, 32, 35, 199, 200, 205]


class Decoded:
    """A splitter whose `feed` is `feed_decoded`."""

    def __init__(self, member: str | None, max_item: int = 1 << 26) -> None:
        self.splitter = ArraySplitter(member, max_item)
        self.feed = self.splitter.feed_decoded
        self.close = self.splitter.close


def split(data: bytes, member: str | None) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    """Head, elements and tail, which must be the same raw or decoded, and however `data` is cut."""
    raw = decode_every_way(lambda: ArraySplitter(member), data)
    decoded = decode_every_way(lambda: Decoded(member), data)
    assert [jsonio.loads(item) for item in raw] == decoded
    splitter = ArraySplitter(member)
    splitter.feed(data)
    splitter.close()
    return splitter.head, decoded, splitter.tail


@pytest.mark.parametrize(("member", "number"), [(m, n) for m, numbers in MEMBERS.items() for n in numbers])
def test_replies_of_couchdb(member: str, number: int) -> None:
    body = REPLIES[number].body
    whole = jsonio.loads(body)
    names = list(whole)
    before, after = names[: names.index(member)], names[names.index(member) + 1 :]
    head, elements, tail = split(body, member)
    assert elements == whole[member]
    assert head == {name: whole[name] for name in before}
    assert tail == {name: whole[name] for name in after}


@pytest.mark.parametrize("number", ARRAYS)
def test_arrays_at_the_top(number: int) -> None:
    body = REPLIES[number].body
    assert split(body, None) == ({}, jsonio.loads(body), {})


@pytest.mark.parametrize("number", [n for numbers in MEMBERS.values() for n in numbers])
def test_no_prefix_of_a_reply_is_taken_for_whole(number: int) -> None:
    body = REPLIES[number].body.rstrip()
    member = next(m for m, numbers in MEMBERS.items() if number in numbers)
    rng = random.Random(number)
    for end in {0, 1, len(body) - 1, *(rng.randrange(len(body)) for _ in range(20))}:
        with pytest.raises(WireError):
            decode(Decoded(member), [body[:end]])


def test_members_in_any_order() -> None:
    body = b' { "last_seq" : 7 , "x":{"results":[1]}, "results" : [ {"a":1} , {"b":[]} ] , "pending":0 } \n'
    assert split(body, "results") == ({"last_seq": 7, "x": {"results": [1]}}, [{"a": 1}, {"b": []}], {"pending": 0})


def test_head_is_complete_with_the_first_element() -> None:
    splitter = ArraySplitter("rows")
    assert splitter.feed(b'{"total_rows":3,"rows":[\r\n{"id":"a"},') == [b'{"id":"a"}']
    assert splitter.head == {"total_rows": 3}


def test_raw_elements_are_the_bytes_that_came() -> None:
    body = b'{"rows":[ {"a" : 1.50,"b":"\\u0041"}\n,\t{ }, 12 ,"x", null]}'
    expected = [b'{"a" : 1.50,"b":"\\u0041"}', b"{ }", b"12", b'"x"', b"null"]
    assert decode_every_way(lambda: ArraySplitter("rows"), body) == expected


def test_heartbeats_between_rows() -> None:
    body = b'{"results":[\n\n\n{"seq":1},\r\n\n{"seq":2}\n\n,\r\n{"seq":3},\r\n{"seq":4}\n\n\n],\n"last_seq":4}\n\n'
    assert split(body, "results") == ({}, [{"seq": n} for n in (1, 2, 3, 4)], {"last_seq": 4})


def test_integers_beyond_64_bits_survive() -> None:
    values = [{"n": 2**64 + n, "rev": "1-" + "1234567890" * 3 + "ab"} for n in range(50)]
    assert split(json.dumps({"docs": values}).encode(), "docs")[1] == values


@pytest.mark.parametrize("separator", [",", ",\r\n", " , "])
@pytest.mark.parametrize("make", [ArraySplitter, Decoded])
def test_regular_layouts_are_not_scanned(make: Any, separator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = 0
    end = ValueScanner.end

    def counted(scanner: ValueScanner, buffer: bytearray) -> int:
        nonlocal scans
        scans += 1
        return end(scanner, buffer)

    monkeypatch.setattr(ValueScanner, "end", counted)
    rows = [f'{{"id":"{n}","docs":[{{"ok":{{"_id":"{n}","v":[{{"a":1}},{{"b":"}}"}}]}}}}]}}' for n in range(1000)]
    body = f'{{"results":[{separator.join(rows)}]}}'.encode()
    assert len(decode(make("results"), [body[n : n + 4096] for n in range(0, len(body), 4096)])) == 1000
    assert scans < len(body) // 4096 * 3 + 10


@pytest.mark.parametrize("layout", ["one line", "a row per line", "pretty", "spaced"])
@pytest.mark.parametrize(
    "trap",
    [
        '},\r\n{"seq":',
        ']},{"id":',
        '}\n]},\n"last_seq":',
        '"},{"id":"a","docs":[]},{"id":"b',
        "\\",
        '\\"',
        "{{{[[",
        "}}}]]",
        "\u2028☃\x00\x1f",
    ],
)
def test_what_looks_like_a_cut_within_a_document(layout: str, trap: str) -> None:
    rng = random.Random(trap)
    nested = [{"seq": 1, "id": trap}, {"id": "b", "docs": [{"id": trap}, {"id": ["x"]}]}, {"seq": 2}]
    rows = [
        {"id": f"{n}", "docs": [{"ok": {"t": trap * rng.randrange(3), trap: nested[: rng.randrange(4)]}}]}
        for n in range(60)
    ]
    bodies = {
        "one line": json.dumps({"results": rows}, separators=(",", ":")),
        "a row per line": '{"results":[\n' + ",\r\n".join(map(json.dumps, rows)) + '\n],\n"last_seq":1}',
        "pretty": json.dumps({"results": rows}, indent=1),
        "spaced": json.dumps({"results": rows}),
    }
    assert split(bodies[layout].encode(), "results")[1] == rows


def test_white_space_cut_in_two() -> None:
    """The guess may be learned from half of the white space between two elements."""
    body = b'[{"a":1},\n  {"a":2},\n  {"a":3},\n    {"a":4}]'
    for cut in range(len(body)):
        for make in (ArraySplitter, Decoded):
            items = decode(make(None), [body[:cut], body[cut:]])
            assert items == [{"a": n} if make is Decoded else b'{"a":%d}' % n for n in (1, 2, 3, 4)]


def test_a_layout_that_changes_midway() -> None:
    rows = [{"id": str(n), "v": {"x": [n]}} for n in range(300)]
    texts = [json.dumps(row, separators=(",", ":")) for row in rows]
    body = "[" + ",\r\n".join(texts[:100]) + "," + ",".join(texts[100:200]) + " ,\n " + " , ".join(texts[200:]) + "]"
    assert split(body.encode(), None)[1] == rows


def test_documents_that_contain_newlines_between_tokens() -> None:
    """A peer that embeds stored text as it is: no row can be taken for a line."""
    plain = '{"id":"p","value":null}'
    verbatim = '{"id":"v","doc":{"}":"}]","x":[{"a":1},\r\n{"b":"}"},\r\n{"c":[{}]}]}}'
    texts = [plain, verbatim] * 20
    body = ('{"rows":[\r\n' + ",\r\n".join(texts) + "\r\n]}").encode()
    assert split(body, "rows")[1] == [json.loads(text) for text in texts]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"[]",
        b"{}",
        b"null",
        b'{"other":[]}',
        b'{"rows":{}}',
        b'{"rows":null}',
        b'{"rows":[]',
        b'{"rows":[]}x',
        b'{"rows":[]}{}',
        b'{"rows":[1,]}',
        b'{"rows":[,1]}',
        b'{"rows":[1 2]}',
        b'{"rows":[1}]',
        b'{"rows":[{"a":]}]}',
        b'{"rows":[{"a":1]]}',
        b'{"rows":[{"a" 1}]}',
        b'{"rows":[nul]}',
        b'{"rows":[NaN]}',
        b'{"rows":["\xff"]}',
        b'{"rows":["a\nb"]}',
        b'{"rows":[],}',
        b'{"rows":[] "a":1}',
        b'{"rows":[],"a"}',
        b'{"rows":[],"a":}',
        b'{"rows":[],"rows":[]}',
        b'{"rows":[],"\\u0072ows":[]}',
        b"{rows:[]}",
        b'{"a":1 "rows":[]}',
        b'{"a":tru,"rows":[]}',
        b'{"rows":["\\ud800"]}',
    ],
)
def test_malformed(body: bytes) -> None:
    fails_every_way(lambda: ArraySplitter("rows"), body, WireError)
    fails_every_way(lambda: Decoded("rows"), body, WireError)


@pytest.mark.parametrize("separator", [",", ",\r\n"])
@pytest.mark.parametrize("at", [0, 1, 50, 99])
def test_a_malformed_element_among_good_ones(separator: str, at: int) -> None:
    texts = [f'{{"id":"{n}"}}' for n in range(100)]
    texts[at] = '{"id":"x",}'
    body = ("[" + separator.join(texts) + "]").encode()
    fails_every_way(lambda: ArraySplitter(None), body, WireError)
    fails_every_way(lambda: Decoded(None), body, WireError)


def test_a_failed_splitter_stays_failed() -> None:
    splitter = ArraySplitter(None)
    with pytest.raises(WireError):
        splitter.feed(b"[}")
    with pytest.raises(WireError):
        splitter.feed(b"]")
    with pytest.raises(WireError):
        splitter.close()
    decoded = Decoded("rows")
    for data in (b"x", b'{"rows":[]}'):
        with pytest.raises(WireError):
            decoded.feed(data)


@pytest.mark.parametrize("separator", [b",", b",\r\n"])
def test_items_are_limited(separator: bytes) -> None:
    small = [b'{"id":"%d"}' % n for n in range(40)]
    limit = 100
    fits = b'{"id":"%b"}' % (b"x" * (limit - 9))
    for big, good in ((fits, True), (fits.replace(b"x", b"xx", 1), False)):
        for where in (0, 1, 20, 40):
            body = b"[" + separator.join([*small[:where], big, *small[where:]]) + b"]"
            for make in (lambda: ArraySplitter(None, limit), lambda: Decoded(None, limit)):
                if good:
                    assert len(decode_every_way(make, body)) == 41
                else:
                    fails_every_way(make, body, WireError)


def test_other_members_are_limited() -> None:
    fails_every_way(lambda: ArraySplitter("rows", 20), b'{"a":"%b","rows":[]}' % (b"x" * 30), WireError)
    fails_every_way(lambda: ArraySplitter("rows", 20), b'{"%b":1,"rows":[]}' % (b"x" * 30), WireError)


def test_white_space_is_no_item() -> None:
    body = b'{"results":[' + b"\n" * 500 + b'{"a":1}' + b" " * 500 + b"]" + b"\n" * 500 + b"}" + b"\n" * 500
    assert decode_every_way(lambda: Decoded("results", 20), body) == [{"a": 1}]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(['"},{"', "\\", "},\r\n{", "]", "{"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "a", '"', "}"]), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(json_values, max_size=12) | st.lists(st.fixed_dictionaries({"id": json_values}), max_size=30),
    gap=st.sampled_from([",", ",\r\n", ",\n  ", " , "]),
    ascii_only=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_array(rows: list[Any], gap: str, ascii_only: bool, seed: int) -> None:
    texts = [json.dumps(row, ensure_ascii=ascii_only, separators=(",", ":")) for row in rows]
    body = ('{"n":1,"rows":[' + gap.join(texts) + '],"m":2}').encode()
    for pieces in cuts(body, seed=seed, rounds=3):
        raw, decoded = ArraySplitter("rows"), ArraySplitter("rows")
        raws = [item for piece in pieces for item in raw.feed(piece)]
        values = [item for piece in pieces for item in decoded.feed_decoded(piece)]
        raw.close()
        decoded.close()
        assert raws == [text.encode() for text in texts]
        assert values == rows
        assert decoded.tail == {"m": 2}


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60) | st.text('{}[]",:\\ \n1ae', max_size=40).map(str.encode), top=st.booleans())
def test_accepts_nothing_that_json_does_not(data: bytes, top: bool) -> None:
    body = data if top else b'{"rows":[' + data + b"]}"
    splitter = ArraySplitter(None if top else "rows")
    try:
        items = splitter.feed_decoded(body)
        splitter.close()
    except WireError:
        return
    whole = jsonio.loads(body)
    assert items == (whole if top else whole["rows"])


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(json_values, max_size=6))
def test_takes_all_that_json_takes(rows: list[Any]) -> None:
    for body in (json.dumps(rows), json.dumps(rows, indent=2)):
        assert decode_every_way(lambda: Decoded(None), body.encode(), rounds=1) == rows
