"""The endpoint against recorded CouchDB 3.5 traffic: the same requests must get the same answers.

The recording is played in one run: what the later requests find depends on what the earlier ones wrote. `clinic.json`
has the documents that the recorded database held at the start.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from proxy.cli.player import Server, play
from tests.endpoint.http_client import Wire, serving
from tests.traffic.samples import recording

DATA = Path(__file__).parent / "data"

DIFFERS = {
    7: "the recorded server had other databases too",
    80: "If-None-Match with CouchDB's own digest of a local document",
    135: "CouchDB counts design documents from 1",
    **dict.fromkeys((151, 153), "filter functions need a query server"),
    **dict.fromkeys((177, 178, 179, 180), "views need a query server"),
    199: "CouchDB stores edits of what is not there, where it has found out that there are no validation functions",
    209: "CouchDB gzips text attachments, which goes into digests; the endpoint stores what it gets",
    215: "_purge is not offered",
}
PLACES = {
    135: ["body.offset"],
    199: ["body[3].ok", "body[3].rev", "body[3].error", "body[3].reason"],
    209: ["body._attachments.b.txt.digest"],
}
"""Where the answers to these differ, and nowhere else."""


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


async def test_answers_as_couchdb_does() -> None:
    async with serving() as wire:
        await seeded(wire)
        played = [each async for each in play(recording("couchdb35-surface"), Server(wire.running.url))]
    unlike = {each.exchange.n: each.differences for each in played if each.differences}
    unexpected = [f"#{n} {one}" for n, found in unlike.items() if n not in DIFFERS for one in found]
    assert "\n".join(unexpected) == ""
    assert unlike.keys() == DIFFERS.keys(), "no longer differs"
    assert {n: [one.where for one in unlike[n]] for n in PLACES} == PLACES
