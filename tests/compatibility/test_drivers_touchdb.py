"""TouchDB of iOS and of Android, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.compatibility.drivers import Rejected, ward
from tests.compatibility.drivers.replica import Replica
from tests.compatibility.drivers.touchdb_android import Android, rows_by_line
from tests.compatibility.drivers.touchdb_ios import IOS
from tests.compatibility.drivers.wire import Wire
from tests.compatibility.table import row
from tests.support.inprocess import Site

apps = pytest.mark.parametrize("app", [IOS, Android])
Test = TypeVar("Test", bound=Callable[..., object])


def each(run: str) -> Callable[[Test], Test]:
    """A row for both of them."""
    return lambda test: row("drivers", "TouchDB (iOS)", "–", run)(row("drivers", "TouchDB (Android)", "–", run)(test))


@pytest.fixture
async def there() -> AsyncIterator[tuple[Site, Wire]]:
    async with ward.ward() as there:
        yield there


def device(app: type[IOS] | type[Android], wire: Wire) -> IOS | Android:
    return app(wire, ward.DATABASE, ward.USER, Replica())


@each(ward.PULL + "; `_session`")
@apps
async def test_it_pulls_all_that_is_visible_and_goes_on_from_there(
    there: tuple[Site, Wire], app: type[IOS] | type[Android]
) -> None:
    site, wire = there
    touch = device(app, wire)
    await touch.log_in()
    assert await touch.pull() == len(ward.VISIBLE) + 3 + (app is IOS)
    ward.everything_visible_in(touch.replica, leaves=app is IOS)
    before = len(wire.sent)
    assert await touch.pull() == 0
    again = [each.target for each in wire.sent[before:]]
    assert [urlsplit(target).path.rpartition("/")[0] for target in again] == ["/clinic-phone/_local", "/clinic-phone"]
    assert "since" in parse_qs(urlsplit(again[1]).query)
    await site.put(ward.doc("HUSH:new", "f2"))
    await site.put(ward.doc("p:new"))
    assert await touch.pull() == 1
    assert "p:new" in touch.replica.ids()
    ward.nothing_hidden_in(wire)


@each(ward.PUSH)
@apps
async def test_it_pushes_edits_into_whole_documents(there: tuple[Site, Wire], app: type[IOS] | type[Android]) -> None:
    site, wire = there
    touch = device(app, wire)
    await touch.pull()
    written = ward.edit(touch.replica)
    assert await touch.push() == len(written)
    assert touch.refused == []
    await ward.edits_are_whole(site, written)
    assert await touch.push() == 0
    assert await touch.pull() == 0
    ward.nothing_hidden_in(wire)


@each(ward.REFUSED)
@apps
async def test_a_refused_write_is_reported_for_its_document(
    there: tuple[Site, Wire], app: type[IOS] | type[Android]
) -> None:
    _, wire = there
    touch = device(app, wire)
    touch.replica.edit("bad:1", facility="f2")
    touch.replica.edit("good:1", facility="f1")
    assert await touch.push() == 1
    assert [(row["id"], row["error"]) for row in touch.refused] == [("bad:1", "forbidden")]


@each("longpoll")
@apps
async def test_a_longpoll_is_answered_by_what_is_visible_only(
    there: tuple[Site, Wire], app: type[IOS] | type[Android]
) -> None:
    """An answer without rows would make the one of iOS ask again at once, from the same place."""
    site, wire = there
    touch = device(app, wire)
    await touch.pull()
    since = touch.replica.local[touch.checkpoint("pull")]["lastSequence"]
    polled = asyncio.create_task(touch.changes(since, "longpoll"))
    await site.put(ward.doc("HUSH:new", "f2"))
    await asyncio.sleep(0.1)
    assert not polled.done()
    await site.put(ward.doc("p:new"))
    assert [row["id"] for row in await polled] == ["p:new"]
    ward.nothing_hidden_in(wire)


async def test_a_page_of_ios_is_short_only_at_the_end(there: tuple[Site, Wire]) -> None:
    _, wire = there
    touch = IOS(wire, ward.DATABASE, ward.USER, Replica())
    await touch.pull()
    pages = [target for target in wire.targets("GET") if "_changes" in target]
    assert len(pages) == 2
    assert all("limit=100" in page and "style=all_docs" in page for page in pages)


@pytest.mark.parametrize(
    "text",
    [
        '{"results":[{"id":"a"}],"last_seq":1}',
        '{"last_seq":1,\n"results":[\n]}',
        '{"results":[\n]}',
        '{"results":[\n],\n1',
    ],
)
def test_the_parser_of_android_is_as_narrow_as_the_real_one(text: str) -> None:
    with pytest.raises(Rejected):
        list(rows_by_line(text.splitlines()))
