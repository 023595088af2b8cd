"""The command `couch-tailor`. Exit status: 0 done; 1 failed, or the answer is no; 2 a mistake in what the user wrote.

Each command is a module with `add(subparsers)` and a function that takes the parsed arguments; what a command needs
to run is imported when it runs, so that `check` needs neither a network library nor a database.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import proxy
from proxy.cli import check, index, openapi, record, replay, serve, shape, touch
from proxy.cli.errors import RunError, UsageError
from proxy.cli.files import print_warnings
from proxy.cli.streams import open_missing, output
from proxy.config import ConfigError
from proxy.config.problems import in_one_line

_DESCRIPTION = (
    "A reverse proxy that cuts CouchDB documents to fit each client while they replicate, "
    "and sews edits back into the whole."
)
_DELEGATED = {
    "demo": "run a worked example: a small CouchDB, a proxy in front of it, a few clients",
    "endpoint": "run a small CouchDB-compatible server, for trying things out without a CouchDB",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    open_missing()
    try:
        with output():
            return _run(list(sys.argv[1:] if argv is None else argv))
    except ConfigError as error:
        print_warnings(error.warnings)
        _complain(str(error))
        count = len(error.problems)
        return _complain(f"couch-tailor: {count} mistake{'s' if count > 1 else ''} in the configuration", 2)
    except UsageError as error:
        return _complain(in_one_line(f"couch-tailor: {error}"), 2)
    except RunError as error:
        return _complain(f"couch-tailor: {error}", 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as with `| head`: nobody reads on, so nobody misses the rest
        return 1


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] in serve.DELEGATED:
        return serve.delegate(arguments[0], arguments[1:])
    parsed = _parser().parse_args(arguments)
    return int(parsed.run(parsed) or 0)


def _complain(message: str, status: int = 0) -> int:
    print(message, file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="couch-tailor", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"couch-tailor {proxy.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (serve, check, shape, index, touch, record, replay, openapi):
        module.add(commands)
    for name, purpose in _DELEGATED.items():
        commands.add_parser(name, help=purpose, add_help=False)
    return parser
