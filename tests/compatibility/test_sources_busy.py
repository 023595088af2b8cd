"""A source that answers 429: what was certainly not executed is sent again, within limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.backoff import TOTAL_SECONDS, Backoff
from tests.compatibility.sources import Asked, Forward, Given, follow, refusal, world
from tests.compatibility.table import row

DOCS = [{"_id": f"d{number}", "facility": "f1", "secret": "hush"} for number in range(4)]


class Busy:
    """The script: `times` requests to come are refused, and all to `refused_for_good`; the others are executed."""

    def __init__(self, retry_after: str | None = "0") -> None:
        self.times = 0
        self.refused_for_good = ""
        self.told = {} if retry_after is None else {"Retry_After": retry_after}
        self.executed: list[tuple[str, str]] = []

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        if self.times or asked.endpoint == self.refused_for_good:
            self.times = max(0, self.times - 1)
            return refusal(429, "too_many_requests", "You've exceeded your rate limit.", **self.told)
        if asked.method in ("PUT", "POST") and asked.endpoint != "_session":
            self.executed.append((asked.method, asked.endpoint))
        return await forward(asked)


@row("sources", "Cloudant", "–", "429: repeated after a pause")
@pytest.mark.parametrize("retry_after", ["0", None, "not a time", "Mon, 23 Nov 2020 02:25:09 GMT"])
async def test_what_was_not_executed_is_sent_again(retry_after: str | None) -> None:
    busy = Busy(retry_after)
    async with world(busy, docs=DOCS) as site:
        await follow(site)
        busy.times = 2
        assert {row["id"] for row in await follow(site)} == {"d0", "d1", "d2", "d3"}
        busy.times, busy.executed = 2, []
        assert (await site.ask("PUT", "/clinic-phone/new", {"facility": "f1"})).status == 201
        writes = [each for each in busy.executed if each[1] in ("new", "_bulk_docs")]
        assert len(writes) == 1


@row("sources", "Cloudant", "–", "429 with a long `Retry-After`", "passed on to the client")
async def test_who_shall_wait_too_long_is_told_at_once() -> None:
    busy = Busy("3600")
    async with world(busy, docs=DOCS) as site:
        await follow(site)
        busy.times = 1
        answer = await site.ask("GET", "/clinic-phone/d0")
        assert (answer.status, answer.json["error"]) == (429, "too_many_requests")
        assert busy.times == 0


async def test_attempts_end() -> None:
    busy = Busy()
    async with world(busy, docs=DOCS, timeout=0.5) as site:
        await follow(site)
        busy.times = 10_000
        assert (await site.ask("GET", "/clinic-phone/d0")).status == 429
        assert 1 < 10_000 - busy.times < 20
        busy.times = 0
        assert (await site.ask("GET", "/clinic-phone/d0")).status == 200


async def test_an_upload_that_streams_is_not_sent_twice() -> None:
    """Its first bytes are gone: the client has to send it again."""
    busy = Busy()
    whole = {"facility": "f1", "_attachments": {"a.bin": {"content_type": "x/y", "data": "AAAA"}}}
    async with world(busy, docs=DOCS) as site:
        await follow(site)
        created = await site.ask("PUT", "/clinic-phone/a", whole)
        path = f"/clinic-phone/a/b.bin?rev={created.json['rev']}"
        busy.refused_for_good = "b.bin"
        answer = await site.ask("PUT", path, data=b"1234", headers={"Content-Type": "x/y"})
        assert (answer.status, answer.json["error"]) == (429, "too_many_requests")
        assert site.count("b.bin") == 1


@given(st.lists(st.sampled_from(["0", "1", "3", None, "x"]), max_size=20))
@settings(max_examples=50)
def test_pauses_are_bounded(headers: list[str | None]) -> None:
    backoff = Backoff()
    pauses = [backoff.pause(header) for header in headers]
    for header, pause in zip(headers, pauses, strict=True):
        assert pause is not None
        assert 0.05 <= pause <= 5
        assert header not in ("1", "3") or pause == float(header)


def test_retry_after_may_be_a_time() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=8)
    pause = Backoff().pause(format_datetime(soon, usegmt=True))
    assert pause is not None
    assert 5 < pause <= 8
    assert Backoff().pause(format_datetime(soon + timedelta(seconds=TOTAL_SECONDS), usegmt=True)) is None
    assert Backoff().pause("99999999999999") is not None  # no time at all: the usual pause
