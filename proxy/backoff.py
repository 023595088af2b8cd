"""When to send a request again that the source was too busy for (429, which is certain not to have been executed)."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

TOTAL_SECONDS = 20.0
"""From the first refusal on. Clients wait about as long for an answer as they do for a slow one, and then try again."""
_FIRST_SECONDS = 0.25
_LEAST_SECONDS = 0.05
_LONGEST_SECONDS = 5.0


class Backoff:
    """The pauses between the attempts of one request: growing, with some chance in them, or as long as the source says.

    `total`: seconds in which there may be attempts.
    """

    def __init__(self, total: float = TOTAL_SECONDS) -> None:
        self._until = time.monotonic() + total
        self._next = _FIRST_SECONDS

    def pause(self, retry_after: str | None) -> float | None:
        """Seconds to wait before another attempt, None if there is to be none. `retry_after`: that header."""
        asked = _seconds(retry_after)
        if asked is None:
            seconds = self._next * random.uniform(0.5, 1.0)  # not all that wait at once
            self._next = min(2 * self._next, _LONGEST_SECONDS)
        else:
            seconds = max(asked, _LEAST_SECONDS)
        return seconds if time.monotonic() + seconds < self._until else None


def _seconds(retry_after: str | None) -> float | None:
    """The header's seconds from now, None if it is missing or says nothing that can be understood."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
