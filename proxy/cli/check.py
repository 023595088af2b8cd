"""`couch-tailor check`: whether a configuration is right, and what it means."""

from __future__ import annotations

import argparse
from typing import Any

from proxy.cli.explain import explain
from proxy.cli.files import CONFIG_HELP, config_path, load_config, print_warnings


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="check a configuration, and say in plain words what it does",
        description="Check a configuration. All mistakes are reported at once; without any, each profile is explained.",
        allow_abbrev=False,
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help=CONFIG_HELP)
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing if all is well")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.file)
    print_warnings(config)
    if not arguments.quiet:
        print(f"{config_path(arguments.file)} is right", *explain(config), sep="\n")
    return 0
