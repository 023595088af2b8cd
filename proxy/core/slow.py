"""Filters that somebody wrote, watched while they are called: mostly nobody else is served meanwhile (see `turns`).

One that takes long is told of; and what it raises that is no Exception becomes one, for it is not its caller's to end.
Built-in filters are not watched: that would cost as much as some of them do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, TypeVar, cast

from proxy.contract import Client, Doc, Filter

R = TypeVar("R")

log = logging.getLogger("couch_tailor.filters")

SLOW_SECONDS = 0.1
_AGAIN_SECONDS = 60.0


class OnceAMinute:
    """When something that may happen with every document is told again."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_due(self) -> bool:
        """Whether it is to be told now; if so, not again for a minute."""
        now = monotonic()
        if now < self._until:
            return False
        self._until = now + _AGAIN_SECONDS
        return True


class Failed(Exception):
    """A filter raised what is no Exception: `sys.exit`, a cancellation, what extensions raise."""


class Watched(Filter):
    """`filter_`, which messages call `name`: a call that took long is logged, not more often than once a minute."""

    def __init__(self, filter_: Filter, name: str) -> None:
        self._filter = filter_
        self._name = name
        self._again = OnceAMinute()

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return self._called("shape", doc, lambda: self._filter.shape(doc, client))

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return self._called("restore", edited, lambda: self._filter.restore(edited, original, client))

    def audience(self, doc: Doc) -> Iterable[str] | None:
        return self._called("audience", doc, lambda: _all("audience", self._filter.audience(doc)))

    def client_keys(self, client: Client) -> Iterable[str]:
        return self._called("client_keys", {}, lambda: _all("client_keys", self._filter.client_keys(client)) or ())

    def _called(self, method: str, doc: Doc, call: Callable[[], R]) -> R:
        began = monotonic()
        try:
            return call()
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # a call waits for nothing: a cancellation is not its task's, an exit not ours
            raise Failed(f"{type(error).__name__}: {error}") from error
        finally:
            self._ended(began, method, doc)

    def _ended(self, began: float, method: str, doc: Doc) -> None:
        now = monotonic()
        if now - began > SLOW_SECONDS and self._again.is_due():
            text = "%s: %s took %.0f ms for %s" + (", in which nobody else was served" if _holds_up() else "")
            log.warning(text, self._name, method, (now - began) * 1000, doc.get("_id"))


def _holds_up() -> bool:
    """Whether nobody else is served: the event loop is in the main thread, and writes may be judged in another."""
    return threading.current_thread() is threading.main_thread()


def watched(filter_: Filter, name: str) -> Filter:
    """The filter, watched unless it is a built-in one."""
    is_built_in = type(filter_).__module__.partition(".")[0] == "filters"
    return filter_ if is_built_in else Watched(filter_, name)


def _all(method: str, keys: Any) -> frozenset[str] | None:
    if keys is None:
        return None
    found = keys if isinstance(keys, str) or not isinstance(keys, Iterable) else frozenset(keys)
    if not are_strings(found):
        raise TypeError(f"{method} returned {type(keys).__name__}, not strings")
    return cast("frozenset[str]", found)


def are_strings(told: object) -> bool:
    """Whether it is strings that can be gone through, and not one of them."""
    return isinstance(told, Iterable) and not isinstance(told, str) and all(isinstance(each, str) for each in told)
