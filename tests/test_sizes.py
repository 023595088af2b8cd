"""How many documents are read at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bodies import TooMany
from proxy.sizes import AT_ONCE, are_large, at_once, cut, first_part, in_parts, noticed, was_too_long
from proxy.upstream import Upstream
from tests.support.places import place_of, source_of

KIB = 1024


@pytest.fixture
def upstream() -> Upstream:
    return source_of()


async def test_as_many_as_is_their_size(upstream: Upstream) -> None:
    place, other = place_of(upstream), place_of(upstream, "other")
    supposed = at_once(place)
    assert 1 < supposed < AT_ONCE
    for size, count in ((1, AT_ONCE), (4 * KIB, AT_ONCE), (64 * KIB, 16), (10_000 * KIB, 1)):
        noticed(place, 7 * size, 7)
        assert at_once(place) == count
    assert at_once(other) == at_once(place_of(source_of())) == supposed


async def test_what_large_ones_have_taught_is_forgotten_slowly(upstream: Upstream) -> None:
    place = place_of(upstream)
    noticed(place, 4 * 1024 * KIB, 4)
    found = [at_once(place)]
    while found[-1] < AT_ONCE:
        noticed(place, 0, found[-1])
        found.append(at_once(place))
    assert found == [1, 2, 4, 8, 16, 32, 64, 128, AT_ONCE]


async def test_a_few_say_nothing_of_the_others(upstream: Upstream) -> None:
    place = place_of(upstream)
    supposed = at_once(place)
    noticed(place, 10_000 * KIB, 1)
    assert at_once(place) == supposed
    noticed(place, 4000, 4)
    noticed(place, 10_000 * KIB, 3)
    assert at_once(place) == AT_ONCE


@pytest.mark.parametrize("count", [2, 3, 16, 250])
async def test_of_what_was_too_long_fewer_are_read(upstream: Upstream, count: int) -> None:
    place = place_of(upstream)
    was_too_long(place, count)
    assert at_once(place) == max(1, count // 32)


async def test_parts_are_as_large_as_is_known_by_then(upstream: Upstream) -> None:
    place = place_of(upstream)
    parts = []
    for part in cut(place, range(1000)):
        parts.append(part)
        noticed(place, len(part) * (500 if part[0] < 500 else 256 * KIB), len(part))
    assert [number for part in parts for number in part] == list(range(1000))
    assert [len(part) for part in parts] == [16, 250, 250, 250, *[4] * 58, 2]
    assert list(cut(place, [])) == []


@given(st.integers(0, 600), st.sampled_from([1, 2, 7, 100, 1000]), st.sampled_from([1, 500, 300 * KIB, 2048 * KIB]))
async def test_what_is_too_much_is_done_in_parts(count: int, most: int, size: int) -> None:
    place = place_of(source_of())
    begun: list[int] = []
    taken: list[int] = []

    async def work(part: Sequence[int]) -> Sequence[int]:
        assert begun == taken  # what was before is done with
        noticed(place, size * len(part), len(part))  # which may be wrong, or of other requests
        assert len(part) <= AT_ONCE
        if len(part) > most:
            raise TooMany
        begun.extend(part)
        return part

    async for part in in_parts(place, range(count), work):
        assert 0 < len(part) <= most
        taken.extend(part)
    assert taken == list(range(count))
    if count:
        begun, taken = [], []
        first = await first_part(place, range(count), work)
        assert list(first) == list(range(count))[: len(first)] != []


async def test_large_are_those_that_are_known_to_be(upstream: Upstream) -> None:
    place = place_of(upstream)
    assert not are_large(place)
    noticed(place, 7 * KIB, 7)
    assert not are_large(place)
    noticed(place, 700 * KIB, 7)
    assert are_large(place)
