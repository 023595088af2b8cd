"""Tells of filters that keep everybody waiting: nobody else is served while one is called (see `turns`).

Built-in filters are not watched: that would cost as much as some of them do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic
from typing import ClassVar

from proxy.contract import Client, Doc, Filter

log = logging.getLogger("couch_tailor.filters")

SLOW_SECONDS = 0.1
_AGAIN_SECONDS = 60.0


class Watched(Filter):
    """`filter_`, which messages call `name`: a call that took long is logged, not more often than once a minute."""

    pure: ClassVar[bool] = True

    def __init__(self, filter_: Filter, name: str) -> None:
        self._filter = filter_
        self._name = name
        self._silent_until = 0.0

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        began = monotonic()
        try:
            return self._filter.shape(doc, client)
        finally:
            self._ended(began, "shape", doc)

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        began = monotonic()
        try:
            return self._filter.restore(edited, original, client)
        finally:
            self._ended(began, "restore", edited)

    def audience(self, doc: Doc) -> Iterable[str] | None:
        began = monotonic()
        try:
            keys = self._filter.audience(doc)
            return None if keys is None else frozenset(keys)
        finally:
            self._ended(began, "audience", doc)

    def client_keys(self, client: Client) -> Iterable[str]:
        return self._filter.client_keys(client)

    def _ended(self, began: float, method: str, doc: Doc) -> None:
        now = monotonic()
        if now - began > SLOW_SECONDS and now >= self._silent_until:
            self._silent_until = now + _AGAIN_SECONDS
            text = "%s: %s took %.0f ms for %s, in which nobody else was served"
            log.warning(text, self._name, method, (now - began) * 1000, doc.get("_id"))


def watched(filter_: Filter, name: str) -> Filter:
    """The filter, watched unless it is a built-in one."""
    is_built_in = type(filter_).__module__.partition(".")[0] == "filters"
    return filter_ if is_built_in else Watched(filter_, name)
