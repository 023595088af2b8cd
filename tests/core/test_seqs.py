"""Sequences: which of them are known to include which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.seqs import fell_back, includes, includes_change, number, shards

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


def test_a_copy_that_is_less_far_than_it_was_fell_back() -> None:
    assert fell_back(WHOLE[3], WHOLE[5])
    assert fell_back(LIMITED[0], UPDATE_SEQ)
    assert not fell_back(UPDATE_SEQ, WHOLE[5])
    assert not fell_back(WHOLE[5], WHOLE[3])
    assert fell_back(4, 5)
    assert fell_back("4-tag", "5-tag")
    assert not fell_back("5-tag", "5-tag")


def _packed(copy: tuple[bytes, bytes], seq: int) -> str:
    """A sequence of one shard, as CouchDB packs it."""
    from base64 import urlsafe_b64encode

    def binary(text: bytes) -> bytes:
        return b"m" + len(text).to_bytes(4, "big") + text

    def atom(text: bytes) -> bytes:
        return b"d" + len(text).to_bytes(2, "big") + text

    uuid, node = copy
    bounds = b"l" + (2).to_bytes(4, "big") + bytes([97, 0, 97, 255]) + b"j"
    last = b"h\x03" + bytes([97, seq]) + binary(uuid) + atom(node)
    term = b"\x83l" + (1).to_bytes(4, "big") + b"h\x03" + atom(node) + bounds + last + b"j"
    return f"{seq}-{urlsafe_b64encode(term).decode().rstrip('=')}"


@pytest.mark.parametrize(("seq", "earlier"), [("4-gat", "5-tag"), (4, "5-tag"), (None, 5), (4, None), ([4], [5])])
def test_what_cannot_be_compared_did_not_fall_back(seq: object, earlier: object) -> None:
    assert not fell_back(seq, earlier)


def test_another_copy_that_lags_did_not_fall_back() -> None:
    """As when another node of a cluster answers."""
    ahead = _packed((b"abcdefg", b"one@host"), 9)
    assert fell_back(_packed((b"abcdefg", b"one@host"), 8), ahead)
    assert not fell_back(_packed((b"abcdefg", b"two@host"), 8), ahead)
    assert not fell_back(_packed((b"gfedcba", b"one@host"), 8), ahead)


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


ROWS = {
    "d3": "2-g1AAAAB5eJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zEhnwKMpjAZIMDUDqP0htBnMiUy5Q"
    "gD0l0SjFxMIMm74sAJYQIGQ",
    "d2": "3-g1AAAAB5eJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zEhnwKMpjAZIMDUDqP0htBnMicy5Q"
    "gD0l0SjFxMIMm74sAJYyIGU",
    "d0": "4-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTGXOBAuzJliamBubm2DTgMSaP"
    "BUgyNACp_1DTmMGmpSQapZhYmGHTlwUABqsoKg",
    "d4": "6-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXOBAuzJliamBubm2DTgMSaP"
    "BUgyNACp_yimpSQapZhYmGHTlwUAB4soLA",
    "d5": "7-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTWXKBAuzJliamBubm2DTgMSaP"
    "BUgyNACp_1DTmMGmpSQapZhYmGHTlwUAB_soLQ",
    "d1": "8-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTWXOBAuzJliamBubm2DTgMSaP"
    "BUgyNACp_1DTmMGmpSQapZhYmGHTlwUACGsoLg",
}
"""A feed of a database with two shards, by document: `d0`, `d4`, `d5` and `d1` are of the first."""


@pytest.mark.parametrize(
    ("seq", "there"),
    [("d3", ["d3"]), ("d2", ["d3", "d2"]), ("d4", ["d3", "d2", "d0", "d4"]), ("d1", list(ROWS))],
)
def test_a_change_is_there_if_its_own_shard_is_as_far(seq: str, there: list[str]) -> None:
    assert [doc_id for doc_id, at in ROWS.items() if includes_change(ROWS[seq], at, doc_id)] == there


def test_the_order_in_which_shards_were_read_does_not_matter() -> None:
    """The place of `d3` in a feed that has `d1` first: the other shard is further than where the device was."""
    at = "9" + ROWS["d1"].removeprefix("8")
    assert includes_change(ROWS["d2"], at, "d2") is True
    assert includes_change(ROWS["d2"], at, "d1") is False
    assert not includes(ROWS["d2"], at)


def test_in_a_partitioned_database_the_partition_tells_the_shard() -> None:
    assert includes_change(ROWS["d2"], ROWS["d1"], "d2:d1", partitioned=True) is True
    assert includes_change(ROWS["d2"], ROWS["d1"], "d1:d2", partitioned=True) is False


@pytest.mark.parametrize(
    ("seq", "at"), [("7-tag", "3-other"), (ROWS["d1"], 3), ("odd", 4), (None, "3-tag"), ([1], [2])]
)
def test_of_what_cannot_be_compared_nobody_knows(seq: object, at: object) -> None:
    assert includes_change(seq, at, "d1") is None


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.text(), st.booleans())
def test_where_there_is_one_shard_it_is_a_matter_of_order(one: int, other: int, doc_id: str, partitioned: bool) -> None:
    assert includes_change(one, other, doc_id, partitioned=partitioned) == (one >= other)
    assert includes_change(f"{one}-tag", f"{other}-tag", doc_id, partitioned=partitioned) == (one >= other)
