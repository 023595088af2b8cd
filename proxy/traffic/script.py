"""The server's side of a recording: which recorded reply a request gets.

A request gets the reply of the first recorded one like it that has not been given yet; of several given already, the
last one again. Alike is at first everything, then all but the body (clients write fresh session ids into checkpoints),
then the path alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

from proxy.core import jsonio
from proxy.traffic.exchange import Exchange, Reply

_Key = tuple[object, ...]


class Script:
    """What is left to say. `answer` is asked for one request after the other."""

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._waiting: dict[_Key, deque[Exchange]] = {}
        self._given: set[int] = set()
        for exchange in exchanges:
            if (exchange.reply or exchange.partial) is not None:
                asked = exchange.request
                for key in _keys(asked.method, asked.target, asked.body):
                    self._waiting.setdefault(key, deque()).append(exchange)

    def answer(self, method: str, target: str, body: bytes) -> tuple[Reply, bool] | None:
        """The reply, and whether it is whole; None if nothing like the request was recorded."""
        keys = _keys(method, target, body)
        for key in keys:
            fresh = next((each for each in self._waiting.get(key, ()) if each.n not in self._given), None)
            if fresh is not None:
                self._given.add(fresh.n)
                return _said(fresh)
        known = next((self._waiting[key] for key in keys if key in self._waiting), None)
        return None if known is None else _said(known[-1])


def _said(exchange: Exchange) -> tuple[Reply, bool]:
    reply = exchange.reply or exchange.partial
    assert reply is not None
    return reply, exchange.reply is not None


def _keys(method: str, target: str, body: bytes) -> list[_Key]:
    path, _, query = target.partition("?")
    pieces = tuple(unquote(piece) for piece in path.split("/") if piece)
    pairs = tuple(sorted(parse_qsl(query, keep_blank_values=True)))
    return [(method, pieces, pairs, _canonical(body)), (method, pieces, pairs), (method, pieces)]


def _canonical(body: bytes) -> bytes:
    """JSON in one spelling as far as spaces go; any other body as it is."""
    try:
        return jsonio.dumps(jsonio.loads(body))
    except ValueError:
        return body
