"""`couch-tailor serve` as several processes: this one listens and watches over workers, and a follower if there are
indexes.

All of them read the same configuration, and none goes on with another one. Workers accept from the same sockets, so
that a connection that waits there is taken by another one when a worker ends.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import proxy
from proxy.cli.errors import RunError
from proxy.cli.files import blaming
from proxy.config.fingerprint import fingerprint
from proxy.config.model import Config
from proxy.feeds.lock import InUse, lock
from proxy.listening import BACKLOG, authority
from proxy.metrics import render
from proxy.scrapes import scraped
from proxy.signals import stop_signals
from proxy.supervisor import Child, Failed, Supervisor

_LONGEST_PATH = 103
"""Bytes of a Unix socket's path, on the system that allows least."""

_START = "import sys; sys.path += [{root!r}] * ({root!r} not in sys.path); from proxy.cli import main; sys.exit(main())"
"""Starts `couch-tailor` as this process was: no other `proxy` in the working directory can come before it."""


def serve(
    config: Config,
    path: str,
    workers: int,
    log_level: str,
    listening: Sequence[socket.socket],
    scrapes: Sequence[socket.socket],
) -> int:
    """Run the proxy until SIGTERM or SIGINT. Raises RunError, and ConfigError for a directory that cannot be used."""
    with ExitStack() as open_until_end:
        common = ["--config", path, "--log-level", log_level, "--fingerprint", fingerprint(config)]
        sockets = [each.fileno() for each in listening]
        children = []
        feeds: list[str] = []
        if config.indexed:
            assert config.server.data is not None
            kept = open_until_end.enter_context(keep(config.server.data, path)).fileno()
            directory = Path(open_until_end.enter_context(_private_directory()))
            unix = open_until_end.enter_context(_listen_unix(directory / "feeds"))
            feeds = ["--feeds", str(directory / "feeds")]
            children.append(
                Child(
                    "follower", [*_command("follower", [unix.fileno()]), *common], (unix.fileno(), kept), serves=False
                )
            )
        for number in range(1, workers + 1):
            name = f"worker {number}"
            children.append(Child(name, [*_command(name, sockets), *common, *feeds], sockets))
        where = authority(*listening[0].getsockname()[:2])
        try:
            asyncio.run(_supervise(children, where, scrapes))
        except Failed as error:
            raise RunError(str(error)) from error
    return 0


async def _supervise(children: Sequence[Child], where: str, scrapes: Sequence[socket.socket]) -> None:
    supervisor = Supervisor(children)

    async def collect() -> bytes:
        return render(await supervisor.samples())

    def ready() -> None:
        print(f"couch-tailor listens on http://{where}", flush=True)

    async with scraped(scrapes, collect):
        await supervisor.run(stop_signals(), ready)


def _command(name: str, listening: Sequence[int]) -> list[str]:
    """What starts a child. The number of its control's descriptor is still to come."""
    root = str(Path(proxy.__file__).parents[1])
    warnings = [f"-W{option}" for option in sys.warnoptions]
    python = [sys.executable, "-P", *warnings, "-c", _START.format(root=root)]
    sockets = [argument for number in listening for argument in ("--listening", str(number))]
    return [*python, "_process", name, *sockets]


_WILL_NOT_PASS = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
"""Why a directory cannot be written that will be there the next time as well."""


def keep(data: Path, path: str) -> IO[str]:
    """Keep the directory of the indexes, which the configuration at `path` names. Raises RunError, and ConfigError if
    there is no sense in trying again.
    """
    try:
        return lock(data)
    except InUse as error:
        raise RunError(f"the data directory {data} is in use by another couch-tailor ({error})") from None
    except OSError as error:
        message = f"the data directory {data} cannot be written: {error.strerror or error}"
        if error.errno in _WILL_NOT_PASS:
            remedy = "name one that this user may make, and write to"
            raise blaming(path, ("server", "data"))(f"{message}; {remedy}") from None
        raise RunError(message) from error


def _private_directory() -> tempfile.TemporaryDirectory[str]:
    """One that nobody else can enter, with a path short enough for a socket in it."""
    for parent in (None, "/tmp"):
        directory = tempfile.TemporaryDirectory(prefix="couch-tailor-", dir=parent, ignore_cleanup_errors=True)
        if len(os.fsencode(directory.name)) + len("/feeds") <= _LONGEST_PATH:
            return directory
        directory.cleanup()
    raise RunError("there is no directory for a socket: set TMPDIR to one with a short path")


def _listen_unix(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen(BACKLOG)
    return listening
