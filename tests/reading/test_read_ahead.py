"""Attachments that are read before their turn: in order, within bounds, and as if each were read alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import Unavailable
from proxy.reading import read_ahead
from proxy.reading.read_ahead import Named, ReadAhead, Wanted
from proxy.resolve import Shown

SMALL = read_ahead._SMALL


class Body(bytes):
    """A body that is counted for as long as anybody has it."""

    source: Source
    size: int

    def __del__(self) -> None:
        self.source.held -= self.size


class Source:
    """Attachments by document and name. `lost`: what reading together does not give; `fails`: what cannot be read."""

    def __init__(self, *documents: tuple[bool, dict[str, int]]) -> None:
        self.shown = [
            Shown(
                {
                    "_id": f"d{n}",
                    "_rev": "1-a",
                    "_attachments": {name: {"length": size} for name, size in sizes.items()},
                },
                "1-a",
                all_attachments=whole,
            )
            for n, (whole, sizes) in enumerate(documents)
        ]
        self.documents: list[Named] = [(shown, list(shown.doc["_attachments"])) for shown in self.shown]
        """Of each document the attachments that are wanted."""
        self.lost: set[tuple[str, str]] = set()
        self.fails: set[tuple[str, str]] = set()
        self.held = self.most_held = 0
        self.alone: list[tuple[str, str]] = []
        self.together: list[list[tuple[str, str]]] = []
        """What was delivered: of documents that are read together all attachments are."""
        self.under_way = 0

    @property
    def wanted(self) -> list[Wanted]:
        return [(shown, name) for shown, names in self.documents for name in names]

    @property
    def keys(self) -> list[tuple[str, str]]:
        return [(shown.doc["_id"], name) for shown, name in self.wanted]

    def body(self, shown: Shown, name: str) -> bytes:
        size: int = shown.doc["_attachments"][name]["length"]
        return f"{shown.doc['_id']} {name} ".encode() + b"x" * min(size, 100)

    def hold(self, size: int) -> None:
        self.held += size
        self.most_held = max(self.most_held, self.held)

    def counted(self, shown: Shown, name: str) -> Body:
        body = Body(self.body(shown, name))
        body.source, body.size = self, shown.doc["_attachments"][name]["length"]
        self.hold(body.size)
        return body

    async def read(self, shown: Shown, name: str) -> AsyncIterator[bytes]:
        key = (shown.doc["_id"], name)
        self.alone.append(key)
        self.under_way += 1
        try:
            await asyncio.sleep(0)
            if key in self.fails:
                raise Unavailable("gone")
            size = shown.doc["_attachments"][name]["length"]
            self.hold(size if size <= SMALL else 0)
            whole = self.body(shown, name)
            for piece in (whole[:3], whole[3:]):
                await asyncio.sleep(0)
                yield piece
        finally:
            self.under_way -= 1

    async def read_some(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        keys = [(shown.doc["_id"], name) for shown, name in wanted]
        documents = {shown.doc["_id"]: shown for shown, _ in wanted}
        self.together.append(
            [(doc_id, name) for doc_id, shown in documents.items() for name in shown.doc["_attachments"]]
        )
        self.under_way += 1
        try:
            await asyncio.sleep(0)
            found: list[bytes | None] = []
            for (shown, name), key in zip(wanted, keys, strict=True):
                given = key not in self.lost and key not in self.fails
                found.append(self.counted(shown, name) if given else None)
            return found
        finally:
            self.under_way -= 1

    async def all(self, together: bool = True) -> list[bytes]:
        found = []
        async with ReadAhead(self.read, self.documents, self.read_some if together else None) as bodies:
            for shown, name in self.wanted:
                found.append(b"".join([piece async for piece in bodies.of(shown, name)]))
                size = shown.doc["_attachments"][name]["length"]
                self.held -= size if size <= SMALL and (shown.doc["_id"], name) in self.alone else 0
        return found


SIZES = st.sampled_from([0, 1, 1000, 40_000, 60_000, SMALL, SMALL + 1, 10**9])
DOCUMENTS = st.lists(st.tuples(st.booleans(), st.dictionaries(st.sampled_from("abcdef"), SIZES)), max_size=12)
KEYS = st.tuples(st.sampled_from([f"d{n}" for n in range(12)]), st.sampled_from("abcdef"))


@settings(deadline=None)
@given(DOCUMENTS, st.booleans(), st.just(set()) | st.sets(KEYS), st.just(set()) | st.sets(KEYS))
def test_all_are_given_in_order_and_no_more_is_held_than_there_is_room(
    documents: list[tuple[bool, dict[str, int]]],
    together: bool,
    unwanted: set[tuple[str, str]],
    lost: set[tuple[str, str]],
) -> None:
    source = Source(*documents)
    source.documents = [
        (shown, [name for name in names if (shown.doc["_id"], name) not in unwanted])
        for shown, names in source.documents
    ]
    source.lost = lost
    assert asyncio.run(source.all(together)) == [source.body(*wanted) for wanted in source.wanted]
    assert source.most_held <= read_ahead._ROOM
    assert source.held == 0
    hiding = {shown.doc["_id"] for shown in source.shown if not shown.all_attachments}
    assert hiding.isdisjoint(doc_id for group in source.together for doc_id, _ in group)
    given_together = [key for group in source.together for key in group]
    again = [key for key in given_together if key in source.lost]
    assert sorted([*given_together, *source.alone]) == sorted([*source.keys, *again])


async def test_documents_of_which_nothing_is_hidden_are_read_together() -> None:
    source = Source(*[(True, {"a": 1000, "b": 1000})] * 5, (False, {"a": 1, "b": 1}))
    await source.all()
    assert [len(group) for group in source.together] == [10]
    assert source.alone == [("d5", "a"), ("d5", "b")]


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ({"a": 10, "b": 10, "c": 10**9}, "abc"),
        ({"a": 10, "b": 10, "c": 10_000}, "ab"),
        (dict.fromkeys("abcde", 60_000), "abcde"),
        (dict.fromkeys("abcdefghijklmnopqrstuvwxyz0", 40_000), "abcdefghijklmnopqrstuvwxyz0"),
    ],
)
async def test_what_is_not_small_as_a_whole_or_not_wanted_as_a_whole_is_read_singly(
    sizes: dict[str, int], wanted: str
) -> None:
    source = Source((True, sizes), (True, {"a": 1, "b": 1}))
    source.documents[0] = (source.shown[0], list(wanted))
    assert await source.all() == [source.body(*each) for each in source.wanted]
    assert source.together == [[("d1", "a"), ("d1", "b")]]


async def test_what_was_handed_over_is_let_go() -> None:
    source = Source(*[(True, dict.fromkeys("abcde", 40_000))] * 20)
    async with ReadAhead(source.read, source.documents, source.read_some) as bodies:
        for wanted in source.wanted:
            async for _ in bodies.of(*wanted):
                assert source.held <= read_ahead._ROOM
    assert len(source.together) > 4


async def test_a_source_that_does_not_give_one_so_is_not_asked_for_others() -> None:
    source = Source(*[(True, dict.fromkeys("abcde", 40_000))] * 20)
    source.lost = {("d1", "a")}
    assert await source.all() == [source.body(*wanted) for wanted in source.wanted]
    assert len(source.together) == 2


async def test_single_ones_are_under_way_side_by_side() -> None:
    source = Source((False, dict.fromkeys("abcdefghijklm", 10)))
    async with ReadAhead(source.read, source.documents) as bodies:
        async for _ in bodies.of(*source.wanted[0]):
            assert len(source.alone) == 8
    assert source.under_way == 0


async def test_a_large_one_is_streamed_while_those_behind_it_come() -> None:
    source = Source((False, {"a": 10**9, "b": 10, "c": 10}))
    async with ReadAhead(source.read, source.documents) as bodies:
        pieces = [piece async for piece in bodies.of(*source.wanted[0])]
        assert len(pieces) == 2
        assert len(source.alone) == 3


@pytest.mark.parametrize("whole", [True, False])
async def test_what_cannot_be_read_fails_in_its_turn(whole: bool) -> None:
    source = Source((whole, {"a": 10, "b": 10, "c": 10}))
    source.fails = {("d0", "b")}
    with pytest.raises(Unavailable):
        await source.all()
    assert source.under_way == 0


async def test_what_was_begun_ends_when_nobody_wants_it_any_more() -> None:
    source = Source(*[(n % 2 == 0, {"a": 10, "b": 10}) for n in range(6)])
    async with ReadAhead(source.read, source.documents, source.read_some) as bodies:
        async for _ in bodies.of(*source.wanted[0]):
            break
    assert source.under_way == 0
