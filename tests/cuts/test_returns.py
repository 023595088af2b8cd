"""The record of what was shown again: it only grows, all nodes read it, and what is lost of it is written once more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from proxy import own
from proxy.app import running
from proxy.config import load
from proxy.config.model import Database, Source
from proxy.contract import Client, Doc
from proxy.cuts import returns
from proxy.endpoint.serve import start
from proxy.errors import Unavailable
from proxy.identify import Principal
from proxy.past import Return, Strand
from proxy.place import Place
from proxy.upstream import Upstream
from proxy.view import View, make_view
from tests.properties.device import Device
from tests.support.inprocess import ADMIN, USERS, Answer, Site, basic, profile, site
from tests.support.proxy import to_toml

PHONE = profile("phone")
R1, R2 = "1-" + "a" * 32, "2-" + "b" * 32


@pytest.fixture
async def there() -> AsyncIterator[Site]:
    async with site(PHONE) as made:
        yield made


async def view_of(there: Site, stack: AsyncExitStack, user: str = "ann", kind: str = "") -> View:
    """A view of a node that knows nothing yet."""
    source = Source("main", there.source_url, auth="service", username=ADMIN[0], password=ADMIN[1])
    upstream = Upstream(source)
    stack.callback(upstream.close)
    return make_view(
        "clinic-phone",
        Database("clinic", source, "clinic"),
        PHONE,
        Client(user, frozenset(), "phone"),
        Principal(user, frozenset(), basic(ADMIN)),
        upstream,
        b"a secret",
        strand=Strand("phone", kind, user, b"a key"),
    )


async def test_what_one_node_records_all_read(there: Site) -> None:
    async with AsyncExitStack() as stack:
        one, other = await view_of(there, stack), await view_of(there, stack)
        await returns.add(one, {("p", R1): Return(1, 3), ("q", R1): Return(2, 3)})
        found = await returns.read(other)
        assert found.of == {"p": {R1: Return(1, 3)}, "q": {R1: Return(2, 3)}}
        assert found.read == one.past.strand.returns.read == 2
        await returns.add(other, {("p", R1): Return(2, 5), ("p", R2): Return(1, 5)})
        assert (await returns.read(one, 4)).of["p"] == {R1: Return(2, 5), R2: Return(1, 5)}
        assert (await returns.read(await view_of(there, stack, "bob"))).of == {}
        of_another_kind = await view_of(there, stack, kind="a4")
        assert (await returns.read(of_another_kind)).of == one.past.strand.returns.of


async def test_nothing_is_asked_for_that_is_known(there: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read = own.read

    async def counted(place: Place, doc_id: str) -> Doc | None:
        asked.append(doc_id)
        return await read(place, doc_id)

    monkeypatch.setattr(own, "read", counted)
    async with AsyncExitStack() as stack:
        view = await view_of(there, stack)
        await returns.add(view, {("p", R1): Return(1, 3)})
        asked.clear()
        await returns.read(view, 1)
        await returns.add(view, {("p", R1): Return(1, 3)})
        assert asked == []
        await returns.read(view, 2)
        assert len(asked) == 1


async def test_a_record_of_any_length_is_read_in_full(there: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "_ENTRIES", 7)
    async with AsyncExitStack() as stack:
        one = await view_of(there, stack)
        for first in range(0, 40, 5):
            await returns.add(one, {(f"p{number}", R1): Return(1, 3) for number in range(first, first + 5)})
        found = await returns.read(await view_of(there, stack))
        assert len(found.of) == found.read == 40
        assert found.of == one.past.strand.returns.of


async def test_entries_that_somebody_else_has_overwritten_are_written_again(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CouchDB stores a local document whatever revision it is of: two nodes at once know nothing of each other."""
    update, once = own.update, [True]

    async def late(place: Place, doc_id: str, change: Callable[[Doc | None], Doc | None]) -> Doc | None:
        stored = await update(place, doc_id, change)
        if once and once.pop():
            await update(place, doc_id, lambda _: {"returns": [["q", R1, 1, 3, ""]]})
        return stored

    monkeypatch.setattr(own, "update", late)
    async with AsyncExitStack() as stack:
        await returns.add(await view_of(there, stack), {("p", R1): Return(1, 3)})
        found = await returns.read(await view_of(there, stack))
        assert found.of == {"p": {R1: Return(1, 3)}, "q": {R1: Return(1, 3)}}


async def test_of_another_database_nothing_is_taken_for_known(there: Site) -> None:
    async with AsyncExitStack() as stack:
        view = await view_of(there, stack)
        await returns.add(view, {("p", R1): Return(1, 3)})
        await there.at_source("DELETE", "/clinic")
        await there.at_source("PUT", "/clinic")
        assert (await returns.read(view)).of == {}


NONE = [1, ["p"], ["p", 2, 3, 4, ""], ["p", R1, "1", 2, ""], ["p", R1, 1, 2]]


