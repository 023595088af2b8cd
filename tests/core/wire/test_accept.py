"""Accept headers, decided as CouchDB 3.5 does."""

from __future__ import annotations

import pytest

from proxy.core.wire.accept import (
    JSON,
    MIXED,
    RELATED,
    accepts,
    attachments_as_multipart,
    bulk_get_type,
    open_revs_as_multipart,
)
from tests.core.wire.recordings import REPLIES


@pytest.mark.parametrize(
    ("header", "json", "mixed", "related"),
    [
        (None, True, True, True),
        ("", False, False, False),
        ("*/*", True, True, True),
        ("application/json", True, False, False),
        ("Application/JSON", True, False, False),
        ("application/*", True, False, False),
        ("multipart/*", False, True, True),
        ("multipart/mixed", False, True, False),
        ("multipart/related, application/json", True, False, True),
        ("multipart/mixed, multipart/related, application/json", True, True, True),
        ("application/json;q=0.5, */*;q=0.1", True, True, True),
        ("*/*, multipart/mixed;q=0", True, False, True),
        ("*/*, multipart/*;q=0", True, False, False),
        ("*/*;q=0", False, False, False),
        ("application/json, */*;q=0", True, False, False),
        ("multipart/mixed; q = 0.001", False, True, False),
        ("multipart/mixed;charset=utf-8", False, False, False),
        ("text/html", False, False, False),
        ("multipart/mixed;q=2", False, False, False),
        ("multipart/mixed;q=0.1234", False, False, False),
        ("multipart/mixed;level", False, False, False),
        (" multipart/mixed ,, ", False, True, False),
    ],
)
def test_accepts(header: str | None, json: bool, mixed: bool, related: bool) -> None:
    assert [accepts(header, kind) for kind in (JSON, MIXED, RELATED)] == [json, mixed, related]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("multipart/related", RELATED),
        ("multipart/mixed", MIXED),
        ("multipart/related, multipart/mixed;q=0.1", MIXED),
        ("multipart/mixed, application/json;q=0.1", JSON),
        ("text/html", JSON),
    ],
)
def test_bulk_get(header: str | None, expected: str) -> None:
    assert bulk_get_type(header) == expected


@pytest.mark.parametrize("number", [26, 27, 28, 30, 31, 32, 33, 35, 36, 37, 90, 93, 95, 163, 168, 169])
def test_what_couchdb_decided(number: int) -> None:
    reply = REPLIES[number]
    header = reply.what.partition(" accept ")[2] or None
    kind = reply.content_type.partition(";")[0]
    if "_bulk_get" in reply.what:
        assert bulk_get_type(header) == kind
    elif "open_revs" in reply.what:
        assert open_revs_as_multipart(header) == (kind == MIXED)
    else:
        assert attachments_as_multipart(header) == (kind == RELATED)
