"""Feeding a decoder every way: whole, byte by byte, at random cuts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Protocol


class Decoder(Protocol):
    """What all incremental decoders of proxy.core.wire have in common."""

    def feed(self, data: bytes) -> list[Any]: ...

    def close(self) -> None: ...


def cuts(data: bytes, *, seed: int = 0, rounds: int = 4) -> Iterator[list[bytes]]:
    """`data` in pieces: whole, byte by byte, and at random places."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    rng = random.Random(seed)
    for _ in range(rounds):
        places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 9)))
        yield [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def decode(decoder: Decoder, pieces: list[bytes]) -> list[Any]:
    """All that the decoder makes of the pieces, up to and with their end."""
    items = [item for piece in pieces for item in decoder.feed(piece)]
    decoder.close()
    return items


def decode_every_way(make: Callable[[], Decoder], data: bytes, *, rounds: int = 4) -> list[Any]:
    """What a decoder makes of `data`, which must be the same however it is cut."""
    results = [decode(make(), pieces) for pieces in cuts(data, rounds=rounds)]
    assert all(result == results[0] for result in results)
    return results[0]


def fails_every_way(make: Callable[[], Decoder], data: bytes, error: type[Exception]) -> None:
    """Asserts that a decoder refuses `data`, however it is cut."""
    for pieces in cuts(data):
        try:
            items = decode(make(), pieces)
        except error:
            continue
        raise AssertionError(f"taken for whole: {data!r} as {items!r}")
