"""`couch-tailor demo`: the embedded endpoint with sample data, the proxy in front of it, and a tour of what happens."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import as_file, files

from proxy.app import running
from proxy.arguments import port as port_number
from proxy.config.load import load
from proxy.config.model import Config
from proxy.demo.data import ADMIN, USERS, documents
from proxy.demo.http import Http
from proxy.demo.tour import Tour
from proxy.endpoint.serve import start

_HOST = "127.0.0.1"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo. Returns the exit status: 0 if every step of the tour held, 1 if not, 2 for a port in use."""
    parser = argparse.ArgumentParser(prog="couch-tailor demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit after the tour; the status says whether all held")
    parser.add_argument("--port", type=port_number, help="the proxy's port (default: 5984; with --once any free one)")
    parser.add_argument(
        "--endpoint-port", type=port_number, help="the endpoint's port (default: 5990; with --once any free one)"
    )
    options = parser.parse_args(argv)
    port = options.port if options.port is not None else 0 if options.once else 5984
    endpoint_port = options.endpoint_port if options.endpoint_port is not None else 0 if options.once else 5990
    try:
        return asyncio.run(_demo(port, endpoint_port, options.once))
    except OSError as error:
        print(f"couch-tailor demo: {error.strerror or error}; choose other ports with --port and --endpoint-port")
        return 2


async def _demo(port: int, endpoint_port: int, once: bool) -> int:
    async with await start(host=_HOST, port=endpoint_port, admins=dict([ADMIN]), users=USERS) as endpoint:
        source = endpoint.url
        async with Http() as http:
            await http.json("PUT", f"{source}/clinic", ADMIN)
            await http.json("POST", f"{source}/clinic/_bulk_docs", ADMIN, {"docs": documents()})
            async with running(_configuration(source, port)) as (_, port):
                proxy = f"http://{_HOST}:{port}"
                tour = Tour(http, source, proxy)
                held = await tour.run()
                if not once:
                    print(_hints(source, proxy))
                    await _until_stopped()
                return 0 if held else 1


def _configuration(source: str, port: int) -> Config:
    with as_file(files("proxy.demo") / "clinic.toml") as path:
        config = load(path, {"COUCH_TAILOR_SOURCE_URL": source})
    return replace(config, server=replace(config.server, host=_HOST, port=port))


async def _until_stopped() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _hints(source: str, proxy: str) -> str:
    host = proxy.removeprefix("http://")
    return f"""
Go on by hand (Ctrl-C stops the demo):

  source    {source}   user admin, password secret
  proxy     {proxy}   each user's password is the name

  who    is                           database
  ann    a nurse in the north         {proxy}/clinic-phone
  bob    a nurse in the south         {proxy}/clinic-phone
  dora   a doctor                     {proxy}/clinic-tablet
  eva    an auditor (reads only)      {proxy}/clinic-auditor

  curl http://ann:ann@{host}/clinic-phone/patient:001
  curl 'http://ann:ann@{host}/clinic-phone/_changes?include_docs=true'
  curl http://dora:dora@{host}/clinic-tablet/patient:001
  curl http://admin:secret@{source.removeprefix("http://")}/clinic/patient:001

In JavaScript, with PouchDB:

  new PouchDB("clinic").sync("http://ann:ann@{host}/clinic-phone", {{ live: true, retry: true }})
"""
