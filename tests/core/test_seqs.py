"""Sequences: which of them are known to include which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.seqs import includes, number, shards

# one database of CouchDB 3.5, six documents in two shards, read twice: as a whole, and with a limit
WHOLE = [
    "1-g1AAAAB5eJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTGXOBAuymSRaW5mnm2DTgMSaPBUgyNACp_yDTEhmyAFAqIEI",
    "2-g1AAAAB5eJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXKBAuymSRaW5mnm2DTgMSaPBUgyNACp_yDTEhmyAFB4IEM",
    "3-g1AAAAB5eJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXOBAuymSRaW5mnm2DTgMSaPBUgyNACp_yDTEhmyAFDGIEQ",
    "4-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXOBAuymSRaW5mnm2DTgMSaPBUgyNACp_1DTGMGmpRilpSaam2DTlwUAIf4okw",
    "5-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXOBAuymSRaW5mnm2DTgMSaPBUgyNACp_1DTmMCmpRilpSaam2DTlwUAIiAolA",
    "6-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXOBAuymSRaW5mnm2DTgMSaPBUgyNACp_yimpRilpSaam2DTlwUAIkIolQ",
]
LIMITED = [
    "2-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTGXOBAuymSRaW5mnm2DTgMSaPBUgyNACp_yimpRilpSaam2DTlwUAIR4okQ",
    "3-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXKBAuymSRaW5mnm2DTgMSaPBUgyNACp_1DTGMGmpRilpSaam2DTlwUAIY4okg",
]
UPDATE_SEQ = (
    "6-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVB4LkGRoAFL_gSArgzmRORcowJ5ilJaaaG6CTR8e0xIZkupRjDFNsrA0TzPHpiELAAL"
    "dKJU"
)


def test_a_later_sequence_of_a_reading_includes_the_earlier_ones() -> None:
    for index, seq in enumerate(WHOLE):
        assert [includes(seq, other) for other in WHOLE] == [at <= index for at in range(len(WHOLE))]


def test_a_sequence_of_another_reading_is_compared_shard_by_shard() -> None:
    assert includes(WHOLE[5], LIMITED[0])
    assert includes(WHOLE[5], LIMITED[1])
    assert not includes(LIMITED[0], WHOLE[5])
    # d1 and d2 were read in the one, d1, d4, d5 and d2 in the other
    assert includes(WHOLE[3], LIMITED[1])
    assert not includes(LIMITED[1], WHOLE[3])


def test_of_the_same_place_every_spelling_includes_the_other() -> None:
    assert WHOLE[5] != UPDATE_SEQ
    assert includes(UPDATE_SEQ, WHOLE[5])
    assert includes(WHOLE[5], UPDATE_SEQ)


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_integers_are_in_order(one: int, other: int) -> None:
    assert includes(one, other) == (one >= other)
    assert includes(f"{one}-tag", f"{other}-tag") == (one >= other)
    assert not includes(f"{one}-tag", f"{other + 1}-gat")


@pytest.mark.parametrize(
    ("seq", "earlier"), [("5-abc", "3-abd"), ("5-abc", 3), ([5], [3]), ("x", "y"), (None, 1), ("5-g1AA", "3-g1AB")]
)
def test_what_cannot_be_compared_includes_nothing(seq: object, earlier: object) -> None:
    assert not includes(seq, earlier)


@given(st.text(), st.text())
def test_any_text_can_be_asked_about(one: str, other: str) -> None:
    assert includes(one, one)
    includes(one, other)
    assert number(one) >= 0


@given(st.binary(max_size=200))
def test_broken_terms_are_no_sequences(data: bytes) -> None:
    from base64 import urlsafe_b64encode

    text = f"7-{urlsafe_b64encode(bytes([131]) + data).decode().rstrip('=')}"
    assert shards(text) is not None
    assert number(text) == 7
