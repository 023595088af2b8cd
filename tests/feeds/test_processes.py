"""`couch-tailor serve` as several processes, any of which may die at any time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.feeds.conftest import PASSWORD, USERS
from tests.support.family import alive, children
from tests.support.http import Http, basic, eventually
from tests.support.process import ServerProcess, free_port
from tests.support.proxy import Proxy
from tests.support.sources import SourceDatabase


def processes(proxy: Proxy) -> dict[str, int]:
    return children(proxy.process.pid)


def start(proxy: Proxy) -> Proxy:
    """Start it and wait until all of its processes are ready: another one may answer before."""
    proxy.process.mark()
    proxy.start()
    eventually(lambda: "listens on" in proxy.process.output(since_mark=True), "all processes are ready")
    return proxy


def ask(proxy: Proxy, user: str, query: str = "") -> Any:
    return Http(proxy.url, basic(user, PASSWORD)).json("GET", f"/clinic-own/_changes{query}")


def indexed(proxy: Proxy) -> None:
    """Wait until feeds come from the index: all sequences of one are of its form."""
    eventually(lambda: "is complete" in proxy.process.output(), "the index is complete")


def kill(proxy: Proxy, name: str) -> None:
    """Kill a child as the system would, and wait until there is another one."""
    old = processes(proxy)[name]
    os.kill(old, signal.SIGKILL)
    eventually(lambda: processes(proxy).get(name, old) != old, f"another {name}")


class Listener:
    """A device with one continuous feed; `seen` in the order of arrival."""

    def __init__(self, proxy: Proxy, user: str) -> None:
        self.seen: list[str] = []
        self.broken = 0
        self.since = "0"
        self.opened = asyncio.Event()
        self._proxy = proxy
        self._user = user
        self._something = asyncio.Event()

    async def run(self, session: aiohttp.ClientSession) -> None:
        while True:
            url = f"{self._proxy.url}/clinic-own/_changes?feed=continuous&heartbeat=5000&since={self.since}"
            try:
                async with session.get(url, headers=basic(self._user, PASSWORD)) as reply:
                    assert reply.status == 200
                    self.opened.set()
                    async for line in reply.content:
                        if line.strip():
                            row = json.loads(line)
                            if "id" in row:
                                self.seen.append(row["id"])
                            self.since = row.get("seq", self.since)
                            self._something.set()
            except aiohttp.ClientError:
                pass
            self.broken += 1

    async def until(self, ids: set[str]) -> None:
        """Wait until all of these have arrived."""
        while not ids <= set(self.seen):
            self._something.clear()
            await self._something.wait()


@asynccontextmanager
async def listeners(proxy: Proxy, users: list[str]) -> AsyncIterator[list[Listener]]:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        made = [Listener(proxy, user) for user in users]
        running = [asyncio.ensure_future(listener.run(session)) for listener in made]
        try:
            for listener in made:
                await listener.opened.wait()
            yield made
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def test_feeds_outlive_the_follower(make: Callable[..., Proxy], database: SourceDatabase) -> None:
    proxy = start(make())
    indexed(proxy)
    ids: dict[str, set[str]] = {user: set() for user in USERS}

    def write(count: int) -> None:
        for _ in range(count):
            for user in USERS:
                doc_id = f"{user}-{len(ids[user])}"
                ids[user].add(doc_id)
                database.put({"_id": doc_id, "owner": user})

    async with listeners(proxy, [*USERS] * 3) as devices:
        await asyncio.to_thread(write, 10)
        for _ in range(2):
            following = processes(proxy)["follower"]
            writing = asyncio.ensure_future(asyncio.to_thread(write, 40))
            os.kill(following, signal.SIGKILL)
            await writing
            # whoever does not wait is told of everything, follower or not
            for user in USERS:
                told = await asyncio.to_thread(ask, proxy, user)
                assert {row["id"] for row in told["results"]} == ids[user]
            for number, device in enumerate(devices):
                await device.until(ids[USERS[number % 2]])
            assert processes(proxy)["follower"] != following
        for number, device in enumerate(devices):
            assert device.broken == 0
            assert set(device.seen) == ids[USERS[number % 2]]
    assert proxy.process.output().count("the follower was ended by SIGKILL and is started again") == 2


async def test_a_follower_that_hangs_is_waited_for_once(make: Callable[..., Proxy], database: SourceDatabase) -> None:
    proxy = start(make())
    indexed(proxy)
    following = processes(proxy)["follower"]
    ids = {f"before-{number}" for number in range(5)}

    def write(name: str) -> None:
        for number in range(5):
            ids.add(f"{name}-{number}")
            database.put({"_id": f"{name}-{number}", "owner": "ann"})

    def logged(text: str) -> int:
        return proxy.process.output(since_mark=True).count(text)

    write("before")
    async with listeners(proxy, ["ann"] * 6) as devices:
        for device in devices:
            await device.until(ids)
        proxy.process.mark()
        os.kill(following, signal.SIGSTOP)
        try:
            await asyncio.to_thread(write, "meanwhile")
            silent = "the follower does not answer: feeds are read from the source until it does"
            while logged(silent) < 2:  # in each of the workers
                told = await asyncio.to_thread(ask, proxy, "ann")
                assert {row["id"] for row in told["results"]} == ids
            assert logged("has not caught up with the source in 5 s") <= 2
        finally:
            os.kill(following, signal.SIGCONT)
        await asyncio.to_thread(eventually, lambda: logged("the follower answers again") == 2, "it is heard")
        await asyncio.to_thread(write, "after")
        for device in devices:
            await device.until(ids)
            assert (device.broken, set(device.seen)) == (0, ids)
    assert (logged(silent), logged("the follower answers again")) == (2, 2)
    assert processes(proxy)["follower"] == following


async def test_a_worker_that_dies_is_replaced(make: Callable[..., Proxy], database: SourceDatabase) -> None:
    proxy = start(make())
    indexed(proxy)
    stay, go = processes(proxy)["worker 1"], processes(proxy)["worker 2"]
    written: set[str] = set()

    def write() -> None:
        for _ in range(30):
            doc_id = f"doc-{len(written)}"
            written.add(doc_id)
            database.put({"_id": doc_id, "owner": "ann"})

    os.kill(go, signal.SIGSTOP)
    async with listeners(proxy, ["ann"] * 5) as at_first:
        os.kill(go, signal.SIGCONT)
        os.kill(stay, signal.SIGSTOP)
        async with listeners(proxy, ["ann"] * 5) as at_second:
            os.kill(stay, signal.SIGCONT)
            await asyncio.to_thread(write)
            for device in at_second:
                await device.until({"doc-0"})
            writing = asyncio.ensure_future(asyncio.to_thread(write))
            await asyncio.to_thread(kill, proxy, "worker 2")
            await writing
            await asyncio.to_thread(write)
            for device in (*at_first, *at_second):
                await device.until(written)
                assert set(device.seen) == written
            assert [device.broken for device in at_first] == [0] * 5
            assert min(device.broken for device in at_second) > 0
            # what was read before was not read again, but for rows that had not been acted on
            assert max(len(device.seen) for device in at_second) == len(written)
    assert processes(proxy)["worker 1"] == stay
    assert "the worker 2 was ended by SIGKILL and is started again" in proxy.process.output()


def test_a_worker_that_is_asked_to_end_is_replaced(make: Callable[..., Proxy]) -> None:
    proxy = start(make(data=None))
    assert sorted(processes(proxy)) == ["worker 1", "worker 2"]
    old = processes(proxy)["worker 1"]
    os.kill(old, signal.SIGTERM)
    eventually(lambda: processes(proxy).get("worker 1", old) != old, "another worker")
    assert "the worker 1 ended with status 0 and is started again" in proxy.process.output()
    assert Http(proxy.url, {}).request("GET", "/_up").status == 200


def test_sigterm_ends_them_all(make: Callable[..., Proxy], tmp_path: Path) -> None:
    proxy = start(make())
    assert list(tmp_path.glob("couch-tailor-*/feeds"))
    pids = [*processes(proxy).values()]
    assert len(pids) == 3
    os.kill(proxy.process.pid, signal.SIGTERM)
    assert proxy.process.wait() == 0
    assert not any(map(alive, pids))
    assert not list(tmp_path.glob("couch-tailor-*"))
    assert proxy.process.output().count("couch-tailor listens on ") == 1


def test_sighup_ends_nobody(make: Callable[..., Proxy]) -> None:
    proxy = start(make())
    before = processes(proxy)
    assert len(before) == 3
    for pid in (proxy.process.pid, *before.values()):
        os.kill(pid, signal.SIGHUP)
    told = "SIGHUP changes nothing: rules and settings are read at the start, so restart to take up new ones"
    eventually(lambda: proxy.process.output().count(told) == 4, "each has told what it makes of it")
    assert processes(proxy) == before
    assert Http(proxy.url, {}).request("GET", "/_up").status == 200
    assert "started again" not in proxy.process.output()


def test_nothing_outlives_the_supervisor(make: Callable[..., Proxy], tmp_path: Path) -> None:
    proxy = start(make())
    pids = [*processes(proxy).values()]
    assert len(pids) == 3
    proxy.process.kill()
    eventually(lambda: not any(map(alive, pids)), "all processes have ended")
    assert not list(tmp_path.glob("couch-tailor-*"))
    start(proxy)


def test_a_directory_is_kept_by_one(make: Callable[..., Proxy], tmp_path: Path) -> None:
    first = start(make())
    second = make()
    holder = (tmp_path / "data" / "couch-tailor.lock").read_text().strip()
    assert holder == str(first.process.pid)
    assert run_to_its_end(second.process) == (
        1,
        f"couch-tailor: the data directory {tmp_path / 'data'} is in use by another couch-tailor (process {holder})\n",
    )
    first.process.stop()
    start(second)


def test_a_directory_that_is_none(make: Callable[..., Proxy], tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    status, output = run_to_its_end(make().process)
    assert status == 2
    assert f': server.data: "{tmp_path / "data"}" cannot be a directory: ' in output


def test_a_directory_that_cannot_be_written(make: Callable[..., Proxy]) -> None:
    """It cannot be the next time either: whoever starts it anew is told not to."""
    status, output = run_to_its_end(make(data="/proc/couch-tailor").process)
    message = "the data directory /proc/couch-tailor cannot be written: No such file or directory"
    assert status == 2
    assert f": server.data: {message}; name one that this user may make, and write to\n" in output


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("key", ["bind", "metrics"])
def test_an_address_that_is_not_of_this_machine(make: Callable[..., Proxy], key: str, workers: int) -> None:
    proxy = make(data=None, workers=workers, **{key: "192.0.2.1:5984"})
    message = "couch-tailor: cannot listen on 192.0.2.1:5984: Cannot assign requested address\n"
    assert run_to_its_end(proxy.process) == (1, message)  # it may be, when its network is up


def test_an_address_that_is_taken(make: Callable[..., Proxy]) -> None:
    first = start(make(data=None))
    second = make(data=None, bind=f"127.0.0.1:{first.port}")
    assert run_to_its_end(second.process) == (
        1,
        f"couch-tailor: cannot listen on 127.0.0.1:{first.port}: Address already in use\n",
    )


def test_no_process_goes_on_with_another_configuration(make: Callable[..., Proxy]) -> None:
    proxy = start(make(data=None))
    proxy.configure({"own": {"filters": []}})
    os.kill(processes(proxy)["worker 1"], signal.SIGKILL)
    eventually(lambda: "worker 1 ended with status 3" in proxy.process.output(), "the new worker has noticed")
    assert Http(proxy.url, {}).request("GET", "/_up").status == 200
    os.kill(processes(proxy)["worker 2"], signal.SIGKILL)
    assert proxy.process.wait() == 1
    last = proxy.process.output().rstrip("\n").rpartition("\n")[2]
    assert last == "couch-tailor: the configuration has changed, so couch-tailor has to be started anew"


def test_one_worker_without_indexes_is_one_process(make: Callable[..., Proxy]) -> None:
    assert not processes(start(make(data=None, workers=1)))


def test_workers_on_the_command_line(make: Callable[..., Proxy]) -> None:
    proxy = make(data=None, workers=1)
    proxy.process.command += ["--workers", "3"]
    start(proxy)
    assert sorted(processes(proxy)) == ["worker 1", "worker 2", "worker 3"]


def test_metrics_of_all_processes(make: Callable[..., Proxy], database: SourceDatabase) -> None:
    port = free_port()
    proxy = start(make(metrics=f"127.0.0.1:{port}"))
    indexed(proxy)
    database.put({"_id": "a", "owner": "ann"})
    for _ in range(3):
        ask(proxy, "ann")
    Http(proxy.url, {}).request("GET", "/clinic-own/_changes")
    scrape = Http(f"http://127.0.0.1:{port}", {})
    text = scrape.request("GET", "/metrics").body.decode()
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def total(start: str) -> float:
        return sum(float(value) for name, value in counted.items() if name.startswith(start))

    assert total('couch_tailor_requests_total{kind="changes",status="200"') == 3
    assert total('couch_tailor_requests_total{kind="changes",status="401"') == 1
    assert total("couch_tailor_index_usable") == 2
    assert total("couch_tailor_index_position") == 2
    assert total("couch_tailor_cache_misses_total") >= 1
    assert total("couch_tailor_cache_hits_total") + total("couch_tailor_cache_misses_total") == 3
    for process in ("follower", "worker 1", "worker 2"):
        assert counted[f'couch_tailor_process_starts_total{{process="{process}"}}'] == "1"
    assert 'couch_tailor_index_left{database="clinic",process="follower"}' in counted
    assert scrape.request("GET", "/").status == 404
    assert scrape.request("POST", "/metrics").status == 405
    assert Http(proxy.url, basic("ann", PASSWORD)).request("GET", "/metrics").status == 404
    kill(proxy, "worker 2")
    assert 'couch_tailor_process_starts_total{process="worker 2"} 2' in scrape.request("GET", "/metrics").body.decode()


def test_metrics_of_one_process(make: Callable[..., Proxy]) -> None:
    port = free_port()
    proxy = start(make(metrics=f"127.0.0.1:{port}", data=None, workers=1))
    assert not processes(proxy)
    text = Http(f"http://127.0.0.1:{port}", {}).request("GET", "/metrics").body.decode()
    assert re.search(
        r'^couch_tailor_requests_total\{kind="up",status="200",process="worker 1"\} \d', text, re.MULTILINE
    )


def run_to_its_end(process: ServerProcess) -> tuple[int, str]:
    """Exit status and output of a server that ends by itself."""
    done = subprocess.run(process.command, env=process.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout
