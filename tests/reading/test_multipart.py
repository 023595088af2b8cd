"""CouchDB's multipart layouts around the bodies that the source has stored."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model import Source
from proxy.core import jsonio
from proxy.core.wire.multipart import MultipartDecoder, PartBegin
from proxy.errors import Unavailable
from proxy.reading import attachments
from proxy.reading.multipart import Parts, document_parts, mixed_parts
from proxy.resolve import Shown
from proxy.upstream import Upstream
from proxy.view import View
from tests.reading.couch import Couch, revision, serving
from tests.reading.served import profile, view_of

LATE = gzip.compress(b"late", mtime=0)
ENTRIES = {
    "sub/late.txt": {
        "content_type": "text/plain",
        "revpos": 2,
        "digest": "md5-TfHhFAIgeUqKrQXa2Gqbvg==",
        "length": 4,
        "stub": True,
        "encoding": "gzip",
        "encoded_length": len(LATE),
    },
    "i.bin": {
        "content_type": "image/png",
        "revpos": 1,
        "digest": "md5-uV9n9h67A2GWIteY9F/C0w==",
        "length": 3,
        "stub": True,
    },
}
PHOTO = revision("p", "ba", owner="ann", _attachments=ENTRIES)
BODIES = {("p", "sub/late.txt"): LATE, ("p", "i.bin"): b"\0\1\2"}
OLD = "1-" + "a" * 32


async def collect(parts: Parts) -> bytes:
    body = b"".join([piece async for piece in parts.body])
    assert parts.length in (None, len(body))
    return body


def normal(body: bytes) -> bytes:
    """A body with its boundaries named in the order of their appearance."""
    names: dict[bytes, bytes] = {}
    return re.sub(
        rb'(?:(?<=--)|(?<=y="))[0-9a-f]{32}', lambda m: names.setdefault(m[0], b"BOUNDARY-%d" % len(names)), body
    )


def json_part(kinds: dict[str, str], revisions: bool = False) -> bytes:
    """The document as CouchDB writes it into a part, each attachment as `follows` or `stub`."""
    entries = {
        name: {kinds[name] if key == "stub" else key: value for key, value in entry.items()}
        for name, entry in ENTRIES.items()
    }
    doc = {**PHOTO, "_attachments": entries}
    if not revisions:
        del doc["_revisions"]
    return jsonio.dumps(doc)


BOTH = {"sub/late.txt": "follows", "i.bin": "follows"}
LATE_PART = (
    b'\r\nContent-Disposition: attachment; filename="sub/late.txt"\r\nContent-Type: text/plain\r\n'
    b"Content-Length: %d\r\nContent-Encoding: gzip\r\n\r\n%b\r\n" % (len(LATE), LATE)
)
BINARY_PART = (
    b'\r\nContent-Disposition: attachment; filename="i.bin"\r\nContent-Type: image/png\r\n'
    b"Content-Length: 3\r\n\r\n\0\1\2\r\n"
)


class Setting:
    def __init__(self, couch: Couch, view: View) -> None:
        self.couch = couch
        self.view = view
        self.shown = Shown(PHOTO, PHOTO["_rev"])
        self.plain = {name: value for name, value in PHOTO.items() if name != "_revisions"}


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    couch = Couch([PHOTO])
    couch.bodies.update(BODIES)
    async with serving(couch):
        upstream = Upstream(Source("main", couch.url))
        yield Setting(couch, view_of(couch.url, upstream, profile()))
        upstream.close()


async def test_a_document_is_followed_by_its_attachments(setting: Setting) -> None:
    parts = document_parts(setting.view, setting.shown, setting.plain, ["i.bin", "sub/late.txt"])
    assert re.fullmatch(r'multipart/related; boundary="[0-9a-f]{32}"', parts.content_type)
    body = normal(await collect(parts))
    assert body == (
        b"--BOUNDARY-0\r\nContent-Type: application/json\r\n\r\n%b\r\n--BOUNDARY-0%b--BOUNDARY-0%b--BOUNDARY-0--"
        % (json_part(BOTH), LATE_PART, BINARY_PART)
    )


async def test_attachments_that_are_not_named_stay_stubs_and_are_not_fetched(setting: Setting) -> None:
    parts = document_parts(setting.view, setting.shown, setting.plain, ["i.bin"])
    body = normal(await collect(parts))
    assert json_part({"sub/late.txt": "stub", "i.bin": "follows"}) in body
    assert b"late.txt\r" not in body
    assert [path for _, path, _ in setting.couch.requests] == ["/db/p/i.bin?rev=" + PHOTO["_rev"]]


async def test_open_revs_nests_documents_and_tells_what_is_missing(setting: Setting) -> None:
    plain = Shown(revision("p", "cba", owner="ann"), None)
    parts = mixed_parts(setting.view, [setting.shown, "9-x", plain, setting.shown], True, None)
    assert re.fullmatch(r'multipart/mixed; boundary="[0-9a-f]{32}"', parts.content_type)
    related = (
        b'Content-Type: multipart/related; boundary="BOUNDARY-1"\r\n\r\n'
        b"--BOUNDARY-1\r\nContent-Type: application/json\r\n\r\n%b\r\n--BOUNDARY-1%b--BOUNDARY-1%b--BOUNDARY-1--"
        % (json_part(BOTH, revisions=True), LATE_PART, BINARY_PART)
    )
    assert normal(await collect(parts)) == (
        b"--BOUNDARY-0\r\n" + related + b"\r\n--BOUNDARY-0\r\n"
        b'Content-Type: application/json; error="true"\r\n\r\n{"missing":"9-x"}\r\n--BOUNDARY-0\r\n'
        b"Content-Type: application/json\r\n\r\n"
        + jsonio.dumps(plain.doc)
        + b"\r\n--BOUNDARY-0\r\n"
        + related
        + b"\r\n--BOUNDARY-0--"
    )


async def test_open_revs_sends_only_attachments_newer_than_atts_since(setting: Setting) -> None:
    newer = normal(await collect(mixed_parts(setting.view, [setting.shown], False, [OLD])))
    assert json_part({"sub/late.txt": "follows", "i.bin": "stub"}) in newer
    none = normal(await collect(mixed_parts(setting.view, [setting.shown], False, [PHOTO["_rev"]])))
    stubs = json_part({"sub/late.txt": "stub", "i.bin": "stub"})
    assert none == b"--BOUNDARY-0\r\nContent-Type: application/json\r\n\r\n%b\r\n--BOUNDARY-0--" % stubs


async def test_a_body_of_another_length_breaks_off(setting: Setting) -> None:
    for wrong in (b"\0\1", b"\0\1\2\3"):
        setting.couch.bodies["p", "i.bin"] = wrong
        parts = document_parts(setting.view, setting.shown, setting.plain, ["i.bin"])
        with pytest.raises(Unavailable, match=r"i\.bin"):
            await collect(parts)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8),
        st.binary(max_size=40),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_any_attachments_make_a_body_of_the_length_that_is_announced(
    stored: dict[str, bytes], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(stored)), unique=True))
    entries = {name: {"content_type": "x/y", "length": len(body), "stub": True} for name, body in stored.items()}
    shown = Shown({"_id": "d", "_rev": OLD, "_attachments": entries}, OLD)

    async def body(view: Any, shown: Shown, name: str) -> AsyncIterator[bytes]:
        yield stored[name]

    with patch.object(attachments, "stored_body", body):
        parts = document_parts(None, shown, shown.doc, names)  # type: ignore[arg-type]  # not asked
        text = asyncio.run(collect(parts))
    if not names:
        assert parts.content_type == "application/json"
        return
    decoder = MultipartDecoder(parts.content_type.partition('"')[2][:-1].encode())
    events = decoder.feed(text)
    decoder.close()
    assert sum(isinstance(event, PartBegin) for event in events) == 1 + len(names)
