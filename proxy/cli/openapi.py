"""`couch-tailor openapi`: the HTTP surface as an OpenAPI document, for tools that read such."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add(commands: Any) -> None:
    parser = commands.add_parser("openapi", help="print an OpenAPI description of what is served", allow_abbrev=False)
    parser.add_argument("--url", default="/", help="where the proxy is (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from proxy.openapi import describe

    print(json.dumps(describe(arguments.url), indent=2))
    return 0
