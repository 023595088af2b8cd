"""`couch-tailor serve`, and the commands that live in other packages: `endpoint` and `demo`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from proxy.cli.binding import bind_all
from proxy.cli.errors import UsageError
from proxy.cli.files import add_config_option, blaming, config_path, load_config, print_warnings
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
    path = config_path(arguments.config)
    blame = blaming(path, ("server", "bind"))
    if arguments.bind is not None:
        blame = _blame_option
        try:
            host, port = bind(arguments.bind)
        except BadValue as error:
            raise blame(error.message) from None
        config = dataclasses.replace(config, server=dataclasses.replace(config.server, host=host, port=port))
    workers = config.server.workers if arguments.workers is None else arguments.workers
    ignore_hangups()
    set_up_log(arguments.log_level)
    with ExitStack() as until_end:
        listening = bind_all(until_end, (config.server.host, config.server.port), blame)
        scrapes = bind_all(until_end, config.server.metrics, blaming(path, ("server", "metrics")))
        if workers > 1 or config.indexed:
            from proxy.cli import processes

            return processes.serve(config, path, workers, arguments.log_level, listening, scrapes)
        from proxy.app import serve
        from proxy.loop import run_loop

        run_loop(serve(config, listening, scrapes))
    return 0


def _blame_option(message: str) -> Exception:
    return UsageError(f"--bind: {message}")


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
