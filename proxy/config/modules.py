"""Where filters come from: packages with an entry point, and modules beside the configuration file."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path as FilePath
from types import ModuleType
from typing import cast

from proxy.config.problems import BadValue, did_you_mean
from proxy.config.soundness import class_fault
from proxy.contract import Filter

GROUP = "couch_tailor.filters"
"""The entry point group under which filters are registered: the built-in ones like anyone's."""

_OWN_DISTRIBUTION = "couch-tailor"


@dataclass(frozen=True)
class Found:
    """A filter's class, and what identifies its code: a change of it changes what devices are shown."""

    cls: type[Filter]
    stamp: str


def installed() -> dict[str, list[EntryPoint]]:
    """The registered filters by name; more than one for a name is a mistake where that name is used."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        if entry not in found.setdefault(entry.name, []):
            found[entry.name].append(entry)
    return found


FAULTS = (Exception, SystemExit, GeneratorExit)
"""What a module or a filter raises that is wrong. Ctrl-C is whoever waits for it."""


def find(use: str, registered: Mapping[str, list[EntryPoint]], directory: FilePath) -> Found:
    """The filter that `use` names. Raises BadValue with the place of the fault."""
    if ":" in use:
        module_name, _, class_name = use.partition(":")
        return _beside(module_name, class_name, registered, directory)
    entries = registered.get(use, [])
    if not entries:
        raise BadValue(f'no filter is called "{use}"{did_you_mean(use, registered)}')
    if len({entry.value for entry in entries}) > 1:
        raise BadValue(f'"{use}" is offered by several packages ({_offers(entries)}); uninstall all but one')
    return _registered(use, entries[0])


def _offers(entries: list[EntryPoint]) -> str:
    return ", ".join(sorted(entry.dist.name if entry.dist else entry.value for entry in entries))


def _registered(use: str, entry: EntryPoint) -> Found:
    try:
        cls = entry.load()
    except FAULTS as error:
        raise BadValue(f'"{use}" ({entry.value}) cannot be loaded: {type(error).__name__}: {error}') from error
    cls = _checked(cls, entry.value)
    foreign = entry.dist is not None and entry.dist.name != _OWN_DISTRIBUTION
    return Found(cls, f"{entry.dist.name} {entry.dist.version}" if foreign and entry.dist else "")


def _checked(cls: object, name: str) -> type[Filter]:
    fault = class_fault(cls)
    if fault is not None:
        raise BadValue(f'"{name}" {fault}')
    return cast("type[Filter]", cls)


def _beside(
    module_name: str, class_name: str, registered: Mapping[str, list[EntryPoint]], directory: FilePath
) -> Found:
    if not class_name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise BadValue(f'"{module_name}:{class_name}" does not name a class; write "module:Class"')
    top = module_name.partition(".")[0]
    if top in _RESERVED:
        remedy = "rename it" if top in _module_names(directory) else _instead(module_name, class_name, registered)
        raise BadValue(f"the module \"{top}\" has the name of one of Python's or couch-tailor's own; {remedy}")
    if top not in _module_names(directory):
        raise BadValue(f'there is no module "{top}" beside the configuration file; create {directory / top}.py')
    with _importing_from(directory) as loaded:
        module = _import(module_name, directory)
    found = getattr(module, class_name, None)
    if found is None:
        classes = (name for name, value in vars(module).items() if isinstance(value, type) and value is not Filter)
        raise BadValue(f'{module.__file__} has no class "{class_name}"{did_you_mean(class_name, classes)}')
    return Found(_checked(found, f"{module_name}:{class_name}"), _digest(loaded))


def _instead(module_name: str, class_name: str, registered: Mapping[str, list[EntryPoint]]) -> str:
    """What to write for a module that is not beside the configuration: the name by which it is registered, if it is."""
    value = f"{module_name}:{class_name}"
    name = next((name for name, entries in registered.items() if any(each.value == value for each in entries)), None)
    return "give yours another name" if name is None else f'write use = "{name}"'


def _import(name: str, directory: FilePath) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        place = f"{error.filename}:{error.lineno}: " if error.filename else _place(name, directory, error)
        raise BadValue(f"{place}{type(error).__name__}: {error.msg}") from error
    except FAULTS as error:
        raise BadValue(f"{_place(name, directory, error)}{type(error).__name__}: {error}") from error


def _place(name: str, directory: FilePath, error: BaseException) -> str:
    return place_in(directory, error) or f'the module "{name}" cannot be loaded: '


def place_in(directory: FilePath, error: BaseException) -> str:
    """`file:line: ` of the innermost frame in the site's code, where to look for the fault, or nothing."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(f"{directory}/")]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""


@contextmanager
def _importing_from(directory: FilePath) -> Iterator[list[ModuleType]]:
    """Imports look into `directory` first, for now; afterwards the interpreter is as before.

    The modules that were loaded from it are collected in the result, and leave `sys.modules`: another
    configuration may bring other modules of the same names. No bytecode is written: the directory is often
    read-only, and an edit within a second would go unnoticed.
    """
    loaded: list[ModuleType] = []
    before = dict(sys.modules)
    own = _module_names(directory) - _RESERVED
    for name in before:
        if name.partition(".")[0] in own:
            del sys.modules[name]
    no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    try:
        yield loaded
    finally:
        sys.path.remove(str(directory))
        sys.dont_write_bytecode = no_bytecode
        for name in [name for name in sys.modules if name.partition(".")[0] in own]:
            loaded.append(sys.modules.pop(name))
        sys.modules.update(before)


_RESERVED = sys.stdlib_module_names | {"proxy", "filters"}
"""Names that a module beside the configuration cannot have: too much relies on the others of that name."""


def _module_names(directory: FilePath) -> set[str]:
    return {file.stem for file in directory.glob("*.py")} | {
        file.parent.name for file in directory.glob("*/__init__.py")
    }


def _digest(modules: list[ModuleType]) -> str:
    """A digest of the code of all that was loaded for a filter, helpers included, wherever it lies.

    Comments and layout do not count: nobody is shown anything else by them.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, file in sorted({(m.__name__, m.__file__) for m in modules if m.__file__}):
        digest.update(name.encode() + b"\0" + _code(FilePath(file).read_bytes()) + b"\0")
    return digest.hexdigest()


def _code(text: bytes) -> bytes:
    try:
        return ast.dump(ast.parse(text)).encode("utf-8", "surrogatepass")
    except (SyntaxError, ValueError, RecursionError):  # no Python: compiled, perhaps
        return text
