"""Work that is begun ahead: in order, as far as it may, and ended with its consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ahead import ahead, piecewise


class Works:
    """Items, and work on them that can be watched: from one on it comes to no end, one fails."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.closed = False
        self.stuck_from = count
        self.failing: int | None = None

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self.count):
                yield number
        finally:
            self.closed = True

    async def work(self, number: int) -> int:
        self.begun.append(number)
        try:
            if number >= self.stuck_from:
                await asyncio.Event().wait()
            if number == self.failing:
                raise ValueError(number)
            return number * number
        finally:
            self.ended.append(number)


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
async def test_results_are_in_order_and_as_many_are_begun_as_may_be(count: int, most: int) -> None:
    works = Works(count)
    found: list[int] = []
    async with aclosing(ahead(works.items(), works.work, most)) as results:
        async for result in results:
            # before the consumer works, which may take long without giving way
            assert len(works.begun) == min(len(found) + 1 + most, count)
            found.append(result)
    assert found == [number * number for number in range(count)]
    assert works.closed


async def test_a_consumer_that_stops_ends_what_was_begun() -> None:
    works = Works(9)
    works.stuck_from = 1
    results = ahead(works.items(), works.work, 3)
    assert await anext(results) == 0
    assert works.ended == [0]
    await results.aclose()
    assert works.ended == works.begun == [0, 1, 2, 3]
    assert works.closed


async def test_work_that_fails_ends_the_rest() -> None:
    works = Works(9)
    works.failing, works.stuck_from = 1, 2
    results = ahead(works.items(), works.work, 2)
    assert await anext(results) == 0
    with pytest.raises(ValueError, match="1"):
        await anext(results)
    assert sorted(works.ended) == works.begun == [0, 1, 2, 3]
    assert works.closed


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 12), st.booleans())
async def test_what_is_not_done_at_once_follows_in_order(sizes: list[int], most: int, begin: bool) -> None:
    batches = [list(range(10 * start, 10 * start + size)) for start, size in enumerate(sizes)]
    taken: list[int] = []

    async def given_batches() -> AsyncGenerator[Sequence[int], None]:
        for batch in batches:
            yield batch

    async def work(batch: Sequence[int]) -> Sequence[int]:
        if batch and batch[0] % 10:  # the rest of a batch: nothing before it is held
            assert batch[0] - 1 in taken
        return [-number for number in batch[:most]]

    async for done in piecewise(given_batches(), work, begin=begin):
        assert len(done) <= most
        taken += [-number for number in done]
    assert taken == [number for batch in batches for number in batch]
