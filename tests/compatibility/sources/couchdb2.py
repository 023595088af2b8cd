"""What CouchDB 2.0 to 3.2 says otherwise than 3.3: spaces in `_bulk_get`, no multipart there, older information on
databases, `_up` without seeds; and it takes SHA-1 alone for the token of proxy authentication.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from multidict import CIMultiDict

from proxy.core import jsonio
from tests.compatibility.sources import Asked, Forward, Given, given_json

_NEWER = ("props", "cluster", "compact_running")


async def couchdb_2(asked: Asked, forward: Forward) -> Given:
    """The script."""
    if asked.endpoint == "_up":
        return given_json(200, {"status": "ok"})
    if asked.endpoint == "_bulk_get":
        given = await forward(replace(asked, headers=CIMultiDict({**asked.headers, "Accept": "application/json"})))
        return replace(given, body=_spaced(given.json)) if given.status == 200 else given
    given = await forward(asked)
    if asked.method == "GET" and asked.path.count("/") == 1 and given.status == 200 and "db_name" in given.json:
        return given.with_json(_older(given.json))
    return given


def _spaced(reply: Any) -> bytes:
    """The reply of 2.x: without a line break, with spaces where 3.x has none."""
    results = [
        b'{"id": %b, "docs": [%b]}' % (jsonio.dumps(each["id"]), b",".join(map(jsonio.dumps, each["docs"])))
        for each in reply["results"]
    ]
    return b'{"results": [%b]}' % b",".join(results)


def _older(info: dict[str, Any]) -> dict[str, Any]:
    """What `GET /db` says: sizes under their old names, a number for `purge_seq`."""
    kept = {name: value for name, value in info.items() if name not in _NEWER}
    sizes = {"disk_size": 1, "data_size": 1, "other": {"data_size": 1}}
    return {**kept, **sizes, "purge_seq": 0, "instance_start_time": "0"}
