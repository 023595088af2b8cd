"""Messages between follower and workers: the same however they are cut, and no more of them than fit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.feeds.messages import (
    LONGEST,
    MOST_KEYS,
    BadMessage,
    CatchUp,
    Closed,
    Decoder,
    Done,
    Failed,
    Message,
    Moved,
    Opened,
    Outbox,
    Ping,
    Renew,
    encode,
)

names = st.text(st.characters(codec="utf-8"), max_size=5)
numbers = st.integers(0, 2**53)
keys = st.none() | st.frozensets(st.integers(-(2**63), 2**63 - 1), max_size=4)
told = st.one_of(
    st.builds(Opened, names, names),
    st.builds(Closed, names),
    st.builds(Moved, names, numbers, keys),
    st.builds(Done, numbers),
    st.builds(Failed, numbers),
)
messages = told | st.builds(CatchUp, names, numbers) | st.builds(Ping, numbers) | st.builds(Renew, names, names)


@given(st.lists(messages, max_size=6), st.lists(st.integers(0, 400), max_size=6))
def test_messages_arrive_however_they_are_cut(sent: list[Message], cuts: list[int]) -> None:
    data = b"".join(map(encode, sent))
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    decoder = Decoder()
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert [message for piece in pieces for message in decoder.feed(piece)] == sent


@given(st.lists(messages, min_size=1, max_size=3))
def test_byte_by_byte(sent: list[Message]) -> None:
    decoder = Decoder()
    assert [m for byte in b"".join(map(encode, sent)) for m in decoder.feed(bytes([byte]))] == sent


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"moved",
        b"{}",
        b"[]",
        b"1",
        b"null",
        b'["nothing","a"]',
        b'[["opened"],"a"]',
        b'["opened","a"]',
        b'["opened","a","b","c"]',
        b'["closed",1]',
        b'["moved","a","1",[]]',
        b'["moved","a",1,["x"]]',
        b'["moved","a",1,"x"]',
        b'["moved","a",true,[]]',
        b'["done",1.5]',
        b'["renew","a",null]',
        b'["done",1]x',
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(BadMessage):
        Decoder().feed(line + b"\n")


def test_a_line_without_end_is_refused() -> None:
    decoder = Decoder()
    assert decoder.feed(b"x" * LONGEST) == []
    with pytest.raises(BadMessage):
        decoder.feed(b"x")


class Reader:
    """What a worker knows after it has read everything: the state, the end, and who was woken since the state."""

    def __init__(self) -> None:
        self.states: dict[str, Opened | Closed] = {}
        self.ends: dict[str, int] = {}
        self.woken: dict[str, set[int] | None] = {}
        self.replies: list[Done | Failed] = []

    def read(self, message: Message) -> None:
        if isinstance(message, Opened | Closed):
            self.states[message.database] = message
            self.ends.pop(message.database, None)
            self.woken[message.database] = set()
        elif isinstance(message, Moved):
            self.ends[message.database] = max(self.ends.get(message.database, 0), message.end)
            woken = self.woken.setdefault(message.database, set())
            self.woken[message.database] = None if woken is None or message.keys is None else woken | message.keys
        elif isinstance(message, Done | Failed):
            self.replies.append(message)


@given(st.lists(st.tuples(told, st.booleans()), max_size=30))
def test_who_reads_late_knows_the_same(sent: list[tuple[Message, bool]]) -> None:
    at_once, late, outbox = Reader(), Reader(), Outbox()
    for message, reads in sent:
        assert not isinstance(message, CatchUp | Ping | Renew)
        at_once.read(message)
        outbox.put(message)
        if reads:
            for each in Decoder().feed(outbox.take()):
                late.read(each)
    for each in Decoder().feed(outbox.take()):
        late.read(each)
    assert vars(late) == vars(at_once)
    assert outbox.take() == b""


def test_an_answer_comes_after_what_it_rests_on() -> None:
    outbox = Outbox()
    outbox.put(Done(1))
    outbox.put(Moved("clinic", 7, frozenset((1,))))
    outbox.put(Opened("stock", "/x"))
    assert [type(message) for message in Decoder().feed(outbox.take())] == [Opened, Moved, Done]


def test_who_does_not_read_takes_no_room() -> None:
    outbox = Outbox()
    for end in range(1, 30_000):
        outbox.put(Moved("clinic", end, frozenset((end,))))
    assert Decoder().feed(outbox.take()) == [Moved("clinic", 29_999, None)]
    outbox.put(Moved("clinic", 1, frozenset(range(MOST_KEYS + 1))))
    assert Decoder().feed(outbox.take()) == [Moved("clinic", 1, None)]
    assert len(encode(Moved("clinic", 2**53, frozenset(range(-(2**63), -(2**63) + MOST_KEYS))))) < LONGEST
