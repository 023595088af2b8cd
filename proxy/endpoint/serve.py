"""Start and stop an endpoint in this process, and what `couch-tailor endpoint` runs."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path

from proxy.arguments import host, port, size
from proxy.endpoint.http.app import MAX_BODY, Endpoint
from proxy.endpoint.server import Server
from proxy.errors import CouchError, NotFound
from proxy.http_server import served
from proxy.listening import authority, listen
from proxy.loop import run_loop
from proxy.signals import ignore_hangups, stop_signals

Account = tuple[str, tuple[str, ...]]
"""Password and roles."""


class DataError(Exception):
    """The directory for databases cannot be used."""


class Running:
    """An endpoint that serves. As an async context manager it stops at the end.

    `host` and `port` are where it really listens (port 0 asks for any free one), `url` is without a trailing slash.
    """

    def __init__(self, server: Server, until_end: AsyncExitStack, host: str, port: int) -> None:
        self.server = server
        self.host = host
        self.port = port
        self.url = f"http://{authority(host, port)}"
        self._until_end = until_end

    async def stop(self) -> None:
        """Close all connections and the storage. Idempotent."""
        await self._until_end.aclose()

    async def __aenter__(self) -> Running:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()


async def start(
    directory: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    admins: Mapping[str, str] | None = None,
    users: Mapping[str, Account] | None = None,
    open_to_all: bool = False,
    proxy_secret: str | None = None,
    max_body: int = MAX_BODY,
    session_seconds: int = 600,
    iterations: int = 10_000,
) -> Running:
    """Serve the databases in `directory` (None: in memory) at an address.

    `admins`: passwords of administrators by name. `users`: password and roles of others, written to `_users` if they
    are not there with these. `open_to_all`: everybody is an administrator, credentials or not. See Endpoint for the
    others. Raises OSError if the address cannot be used, and DataError if the directory cannot.
    """
    async with AsyncExitStack() as until_end:
        server = _server(directory, admins or {}, iterations)
        until_end.push_async_callback(server.close)
        await _add_users(server, users or {})
        endpoint = Endpoint(
            server,
            open_to_all=open_to_all,
            proxy_secret=proxy_secret,
            max_body=max_body,
            session_seconds=session_seconds,
            host=authority(host, port),
        )
        until_end.push_async_callback(endpoint.finish)
        where = await until_end.enter_async_context(served(endpoint.web_server(), listen(host, port)))
        return Running(server, until_end.pop_all(), *where)


def _server(directory: Path | None, admins: Mapping[str, str], iterations: int) -> Server:
    try:
        return Server(directory, admins=admins, iterations=iterations)
    except CouchError as error:
        raise DataError(error.reason) from error
    except (OSError, sqlite3.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise DataError(f"{directory} cannot be used: {why}; name a directory that is there or can be made") from error


async def _add_users(server: Server, users: Mapping[str, Account]) -> None:
    """Write those users to `_users` whose password or roles are not there yet: a restart adds no revisions."""
    for name, (password, roles) in users.items():
        if await _known(server, name, password, roles):
            continue
        database = server.database("_users") if "_users" in server.names() else await server.create("_users")
        doc_id = f"org.couchdb.user:{name}"
        doc = {"name": name, "type": "user", "roles": list(roles), "password": password}
        try:
            rev = database.get(doc_id).rev
        except NotFound:
            rev = None
        await database.put(doc_id, doc, rev=rev)


async def _known(server: Server, name: str, password: str, roles: tuple[str, ...]) -> bool:
    try:
        return set((await server.authenticate(name, password)).roles) == set(roles)
    except CouchError:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """`couch-tailor endpoint`: serve until SIGINT or SIGTERM. The exit status; 2 for a mistake in the arguments."""
    parser = _parser()
    given = parser.parse_args(argv)
    if not given.admin and not given.open:
        parser.error("name an administrator with --admin NAME:PASSWORD, or let everybody do everything with --open")
    if given.open and not _is_loopback(given.host):
        parser.error(f"--open is for loopback addresses only, and {given.host} is none")
    if both := sorted(dict(given.admin).keys() & dict(given.user).keys()):
        parser.error(f'--user: "{both[0]}" is an administrator already; choose another name, or leave one of them out')
    for option, named in (("--admin", given.admin), ("--user", given.user)):
        if twice := [name for name, count in Counter(name for name, _ in named).items() if count > 1]:
            parser.error(f'{option}: "{twice[0]}" is named twice; leave one of them out')
    ignore_hangups()
    try:
        run_loop(_serve(given))
    except DataError as error:
        print(f"couch-tailor: --data: {error}", file=sys.stderr)
        return 1
    except CouchError as error:
        print(f"couch-tailor: a user cannot be made: {error.reason}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"couch-tailor: cannot serve at {authority(given.host, given.port)}: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(given: argparse.Namespace) -> None:
    stopping = stop_signals()
    running = await start(
        given.data,
        host=given.host,
        port=given.port,
        admins=dict(given.admin),
        users=dict(given.user),
        open_to_all=given.open,
        proxy_secret=given.proxy_secret,
        max_body=given.max_body,
    )
    async with running:
        where = given.data or "memory: nothing is kept"
        print(f"couch-tailor endpoint: {running.url} (data: {where})", flush=True)
        await stopping.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="couch-tailor endpoint",
        description="A small CouchDB-compatible server, for trying things out without a CouchDB.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data", type=_directory, metavar="DIRECTORY", help="where databases live; without it they are in memory")
    add("--host", type=host, default="127.0.0.1", help="address to listen at (default: %(default)s)")
    add("--port", type=port, default=5984, help="port to listen at, 0 for any (default: %(default)s)")
    add("--admin", type=_admin, action="append", default=[], metavar="NAME:PASSWORD", help="an administrator")
    add(
        "--user",
        type=_user,
        action="append",
        default=[],
        metavar="NAME:PASSWORD[:ROLE,ROLE...]",
        help="another user, with roles",
    )
    add("--open", action="store_true", help="everybody is an administrator (loopback addresses only)")
    add(
        "--proxy-secret",
        default=os.environ.get("COUCH_TAILOR_PROXY_SECRET"),
        metavar="SECRET",
        help="believe X-Auth-CouchDB-* headers signed with this (default: $COUCH_TAILOR_PROXY_SECRET)",
    )
    add("--max-body", type=size, default=MAX_BODY, metavar="BYTES", help="largest JSON body (default: %(default)s)")
    return parser


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a directory, or leave it out to keep nothing")
    return Path(text)


def _admin(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon or not password:
        raise argparse.ArgumentTypeError("needs the form NAME:PASSWORD")
    return name, password


def _user(text: str) -> tuple[str, Account]:
    name, password = _admin(text)
    password, _, roles = password.partition(":")
    if not password:
        raise argparse.ArgumentTypeError("needs the form NAME:PASSWORD[:ROLE,ROLE...]")
    return name, (password, tuple(role for role in roles.split(",") if role))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
