"""Replies of CouchDB 3.5.0 to the tests' database, by the number of the exchange."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import NamedTuple


class Reply(NamedTuple):
    """`what`: method, path and Accept of the request; `body` as it was on the wire."""

    number: int
    what: str
    content_type: str
    body: bytes


def _load() -> dict[int, Reply]:
    lines = (Path(__file__).parent / "data" / "replies.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["n"]: Reply(row["n"], row["what"], row["content_type"], base64.b64decode(row["body"])) for row in rows}


REPLIES = _load()
