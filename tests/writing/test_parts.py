"""A batch in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import CouchError
from proxy.writing import parts
from proxy.writing.parts import TOGETHER, store_parts
from proxy.writing.settle import Untold

T = TypeVar("T")


async def each(items: Iterable[T]) -> AsyncGenerator[list[T], None]:
    """A part for each."""
    for item in items:
        yield [item]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part is stored by itself."""
    monkeypatch.setattr(parts, "TOGETHER", 1)


@given(st.lists(st.integers(1, 9), max_size=8))
def test_what_is_stored_together_is_the_batch_in_order(sizes: list[int]) -> None:
    numbers = iter(range(10**6))
    given_parts = [list(islice(numbers, size)) for size in sizes]
    stored: list[Sequence[int]] = []

    async def parts_given() -> AsyncGenerator[Sequence[int], None]:
        for part in given_parts:
            yield part

    async def plan(part: Sequence[int]) -> Sequence[int]:
        return part

    async def store(batch: Sequence[int]) -> int:
        stored.append(batch)
        return 201

    assert asyncio.run(store_parts(parts_given(), plan, store)) == 201
    joined = [given_parts[start : start + TOGETHER] for start in range(0, len(sizes), TOGETHER)]
    assert stored == [[number for part in some for number in part] for some in joined]


@pytest.mark.usefixtures("alone")
async def test_the_next_are_planned_while_some_are_stored() -> None:
    events: list[str] = []
    may_end = asyncio.Event()

    async def plan(part: Sequence[int]) -> Sequence[int]:
        events.append(f"plan {part[0]}")
        if part[0] == 2:
            may_end.set()
        return part

    async def store(part: Sequence[int]) -> int:
        await may_end.wait()
        events.append(f"stored {part[0]}")
        return 200 + part[0]

    assert await store_parts(each([0, 1, 2]), plan, store) == 202
    assert events.index("plan 2") < events.index("stored 0")


async def test_nothing_is_stored_before_the_second_part_is_given() -> None:
    async def store(part: Sequence[int]) -> int:
        raise AssertionError

    async def malformed() -> AsyncGenerator[Sequence[int], None]:
        yield range(9)
        for _ in range(20):
            await asyncio.sleep(0)
        raise CouchError("malformed")

    with pytest.raises(CouchError, match="malformed"):
        await store_parts(malformed(), _as_it_is, store)


@pytest.mark.usefixtures("alone")
async def test_the_source_is_not_flooded() -> None:
    storing, most = 0, 0

    async def store(part: Sequence[int]) -> int:
        nonlocal storing, most
        storing += 1
        most = max(most, storing)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        storing -= 1
        return 201

    assert await store_parts(each(range(50)), _as_it_is, store) == 201
    assert 1 < most <= 3


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("planning", [True, False])
async def test_an_error_is_raised_when_all_that_was_begun_has_ended(planning: bool) -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def plan(part: Sequence[int]) -> Sequence[int]:
        if planning and part[0] == 2:
            raise CouchError("planned")
        return part

    async def store(part: Sequence[int]) -> int:
        begun.extend(part)
        if part[0] == 1 and not planning:
            raise CouchError("stored")
        for _ in range(20):
            await asyncio.sleep(0)
        ended.extend(part)
        return 201

    with pytest.raises(CouchError, match="planned" if planning else "stored"):
        await store_parts(each(range(50)), plan, store)
    assert set(begun) - set(ended) == (set() if planning else {1})
    assert len(begun) < 10


@pytest.mark.usefixtures("alone")
async def test_that_nobody_knows_what_is_stored_is_said_first() -> None:
    async def store(part: Sequence[int]) -> int:
        await asyncio.sleep(0)
        raise CouchError("refused") if part[0] == 0 else Untold("unknown")

    with pytest.raises(Untold):
        await store_parts(each([0, 1]), _as_it_is, store)


async def test_what_was_planned_before_an_error_and_not_stored_yet_is_not() -> None:
    async def plan(part: Sequence[int]) -> Sequence[int]:
        if part[0] == TOGETHER - 1:
            raise CouchError("planned")
        return part

    async def store(part: Sequence[int]) -> int:
        raise AssertionError

    with pytest.raises(CouchError, match="planned"):
        await store_parts(each(range(TOGETHER)), plan, store)


async def test_no_parts_are_no_work() -> None:
    async def nothing(part: Sequence[int]) -> Sequence[int]:
        raise AssertionError

    async def store(part: Sequence[int]) -> int:
        raise AssertionError

    async def no_parts() -> AsyncGenerator[Sequence[int], None]:
        for part in list[Sequence[int]]():
            yield part

    assert await store_parts(no_parts(), nothing, store) == 201


async def _as_it_is(part: Sequence[int]) -> Sequence[int]:
    return part