@pytest.mark.parametrize("held", [{}, {"returns": 1}, {"returns": NONE}])
async def test_what_is_no_entry_is_left_out(there: Site, held: Doc) -> None:
    async with AsyncExitStack() as stack:
        view = await view_of(there, stack)
        await own.update(view, view.past.strand.own_id(returns.RETURNS, "0"), lambda _: held)
        assert (await returns.read(view)).of == {}
        await returns.add(view, {("p", R1): Return(1, 3)})
        assert (await returns.read(await view_of(there, stack))).of == {"p": {R1: Return(1, 3)}}


async def test_what_is_known_stays_known_while_more_is_recorded(there: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other feeds of the user go by it meanwhile, also where that fails."""
    async with AsyncExitStack() as stack:
        view = await view_of(there, stack)
        await returns.add(view, {("p", R1): Return(1, 3)})
        read, times = own.read, [0]

        async def failing(place: Place, doc_id: str) -> Doc | None:
            assert "p" in view.past.strand.returns.of
            assert view.past.strand.returns.read >= 1
            times[0] += 1
            if times[0] == 2:
                raise Unavailable("once")
            return await read(place, doc_id)

        monkeypatch.setattr(own, "read", failing)
        with pytest.raises(Unavailable):
            await returns.add(view, {("q", R1): Return(1, 3)})
        assert "p" in view.past.strand.returns.of


async def test_to_record_more_costs_the_same_however_much_there_is(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returns, "_ENTRIES", 10)
    read, times = own.read, list[str]()

    async def counted(place: Place, doc_id: str) -> Doc | None:
        times.append(doc_id)
        return await read(place, doc_id)

    monkeypatch.setattr(own, "read", counted)
    async with AsyncExitStack() as stack:
        view = await view_of(there, stack)
        asked = []
        for page in range(30):
            times.clear()
            await returns.add(view, {(f"p{page}-{number}", R1): Return(1, 3) for number in range(10)})
            asked.append(len(times))
        assert max(asked[2:]) <= asked[1]


async def test_what_one_node_shows_again_another_closes(tmp_path: Path) -> None:
    """Workers, and nodes behind a load balancer, take any request of a device."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(await start(admins=dict([ADMIN]), users=USERS, iterations=10))
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        sections = {
            "server": {"bind": "127.0.0.1:0", "secret": "a secret of all the nodes", "session_ttl": "0s"},
            "sources": {"main": {"url": source.url, "auth": "service", "username": ADMIN[0], "password": ADMIN[1]}},
            "databases": {"clinic": {}},
            "profiles": {
                "phone": {
                    "databases": ["clinic"],
                    "filters": [{"use": "select", "where": "contains(client.roles, facility)"}],
                }
            },
        }
        (tmp_path / "node.toml").write_text(to_toml(sections))
        nodes = []
        for _ in range(2):
            host, port = await stack.enter_async_context(running(load(tmp_path / "node.toml", {})))
            nodes.append(Site(source.url, f"http://{host}:{port}", session))
        at = nodes[0]
        assert (await at.at_source("PUT", "/clinic")).status == 201
        rev = await at.put({"_id": "p", "facility": "facility:f1"})
        turn = [0]

        async def ask(method: str, path: str, body: object = None, **options: object) -> Answer:
            turn[0] += 1
            return await nodes[turn[0] % 2].ask(method, path, body, **options)  # type: ignore[arg-type]

        phone = Device("device", "brand", "clinic-phone", ask, limit=1)
        await phone.pull()
        for roles in (["nurse"], ["nurse", "facility:f1"]):
            user = (await at.at_source("GET", "/_users/org.couchdb.user:ann")).json
            await at.at_source("PUT", "/_users/org.couchdb.user:ann", {**user, "roles": roles})
            await phone.pull()
            assert bool(phone.leaf("p")) == (len(roles) == 2)
        rev = await at.put({"_id": "p", "facility": "facility:f1", "_rev": rev})
        for _ in range(2):
            await phone.pull()
        assert [str(each) for each in phone.docs["p"].live] == [rev]


async def test_what_two_nodes_record_in_the_same_instant_is_all_there(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reads the document before the other has written it, and one looks before the other has."""
    update, turn = own.update, [0]

    async def blind(place: Place, doc_id: str, change: Callable[[Doc | None], Doc | None]) -> Doc | None:
        held = await own.read(place, doc_id)
        turn[0] += 1
        if turn[0] == 2:
            await asyncio.sleep(0.03)  # meanwhile the other has written, and a hasty one has looked
        if turn[0] > 2:
            return await update(place, doc_id, change)
        made = change(held)
        return await update(place, doc_id, lambda _: made)

    monkeypatch.setattr(own, "update", blind)
    async with AsyncExitStack() as stack:
        nodes = [await view_of(there, stack) for _ in range(2)]
        recorded: list[dict[tuple[str, str], Return]] = [{("p", R1): Return(1, 3)}, {("q", R1): Return(1, 3)}]
        await asyncio.gather(*(returns.add(node, each) for node, each in zip(nodes, recorded, strict=True)))
        found = await returns.read(await view_of(there, stack))
        assert found.of == {"p": {R1: Return(1, 3)}, "q": {R1: Return(1, 3)}}
