"""The text that a Prometheus gets, and that each metric is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.bodies import Bodies
from proxy.contract import Doc
from proxy.core.endpoints import Kind
from proxy.metrics import METRICS, Requests, Sample, of_process, render
from tests.support.inprocess import profile, site

DOCS = (Path(__file__).parents[1] / "docs/deploying.md").read_text(encoding="utf-8")


def test_the_format() -> None:
    samples = [
        Sample("couch_tailor_requests_total", {"kind": "changes", "status": "200"}, 1234567890123),
        Sample("couch_tailor_index_rate", {"database": 'a"b\\c\nd'}, 0.5),
    ]
    assert render(of_process("worker 1", samples)).decode() == (
        "# HELP couch_tailor_requests_total requests answered, by kind of endpoint and status\n"
        "# TYPE couch_tailor_requests_total counter\n"
        'couch_tailor_requests_total{kind="changes",status="200",process="worker 1"} 1234567890123\n'
        "# HELP couch_tailor_index_rate changes read in a second, while a long reading lasts\n"
        "# TYPE couch_tailor_index_rate gauge\n"
        'couch_tailor_index_rate{database="a\\"b\\\\c\\nd",process="worker 1"} 0.5\n'
    )


def test_each_is_documented() -> None:
    rows = re.findall(r"^\| `(couch_tailor_\w+)` \|[^|]*\| (\w+) \| (.*) \|$", DOCS, re.MULTILINE)
    assert rows == [(name, kind, meaning) for name, (kind, meaning) in METRICS.items()]


def test_requests() -> None:
    requests = Requests()
    for _ in range(2):
        requests.began(Kind.CHANGES)
    requests.ended(Kind.CHANGES, "200")
    requests.ended(None, "400")
    assert list(requests.samples()) == [
        ("couch_tailor_requests_total", {"kind": "changes", "status": "200"}, 1),
        ("couch_tailor_requests_total", {"kind": "none", "status": "400"}, 1),
        ("couch_tailor_requests_open", {"kind": "changes"}, 1),
    ]


async def test_what_is_kept_of_documents() -> None:
    bodies = Bodies(100_000)

    async def read(keys: list[tuple[str, str]]) -> dict[tuple[str, str], Doc]:
        return {key: {"_id": key[0]} for key in keys}

    for _ in range(3):
        await bodies.fetch([("a", "1-x"), ("b", "1-x")], read)
    assert (bodies.hits, bodies.misses) == (4, 2)
    assert bodies.size > 0
    bodies.clear()
    assert bodies.size == 0


@pytest.mark.parametrize("path", ["/metrics", "/_metrics", "/clinic-all/_metrics"])
async def test_clients_get_none(path: str) -> None:
    async with site(profile("all")) as couch:
        answer = await couch.ask("GET", path)
        assert answer.status in (403, 404)
        assert b"couch_tailor_" not in answer.body
