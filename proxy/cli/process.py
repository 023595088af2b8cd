"""One of the processes that `couch-tailor serve` runs: a worker, or the follower. Nobody else starts it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from proxy.app import running
from proxy.cli.files import load_config
from proxy.cli.serve import set_up_log
from proxy.config.fingerprint import fingerprint
from proxy.config.model import Config
from proxy.core import jsonio
from proxy.feeds.local import Feeds
from proxy.feeds.remote import RemoteFeeds
from proxy.feeds.server import Followers
from proxy.loop import run_loop, tune
from proxy.metrics import Requests, Sample, hub_samples
from proxy.signals import ignore_hangups, stop_signals
from proxy.supervisor import CHANGED, READY

log = logging.getLogger("couch_tailor.process")


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT, or until the supervisor is gone."""
    ignore_hangups()
    parser = argparse.ArgumentParser(prog="couch-tailor _process", allow_abbrev=False)
    parser.add_argument("name")
    parser.add_argument("--listening", type=int, action="append", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--log-level", required=True)
    parser.add_argument("--fingerprint", required=True)
    parser.add_argument("--feeds", type=Path)
    parser.add_argument("control", type=int)
    arguments = parser.parse_args(argv)
    set_up_log(arguments.log_level, arguments.name)
    config = load_config(arguments.config)
    if fingerprint(config) != arguments.fingerprint:
        log.error("the configuration has changed since couch-tailor was started: start it anew")
        return CHANGED
    listening = [socket.socket(fileno=number) for number in arguments.listening]
    control = socket.socket(fileno=arguments.control)
    if arguments.name == "follower":
        run_loop(_follow(config, listening[0], control))
    else:
        run_loop(_serve(config, listening, control, arguments.feeds))
    return 0


async def _serve(config: Config, listening: list[socket.socket], control: socket.socket, path: Path | None) -> None:
    tune()
    feeds, requests = Feeds(config) if path is None else RemoteFeeds(config, path), Requests()

    def samples() -> list[Sample]:
        return [*requests.samples(), *hub_samples(feeds.hubs)]

    async with running(config, feeds, listening, requests):
        await _work(control, samples)


async def _follow(config: Config, listening: socket.socket, control: socket.socket) -> None:
    tune()
    followers, stop = Followers(config), asyncio.Event()
    following = asyncio.ensure_future(followers.run(listening, stop))
    supervised = await _work(control, lambda: list(followers.samples()))
    stop.set()
    await following
    if not supervised:  # nobody else is left to do it
        shutil.rmtree(Path(listening.getsockname()).parent, ignore_errors=True)


async def _work(control: socket.socket, samples: Callable[[], list[Sample]]) -> bool:
    """Say that this process is ready, and tell what it counts, until it is to end. False: the supervisor is gone."""
    stop = asyncio.ensure_future(stop_signals().wait())
    talking = asyncio.ensure_future(_talk(control, samples))
    await asyncio.wait([stop, talking], return_when=asyncio.FIRST_COMPLETED)
    supervised = not talking.done()
    stop.cancel()
    talking.cancel()
    await asyncio.gather(stop, talking, return_exceptions=True)
    return supervised


async def _talk(control: socket.socket, samples: Callable[[], list[Sample]]) -> None:
    """Until the supervisor is gone."""
    reader, writer = await asyncio.open_unix_connection(sock=control)
    writer.write(READY)
    with suppress(ConnectionError):
        while await reader.readline():
            writer.write(jsonio.dumps(samples()) + b"\n")
            await writer.drain()
