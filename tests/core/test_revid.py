"""Revision hashes, against revisions that CouchDB 3.5.0 gave."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from proxy.core.jsonio import loads
from proxy.core.revid import AttachmentId, new_hash
from proxy.core.revisions import parse_rev

PNG = AttachmentId("a.png", "image/png", base64.b64decode("8V63h8hoaTeaxfum/y+9lg=="))
TEXT = AttachmentId("b.txt", "text/plain", base64.b64decode("zxAxzDmFnyBJKPp42w8kUg=="))

FIRST_REVISIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "967a00dff5e02add41819138abb3284d"),
    ({"a": 1}, "23202479633c2b380f79507a776743d5"),
    ({"auto": True}, "2bbc3b892a20d516924dd0b46901e0d6"),
    ({"no": "id"}, "e1aeb6d189d5e0a3d8ff78326647a1eb"),
    (
        {
            "integers": [
                0,
                255,
                256,
                -1,
                -256,
                2**31 - 1,
                2**31,
                -(2**31),
                -(2**31) - 1,
                2**63,
                -(2**64),
                2**80,
            ]
        },
        "639e17d9f1c0e5937652f2c581224e79",
    ),
    (
        {"bytes": [1, 2, 3], "not": [1, 2, 300], "empty": [], "nested": [[1], [], [None, True, False]]},
        "0bea6dbb02d0ef0feb1c72f673530a65",
    ),
    ({"floats": [0.5, -1.25, 1e300, 1e-300, 100.0]}, "7073373a43d9cf8471ee1bc97bc7c3b1"),
    ({"text": 'ünï ☃ 😀 \0 "\\', "": "empty name", "☃": {}}, "6afb9cd1df81580ec9c08a699f89deea"),
    ({"deep": {"a": {"b": {"c": [{"d": {}}]}}}}, "f370ae7312856da00c780f4e8e81d691"),
    ({"string": [7] * 65535}, "fb39da3bbdb03c07e28c14427dffe7e3"),
    ({"list": [7] * 65536}, "d25223272058d041bcbc0dde343e6c64"),
]


@pytest.mark.parametrize(("body", "expected"), FIRST_REVISIONS)
def test_first_revisions_of_couchdb(body: dict[str, Any], expected: str) -> None:
    assert new_hash(body) == expected


def test_numbers_as_they_are_written() -> None:
    body = loads(b'{"a": -0.0, "b": 1e2, "c": 1e22, "d": 123456789012345678901234567890, "e": -0}')
    assert new_hash(body) == "d602fed962a1de8b7793307bcd456683"


@pytest.mark.parametrize(
    ("body", "parent", "deleted", "expected"),
    [
        ({"a": 2}, "1-23202479633c2b380f79507a776743d5", False, "71173597778497e0a6aa176963f222db"),
        ({}, "2-71173597778497e0a6aa176963f222db", True, "e1cb868b6bf2272171643d381ecea5e2"),
        ({"a": 3}, "3-e1cb868b6bf2272171643d381ecea5e2", False, "7626e07f9ec7b7215df0a535b1681fdc"),
        ({}, "1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", False, "9a2f9bd4979924793802fd6cb23bcff3"),
    ],
)
def test_edits_of_couchdb(body: dict[str, Any], parent: str, deleted: bool, expected: str) -> None:
    assert new_hash(body, parse_rev(parent), deleted=deleted) == expected


def test_attachments_of_couchdb() -> None:
    first = new_hash({}, attachments=[PNG])
    assert first == "ac89f123bf945ef566413e2f24823e2a"
    second = new_hash({}, parse_rev(f"1-{first}"), attachments=[TEXT, PNG])
    assert second == "3de0eac5d0c2fa2d79bf3578c51d1e4f"
    assert new_hash({}, parse_rev(f"2-{second}"), attachments=[TEXT]) == "6d188408212bbffb9621b682f5ffcd48"


def test_attachments_of_what_couchdb_creates_again_only_count() -> None:
    tombstone = parse_rev("2-6bd81635323012dae03425f6acb1654b")
    assert new_hash({"a": 1}, tombstone) == "e22a4fbce4ea0ce419c42bb2ced0b89a"
    assert new_hash({"a": 1}, tombstone, attachments=[None]) == "f5d196752e1d35c1e52ca2f855548dd6"
    assert new_hash({"a": 1}, tombstone, attachments=[None, None]) == "8e608ea81df3bc3c6d69a6594d5d109d"


def test_hash_is_for_the_order_of_members_and_the_kind_of_number() -> None:
    assert new_hash({"a": 1, "b": 2}) != new_hash({"b": 2, "a": 1})
    assert new_hash({"a": 1}) != new_hash({"a": 1.0})
    assert new_hash({"a": True}) != new_hash({"a": 1})


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not a JSON value: set"):
        new_hash({"a": set()})
