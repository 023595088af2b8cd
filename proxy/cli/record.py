"""`couch-tailor record`: write down what passes between a client and a server, or take it from another tool's file."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Sequence
from typing import Any, BinaryIO

from proxy.cli.errors import RunError, UsageError
from proxy.cli.recordings import read_recording
from proxy.config.problems import BadValue
from proxy.config.values import bind, url
from proxy.listening import authority
from proxy.traffic.exchange import Exchange, dump

_DESCRIPTION = """\
Stand between a client and a server, and write what passes to a file, one exchange on each line, until SIGINT or
SIGTERM. With --from, read a file instead: a HAR file as browsers save them, a dump of mitmproxy, or another recording.

A recording holds everything that passed, passwords too. --anonymise replaces names and values before it is written."""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "record",
        help="write down the traffic between a client and a server",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="where the client is to connect; port 0 for any")
    parser.add_argument("--to", metavar="URL", help="the server")
    parser.add_argument("--from", dest="source", metavar="FILE", help="read this HAR file, dump or recording instead")
    parser.add_argument("--out", metavar="FILE", required=True, help="where the recording goes; must not exist")
    parser.add_argument("--anonymise", action="store_true", help="replace names and values")
    parser.add_argument("--key", metavar="TEXT", help="replace alike in several recordings; without it, nobody can")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if (arguments.source is None) != (arguments.listen is not None and arguments.to is not None):
        raise UsageError("record: give --listen and --to to record, or --from to read a file")
    if arguments.source is not None and (arguments.listen or arguments.to):
        raise UsageError("record: --from reads a file: it goes with neither --listen nor --to")
    if arguments.key is not None and not arguments.anonymise:
        raise UsageError("record: --key goes with --anonymise")
    if arguments.source is not None:
        exchanges: Sequence[Exchange] = read_recording(arguments.source)
        with _create(arguments.out) as out:
            _write_all(out, _anonymised(exchanges, arguments))
        print(f"{len(exchanges)} exchanges")
        return 0
    try:
        host, port = bind(arguments.listen)
        to = url(arguments.to)
    except BadValue as error:
        raise UsageError(f"record: {error.message}") from None
    logging.basicConfig(level="INFO", format="%(message)s")
    try:
        return asyncio.run(_record(host, port, to, arguments))
    except OSError as error:
        raise RunError(f"cannot record at {arguments.listen}: {error.strerror or error}") from error


def _create(path: str) -> BinaryIO:
    """A new file that only its owner may read: there are passwords in it."""
    try:
        return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
    except FileExistsError:
        raise UsageError(f"--out: {path} is there already; remove it, or name another file") from None
    except OSError as error:
        raise UsageError(f"--out: {path} cannot be written: {error.strerror}") from None


async def _record(host: str, port: int, to: str, arguments: argparse.Namespace) -> int:
    from proxy.cli.recorder import Recorder

    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    exchanges: list[Exchange] = []
    with _create(arguments.out) as out:

        def write(exchange: Exchange) -> None:
            exchanges.append(exchange)
            if not arguments.anonymise:  # so that little is lost if the machine is
                out.write(dump(exchange))
                out.flush()

        async with Recorder(to, write).listening(host, port) as listening:
            print(f"couch-tailor record: http://{authority(host, listening)} -> {to}", flush=True)
            await stopping.wait()
        exchanges.sort(key=lambda exchange: exchange.n)
        out.seek(0)
        out.truncate()
        _write_all(out, _anonymised(exchanges, arguments))
    print(f"{len(exchanges)} exchanges")
    return 0


def _anonymised(exchanges: Sequence[Exchange], arguments: argparse.Namespace) -> Sequence[Exchange]:
    if not arguments.anonymise:
        return exchanges
    from proxy.traffic.anonymise import anonymise

    key = arguments.key.encode() if arguments.key else secrets.token_bytes(32)
    return anonymise(exchanges, key)


def _write_all(out: BinaryIO, exchanges: Sequence[Exchange]) -> None:
    for exchange in exchanges:
        out.write(dump(exchange))
