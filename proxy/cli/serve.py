"""`couch-tailor serve`, and the commands that live in other packages: `endpoint` and `demo`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from proxy.cli.binding import bind_all, cannot_listen
from proxy.cli.errors import UsageError
from proxy.cli.files import add_config_option, config_path, load_config, print_warnings
from proxy.config.problems import BadValue
from proxy.config.values import bind, count
from proxy.signals import ignore_hangups

_LEVELS = ("debug", "info", "warning", "error")


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="run the proxy",
        description="Run the proxy until SIGTERM or SIGINT.",
        allow_abbrev=False,
    )
    add_config_option(parser)
    parser.add_argument("--bind", metavar="HOST:PORT", help="listen here, whatever the configuration says")
    parser.add_argument("--workers", metavar="N", type=_workers, help="serve with so many processes, likewise")
    parser.add_argument("--log-level", choices=_LEVELS, default="info", help="how much is logged (default: info)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config)
    print_warnings(config.warnings)
    if arguments.bind is not None:
        try:
            host, port = bind(arguments.bind)
        except BadValue as error:
            raise UsageError(f"--bind: {error.message}") from None
        config = dataclasses.replace(config, server=dataclasses.replace(config.server, host=host, port=port))
    workers = config.server.workers if arguments.workers is None else arguments.workers
    ignore_hangups()
    set_up_log(arguments.log_level)
    if workers > 1 or any(config.indexed):
        from proxy.cli import processes

        return processes.serve(config, config_path(arguments.config), workers, arguments.log_level)
    from proxy.app import serve
    from proxy.loop import run_loop

    with ExitStack() as until_end:
        scrapes = bind_all(until_end, config.server.metrics)
        try:
            run_loop(serve(config, scrapes))
        except OSError as error:
            raise cannot_listen((config.server.host, config.server.port), error) from error
    return 0


def set_up_log(level: str, process: str = "") -> None:
    """`process`: which of several it is, for people."""
    where = f" [{process}]" if process else ""
    logging.basicConfig(level=level.upper(), format=f"%(asctime)s %(levelname)s{where} %(name)s: %(message)s")


def _workers(text: str) -> int:
    try:
        return count(int(text))
    except (ValueError, BadValue) as error:
        why = error.message if isinstance(error, BadValue) else f'"{text}" is not a number'
        raise argparse.ArgumentTypeError(why) from None


def delegate(command: str, arguments: Sequence[str]) -> int:
    """Run a command that has an argument parser of its own."""
    module = importlib.import_module(DELEGATED[command])
    return int(module.main(list(arguments)) or 0)


DELEGATED = {
    "demo": "proxy.demo",
    "endpoint": "proxy.endpoint.serve",
    "_process": "proxy.cli.process",  # one of those that `serve` runs
}
