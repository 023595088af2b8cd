"""What commands read: the configuration that is meant, and JSON documents."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from proxy.cli.errors import UsageError
from proxy.config import ConfigError, load, places
from proxy.config.environment import CONFIG
from proxy.config.lines import Path as Key
from proxy.config.model import Config
from proxy.contract import Doc
from proxy.core import jsonio

CONFIG_HELP = f"the configuration file; without it, the one that {CONFIG} names"


Blame = Callable[[str], Exception]
"""Makes an error of what is wrong with a setting, which names the place where it was made."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", metavar="FILE", help=CONFIG_HELP)


def config_path(given: str | None) -> str:
    """The path of the configuration file. Raises UsageError if none is named."""
    path = given or os.environ.get(CONFIG)
    if not path:
        raise UsageError(f"no configuration: name its file with --config FILE, or set {CONFIG}")
    return path


def load_config(given: str | None) -> Config:
    """The configuration. Raises UsageError or ConfigError."""
    return load(config_path(given), os.environ)


def blaming(file: str, key: Key) -> Blame:
    """Of mistakes that show only when a configuration is used: they are at its key, or the variable that has set it."""

    def blame(message: str) -> Exception:
        try:
            problems = places(file, os.environ)
            problems.add(key, message)
            problems.raise_if_any()
        except ConfigError as error:  # another one, if the file is none any more
            return error
        raise AssertionError

    return blame


def print_warnings(warnings: Iterable[str]) -> None:
    """To standard error, so that what a command has to say stays clean."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def read_document(path: str) -> Doc:
    """The document in a JSON file, or on standard input for `-`. Raises UsageError with line and column."""
    name = "standard input" if path == "-" else path
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        if not data.strip():
            raise UsageError(f"{name}: is empty; a document is a JSON object")
        doc = jsonio.loads(data)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from None
    except jsonio.JSONDecodeError as error:
        raise UsageError(f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    if not isinstance(doc, dict):
        raise UsageError(f"{name}: is not a document: a document is a JSON object")
    if "_id" not in doc:
        raise UsageError(f"{name}: is not a document of CouchDB: it has no _id; add one")
    if not isinstance(doc["_id"], str) or not doc["_id"]:
        raise UsageError(f"{name}: is not a document of CouchDB: its _id must be a string that is not empty")
    return doc
