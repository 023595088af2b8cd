"""Bodies of many clients at once take so much memory together; nobody waits for a client that does not go on."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.drop import Drop
from proxy import app, intake
from proxy.core import jsonio
from proxy.intake import SMALL, Arrival, Intake
from tests.support.inprocess import Site, basic, profile, site

KIB = 1024


async def started(*waiting: asyncio.Future[Any]) -> None:
    """Let them come as far as they do."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_places_are_had_in_the_order_of_coming() -> None:
    places = Intake(100)
    order: list[int] = []

    async def come(number: int, size: int) -> None:
        await places.take(size)
        order.append(number)

    coming = [asyncio.ensure_future(come(number, size)) for number, size in enumerate((60, 40, 30, 5, 70))]
    await started()
    assert order == [0, 1]
    places.give(40)
    await started()
    assert order == [0, 1, 2, 3]  # 60, 30 and 5
    places.give(60)
    await started()
    assert order == [0, 1, 2, 3]  # 35 are left for 65
    places.give(5)
    await started()
    assert order == [0, 1, 2, 3, 4]
    places.give(30)
    places.give(70)
    assert places.taken == 0
    await asyncio.gather(*coming)


async def test_who_needs_more_than_there_is_is_alone() -> None:
    places = Intake(100)
    await places.take(1)
    large, small = asyncio.ensure_future(places.take(1000)), asyncio.ensure_future(places.take(1))
    await started()
    assert not large.done()
    assert not small.done()
    places.give(1)
    await started()
    assert large.done()
    assert not small.done()
    places.give(1000)
    await started()
    assert small.done()


async def test_who_takes_more_than_was_thought_keeps_others_out() -> None:
    places = Intake(100)
    await places.take(10)
    places.give(-85)
    other = asyncio.ensure_future(places.take(10))
    await started()
    assert not other.done()
    places.give(90)
    await started()
    assert other.done()
    assert places.taken == 15


@pytest.mark.parametrize("let_in", [False, True])
async def test_who_gives_up_waiting_leaves_its_place(let_in: bool) -> None:
    places = Intake(100)
    await places.take(100)
    first, second = asyncio.ensure_future(places.take(90)), asyncio.ensure_future(places.take(50))
    await started()
    if let_in:
        places.give(100)  # it does not know yet
    first.cancel()
    await started()
    if not let_in:
        places.give(100)
    await started()
    assert first.cancelled()
    assert second.done()
    assert places.taken == 50


async def test_who_waits_too_long_is_told(caplog: pytest.LogCaptureFixture) -> None:
    places = Intake(100)
    await places.take(90)
    impatient, patient = (asyncio.ensure_future(places.take(20, patience)) for patience in (0.02, None))
    small = asyncio.ensure_future(places.take(5))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await places.take(20, 0.01)
    with pytest.raises(TimeoutError):
        await impatient
    [said] = caplog.messages
    assert said.startswith("requests are answered 503, for there was no room for their bodies in 0.01 s: ")
    places.give(90)
    await asyncio.gather(patient, small)
    assert places.taken == 25


