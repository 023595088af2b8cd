"""`couch-tailor serve`, and the commands that live in other packages: `endpoint` and `demo`."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib
import logging
from collections.abc import Sequence
from typing import Any

from proxy.cli.errors import RunError, UsageError
from proxy.cli.files import add_config_option, load_config, print_warnings
from proxy.config.problems import BadValue
from proxy.config.values import bind

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
    parser.add_argument("--log-level", choices=_LEVELS, default="info", help="how much is logged (default: info)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config)
    print_warnings(config)
    if arguments.bind is not None:
        try:
            host, port = bind(arguments.bind)
        except BadValue as error:
            raise UsageError(f"--bind: {error.message}") from None
        config = dataclasses.replace(config, server=dataclasses.replace(config.server, host=host, port=port))
    logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from proxy.app import serve

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(config))
    except OSError as error:
        where = f"{config.server.host}:{config.server.port}"
        raise RunError(f"cannot listen on {where}: {error.strerror or error}") from error
    return 0


def _loop_factory() -> Any:
    """uvloop's loop where the platform has it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def delegate(command: str, arguments: Sequence[str]) -> int:
    """Run a command that has an argument parser of its own."""
    module = importlib.import_module(_MODULES[command])
    return int(module.main(list(arguments)) or 0)


_MODULES = {"demo": "proxy.demo", "endpoint": "proxy.endpoint.serve"}
