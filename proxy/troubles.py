"""What is the matter with a source, for the log: told once when it begins and once when it is over, however many
requests fail of it meanwhile. Those are told one by one at the level debug.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.errors import CouchError, Unavailable

log = logging.getLogger("couch_tailor.upstream")

QUIET_SECONDS = 5.0
"""How long nothing may have failed of it when a success shows that a trouble is over: some nodes of a source can be
away while others answer."""
_KIND = re.compile(r"[.:;](?= |$)")
"""Ends what is the same in all errors of a kind."""
_MOST = 50
"""Kinds of trouble that are told apart at a time."""


@dataclass
class _Trouble:
    began: float
    last: float
    of_account: bool
    count: int = 1


class Troubles:
    """The present troubles of one source, by kind. `clock` counts seconds."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._present: dict[str, _Trouble] = {}

    def ended(self, error: CouchError, what: str) -> None:
        """An error of the source has ended a request. `what`: which one, and how. Its reason tells the kind."""
        of_account = isinstance(error, Unavailable) and error.of_account
        self.failed(_KIND.split(error.reason, maxsplit=1)[0], f"{what}: {error}", of_account=of_account)

    def failed(self, kind: str, text: str, *, of_account: bool = False) -> None:
        """Something went wrong. `text`: what, and where. `of_account`: for the proxy's own account."""
        now = self._clock()
        if kind not in self._present and len(self._present) >= _MOST:
            kind = "several things"
        known = self._present.get(kind)
        if known is None:
            self._present[kind] = _Trouble(now, now, of_account)
            log.warning("sources.%s: %s More of this is told at the level debug.", self._source, _sentence(text))
        else:
            known.last, known.count = now, known.count + 1
            log.debug("sources.%s: %s", self._source, text)

    def succeeded(self, *, by_account: bool = True) -> None:
        """The source has answered as it should. `by_account`: to the proxy's own account, if it has one."""
        if not self._present:
            return
        now = self._clock()
        for kind, trouble in list(self._present.items()):
            if now - trouble.last >= QUIET_SECONDS and (by_account or not trouble.of_account):
                del self._present[kind]
                failures = f"{trouble.count} failure{'s' if trouble.count > 1 else ''}"
                seconds = trouble.last - trouble.began
                log.warning("sources.%s: over after %s in %.0f s: %s", self._source, failures, seconds, kind)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
