"""Bodies of requests: what they may take of memory and time, whatever is in them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from proxy import exchange, turns
from proxy.core import jsonio
from proxy.core.wire.gzip import inflated
from tests.support.inprocess import Answer, Site, basic, profile, site

MIB = 1024 * 1024
GZIP = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
JSON = {"Content-Type": "application/json"}


def full_of(piece: bytes, size: int) -> bytes:
    """A body of some size that holds one thing many times."""
    return b'{"docs":[' + b",".join([piece] * (size // (len(piece) + 1) - 10)) + b"]}"


def documents(count: int, text: int) -> list[dict[str, Any]]:
    """As a replicator pushes them."""
    revisions = {"start": 3, "ids": [f"{n:032x}" for n in range(3)]}
    fields = {
        "type": "patient",
        "ward": "w1",
        "tags": ["a", "b"],
        "notes": [{"text": "x" * text, "by": "ann"}],
        "n": 1.5,
    }
    return [{"_id": f"{n:032x}", "_rev": f"3-{0:032x}", "_revisions": revisions, **fields} for n in range(count)]


def with_attachments(count: int, size: int) -> list[dict[str, Any]]:
    data = base64.b64encode(b"\0" * size).decode()
    return [
        {"_id": f"d{n}", "_rev": "1-abc", "_attachments": {"a": {"content_type": "image/png", "data": data}}}
        for n in range(count)
    ]


async def send(
    at: Site, body: bytes, method: str = "POST", path: str = "/_bulk_docs", headers: Mapping[str, str] = JSON
) -> Answer:
    sent = {**headers, **basic(("ann", "ann"))}
    url = f"{at.proxy_url}/clinic-phone{path}"
    async with at.session.request(method, url, data=io.BytesIO(body), headers=sent) as got:
        return Answer(got.status, got.headers, await got.read())


async def answer_to(body: bytes, *, zipped: bool) -> Answer:
    """To a push, of which nothing is stored."""
    async with site(profile("phone", write=False)) as at:
        return await send(at, gzip.compress(body, 1) if zipped else body, headers=GZIP if zipped else JSON)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("piece", [b"[]", b"{}", b"1", b'""', b"[[[]]]", b'{"a":{}}'])
async def test_a_body_that_would_take_too_much_memory_is_refused(piece: bytes, zipped: bool) -> None:
    answer = await answer_to(full_of(piece, 60 * MIB), zipped=zipped)
    assert (answer.status, answer.json["error"]) == (413, "too_large")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "made",
    [
        partial(documents, 1000, 200),
        partial(documents, 500, 20_000),
        partial(documents, 20_000, 100),
        partial(with_attachments, 1, 45 * MIB),
        partial(with_attachments, 40, MIB),
    ],
    ids=["many", "some large ones", "very many", "an attachment", "attachments"],
)
async def test_what_clients_push_is_not(made: Callable[[], list[dict[str, Any]]], zipped: bool) -> None:
    docs = made()
    answer = await answer_to(json.dumps({"new_edits": False, "docs": docs}).encode(), zipped=zipped)
    assert (answer.status, len(answer.json)) == (201, len(docs))


async def test_small_bodies_may_hold_anything_however_small_is_the_most_that_they_may_be() -> None:
    async with site(profile("phone"), max_body=MIB) as at:
        answer = await send(at, full_of(b"[]", MIB))
        assert (answer.status, answer.json["reason"]) == (400, "Document must be a JSON object")


HEAVY = full_of(b"[]", 2 * MIB)
RELATED = b"--b\r\nContent-Type: application/json\r\n\r\n%b\r\n--b--"
FORM = b'--b\r\nContent-Disposition: form-data; name="_doc"\r\n\r\n%b\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("method", "path", "headers", "form"),
    [
        ("POST", "/_bulk_docs", JSON, b"%b"),
        ("POST", "/_bulk_get", JSON, b"%b"),
        ("POST", "/_find", JSON, b"%b"),
        ("POST", "/_revs_diff", JSON, b"%b"),
        ("POST", "/_all_docs", JSON, b"%b"),
        ("POST", "/_changes?filter=_doc_ids", JSON, b"%b"),
        ("POST", "", JSON, b"%b"),
        ("PUT", "/d", JSON, b"%b"),
        ("PUT", "/_local/d", JSON, b"%b"),
        ("PUT", "/d", {"Content-Type": "multipart/related; boundary=b"}, RELATED),
        ("POST", "/d", {"Content-Type": "multipart/form-data; boundary=b"}, FORM),
    ],
)
async def test_so_it_is_wherever_json_is_sent(method: str, path: str, headers: dict[str, str], form: bytes) -> None:
    async with site(profile("phone"), max_body=4 * MIB) as at:
        host = at.proxy_url.partition("//")[2]
        sent = {**headers, "Referer": f"http://{host}/"}
        answer = await send(at, form % HEAVY, method, path, sent)
        assert (answer.status, answer.json["error"]) == (413, "too_large")


async def test_others_have_their_turn_while_a_body_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SECONDS", 0.0)
    done = 0
    seen: list[int] = []

    def counted(data: bytes, limit: int) -> Iterator[bytes]:
        nonlocal done
        for piece in inflated(data, limit):
            done += len(piece)
            yield piece

    async def other() -> None:
        while True:
            seen.append(done)
            await asyncio.sleep(0)

    monkeypatch.setattr(exchange, "inflated", counted)
    async with site(profile("phone", write=False)) as at:
        beside = asyncio.ensure_future(other())
        answer = await send(at, gzip.compress(b"[" + b" " * 16 * MIB + b"]"), headers=GZIP)
        beside.cancel()
    assert answer.status == 400
    assert done == 16 * MIB + 2
    assert max(after - before for before, after in pairwise(seen)) <= MIB // 4


def test_documents_weigh_less_than_what_they_may() -> None:
    for docs in (documents(1000, 0), documents(1000, 1000), with_attachments(3, 1000)):
        text = json.dumps({"docs": docs}).encode()
        assert jsonio.weight(text) < 8 * len(text)
