"""Whether somebody's filter keeps to the contract, as far as that can be told without a document.

What is wrong here would show in service only: each document withheld, or each one given out whole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from proxy.config.problems import did_you_mean
from proxy.contract import Filter
from proxy.core.slow import are_strings

_HOOKS: dict[str, Callable[..., Any]] = {
    name: member for name, member in vars(Filter).items() if inspect.isfunction(member)
}
"""The methods of filters."""

_PROMISES = frozenset(("client_keys", "depends_on_client", "by_fields", "hides_by_place"))
"""Those that only say something of the others: a filter that has none but these does nothing."""

_TOLD = frozenset(("describe", "describe_audience", "version"))
"""What a filter may have besides, for people."""

_FLAGS = ("passes_all", "pure", "thread_safe", "sews", "declares_audience")


_BOOLEANS = ("depends_on_client", "by_fields", "hides_by_place")
_STRINGS = ("audience_fields", "sets_fields", "fills_fields", "writes_unseen")
"""Methods that are asked before there is any document."""


def class_fault(cls: object) -> str | None:
    """What is wrong with a class, in words that follow its name, or None."""
    if not (isinstance(cls, type) and issubclass(cls, Filter)):
        return "is not a filter: it must be a class that inherits proxy.contract.Filter"
    for hook in _HOOKS:
        method = getattr(cls, hook)
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            return f"is not a filter: filters are synchronous; make {hook}() a def, not an async def"
        if not callable(method):
            return f"is not a filter: {hook} must be a method; write def {hook}{_expected(hook)}"
        if (taken := _misfit(cls, hook)) is not None:
            return f"is not a filter: {hook}() is called with other arguments; write {_expected(hook)}, not {taken}"
    return None


def fault(filter_: Filter) -> str | None:
    """What is wrong with a filter that was made, in words that follow its name, or None."""
    for flag in _FLAGS:
        if not isinstance(getattr(filter_, flag), bool):
            return f"says {flag} = {getattr(filter_, flag)!r}; it must be True or False"
    if filter_.declares_audience:
        for hook in ("audience", "client_keys"):
            if not _is_written(filter_, hook):
                return f"says declares_audience = True, and has no {hook}(); write def {hook}{_expected(hook)}"
    if not any(_is_written(filter_, hook) for hook in _HOOKS.keys() - _PROMISES):
        own = {name for name in dir(type(filter_)) if not hasattr(Filter, name)} - _TOLD
        near = next((hint for name in sorted(own) if (hint := _near(name))), "")
        return f"does nothing: it has no shape(), and documents would be shown whole{near}"
    return _misstatement(filter_)


def _misstatement(filter_: Filter) -> str | None:
    """What a method says that is not of its kind: a forgotten `return` of None would count as a promise."""
    for hook in _BOOLEANS:
        told = getattr(filter_, hook)()
        if not isinstance(told, bool):
            return f"returns {told!r} from {hook}(); it must be True or False"
    for hook in _STRINGS:
        told = getattr(filter_, hook)()
        if not are_strings(told):
            return f'returns {told!r} from {hook}(); it must be strings, as ["name"]'
    told = filter_.origins()
    if not isinstance(told, Mapping) or not all(map(are_strings, (told, *told.values()))):
        return f'returns {told!r} from origins(); it must be strings by name, as {{"name": ["first", "last"]}}'
    return None


def _is_written(filter_: Filter, hook: str) -> bool:
    return getattr(getattr(filter_, hook), "__func__", None) is not _HOOKS[hook]


def _near(name: str) -> str:
    hint = did_you_mean(name, _HOOKS.keys() - _PROMISES)
    return f"; it has {name}(){hint}" if hint.startswith("; did you mean") else ""


def _misfit(cls: type[Filter], hook: str) -> str | None:
    """The arguments that a method takes, if it cannot be called with those of the contract."""
    member = inspect.getattr_static(cls, hook)
    bound = isinstance(member, staticmethod | classmethod)
    try:
        signature = inspect.signature(getattr(cls, hook), follow_wrapped=False)
    except (TypeError, ValueError):  # not written in Python
        return None
    try:
        signature.bind(*list(inspect.signature(_HOOKS[hook]).parameters)[bound:])
    except TypeError:
        return _plain(signature)
    return None


def _expected(hook: str) -> str:
    return _plain(inspect.signature(_HOOKS[hook]))


def _plain(signature: inspect.Signature) -> str:
    """Without annotations."""
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))