@given(sizes=st.lists(st.integers(1, 300), max_size=20), most=st.integers(1, 200), choice=st.randoms())
def test_never_more_than_there_is(sizes: list[int], most: int, choice: Any) -> None:
    """Whoever comes, gives up or leaves, in whatever order: nobody waits for ever, and all is given back."""

    async def run() -> None:
        places = Intake(most)
        inside: list[int] = []

        async def visit(size: int) -> None:
            await places.take(size)
            try:
                inside.append(size)
                assert sum(inside) <= most or inside == [size]
                assert places.taken >= sum(inside)  # others may be on their way in
                for _ in range(choice.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                inside.remove(size)
                places.give(size)

        visits = []
        for size in sizes:
            visits.append(asyncio.ensure_future(visit(size)))
            if choice.random() < 0.3:
                await asyncio.sleep(0)
            if choice.random() < 0.2:
                choice.choice(visits).cancel()
        ended = await asyncio.gather(*visits, return_exceptions=True)
        assert [each for each in ended if each and not isinstance(each, asyncio.CancelledError)] == []
        assert places.taken == 0

    # a visit that is cancelled before it is inside never was
    asyncio.run(run())


@given(
    bodies=st.lists(st.lists(st.binary(max_size=200)), max_size=5), block=st.integers(1, 300), most=st.integers(0, 999)
)
async def test_what_comes_is_what_is_read(bodies: list[list[bytes]], block: int, most: int) -> None:
    """In memory, in a file, or half in both; several at a time."""
    places = Intake(most)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(intake, "_BLOCK", block)
        arrivals = [stack.enter_context(Arrival(places)) for _ in bodies]
        for index in range(max(map(len, bodies), default=0)):
            for arrival, pieces in zip(arrivals, bodies, strict=True):
                if index < len(pieces):
                    arrival.write(pieces[index])
        for arrival, pieces in zip(arrivals, bodies, strict=True):
            assert (arrival.size, arrival.end) == (sum(map(len, pieces)), b"".join(pieces)[-4:])
            assert arrival.weight == jsonio.weight(b"".join(pieces))
            assert b"".join([piece async for piece in arrival.pieces()]) == b"".join(pieces)
            for _ in range(2):
                assert arrival.read() == b"".join(pieces)
        assert places.received <= most / 4 + len(bodies) * (block + 200)
    assert places.received == 0


def test_what_is_too_much_is_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    places = Intake(400 * KIB)
    with Arrival(places) as first, Arrival(places) as second:
        first.write(b"a" * 90 * KIB)
        assert places.received == 90 * KIB
        second.write(b"b" * 90 * KIB)
        assert places.received == 90 * KIB
        second.write(b"c")
        assert files_in(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert second.read() == b"b" * 90 * KIB + b"c"
    assert places.received == 0
    assert not files_in(tmp_path)


def files_in(directory: Path) -> list[str]:
    """The files there that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            found.append(os.readlink(link))
    return [each for each in found if each.startswith(str(directory))]


class Full(io.BytesIO):
    """A file on a disk that is full after so many bytes."""

    left = 100 * KIB

    def write(self, data: Any) -> int:
        part = memoryview(data)[: self.left]
        if not part:
            raise OSError(28, "No space left on device")
        self.left -= len(part)
        return super().write(part)


@pytest.mark.parametrize("fails", ["at once", "later"])
def test_where_there_can_be_no_file_it_stays_in_memory(
    fails: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def temporary(**_: Any) -> Any:
        if fails == "at once":
            raise FileNotFoundError(2, "No usable temporary directory found")
        return Full()

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    caplog.set_level(logging.WARNING)
    pieces = [bytes([number]) * 40 * KIB for number in range(10)]
    with Arrival(Intake(1)) as arrival:
        for piece in pieces:
            arrival.write(piece)
        assert arrival.read() == b"".join(pieces)
    [said] = caplog.messages
    assert said.startswith("request bodies stay in memory, for they cannot be kept in a file (set TMPDIR): [Errno ")


# ---- over sockets


class Watched(Intake):
    """Notes the most that was taken, and who had to wait."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.highest = self.most_received = self.waits = 0

    async def take(self, size: int, patience: float | None = None) -> None:
        self.waits += not self._has_room(size) or bool(self._waiting)
        await super().take(size, patience)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        for watched, most in (("taken", "highest"), ("received", "most_received")):
            if name == watched:
                super().__setattr__(most, max(getattr(self, most, 0), value))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Watched]]:
    """The places of the proxies that are made."""
    all_made: list[Watched] = []

    def make(most: int) -> Watched:
        all_made.append(Watched(most))
        return all_made[-1]

    monkeypatch.setattr(app, "Intake", make)
    yield all_made
    for each in all_made:
        assert (each.taken, each.lasting, each.received, len(each._waiting)) == (0, 0, 0, 0)


