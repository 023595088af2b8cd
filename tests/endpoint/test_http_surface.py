"""The endpoint against recorded CouchDB 3.5 traffic: the same requests must get the same answers.

`surface.jsonl` has the exchanges, `clinic.json` the documents that the recorded database held at the start. Sequences,
generated ids, boundaries and dates are taken out of both sides; everything else must be equal, but for what `SKIPPED`
and the comments below say.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint.http_client import ADMIN, Answer, Wire, serving

DATA = Path(__file__).parent / "data"

SKIPPED = {
    80: "If-None-Match with CouchDB's own digest of a local document",
    **dict.fromkeys((177, 178, 179, 180), "views need a query server"),
    151: "filter functions need a query server",
    153: "filter functions need a query server",
    215: "_purge is not offered",
}

COMPARED = (
    *("cache-control", "allow", "content-range", "accept-ranges", "content-encoding"),
    "content-security-policy",
)

NO_OFFSET = frozenset((134, 135))
"""CouchDB counts differently here: one key of a query is a range, and design documents have one row before them."""

OWN_STORAGE = frozenset((208, 209, 210))
"""CouchDB gzips text attachments, which goes into digests and revisions; the endpoint stores what it gets."""


OF_OWN_REV = 210
"""Deletes an attachment of the revision that 208 made."""


@cache
def exchanges() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / "surface.jsonl").read_text().splitlines()]


async def seeded(wire: Wire) -> None:
    """The recorded database, with bodies for the ancestors that the recording shows as available."""
    clinic = json.loads((DATA / "clinic.json").read_text())
    assert (await wire("PUT", "/clinic")).status == 201
    a, c = "a" * 32, "c" * 32
    ancestors: list[dict[str, Any]] = [
        {"_id": "conflict:1", "_rev": f"1-{a}", "v": "base"},
        {"_id": "conflict:1", "_rev": f"2-{c}", "_revisions": {"start": 2, "ids": [c, a]}, "v": "mid"},
    ]
    photo = next(doc for doc in clinic["docs"] if "_attachments" in doc)
    docs = [*ancestors, *[doc for doc in clinic["docs"] if doc is not photo]]
    assert (await wire("POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": docs})).json == []
    bodies = [base64.b64decode(clinic["attachments"][name]) for name in photo["_attachments"]]
    parts = [b"Content-Type: application/json\r\n\r\n" + json.dumps(photo).encode(), *[b"\r\n" + b for b in bodies]]
    message = b"".join([b"--BND\r\n" + part + b"\r\n" for part in parts]) + b"--BND--"
    kind = {"Content-Type": 'multipart/related; boundary="BND"'}
    assert (await wire("PUT", "/clinic/photo:1?new_edits=false", message, kind)).status == 201
    assert (await wire("PUT", "/clinic/_local/cp1", {"x": 1})).status == 201


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving() as wire:
        await seeded(wire)
        yield Wire(wire.running, {})


async def replay(wire: Wire, request: dict[str, Any], seq: str) -> Answer:
    """The recorded request, with `since` at the endpoint's own sequence."""
    headers = {name: value for name, value in request["headers"].items() if name.lower() != "cookie"}
    if request["auth"]:
        headers.update(ADMIN)
    body = base64.b64decode(request["body_b64"]) if "body_b64" in request else request.get("body")
    target = request["path"].replace("55-x", seq)
    if "15-x" in target:
        target = target.replace("15-x", "15-" + seq.partition("-")[2])
    return await wire(request["method"], target, body, headers)


def test_every_skipped_exchange_is_in_the_recording() -> None:
    assert set(SKIPPED) <= {one["n"] for one in exchanges()}


async def test_answers_as_couchdb_does(wire: Wire) -> None:
    """In one run: what the later requests find depends on what the earlier ones wrote."""
    info = (await wire("GET", "/clinic", None, ADMIN)).json
    failures = []
    for one in exchanges():
        n, request, recorded = one["n"], one["request"], one["response"]
        if n in SKIPPED:
            continue
        if n == OF_OWN_REV:
            rev = (await wire("GET", "/clinic/mp1", None, ADMIN)).json["_rev"]
            request = {**request, "path": request["path"].partition("=")[0] + f"={rev}"}
        answer = await replay(wire, request, info["update_seq"])
        for what, wanted, got in differences(n, request, recorded, answer):
            line = f"#{n} {request['method']} {request['path']}: {what}\n  couchdb  {wanted}\n  endpoint {got}"
            failures.append(line)
    assert not failures, "\n".join(failures)


