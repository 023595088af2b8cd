"""`couch-tailor replay`: play one side of a recording, the client's or the server's."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Sequence
from typing import Any

from proxy.cli.errors import RunError, UsageError
from proxy.cli.recordings import read_recording
from proxy.config.problems import BadValue
from proxy.config.values import bind, url
from proxy.listening import authority
from proxy.traffic.exchange import Exchange

_DESCRIPTION = """\
With --to, send the recorded requests to a server and print where its replies are not as recorded. Exit status 1: they
are not. Values that servers make up (ids, revisions of edits, sequences, cookies, dates) are matched by their role.
With --serve, answer a client as the server did, until SIGINT or SIGTERM. Exit status 1: it asked for something else."""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "replay",
        help="play the client's or the server's side of a recording",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("recording", metavar="FILE", help="what `record` wrote, a HAR file, or a dump of mitmproxy")
    parser.add_argument("--to", metavar="URL", help="play the client against this server")
    parser.add_argument("--serve", metavar="HOST:PORT", help="play the server here; port 0 for any")
    parser.add_argument("--user", metavar="NAME:PASSWORD", help="with --to: in place of the recorded credentials")
    parser.add_argument(
        "--ignore",
        metavar="NAME",
        action="append",
        default=[],
        help="with --to: a header or JSON member that may differ",
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=60.0, help="with --to: for a reply (default: %(default)g)"
    )
    parser.add_argument("--paced", action="store_true", help="with --serve: as slowly as in the recording")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if (arguments.to is None) == (arguments.serve is None):
        raise UsageError("replay: give --to, to play the client, or --serve, to play the server: exactly one of them")
    exchanges = read_recording(arguments.recording)
    return _play(exchanges, arguments) if arguments.to is not None else _serve(exchanges, arguments)


def _play(exchanges: Sequence[Exchange], arguments: argparse.Namespace) -> int:
    from proxy.cli.player import Server

    name, colon, password = (arguments.user or "").partition(":")
    if arguments.user is not None and (not name or not colon):
        raise UsageError("--user: write NAME:PASSWORD")
    try:
        server = Server(url(arguments.to), (name, password) if name else None, arguments.timeout)
    except BadValue as error:
        raise UsageError(f"--to: {error.message}") from None
    ignored = frozenset(arguments.ignore) | {item.lower() for item in arguments.ignore}
    count, different = asyncio.run(_report(exchanges, server, ignored))
    skipped = len(exchanges) - count
    rest = f"; {skipped} not played, as they have no complete reply" if skipped else ""
    print(f"{count} exchanges played, {different} with differences{rest}")
    return 1 if different else 0


async def _report(exchanges: Sequence[Exchange], server: Any, ignored: frozenset[str]) -> tuple[int, int]:
    from proxy.cli.player import play

    count = different = 0
    async for played in play(exchanges, server, ignored):
        count += 1
        if played.differences:
            different += 1
            asked = played.exchange.request
            print(f"#{played.exchange.n} {asked.method} {asked.target}")
            for difference in played.differences:
                print("  " + str(difference).replace("\n", "\n  "))
    return count, different


def _serve(exchanges: Sequence[Exchange], arguments: argparse.Namespace) -> int:
    try:
        host, port = bind(arguments.serve)
    except BadValue as error:
        raise UsageError(f"--serve: {error.message}") from None
    logging.basicConfig(level="INFO", format="%(message)s")
    try:
        return asyncio.run(_stage(exchanges, host, port, arguments.paced))
    except OSError as error:
        raise RunError(f"cannot listen on {arguments.serve}: {error.strerror or error}") from error


async def _stage(exchanges: Sequence[Exchange], host: str, port: int, paced: bool) -> int:
    from proxy.cli.stage import Stage

    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    stage = Stage(exchanges, paced=paced)
    async with stage.serving(host, port) as listening:
        print(f"couch-tailor replay: http://{authority(host, listening)}", flush=True)
        await stopping.wait()
    return 1 if stage.unknown else 0
