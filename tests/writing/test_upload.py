"""Composing and reading multipart bodies: the same however they are cut."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.wire.header import boundary_of
from proxy.core.wire.multipart import End, MultipartDecoder
from proxy.errors import BadRequest
from proxy.writing.related import Given, Received, Upload, following

CONTENTS = st.lists(st.binary(max_size=30) | st.sampled_from([b"\r\n--", b"\r\n", b"--", b""]), max_size=4)


async def cut(data: bytes, sizes: Sequence[int]) -> AsyncIterator[bytes]:
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
    yield data[at:]


class Held:
    """Bodies that are at hand."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        self._left = list(contents)

    async def next(self, name: str, length: int) -> AsyncIterator[bytes]:
        yield self._left.pop(0)

    async def finish(self) -> None:
        assert not self._left


def document(contents: Sequence[bytes]) -> dict[str, object]:
    entries = {f"n{i}": {"follows": True, "length": len(data)} for i, data in enumerate(contents)}
    return {"_id": "x", "_attachments": entries}


@settings(max_examples=100, deadline=None)
@given(CONTENTS, st.lists(st.integers(1, 40), max_size=30))
async def test_what_is_composed_is_read_again(contents: list[bytes], sizes: list[int]) -> None:
    doc = document([*contents, b"last"])
    upload = Upload(doc, Held([*contents, b"last"]))
    body = b"".join([piece async for piece in upload.pieces()])
    received = Received(cut(body, sizes), boundary_of(upload.content_type))
    assert json.loads(b"".join([piece async for piece in received.document()])) == doc
    for attachment, data in zip(following(doc), [*contents, b"last"], strict=True):
        read = b"".join([piece async for piece in received.next(attachment.name, attachment.length)])
        assert read == data
    await received.finish()


@settings(max_examples=100, deadline=None)
@given(CONTENTS, st.integers(0, 10_000))
async def test_a_body_cut_short_is_never_whole(contents: list[bytes], end: int) -> None:
    doc = document([*contents, b"last"])
    upload = Upload(doc, Held([*contents, b"last"]))
    body = b"".join([piece async for piece in upload.pieces()])
    received = Received(cut(body[: end % len(body)], []), boundary_of(upload.content_type))
    again = Upload(doc, received)
    decoder = MultipartDecoder(boundary_of(again.content_type))
    with pytest.raises(BadRequest):  # noqa: PT012  # wherever the cut is
        assert json.loads(b"".join([piece async for piece in received.document()])) == doc
        async for piece in again.pieces():
            assert End() not in decoder.feed(piece)


@pytest.mark.parametrize("data", [b"ab", b"abcd", b""])
async def test_a_single_body_has_the_length_that_was_said(data: bytes) -> None:
    with pytest.raises(BadRequest):
        _ = [piece async for piece in Given(cut(data, [])).next("n", 3)]
    assert [piece async for piece in Given(cut(b"abc", [])).next("n", 3)] == [b"abc"]
