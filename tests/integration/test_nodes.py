"""Several nodes behind a balancer that sends each request to another one: devices never notice, and nodes may die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.conftest import close_source, open_source
from tests.support import haproxy
from tests.support.devices import DeviceHost
from tests.support.http import eventually
from tests.support.process import ServerProcess
from tests.support.proxy import Proxy
from tests.support.site import clinic_proxy
from tests.support.sources import ADMIN, Source
from tests.support.wards import Nurse, Wards, check

WORKERS = (2, 1, 1)


class Node:
    """`couch-tailor serve` with a directory of its own for its indexes."""

    def __init__(self, directory: Path, source: Source, workers: int) -> None:
        self.data = directory / "data"
        self.proxy: Proxy = clinic_proxy(
            directory,
            source.url,
            ["clinic"],
            source_options={"auth": "service", "username": ADMIN[0], "password": ADMIN[1]},
            server_options={"data": str(self.data), "session_ttl": "1h"},
        )
        self.proxy.process.command += ["--workers", str(workers)]

    def start(self) -> None:
        self.proxy.start()

    def is_indexed(self) -> bool:
        return "is complete" in self.proxy.process.output(since_mark=True)

    def kill(self) -> None:
        self.proxy.kill()

    def forget(self) -> None:
        """Delete its indexes."""
        for file in self.data.glob("*.index*"):
            file.unlink()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    source = open_source("embedded", tmp_path_factory.mktemp("source"))
    yield source
    close_source(source)


@pytest.fixture
def nodes(source: Source, tmp_path: Path) -> Iterator[list[Node]]:
    nodes = [Node(tmp_path / f"node{number}", source, workers) for number, workers in enumerate(WORKERS)]
    yield nodes
    for node in nodes:
        node.proxy.process.kill()


@pytest.fixture
def balancer(nodes: list[Node], tmp_path: Path) -> Iterator[ServerProcess]:
    command = haproxy.find()
    if command is None:
        pytest.skip("there is no haproxy; install it (Debian: apt-get install haproxy)")
    balancer = haproxy.balancer(command, tmp_path / "haproxy", [node.proxy.port for node in nodes])
    yield balancer
    balancer.kill()


def test_devices_never_notice(
    source: Source, nodes: list[Node], balancer: ServerProcess, device_host: DeviceHost
) -> None:
    random = Random(7)
    wards = Wards(source.create_database("clinic"), random)
    wards.write(30)
    for node in nodes:
        node.start()
    balancer.start()
    ann, bob, carol, dan = (
        Nurse(user, device_host.device(), f"{balancer.url}/clinic-phone") for user in ("ann", "bob", "carol", "dan")
    )
    lives = [nurse.listen() for nurse in (ann, bob)]

    def go_on(rounds: int) -> None:
        for _ in range(rounds):
            wards.write(8)
            for nurse in (ann, bob, carol, dan):
                nurse.work(random)
            # while more is written
            under_way = [
                nurse.begin(direction) for nurse, direction in ((carol, "pull"), (dan, "sync"), (carol, "push"))
            ]
            wards.write(8)
            for number in under_way:
                device_host.result(number)

    for node in nodes:
        eventually(node.is_indexed, "the index is complete")
    go_on(5)
    check(wards, (ann, bob), (carol, dan))
    for victim, forgets in ((nodes[0], False), (nodes[1], True), (nodes[2], False)):
        go_on(2)
        victim.kill()
        go_on(2)
        check(wards, (ann, bob), (carol, dan))
        if forgets:
            victim.forget()
        go_on(1)
        victim.proxy.process.mark()
        victim.start()
        go_on(2)
        if forgets:
            eventually(victim.is_indexed, "the index is complete")
        check(wards, (ann, bob), (carol, dan))
    for live in lives:
        live.stop()
