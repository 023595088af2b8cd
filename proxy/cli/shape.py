"""`couch-tailor shape`: what a profile makes of a document, and of an edit, without any client."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from proxy.cli.errors import RunError, UsageError
from proxy.cli.files import add_config_option, load_config, read_document
from proxy.config.model import Config, Database, Profile
from proxy.config.problems import did_you_mean
from proxy.contract import Client, Doc, Refused
from proxy.errors import CouchError

if TYPE_CHECKING:
    from proxy.cli.rehearsal import Rehearsal

_DESCRIPTION = """\
Print a document as a client with this profile would see it or, with --restore, the whole document that the client's
edit of it becomes. Exit status 1: the client does not get the document, or the edit is refused."""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "shape",
        help="show a document as a client would see it, or what an edit of it becomes",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_config_option(parser)
    parser.add_argument("-p", "--profile", required=True, help="the profile to look through")
    parser.add_argument("-d", "--database", help="one of the profile's; needed for --id if it has several")
    parser.add_argument("-u", "--user", metavar="NAME", help="who the client is; without it, an anonymous one")
    parser.add_argument("-r", "--role", metavar="ROLE", action="append", default=[], help="a role of the user")
    parser.add_argument(
        "--device", metavar="NAME=VALUE", action="append", default=[], help="what the client says of its device"
    )
    parser.add_argument("document", nargs="?", metavar="DOC.json", help="the source's document; - is standard input")
    parser.add_argument("--id", metavar="DOCID", help="fetch the document from the source instead")
    parser.add_argument("--rev", help="this revision of it, not the winner")
    parser.add_argument("--diff", action="store_true", help="print the difference to the source's document")
    parser.add_argument("--restore", metavar="EDITED.json", help="the client's edit of what it saw")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from proxy.cli.rehearsal import Rehearsal

    _check_usage(arguments)
    _log_without_tracebacks()
    config = load_config(arguments.config)
    profile = _profile(config, arguments.profile)
    database = _database(config, profile, arguments)
    client = Client(arguments.user, frozenset(arguments.role), profile.name, _device(profile, arguments.device))
    rehearsal = Rehearsal(profile, client)
    source = None if arguments.document is None else read_document(arguments.document)
    edited = None if arguments.restore is None else _edit(arguments.restore, source["_id"] if source else arguments.id)
    _check_entitled(rehearsal, config)  # after the files: what is wrong with them is told whoever asks
    if source is None:
        assert database is not None
        source = _fetch(database, config, client, arguments)
    result = _shaped(rehearsal, source) if edited is None else _restored(rehearsal, source, edited)
    if arguments.diff:
        sys.stdout.writelines(_difference(source, result, "restored" if arguments.restore else profile.name))
    else:
        print(_pretty(result))
    return 0


def _check_usage(arguments: argparse.Namespace) -> None:
    if (arguments.id is None) == (arguments.document is None):
        raise UsageError("shape: give a file with the document, - for standard input, or --id: exactly one of them")
    if arguments.rev is not None and arguments.id is None:
        raise UsageError("shape: --rev goes with --id")
    if arguments.id is not None:
        _check_id(arguments.id)
    if arguments.document == "-" and arguments.restore == "-":
        raise UsageError("shape: only one of the two documents can come from standard input")


def _check_id(doc_id: str) -> None:
    """Another path would be answered, too, with what is no document."""
    from proxy.writing.pushed import check_id

    try:
        check_id(doc_id)
    except CouchError as error:
        raise UsageError(f"shape: --id: {error.reason}") from None


def _log_without_tracebacks() -> None:
    """What the proxy would log of a filter that fails, in one line."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logger = logging.getLogger("couch_tailor")
    logger.handlers = [handler]
    logger.propagate = False


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {record.getMessage()}"


def _profile(config: Config, name: str) -> Profile:
    if name not in config.profiles:
        raise UsageError(f'--profile: there is no profile "{name}"{did_you_mean(name, config.profiles)}')
    return config.profiles[name]


def _database(config: Config, profile: Profile, arguments: argparse.Namespace) -> Database | None:
    """The database that is meant; None if none is needed and the profile has several."""
    names = sorted(profile.databases)
    name = arguments.database or (names[0] if len(names) == 1 else None)
    if name is None and arguments.id is not None:
        raise UsageError(f"--database: name one of the profile's databases: {', '.join(names)}")
    if name is not None and name not in names:
        raise UsageError(f'--database: profile {profile.name} does not show "{name}"{did_you_mean(name, names)}')
    return None if name is None else config.databases[name]


def _device(profile: Profile, given: Iterable[str]) -> dict[str, str]:
    device = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f'--device: write NAME=VALUE, not "{item}"')
        if name not in profile.device_headers:
            known = did_you_mean(name, profile.device_headers)
            raise UsageError(f'--device: profile {profile.name} reads no device attribute "{name}"{known}')
        device[name] = value
    return device


def _check_entitled(rehearsal: Rehearsal, config: Config) -> None:
    obstacle = rehearsal.obstacle(config.server.anonymous)
    if obstacle is not None:
        raise RunError(f"not visible: {obstacle}")


def _edit(path: str, doc_id: str) -> Doc:
    edited = read_document(path)
    if edited["_id"] != doc_id:
        raise UsageError(f'{path}: is an edit of "{edited["_id"]}", not of "{doc_id}"')
    return edited


def _shaped(rehearsal: Rehearsal, source: Doc) -> Doc:
    shaped, why = rehearsal.shape(source)
    if shaped is None:
        raise RunError(f"not visible: {why}")
    return shaped


def _restored(rehearsal: Rehearsal, source: Doc, edited: Doc) -> Doc:
    try:
        restored, discarded = rehearsal.restore(edited, source)
    except Refused as error:
        raise RunError(f"refused: {error.reason}") from None
    for path in discarded:
        print(f"note: {path} is discarded: the client would not read it back", file=sys.stderr)
    return restored


def _fetch(database: Database, config: Config, client: Client, arguments: argparse.Namespace) -> Doc:
    from proxy.cli.fetch import fetch

    return fetch(database, config.server.timeout, client, arguments.id, arguments.rev)


def _pretty(doc: Doc, *, sort: bool = False) -> str:
    text = json.dumps(doc, indent=2, ensure_ascii=False, sort_keys=sort)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # what the terminal lacks is written in JSON's way
        return json.dumps(doc, indent=2, sort_keys=sort)
    return text


def _difference(source: Doc, result: Doc, name: str) -> Iterable[str]:
    """A unified diff. Members are sorted: their order means nothing in JSON, and would hide what differs."""
    before, after = (_pretty(doc, sort=True).splitlines(keepends=True) for doc in (source, result))
    for line in unified_diff(before, after, "source", name):
        yield line if line.endswith("\n") else f"{line}\n"
