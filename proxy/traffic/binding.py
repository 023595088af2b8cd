"""What a server made up, and what another one made up in its place.

A value that came from the server, not from the client, is bound at its first appearance: the recorded one stands for
the live one from then on. Requests go out with the live values; replies are compared with the recorded ones translated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_plus

from proxy.core import jsonio
from proxy.traffic.exchange import Headers, Request, header

TOKEN = re.compile(r"(?<![0-9A-Za-z_-])(?:\d+-[A-Za-z0-9_-]+|[0-9a-f]{32})(?![0-9A-Za-z_-])")
"""What sequences, revisions and generated ids look like within a longer text."""
REV = re.compile(r"(\d+)-([0-9a-f]{32})\Z")
UUID = re.compile(r"[0-9a-f]{32}\Z")
_FRAMING = frozenset(("host", "connection", "content-length", "transfer-encoding", "expect", "keep-alive"))


class Bindings:
    """Recorded values and the live server's in their place, both ways unique but for sequences."""

    def __init__(self) -> None:
        self._live: dict[str, str] = {}
        self._recorded: dict[str, str] = {}
        self._sent: set[str] = set()

    def bind(self, recorded: str, live: str) -> bool:
        """Whether `live` stands for `recorded`, from now on if both are new and the client did not bring them up."""
        known = self._live.get(recorded)
        if known is not None:
            return known == live
        if recorded in self._sent or self._recorded.get(live, recorded) != recorded:
            return False
        self._live[recorded] = live
        self._recorded[live] = recorded
        return True

    def bind_rev(self, recorded: str, live: str) -> bool:
        """As `bind`, for revisions: of the same generation, and the digest by itself too, as `_revisions` has it."""
        left, right = REV.match(recorded), REV.match(live)
        if left is None or right is None or left[1] != right[1] or not self.bind(recorded, live):
            return False
        self._live.setdefault(left[2], right[2])
        return True

    def bind_seq(self, recorded: Any, live: Any) -> None:
        """The first one counts: servers write the same sequence in several ways, and give the rows in any order."""
        if isinstance(recorded, str) and isinstance(live, str | int):
            self._live.setdefault(recorded, str(live))

    def bind_cookie(self, recorded: str, live: str) -> None:
        """A new cookie replaces the old one, wherever the same text came from."""
        self._live[recorded] = live

    def bind_opaque(self, recorded: str, live: str) -> bool:
        """A value that says nothing by itself, such as a bookmark; several may stand for the same place."""
        return self._live.setdefault(recorded, live) == live

    def text(self, recorded: str) -> str:
        """A string in the live server's terms."""
        whole = self._live.get(recorded)
        return whole if whole is not None else TOKEN.sub(self._replace, recorded)

    def _replace(self, match: re.Match[str]) -> str:
        return self._live.get(match[0], match[0])

    def value(self, recorded: Any) -> Any:
        """A JSON value in the live server's terms, member names included."""
        return walk(recorded, self.text)

    def request(self, request: Request) -> Request:
        """A recorded request in the live server's terms. Headers that frame the message are left out."""
        self._note(request)
        headers = [(n, self._header(n, v)) for n, v in request.headers if n.lower() not in _FRAMING]
        return Request(request.method, self._target(request.target), headers, self._body(request))

    def _note(self, request: Request) -> None:
        for text in (unquote_plus(request.target), request.body.decode("latin-1")):
            self._sent.update(found for found in TOKEN.findall(text) if found not in self._live)

    def _header(self, name: str, value: str) -> str:
        if name.lower() != "cookie":
            return self.text(value)
        pairs = [pair.strip().partition("=") for pair in value.split(";")]
        return "; ".join(f"{name}{equals}{self._live.get(cookie, cookie)}" for name, equals, cookie in pairs)

    def _target(self, target: str) -> str:
        path, mark, query = target.partition("?")
        path = "/".join(self._encoded(piece, "") for piece in path.split("/"))
        pairs = [pair.partition("=") for pair in query.split("&")]
        return path + mark + "&".join(f"{name}{equals}{self._encoded(value, '')}" for name, equals, value in pairs)

    def _encoded(self, text: str, safe: str) -> str:
        """Percent-encoded text translated; as it was if there is nothing to translate."""
        plain = unquote_plus(text)
        live = self.text(plain)
        return text if live == plain else quote(live, safe=safe)

    def _body(self, request: Request) -> bytes:
        if not self._live or not request.body or header(request.headers, "Content-Encoding"):
            return request.body
        if is_json(request.headers):
            try:
                recorded = jsonio.loads(request.body)
            except ValueError:
                return request.body
            live = self.value(recorded)
            return request.body if live == recorded else jsonio.dumps(live)
        if (header(request.headers, "Content-Type") or "").startswith("multipart/"):
            return TOKEN.sub(self._replace, request.body.decode("latin-1")).encode("latin-1")
        return request.body


def is_json(headers: Headers) -> bool:
    return (header(headers, "Content-Type") or "").startswith("application/json")


def walk(value: Any, text: Callable[[str], str]) -> Any:
    """A JSON value with every string and member name put through `text`."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [walk(item, text) for item in value]
    if isinstance(value, dict):
        return {text(name): walk(item, text) for name, item in value.items()}
    return value
