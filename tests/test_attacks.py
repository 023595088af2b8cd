"""What a malicious device tried, and must not get: each test is an attack by ann, a nurse of the facility f1."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any
from urllib.parse import urlsplit

import pytest

from filters.attachments import Attachments
from filters.drop import Drop
from filters.select import Select
from proxy.core.wire.gzip import inflate
from proxy.errors import BadRequest
from proxy.upstream import Upstream
from tests.support.inprocess import Site, basic, profile, site

PHONE = profile(
    "phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]), Attachments(deny=["image/*"])
)
ANN = basic(("ann", "ann"))

FILES = {
    "shown.txt": {"content_type": "text/plain", "data": "cGxhaW4gYW5kIHZpc2libGU="},
    "hidden.png": {"content_type": "image/png", "data": "SElEREVOQllURVM="},
}


async def raw(served: Site, *requests: tuple[str, dict[str, str]], body: bytes = b"") -> bytes:
    """What the proxy sends on one connection for pipelined requests (request line, headers), until it closes."""
    address = urlsplit(served.proxy_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for index, (line, headers) in enumerate(requests):
        last = {"Connection": "close"} if index == len(requests) - 1 else {}
        fields = {"Host": "x", **headers, **last}
        head = f"{line} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(head.encode("latin-1") + b"\r\n" + body)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


# ---- taking the proxy down


async def test_nobody_can_know_by_which_document_a_source_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is there by that id would make the source look like none: every feed would fail."""
    tried: list[str] = []
    ask = Upstream.json

    async def spy(self: Upstream, method: str, path: str, *rest: Any, **options: Any) -> Any:
        tried.extend(entry["id"] for entry in (options.get("body") or {}).get("docs", ()))
        return await ask(self, method, path, *rest, **options)

    monkeypatch.setattr(Upstream, "json", spy)
    for _ in range(2):
        async with site(PHONE, docs=[{"_id": "a", "facility": "f1"}]) as served:
            assert (await served.ask("GET", "/clinic-phone/_changes")).status == 200
    ids = [doc_id for doc_id in tried if doc_id != "a"]
    assert len(ids) == len(set(ids)) == 2


@pytest.mark.parametrize("members", [2, 16])
def test_a_body_of_a_few_gzip_members_is_read(members: int) -> None:
    assert inflate(gzip.compress(b"ab") * members, 100) == b"ab" * members


def test_a_body_of_countless_gzip_members_is_refused() -> None:
    """Each costs a copy of all that follows it: 64 MiB of empty ones would have taken hours."""
    with pytest.raises(BadRequest):
        inflate(gzip.compress(b"") * 1000, 100)


# ---- answers that are taken for those to somebody else


@pytest.mark.parametrize(
    "target", ["a/shown.txt", "a?attachments=true", "a", "_changes", "_all_docs", "_bulk_get", "_local/x", "nosuch"]
)
async def test_head_by_override_has_the_body_that_its_headers_announce(target: str) -> None:
    """A gateway sees a POST, and would take the next client's answer on the connection for this one's body."""
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1", "_attachments": FILES}]) as served:
        override = {**ANN, "X-HTTP-Method-Override": "HEAD", "Accept": "multipart/related", "Content-Length": "0"}
        answers = await raw(
            served, (f"POST /clinic-phone/{target}", override), ("GET /_uuids?count=2", {"X-Couch-Request-ID": "next"})
        )
        head, _, rest = answers.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"transfer-encoding") == b"chunked":
            rest = rest.partition(b"0\r\n\r\n")[2]
        else:
            rest = rest[int(fields[b"content-length"]) :]
        assert rest.startswith(b"HTTP/1.1 200 OK")
        assert b"uuids" in rest
