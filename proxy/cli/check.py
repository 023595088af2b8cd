"""`couch-tailor check`: whether a configuration is right, and what it means."""

from __future__ import annotations

import argparse
import os
from typing import Any

from proxy.cli.explain import explain
from proxy.cli.files import CONFIG_HELP, config_path, load_config, print_warnings
from proxy.config import places


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="check a configuration, and say in plain words what it does",
        description="Check a configuration. All mistakes are reported at once; without any, each profile is explained.",
        allow_abbrev=False,
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help=CONFIG_HELP)
    parser.add_argument(
        "--connect",
        action="store_true",
        help="also ask the sources: whether they answer, take the proxy's account, and have the databases",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing if all is well")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.file)
    print_warnings(config.warnings)
    answers: list[str] = []
    if arguments.connect:
        from proxy.cli.connect import ask

        problems = places(config_path(arguments.file), os.environ)
        answers = ask(config, problems)
        problems.raise_if_any()
    if not arguments.quiet:
        print(f"{config_path(arguments.file)} is right", *answers, *explain(config), sep="\n")
    return 0