def differences(
    n: int, request: dict[str, Any], recorded: dict[str, Any], answer: Answer
) -> list[tuple[str, Any, Any]]:
    """What differs between the recorded and the present answer: (what, recorded, present) each."""
    headers = {name.lower(): value for name, value in recorded["headers"].items()}
    body = base64.b64decode(recorded["body_b64"]) if "body_b64" in recorded else recorded.get("body", "").encode()
    compared = [
        ("status", recorded["status"], answer.status),
        ("type", kind(headers), kind(answer.headers)),
        *[(name, headers.get(name), answer.headers.get(name)) for name in COMPARED],
        ("location", path(headers.get("location")), path(answer.headers.get("location"))),
        ("cookie", bool(headers.get("set-cookie")), bool(answer.headers.get("set-cookie"))),
        ("body", plain(n, request, headers, body), plain(n, request, answer.headers, answer.body)),
    ]
    if n not in OWN_STORAGE and request["path"] != "/_all_dbs":
        compared.append(("etag", tag(headers), tag(answer.headers)))
    return [one for one in compared if one[1] != one[2]]


def kind(headers: dict[str, str]) -> str:
    return re.sub(r'boundary="(--)?[0-9a-f]{32}"', r'boundary="\1B"', headers.get("content-type", ""))


def path(location: str | None) -> str | None:
    return location and re.sub(r"[0-9a-f]{32}", "UUID", re.sub(r"^http://[^/]+", "", location))


def tag(headers: dict[str, str]) -> str | None:
    """An ETag; those that are digests of server state only by their form."""
    value = headers.get("etag")
    return "DIGEST" if value and re.fullmatch(r'"[0-9A-Z]{20,26}"', value) else value


def plain(n: int, request: dict[str, Any], headers: dict[str, str], body: bytes) -> Any:
    """A body without what is different each time."""
    if "multipart" in headers.get("content-type", ""):
        return re.sub(rb"(--|\")[0-9a-f]{32}", rb"\1B", body)
    if request["path"].startswith("/clinic/_changes"):
        return sorted(changes(request, body), key=str)
    try:
        value = json.loads(body)
    except ValueError:
        return body
    any_order = request["path"].endswith(("_revs_diff", "_missing_revs"))  # CouchDB's is that of its hash
    text = json.dumps(simplified(n, value), ensure_ascii=False, sort_keys=any_order)
    return isinstance(value, list) if request["path"] == "/_all_dbs" else text


def simplified(n: int, value: Any) -> Any:
    if isinstance(value, list):
        return [simplified(n, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "couchdb" in value:
        return {key: value[key] for key in ("couchdb", "version")}
    if "authentication_handlers" in value:
        return {"authenticated": value.get("authenticated")}
    return {key: member(n, key, item) for key, item in value.items() if key not in IGNORED}


IGNORED = frozenset(("bookmark", "execution_time_ms", "instance_start_time", "_local_seq"))


def member(n: int, key: str, value: Any) -> Any:
    if key in ("seq", "last_seq", "update_seq", "purge_seq"):
        return value and "SEQ"
    if key in ("sizes", "cluster"):
        return sorted(value)
    if key == "uuids":
        return len(value)
    if key in ("id", "_id") and re.fullmatch(r"[0-9a-f]{32}", value or ""):
        return "UUID"
    if key == "offset" and n in NO_OFFSET:
        return "OFFSET"
    if n in OWN_STORAGE and key in ("rev", "_rev", "digest"):
        return "OWN"
    return simplified(n, value)


def changes(request: dict[str, Any], body: bytes) -> list[Any]:
    """The lines of a feed, sorted: the recorded database had two shards, so that its order says nothing.

    Where a limit or `since` chose the rows, the shards did: there it is the form that counts.
    """
    chosen_by_shards = any(word in request["path"] for word in ("limit=", "since=15", "descending", "seq_interval"))
    lines: list[Any] = []
    for line in body.decode().splitlines():
        text = line.removesuffix(",").removeprefix("data: ")
        try:
            value = json.loads(text)
        except ValueError:
            lines.append(re.sub(r'"\d+-[^"]*"', '"SEQ"', re.sub(r'"pending":\d+', '"pending":N', line)))
            continue
        if isinstance(value, dict):
            members = [name for name in value if name not in ("pending", "deleted")]
            value.pop("pending", None)
            text = json.dumps(members if chosen_by_shards else simplified(0, value))
        lines.append(text)
    return sorted(set(lines)) if chosen_by_shards else lines
