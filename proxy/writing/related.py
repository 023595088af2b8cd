"""multipart/related towards the source, composed while the attachments arrive: nothing is held back or held whole.

The source matches parts to attachments by their order in `_attachments`, and believes the lengths given there. Both
were judged, so both are enforced here: the closing delimiter is sent only when every attachment has come, exactly as
long as was said, and the client's own body has come to its end. Until then the source has nothing that it could store.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.envelope import Attachment, Related, new_boundary
from proxy.core.wire.multipart import End, MultipartDecoder, MultipartEvent, PartBegin, PartData, PartEnd
from proxy.errors import BadRequest

_BROKEN = "The multipart body does not hold the attachments that its document announces."


class Bodies(Protocol):
    """Where the bytes of attachments come from, one after the other."""

    def next(self, name: str, length: int) -> AsyncIterator[bytes]:
        """The bytes of the next attachment."""

    async def finish(self) -> None:
        """Raises if what was given out is not complete, or not all there is."""


def following(doc: Doc) -> list[Attachment]:
    """The attachments of `doc` whose bodies follow it. Raises BadRequest for one without a length, or with an
    encoding that is no text."""
    entries: Mapping[str, Any] = doc.get("_attachments") or {}
    return [_attachment(name, entry) for name, entry in entries.items() if entry.get("follows") is True]


def _attachment(name: str, entry: Mapping[str, Any]) -> Attachment:
    encoding = entry.get("encoding")
    if encoding is not None and not isinstance(encoding, str):
        raise BadRequest(f"Invalid attachment data for {name}: its encoding is not text.")
    encoded = isinstance(encoding, str) and encoding != "identity"
    length = entry.get("encoded_length" if encoded and "encoded_length" in entry else "length")
    if isinstance(length, bool) or not isinstance(length, int) or length < 0:
        raise BadRequest(f"Invalid attachment data for {name}: it needs a length.")
    content_type = entry.get("content_type")
    return Attachment(
        name, content_type if isinstance(content_type, str) else "application/octet-stream", length, encoding
    )


class Upload:
    """A document and its attachments on their way to the source.

    `content_type`, `length` and `closing`, in bytes, go with `pieces()`.
    """

    def __init__(self, doc: Doc, bodies: Bodies, begun: Callable[[], None] | None = None) -> None:
        """`begun` is called once the source has taken the document, and attachments are waited for."""
        self._attachments = following(doc)
        self._bodies = bodies
        self._begun = begun
        self._related = Related(new_boundary(), jsonio.dumps(doc), self._attachments)
        self.content_type = self._related.content_type
        self.length = self._related.length
        self.epilogue = len(self._related.end_part() + self._related.tail())

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body, as it comes. Raises what `bodies` raises: then it is not complete, and nothing can be stored."""
        head = self._related.head()
        for index, attachment in enumerate(self._attachments):
            yield head + self._related.part(index)
            if self._begun is not None:
                self._begun()
            async for piece in self._bodies.next(attachment.name, attachment.length):
                yield piece
            head = self._related.end_part()
        await self._bodies.finish()
        yield head + self._related.tail()


class Received:
    """The bodies in a client's multipart body."""

    def __init__(self, stream: AsyncIterator[bytes], boundary: bytes) -> None:
        self._events = _events(stream, MultipartDecoder(boundary))

    async def document(self) -> AsyncGenerator[bytes, None]:
        """The first part. Raises BadRequest."""
        await self._expect(PartBegin)
        async for event in self._events:
            if isinstance(event, PartEnd):
                return
            assert isinstance(event, PartData)
            yield event.data
        raise BadRequest(_BROKEN)

    async def next(self, name: str, length: int) -> AsyncGenerator[bytes, None]:
        """The bytes of the next part, exactly `length` of them. Raises BadRequest."""
        await self._expect(PartBegin)
        left = length
        async for event in self._events:
            if isinstance(event, PartEnd):
                break
            assert isinstance(event, PartData)
            left -= len(event.data)
            if left < 0:
                break
            yield event.data
        if left:
            raise BadRequest(f"The attachment {name} is not of the length that its document says.")

    async def finish(self) -> None:
        """Read to the end. Raises BadRequest if there are further parts, or the body is cut short."""
        await self._expect(End)
        async for _ in self._events:
            raise BadRequest(_BROKEN)

    async def drain(self) -> None:
        """Read to the end, whatever comes."""
        async for _ in self._events:
            pass

    async def _expect(self, kind: type[MultipartEvent]) -> None:
        event = await anext(self._events, None)
        if not isinstance(event, kind):
            raise BadRequest(_BROKEN)


class Given:
    """The body of a single attachment."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream

    async def next(self, name: str, length: int) -> AsyncGenerator[bytes, None]:
        """The bytes, exactly `length` of them. Raises BadRequest."""
        left = length
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise BadRequest(f"The attachment {name} is not of the length that was announced.")

    async def finish(self) -> None:
        """There is nothing more."""


async def _events(stream: AsyncIterator[bytes], decoder: MultipartDecoder) -> AsyncGenerator[MultipartEvent, None]:
    """Raises BadRequest for what is not multipart, or ends early."""
    try:
        async for data in stream:
            for event in decoder.feed(data):
                yield event
        decoder.close()
    except WireError as error:
        raise BadRequest(error.reason) from None
