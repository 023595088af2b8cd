"""What CouchDB 1.x lacks and says otherwise: no `_bulk_get`, `_up`, `_local_docs`; integers for sequences, no
`pending`, JSON as text/plain to whoever does not ask for JSON.
"""

from __future__ import annotations

from typing import Any

from tests.compatibility.sources import Asked, Forward, Given, Script, refusal

_LACKING = ("_up", "_local_docs", "_design_docs", "_find", "_index", "_explain")
_SEQUENCES = ("seq", "last_seq", "update_seq", "committed_update_seq", "purge_seq")

REFERER = refusal(400, "bad_request", "Referer header required.")
"""1.6 takes `_bulk_get` for a document to which a form is posted."""
NOT_ALLOWED = refusal(405, "method_not_allowed", "Only GET,HEAD,PUT,DELETE,COPY allowed")
MISSING = refusal(404, "not_found", "missing")


def couchdb_1(bulk_get: Given = REFERER) -> Script:
    """The script. `bulk_get`: how it says that it has none."""

    async def answer(asked: Asked, forward: Forward) -> Given:
        if asked.endpoint == "_bulk_get":
            return bulk_get
        if asked.endpoint in _LACKING:
            return MISSING
        since = asked.query.get("since")
        assert since is None or since == "now" or since.isdigit(), "CouchDB 1.x takes integers"
        given = await forward(asked)
        if given.headers.get("Content-Type", "").startswith("application/json"):
            given = given.with_json(_with_integers(given.json))
            if "application/json" not in asked.headers.get("Accept", ""):
                given.headers["Content-Type"] = "text/plain; charset=utf-8"
        return given

    return answer


def _with_integers(value: Any) -> Any:
    """The answer with integers for sequences, and without what came with 2.0."""
    if isinstance(value, dict):
        kept = {name: member for name, member in value.items() if name not in ("pending", "cluster", "sizes", "props")}
        if isinstance(kept.get("results"), list):
            kept["results"] = [_with_integers(row) for row in kept["results"]]
        for name in _SEQUENCES:
            if isinstance(kept.get(name), str):
                kept[name] = int(kept[name].partition("-")[0])
        return kept
    return value