def batch(number: int, size: int = 40 * KIB) -> bytes:
    docs = [{"_id": f"d{number}-{index}", "text": "x" * 1000} for index in range(size // 1000)]
    return jsonio.dumps({"docs": docs})


JSON = {"Content-Type": "application/json"}
PHONE = profile("phone", Drop(paths=["ssn"]))


async def push(at: Site, body: bytes, coding: str = "identity") -> int:
    """How many documents were stored."""
    headers = {**JSON, "Content-Encoding": coding}
    answer = await at.ask("POST", "/clinic-phone/_bulk_docs", data=body, headers=headers)
    assert answer.status == 201, answer.body
    return sum("error" not in row for row in answer.json)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_many_pushes_at_once_take_turns(coding: str, made: list[Watched]) -> None:
    most = 1024 * KIB
    async with site(PHONE, max_bodies=most) as at:
        bodies = [batch(number) for number in range(30)]
        sent = [gzip.compress(body) if coding == "gzip" else body for body in bodies]
        stored = await asyncio.gather(*(push(at, body, coding) for body in sent))
        assert stored == [40] * 30
        listed = (await at.at_source("GET", "/clinic/_all_docs?limit=0")).json
        assert listed["total_rows"] == 30 * 40
    [places] = made
    assert 100 * KIB < places.highest <= most
    assert places.waits > 0


async def test_compressed_ones_wait_in_files(made: list[Watched]) -> None:
    """They are inflated, and read, when there is room for what is in them."""
    body = jsonio.dumps({"docs": [{"text": secrets.token_hex(10_000)} for _ in range(20)]})  # 400 KB, 220 compressed
    async with site(PHONE, max_bodies=400 * KIB) as at:
        [places] = made
        await places.take(400 * KIB)
        pushes = [asyncio.ensure_future(push(at, gzip.compress(body), "gzip")) for _ in range(8)]
        while len(places._waiting) < 8:
            await asyncio.sleep(0.01)
        assert places.received < 100 * KIB + 8 * 128 * KIB
        places.give(400 * KIB)
        assert await asyncio.gather(*pushes) == [20] * 8


async def test_nobody_waits_for_more_than_there_can_be(made: list[Watched]) -> None:
    """Of a few bytes no megabytes can be inflated, whatever their end says."""
    async with site(PHONE, max_bodies=100 * KIB) as at:
        [places] = made
        await places.take(90 * KIB)
        headers = {**JSON, "Content-Encoding": "gzip"}
        lie = gzip.compress(b"{}")[:11] + b"\xff\xff\xff\xff"
        assert (await at.ask("POST", "/clinic-phone/_bulk_docs", data=lie, headers=headers)).status == 400
        assert places.waits == 0
        places.give(90 * KIB)


async def test_who_finds_no_room_is_told_so(made: list[Watched]) -> None:
    async with site(PHONE, max_bodies=100 * KIB, timeout=0.1) as at:
        [places] = made
        await places.take(100 * KIB)
        answer = await at.ask("POST", "/clinic-phone/_bulk_docs", data=batch(1), headers=JSON)
        assert (answer.status, answer.json["error"]) == (503, "service_unavailable")
        places.give(100 * KIB)


async def test_what_is_decoded_to_much_takes_much_room(made: list[Watched]) -> None:
    """Of short text a list of lists takes fifty times as much."""
    async with site(PHONE, max_bodies=100 * KIB) as at:
        lists = b'{"docs":[{"_id":"x","m":[%b]}]}' % b",".join([b"[]"] * 10_000)
        assert await push(at, lists) == 1
        assert made[0].highest > 40 * len(lists)


async def test_small_ones_do_not_wait(made: list[Watched]) -> None:
    async with site(PHONE, max_bodies=1) as at:
        stored = await asyncio.gather(*(push(at, batch(number, 10_000)) for number in range(10)))
        assert stored == [10] * 10
    assert made[0].highest == 0


async def test_a_large_one_is_stored_alone(made: list[Watched]) -> None:
    async with site(PHONE, max_bodies=100 * KIB) as at:
        assert await asyncio.gather(*(push(at, batch(number, 900_000)) for number in range(3))) == [900] * 3
    assert made[0].waits == 2


async def test_attachments_without_a_length_wait_in_files(made: list[Watched]) -> None:
    """They are read before they are judged, and take no more of memory than bodies that wait."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(20):
            yield bytes([number]) * 20 * KIB
            await asyncio.sleep(0)

    data = b"".join([piece async for piece in pieces()])
    async with site(PHONE, max_bodies=400 * KIB) as at:
        asked = (at.ask("PUT", f"/clinic-phone/d{number}/n", data=pieces()) for number in range(10))
        assert [answer.status for answer in await asyncio.gather(*asked)] == [201] * 10
        assert [(await at.at_source("GET", f"/clinic/d{number}/n")).body == data for number in range(10)] == [True] * 10
    assert 100 * KIB < made[0].most_received < 100 * KIB + 10 * 150 * KIB
    assert made[0].highest == 0


async def begun(at: Site, head: Sequence[str], sent: bytes) -> asyncio.StreamWriter:
    """A request of which no more comes."""
    host, port = at.proxy_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    lines = [*head, "Host: x", *(f"{name}: {value}" for name, value in basic(("ann", "ann")).items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
    await writer.drain()
    return writer


async def test_nobody_waits_for_a_client_that_does_not_go_on(made: list[Watched]) -> None:
    async with site(PHONE, max_bodies=200 * KIB) as at:
        head = ["POST /clinic-phone/_bulk_docs HTTP/1.1", "Content-Type: application/json", "Content-Length: 300000"]
        slow = [await begun(at, head, batch(number, 200_000)) for number in range(5)]
        while made[0].most_received == 0:
            await asyncio.sleep(0.01)
        assert await push(at, batch(9)) == 40
        for writer in slow:
            writer.close()
            await writer.wait_closed()
        while made[0].received:
            await asyncio.sleep(0.01)


def multipart(doc: dict[str, Any], *attachments: bytes) -> bytes:
    """A body of the boundary `cut`."""
    parts = [b"Content-Type: application/json\r\n\r\n" + jsonio.dumps(doc), *(b"\r\n" + each for each in attachments)]
    return b"".join(b"--cut\r\n%b\r\n" % part for part in parts) + b"--cut--"


@pytest.mark.parametrize("attachments", [0, 1])
async def test_nor_for_one_whose_attachments_are_to_come(attachments: int, made: list[Watched]) -> None:
    """The document of a multipart body has its place while it is judged."""
    entries = {"n": {"follows": True, "content_type": "text/plain", "length": 10}} if attachments else {}
    doc = {"_id": "d1", "text": "x" * 30 * KIB, "_attachments": entries}
    body = multipart(doc, *[b"0123456789"] * attachments)
    last = 15 if attachments else 2  # bytes that are held back
    async with site(PHONE, max_bodies=100 * KIB) as at:
        head = ["PUT /clinic-phone/d1 HTTP/1.1", 'Content-Type: multipart/related; boundary="cut"']
        slow = await begun(at, [*head, f"Content-Length: {len(body)}"], body[:-last])
        while made[0].highest == 0:
            await asyncio.sleep(0.01)
        assert made[0].highest > 60 * KIB
        assert [*await asyncio.gather(push(at, batch(2)), push(at, batch(3)))] == [40, 40]
        slow.write(body[-last:])
        while (stored := await at.at_source("GET", "/clinic/d1")).status == 404:
            await asyncio.sleep(0.01)
        assert stored.json["text"] == doc["text"]
        slow.close()


async def test_nor_for_one_that_is_being_answered(made: list[Watched]) -> None:
    """A feed can last for days; what was asked for has a place of another kind as long."""
    async with site(PHONE, max_bodies=200 * KIB) as at:
        body = jsonio.dumps({"doc_ids": [f"doc{number:05}" for number in range(5000)]})
        path = "/clinic-phone/_changes?feed=continuous&filter=_doc_ids&heartbeat=1000"
        headers = {**JSON, **basic(("ann", "ann"))}
        async with at.session.post(at.proxy_url + path, data=body, headers=headers) as feed:
            assert feed.status == 200
            assert made[0].highest > len(body) > SMALL
            assert made[0].taken == 0
            assert made[0].lasting > len(body)
            assert await push(at, batch(9)) == 40
        while made[0].lasting:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["feed", "documents"])
async def test_of_places_that_last_there_are_as_many(
    kind: str, made: list[Watched], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    docs = [{"_id": f"doc{number:05}-{'x' * 100}", "text": "x" * 200_000} for number in range(150)]
    async with site(PHONE, docs=docs, max_bodies=50 * KIB) as at:
        path = "/clinic-phone/_changes?feed=continuous&filter=_doc_ids&heartbeat=1000"
        body = jsonio.dumps({"doc_ids": [doc["_id"] for doc in docs]})
        if kind == "documents":
            path, body = "/clinic-phone/_bulk_get", jsonio.dumps({"docs": [{"id": doc["_id"]} for doc in docs]})
        head = [f"POST {path} HTTP/1.1", "Content-Type: application/json", "Accept: application/json"]
        first = await begun(at, [*head, f"Content-Length: {len(body)}"], body)
        while not made[0].lasting:
            await asyncio.sleep(0.01)
        assert made[0].lasting > 50 * KIB  # alone it may
        answer = await at.ask("POST", path, data=body, headers=JSON)
        assert (answer.status, answer.json["error"]) == (503, "service_unavailable")
        assert await push(at, batch(9)) == 40
        first.transport.abort()
        while made[0].lasting:
            await asyncio.sleep(0.01)
        [said] = caplog.messages
        assert said.startswith("requests are answered 503: what is held for answers that are under way would be more ")


async def test_who_hangs_up_while_it_waits_is_forgotten(made: list[Watched]) -> None:
    async with site(PHONE, max_bodies=100 * KIB) as at:
        [places] = made
        await places.take(100 * KIB)
        body = batch(1)
        head = ["POST /clinic-phone/_bulk_docs HTTP/1.1", "Content-Type: application/json"]
        writer = await begun(at, [*head, f"Content-Length: {len(body)}"], body)
        while not places._waiting:
            await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        while places._waiting:
            await asyncio.sleep(0.01)
        places.give(100 * KIB)
        assert await push(at, batch(2)) == 40
        assert (await at.at_source("GET", "/clinic/d1-0")).status == 404


async def test_what_is_refused_gives_its_place_back(made: list[Watched]) -> None:
    async with site(PHONE, max_bodies=100 * KIB) as at:
        for body, status in ((b"[" * 30_000, 400), (b"\0" * 30_000, 400), (b'{"docs":' + b" " * 30_000 + b"1}", 400)):
            answer = await at.ask("POST", "/clinic-phone/_bulk_docs", data=body, headers=JSON)
            assert answer.status == status, answer.body
            assert made[0].taken == 0


@pytest.mark.parametrize("members", [1, 3])
async def test_what_is_larger_than_it_says_takes_its_place_all_the_same(members: int, made: list[Watched]) -> None:
    """The size at the end of gzip data is that of the last member; and somebody may lie."""
    body = batch(1, 400_000)
    parts = [body[at : at + len(body) // members + 1] for at in range(0, len(body), len(body) // members + 1)]
    data = b"".join(map(gzip.compress, parts))
    if members == 1:
        data = data[:-4]  # cut short: whatever it says there, it is refused
    async with site(PHONE, max_bodies=1000 * KIB) as at:
        if members == 1:
            answer = await at.ask(
                "POST", "/clinic-phone/_bulk_docs", data=data, headers={**JSON, "Content-Encoding": "gzip"}
            )
            assert answer.status == 400
        else:
            assert await push(at, data, "gzip") == 400
            assert made[0].highest > len(body)
