"""A recording without the names and values of those it was recorded from.

Everything in documents, ids, users, databases, attachments and queries is replaced by something alike (see scramble),
the same each time, so that the recording still says what refers to what. What CouchDB's protocol consists of stays: its
member names and options outside of documents, members that begin with `_`, numbers that count and measure, known errors
(see vocabulary). What is not known to be the protocol's is replaced.
"""

from __future__ import annotations

import gzip
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from proxy.core import jsonio
from proxy.core.wire.header import boundary_of
from proxy.traffic import vocabulary as known
from proxy.traffic.content import Content, Json, Lines, Part, Parts, Plain, typed
from proxy.traffic.exchange import Exchange, Headers, Reply, Request, header
from proxy.traffic.scramble import Scrambler


def anonymise(exchanges: Sequence[Exchange], key: bytes) -> list[Exchange]:
    """The exchanges with names and values replaced. The same key replaces alike in several recordings."""
    scrambler = Scrambler(key)
    for exchange in exchanges:  # attachments are seen before their digests are replaced
        _Anonymiser(scrambler, exchange).exchange()
    return [_Anonymiser(scrambler, exchange).exchange() for exchange in exchanges]


class _Anonymiser:
    def __init__(self, scrambler: Scrambler, exchange: Exchange) -> None:
        self._scrambler = scrambler
        self._exchange = exchange
        self._text = scrambler.text
        self._path = exchange.request.path
        pieces = [unquote(piece) for piece in self._path.split("/") if piece]
        self._local = len(pieces) > 1 and pieces[1].partition("/")[0] == "_local"
        first, second, third = [*pieces, "", "", ""][:3]
        in_database = not first.startswith("_") or first in ("_users", "_replicator")
        has_prefix = second in ("_design", "_local")
        self._is_doc = in_database and (not second.startswith("_") or second.startswith(("_design", "_local")))
        name = pieces[3:4] if has_prefix else [third] if third and not second.startswith("_") else []
        self._is_attachment = in_database and bool(name) and not name[0].startswith("_")
        self._is_foreign = has_prefix and name in (["_show"], ["_list"], ["_update"], ["_rewrite"])
        """Whether a design document's function writes the answer."""

    def exchange(self) -> Exchange:
        request = self._exchange.request
        sends_doc = self._is_doc and request.method in ("PUT", "POST")
        is_file = self._is_attachment and request.method == "PUT"
        body = self._body(request.headers, request.body, in_doc=sends_doc, is_file=is_file)
        asked = Request(
            request.method,
            self._target(request.target),
            self._headers(request.headers, body),
            body,
            _scaled(request.chunks, len(body)),
        )
        reply, partial = self._exchange.reply, self._exchange.partial
        return replace(
            self._exchange,
            request=asked,
            reply=reply and self._reply(reply),
            partial=partial and self._reply(partial),
        )

    def _reply(self, reply: Reply) -> Reply:
        is_file = self._is_attachment and self._exchange.request.method == "GET" and reply.status < 300
        body = self._body(reply.headers, reply.body, in_doc=False, is_file=is_file)
        headers = self._headers(reply.headers, body)
        return replace(reply, headers=headers, body=body, chunks=_scaled(reply.chunks, len(body)))

    # ---- targets and headers

    def _target(self, target: str) -> str:
        path, mark, query = target.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&")] if query else []
        path = "/".join(self._piece(piece) for piece in path.split("/"))
        return path + mark + "&".join(self._parameter(*pair) for pair in pairs)

    def _piece(self, piece: str) -> str:
        plain = unquote(piece)
        if plain.startswith("_") and "/" not in plain:
            return piece if plain in known.PATHS else quote(self._text(plain))
        prefix, slash, rest = plain.partition("/")
        new = f"{prefix}/{self._text(rest)}" if slash and prefix in ("_design", "_local") else self._text(plain)
        return quote(new, safe="".join(char for char in piece if not char.isalnum() and char != "%"))

    def _parameter(self, name: str, equals: str, value: str) -> str:
        plain = unquote_plus(value)
        if name not in known.PARAMETERS:
            return quote(self._text(unquote_plus(name))) + equals + quote(self._text(plain), safe="")
        if plain in known.WORDS or plain.isdigit():
            return f"{name}{equals}{value}"
        return f"{name}{equals}{quote(self._argument(name, plain), safe=':,/')}"

    def _argument(self, name: str, plain: str) -> str:
        if name == "since":
            return self._seq(plain)
        try:
            return jsonio.dumps(self._opaque(jsonio.loads(plain.encode()))).decode()
        except ValueError:
            return self._text(plain)

    def _headers(self, headers: Headers, body: bytes) -> list[tuple[str, str]]:
        found = [(name, self._header(name.lower(), value)) for name, value in headers]
        if self._exchange.request.method == "HEAD" or not body:
            return found
        return [(name, str(len(body)) if name.lower() == "content-length" else value) for name, value in found]

    def _header(self, name: str, value: str) -> str:
        if name in known.HEADERS:
            return value
        if name == "host":
            return "couch.invalid"
        if name == "authorization":
            return self._credentials(value)
        if name in ("cookie", "set-cookie"):
            return self._cookie(value, once=name == "set-cookie")
        if name in ("location", "content-location"):
            parts = urlsplit(value)
            return ("http://couch.invalid" if parts.netloc else "") + self._target(parts.path)
        if name == "destination":
            return self._target(value)
        return self._text(value)

    def _credentials(self, value: str) -> str:
        scheme, _, rest = value.partition(" ")
        if scheme.lower() != "basic":
            return f"{scheme} {self._scrambler.words(rest)}"
        try:
            return f"{scheme} {b64encode(self._text(b64decode(rest).decode()).encode()).decode()}"
        except ValueError:
            return f"{scheme} {self._scrambler.words(rest)}"

    def _cookie(self, value: str, *, once: bool) -> str:
        pairs = []
        for index, pair in enumerate(value.split(";")):
            name, equals, content = pair.partition("=")
            pairs.append(pair if once and index else f"{name}{equals}{self._scrambler.words(content)}")
        return ";".join(pairs)

    # ---- bodies

    def _body(self, headers: Headers, body: bytes, *, in_doc: bool, is_file: bool) -> bytes:
        if not body:
            return body
        kind = "" if is_file else header(headers, "Content-Type") or ""
        if (header(headers, "Content-Encoding") or "").lower() == "gzip":
            try:
                plain = zlib.decompress(body, wbits=31)
            except zlib.error:
                return self._scrambler.data(body)
            new = gzip.compress(self._typed(kind, plain, in_doc=in_doc), mtime=0)
            self._scrambler.learn(body, new)
            return new
        return self._typed(kind, body, in_doc=in_doc)

    def _typed(self, kind: str, body: bytes, *, in_doc: bool) -> bytes:
        if kind.startswith("application/x-www-form-urlencoded"):
            if not body.lstrip().startswith((b"{", b"[")):
                return "&".join(map(self._form_field, body.decode("latin-1").split("&"))).encode()
            kind = "application/json"  # which is what curl says of all that it sends, and CouchDB reads it
        if kind.startswith("multipart/form-data"):
            return self._scrambler.data(body)
        if kind.startswith("text/event-stream"):
            lines = [self._event_line(line) for line in body.decode(errors="replace").split("\n")]
            return "\n".join(lines).encode()
        said: Content = Plain(body)
        if not kind.startswith("text/plain") or self._says_json(body):
            said = typed(kind, body)
        if isinstance(said, Parts):
            return self._parts(kind, said.parts, in_doc=in_doc)
        if isinstance(said, Json):
            tail = b"\n" if body.endswith(b"\n") else b""
            return jsonio.dumps(self._top(said.value, in_doc=in_doc)) + tail
        if isinstance(said, Lines):
            return b"".join(jsonio.dumps(self._envelope(value)) + b"\n" for value in said.values)
        return self._scrambler.data(body)

    def _form_field(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        kept = name if name in known.FORM_FIELDS else quote(self._text(unquote_plus(name)))
        return f"{kept}{equals}{quote(self._text(unquote_plus(value)))}"

    def _says_json(self, body: bytes) -> bool:
        """Whether a body of type text/plain is CouchDB's JSON (to clients that accept nothing), not an attachment."""
        return body.startswith((b"{", b"[")) and body.endswith(b"\n")

    def _event_line(self, line: str) -> str:
        name, colon, rest = line.partition(":")
        if name == "id":
            return f"id:{self._seq(rest)}"
        if name != "data" or not rest.strip():
            return line if not rest.strip() or name in ("event", "retry") else name + colon + self._text(rest)
        return "data: " + jsonio.dumps(self._envelope(jsonio.loads(rest.encode()))).decode()

    def _parts(self, kind: str, parts: list[Part], *, in_doc: bool) -> bytes:
        boundary = boundary_of(kind)
        pieces = []
        for index, part in enumerate(parts):
            body = self._part(part, in_doc=in_doc and index == 0)
            headers = dict(self._headers(list(part.headers.items()), body))
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
            pieces.append(b"--%s\r\n%s\r\n%s\r\n" % (boundary, head, body))
        return b"".join(pieces) + b"--%s--" % boundary

    def _part(self, part: Part, *, in_doc: bool) -> bytes:
        said = part.content
        if isinstance(said, Parts):
            return self._parts(part.headers["content-type"], said.parts, in_doc=in_doc)
        if isinstance(said, Json) and "content-disposition" not in part.headers:
            return jsonio.dumps(self._top(said.value, in_doc=in_doc))
        body = said.data if isinstance(said, Plain) else _bytes(said)
        new = self._scrambler.data(body)
        if part.headers.get("content-encoding") == "gzip":
            new, old = gzip.compress(new, mtime=0), body
            self._scrambler.learn(old, new)
        return new

    # ---- JSON

    def _top(self, value: Any, *, in_doc: bool) -> Any:
        if self._is_foreign:
            return self._opaque(value)
        if in_doc and isinstance(value, dict):
            return self._doc(value)
        new = self._envelope(value)
        return self._in_order(new) if self._path.endswith("/_all_docs") else new

    def _in_order(self, listed: Any) -> Any:
        """An answer of `_all_docs` in the order of the new ids, unless it had the order of the keys that were asked."""
        asked = self._exchange.request
        if not isinstance(listed, dict) or not isinstance(listed.get("rows"), list):
            return listed
        if "keys=" in asked.target or b'"keys"' in asked.body or not all("id" in row for row in listed["rows"]):
            return listed
        rows = sorted(listed["rows"], key=lambda row: str(row["id"]), reverse="descending=true" in asked.target)
        return {**listed, "rows": rows}

    def _envelope(self, value: Any, name: str = "") -> Any:
        """What CouchDB wraps around documents: its names and numbers stay."""
        if isinstance(value, dict):
            if name in ("doc", "ok") or isinstance(value.get("_id"), str):
                return self._doc(value)
            return {self._name(key): self._member(key, item) for key, item in value.items()}
        if isinstance(value, list):
            if name == "docs" and self._carries_docs():
                return [self._doc(item) if isinstance(item, dict) else self._opaque(item) for item in value]
            return [self._envelope(item, name) for item in value]
        return self._string(value, name) if isinstance(value, str) else value

    def _carries_docs(self) -> bool:
        return "/_bulk_docs" in self._path or "/_find" in self._path

    def _name(self, name: str) -> str:
        return name if name in known.MEMBERS else self._text(name)

    def _member(self, name: str, value: Any) -> Any:
        if name == "selector":
            return self._opaque(value, operators=True)
        if name in ("fields", "sort"):
            return self._opaque(value)
        if name in ("value", "key", "startkey", "endkey", "start_key", "end_key"):
            is_rev = isinstance(value, dict) and value.keys() <= known.MEMBERS and "rev" in value
            return self._envelope(value, name) if is_rev else self._opaque(value)
        if name in known.KEPT:
            return value
        return self._envelope(value, name)

    def _string(self, value: str, name: str) -> str:
        if name in known.SEQUENCES:
            return self._seq(value)
        if (name in ("error", "reason") and value in known.ERRORS) or (name == "roles" and value.startswith("_")):
            return value
        prefix, slash, rest = value.partition("/")
        if slash and prefix in ("_design", "_local"):
            return f"{prefix}/{self._text(rest)}"
        return self._text(value)

    def _seq(self, value: str) -> str:
        """A sequence keeps its number; what follows it tells of servers."""
        number, dash, rest = value.lstrip('" ').partition("-")
        if not number.isdigit() or not dash:
            return value if value.strip('" ').isdigit() or value == "now" else self._scrambler.words(value)
        return value[: value.index(number)] + number + dash + self._scrambler.words(rest)

    def _doc(self, doc: dict[str, Any]) -> dict[str, Any]:
        if self._local or str(doc.get("_id", "")).startswith("_local/"):
            return {self._checkpoint_name(name): self._checkpoint(name, item) for name, item in doc.items()}
        found = {}
        for name, item in doc.items():
            if name == "_attachments" and isinstance(item, dict):
                found[name] = {self._text(key): self._attachment(about) for key, about in item.items()}
            elif name in known.DOC_MEMBERS:
                found[name] = self._envelope(item, name)
            else:
                found[self._text(name)] = self._opaque(item)
        return found

    def _checkpoint_name(self, name: str) -> str:
        return name if name in known.CHECKPOINT or name in known.DOC_MEMBERS else self._text(name)

    def _checkpoint(self, name: str, value: Any) -> Any:
        """Checkpoints of replicators are the protocol's; of any other local document nothing is known."""
        if name == "history" and isinstance(value, list):
            return [
                {self._checkpoint_name(key): self._checkpoint(key, item) for key, item in entry.items()}
                if isinstance(entry, dict)
                else self._opaque(entry)
                for entry in value
            ]
        if name in known.CHECKPOINT or name in known.DOC_MEMBERS:
            return self._envelope(value, name)
        return self._opaque(value)

    def _attachment(self, about: Any) -> Any:
        if not isinstance(about, dict):
            return self._opaque(about)
        found = {self._name(name): self._envelope(item, name) for name, item in about.items()}
        if "content_type" in about:
            found["content_type"] = about["content_type"]
        if isinstance(about.get("data"), str):
            found["data"] = self._inline(about["data"])
        return found

    def _inline(self, data: str) -> str:
        try:
            return b64encode(self._scrambler.data(b64decode(data, validate=True))).decode()
        except ValueError:
            return self._text(data)

    def _opaque(self, value: Any, *, operators: bool = False) -> Any:
        """A value of which nothing is CouchDB's, except for the operators of a selector."""
        if isinstance(value, dict):
            return {
                name if operators and name in known.OPERATORS else self._text(name): self._opaque(
                    item, operators=operators
                )
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._opaque(item, operators=operators) for item in value]
        if isinstance(value, str):
            return self._string(value, "")
        return self._scrambler.number(value) if type(value) in (int, float) else value


def _bytes(said: Content) -> bytes:
    """JSON that is an attachment."""
    return jsonio.dumps(said.value) if isinstance(said, Json) else b""


def _scaled(chunks: tuple[int, ...] | None, length: int) -> tuple[int, ...] | None:
    """Chunk lengths for a body that has become longer or shorter."""
    total = sum(chunks or ())
    if chunks is None or total in (0, length):
        return chunks
    ends, at = [], 0
    for chunk in chunks:
        at += chunk
        ends.append(at * length // total)
    return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))
