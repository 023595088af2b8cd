"""The database of the measures: users own as many documents, whatever its size."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tests.bench.indexed import OWN, owner, users

SIZES = (2_000, 10_000, 30_000)


def test_at_each_size_there_are_users_with_exactly_so_many_documents() -> None:
    for place, size in enumerate(SIZES):
        owned = Counter(owner(number, SIZES) for number in range(size))
        assert set(owned.values()) == {OWN}
        some = users(SIZES, place, 10)
        assert len(set(some)) == 10
        assert all(owned[user] == OWN for user in some)


def test_their_documents_are_scattered_over_what_came_last() -> None:
    [user] = users(SIZES, 2, 1)
    numbers = [number for number in range(SIZES[2]) if owner(number, SIZES) == user]
    assert numbers[0] == SIZES[1]
    assert {later - sooner for sooner, later in pairwise(numbers)} == {200}
