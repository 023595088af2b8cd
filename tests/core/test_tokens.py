"""Tokens: what goes in comes out, for the same view and epoch only."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.tokens import Carried, Position, Tokens
from proxy.errors import BadRequest

COUCHDB = (
    "29-g1AAAAB5eJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTZXOBAuymZkbmRsYp2DTgMSaPBUgyNACp_yDTEhmyAEc9IB8"
)

seqs = st.one_of(
    st.integers(0, 2**53),
    st.integers(1, 10**9).map(str),
    st.builds("{}-{}".format, st.integers(0, 10**9), st.from_regex(r"[A-Za-z0-9_-]{1,120}", fullmatch=True)),
    st.text(min_size=1),
    st.lists(st.integers(0, 100)),
)


def same(left: Any, right: Any) -> bool:
    """Sequences are opaque, except that a source takes an integer and its digits alike."""
    return left == right or str(left) == str(right)


@given(seqs)
def test_a_token_gives_back_the_sources_sequence(seq: Any) -> None:
    tokens = Tokens(b"key", "epoch")
    token = tokens.encode(seq)
    assert same(tokens.decode(str(token)), seq)
    assert same(tokens.decode(f'"{token}"'), seq)


@given(st.binary(min_size=8, max_size=8), st.integers(0, 2**48 - 1), seqs)
def test_a_token_gives_back_a_position_in_an_index(index: bytes, at: int, seq: Any) -> None:
    tokens = Tokens(b"key", "epoch")
    token = str(tokens.encode(Position(index, at, seq)))
    found = tokens.decode(token)
    assert (found.index_id, found.at) == (index, at)
    assert same(found.seq, seq)
    assert Tokens(b"key", "other").decode(token) == 0
    with pytest.raises(BadRequest):
        Tokens(b"another key", "epoch").decode(token)


@given(seqs, st.integers(0, 200), st.characters(categories=("L", "N")))
def test_a_changed_token_is_refused(seq: Any, at: int, by: str) -> None:
    tokens = Tokens(b"key", "epoch")
    token = str(tokens.encode(seq))
    at %= len(token)
    changed = token[:at] + by + token[at + 1 :]
    if changed in (token, "0") or token == "0":
        return
    with pytest.raises(BadRequest, match="Malformed sequence"):
        tokens.decode(changed)


def test_tokens_begin_with_the_sources_number_and_do_not_show_its_type() -> None:
    tokens = Tokens(b"key", "epoch")
    assert str(tokens.encode(COUCHDB)).startswith("29-")
    assert str(tokens.encode(29)).startswith("29-")


def test_the_beginning_is_zero_for_every_view() -> None:
    assert Tokens(b"a", "x").encode(0) == 0
    assert Tokens(b"a", "x").encode("0") == 0
    assert Tokens(b"b", "y").decode("0") == 0


def test_another_epoch_starts_over() -> None:
    token = str(Tokens(b"key", "old rules").encode(COUCHDB))
    assert Tokens(b"key", "new rules").decode(token) == 0


def test_another_view_refuses_the_token() -> None:
    token = str(Tokens(b"ann", "rules").encode(COUCHDB))
    with pytest.raises(BadRequest):
        Tokens(b"bob", "rules").decode(token)


@pytest.mark.parametrize("text", ["bogus", "-", "1-", "1-g1AAAA", "now!", "١-AAAAAAAAAAAAAAAA", '"', "1" * 400])
def test_what_is_no_token_is_refused_in_couchdbs_words(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Tokens(b"key", "epoch").decode(text)
    assert caught.value.reason == "Malformed sequence supplied in 'since' parameter."


@given(seqs, st.one_of(st.none(), seqs), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_what_is_said_of_the_client_goes_on_with_the_token(
    seq: Any, had: Any, returns: int, anew: bool, indexed: bool
) -> None:
    tokens, carried = Tokens(b"key", "epoch"), Carried(had, returns, anew, returns)
    at = Position(b"8 bytes.", 3, seq) if indexed else seq
    token = str(tokens.encode(at, carried))
    if token == "0":
        return  # a beginning, of which nothing was told
    found, said = tokens.read(token)
    assert same(found.seq if indexed else found, seq)
    assert said == carried
    assert tokens.read(str(tokens.encode(at))) == (found, None)


@given(st.integers(1, 2**53), st.one_of(st.none(), st.integers(0, 2**53)), st.integers(0, 10**6), st.booleans())
def test_a_feed_that_begins_anew_goes_on_with_how_far_its_client_had_been_told(
    seq: int, had: int | None, returns: int, anew: bool
) -> None:
    """Also if it had begun anew before, and had not come as far again."""
    token = str(Tokens(b"key", "epoch").encode(seq, Carried(had, returns, anew)))
    assert Tokens(b"key", "another epoch").read(token) == (0, Carried(max(seq, had or 0), returns, anew))


@pytest.mark.parametrize("had", ["12-other", [1], "odd"])
def test_of_two_sequences_that_cannot_be_compared_the_former_is_kept(had: Any) -> None:
    token = str(Tokens(b"key", "epoch").encode("7-tag", Carried(had)))
    assert Tokens(b"key", "another epoch").read(token) == (0, Carried(had))


def test_the_same_rules_in_force_for_another_time_are_another_epoch() -> None:
    tokens = Tokens(b"key", "epoch")
    first, second = tokens.numbered(3), tokens.numbered(5)
    token = str(first.encode(12))
    assert first.read(token) == (12, None)
    assert second.read(token) == (0, Carried(12))
    assert tokens.read(token) == (0, Carried(12))
    assert tokens.numbered(3).read(token) == (12, None)
    assert tokens.numbered(0) is tokens
