"""Whatever is killed, and whenever: at the end every device has what it may see, and nothing acknowledged is lost.

One test draws what is killed while devices replicate and documents are written, and checks every device after each
kill. TEST_KILLS sets how many there are (10), TEST_SEED what is drawn (else something else each time; a failure prints
it). A long run:

    TEST_KILLS=500 pytest tests/integration/test_kills.py
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.conftest import close_source, open_source
from tests.support.devices import CLIENTS, Device, DeviceHost
from tests.support.family import children
from tests.support.proxy import Proxy
from tests.support.site import clinic_proxy
from tests.support.sources import ADMIN, Source
from tests.support.wards import Nurse, Wards, check

KILLS = int(os.environ.get("TEST_KILLS", "10"))
LISTENERS, ASKERS = ("ann", "bob"), ("carol", "dan")
USERS = (*LISTENERS, *ASKERS)
VICTIMS = ("follower", "worker 1", "worker 2", "node", "source", "devices")


class Stage:
    """A source, a proxy with its index, devices that keep their data in files; any of it can be killed."""

    def __init__(self, source: Source, directory: Path, random: Random) -> None:
        self.random = random
        self.source = source
        self.wards = Wards(source.create_database("clinic"), Random(random.random()))
        self._directory = directory
        self.proxy: Proxy = clinic_proxy(
            directory / "proxy",
            source.url,
            ["clinic"],
            source_options={"auth": "service", "username": ADMIN[0], "password": ADMIN[1]},
            server_options={"data": str(directory / "data"), "workers": 2, "session_ttl": "1h"},
        )
        self.proxy.start()
        self.host = DeviceHost()
        self.nurses = [Nurse(user, self._device(user), f"{self.proxy.url}/clinic-phone") for user in USERS]
        self._listen()

    @property
    def listeners(self) -> list[Nurse]:
        return self.nurses[: len(LISTENERS)]

    @property
    def askers(self) -> list[Nurse]:
        return self.nurses[len(LISTENERS) :]

    def _device(self, user: str) -> Device:
        return self.host.device(self._directory / f"device-{user}")

    def _listen(self) -> None:
        for nurse in self.listeners:
            nurse.listen()

    def go(self, victim: str) -> None:
        """Write, replicate, and kill in the middle of it; then bring back what was killed."""
        for nurse in self.nurses:
            nurse.work(self.random)
        writer = threading.Thread(target=self._write)
        writer.start()
        under_way = [nurse.begin(self.random.choice(("pull", "push", "sync")), batch_size=5) for nurse in self.askers]
        time.sleep(self.random.uniform(0, 0.4))
        self._kill(victim)
        writer.join()
        if victim == "source":
            assert self.source.process is not None
            self.source.process.start()
        if victim == "devices":
            self.host = DeviceHost()
            for nurse in self.nurses:
                nurse.device = self._device(nurse.user)
            self._listen()
        else:
            for number in under_way:
                self.host.result(number)  # whatever came of it

    def _write(self) -> None:
        try:
            for _ in range(8):
                self.wards.write(6)
        except (OSError, HTTPException):
            pass  # the source was killed

    def _kill(self, victim: str) -> None:
        if victim == "source":
            assert self.source.process is not None
            self.source.process.kill()
        elif victim == "devices":
            self.host.kill()
        elif victim == "node":
            self.proxy.kill()
            self.proxy.process.start()
        else:
            pid = children(self.proxy.process.pid).get(victim)
            if pid is not None:  # it may still be away since the last time
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self.host.close()
        self.proxy.process.kill()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    if not (CLIENTS / "node_modules").is_dir():
        pytest.fail("the clients are not installed; run `make clients`", pytrace=False)
    seed = int(os.environ.get("TEST_SEED") or SystemRandom().randrange(2**32))
    print(f"TEST_SEED={seed}")
    source = open_source("embedded", tmp_path)
    stage = Stage(source, tmp_path, Random(seed))
    yield stage
    stage.close()
    close_source(source)


def test_whatever_is_killed_devices_have_what_they_may_see(stage: Stage) -> None:
    stage.wards.write(30)
    check(stage.wards, stage.listeners, stage.askers)
    for number in range(KILLS):
        victim = stage.random.choice(VICTIMS)
        print(f"{number}: {victim}")
        stage.go(victim)
        check(stage.wards, stage.listeners, stage.askers)
    assert "Traceback" not in stage.proxy.process.output()
