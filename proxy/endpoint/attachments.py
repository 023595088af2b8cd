"""Attachments of the endpoint: what is known of one, its bytes on their way in, decoding on the way out.

Bytes are stored as they came. CouchDB gzips compressible types on its own; here they stay plain, so `digest`
is the MD5 of the plain bytes. What arrives with `encoding: gzip` stays gzipped, as it does in CouchDB.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import zlib
from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from proxy.core import jsonio
from proxy.core.revid import AttachmentId
from proxy.errors import BadRequest, CouchError

CHUNK = 256 * 1024
"""Bytes read at once, and how many an upload keeps in memory before it begins a file."""

PART = ".part"
"""The suffix of files whose upload is under way."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment of one revision.

    `digest` is `md5-<base64>` of the bytes as stored. `length` is that of the plain bytes where it is known
    (it is not, if gzip came without saying so), `encoded_length` that of the stored bytes, if they have an
    `encoding`. `key` names the bytes in the repository.
    """

    name: str
    content_type: str
    revpos: int
    digest: str
    length: int
    key: str
    encoding: str | None = None
    encoded_length: int | None = None

    @property
    def stored_length(self) -> int:
        """How many bytes are stored."""
        return self.length if self.encoded_length is None else self.encoded_length

    def hash_part(self) -> AttachmentId:
        """What of it takes part in a new revision's hash."""
        return AttachmentId(self.name, self.content_type, base64.b64decode(self.digest[4:]))

    def json(self, *, data: bytes | None, follows: bool, encoding_info: bool) -> dict[str, Any]:
        """Its value in `_attachments`: with `data` inline, else a stub or an announcement (`follows`)."""
        shown: dict[str, Any] = {
            "content_type": self.content_type,
            "revpos": self.revpos,
            "digest": self.digest,
        }
        if data is not None:
            shown["data"] = base64.b64encode(data).decode()
        else:
            shown["length"] = self.length
            shown["follows" if follows else "stub"] = True
        if encoding_info and self.encoding is not None:
            shown["encoding"] = self.encoding
            shown["encoded_length"] = self.encoded_length
        return shown


def pack(attachments: tuple[Attachment, ...]) -> bytes | None:
    """For storing beside the body; None if there are none."""
    if not attachments:
        return None
    return jsonio.dumps([list(astuple(attachment)) for attachment in attachments])


def unpack(packed: bytes | None) -> tuple[Attachment, ...]:
    if packed is None:
        return ()
    return tuple(Attachment(*row) for row in jsonio.loads(packed))


class Upload:
    """The bytes of one attachment on their way in. Memory stays bounded however many there are.

    Either pass it to a write, which takes it over, or `discard` it; as an async context manager it discards
    itself at the end unless a write took it.
    """

    def __init__(self, directory: Path | None) -> None:
        """`directory` is where larger ones wait in a file; None keeps everything in memory."""
        self.length = 0
        """Bytes written so far."""
        self.key = ""
        """Content hash, once finished: equal bytes are stored once."""
        self.path: Path | None = None
        """The file with the bytes; None if they are in `data`."""
        self.data = bytearray()
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake = hashlib.blake2b(digest_size=32)

    @classmethod
    def of(cls, data: bytes) -> Upload:
        """The upload of bytes that are at hand already."""
        upload = cls(None)
        upload.length = len(data)
        upload.data += data
        upload._seal()
        return upload

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def digest(self) -> str:
        """`md5-<base64>`, as in the attachment's stub."""
        return "md5-" + base64.b64encode(self.md5).decode()

    async def write(self, chunk: bytes) -> None:
        self.data += chunk
        self.length += len(chunk)
        if self._directory is not None and len(self.data) >= CHUNK:
            await asyncio.to_thread(self._spill)

    async def finish(self) -> None:
        """No more bytes. Idempotent; the write that takes the upload calls it if nobody did."""
        if not self.key:
            await asyncio.to_thread(self._finish)

    async def discard(self) -> None:
        """Forget the bytes, unless a write took them over."""
        if self._file is not None or self.path is not None:
            await asyncio.to_thread(self._remove)
        self.data = bytearray()

    def taken(self) -> bytes:
        """All bytes of an upload without a file, for the repository. Raises CouchError if it was discarded."""
        data = bytes(self.data)
        if len(data) != self.length:
            raise CouchError("The upload was discarded before it was stored.")
        return data

    async def __aenter__(self) -> Upload:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.discard()

    def _spill(self) -> None:
        if self._file is None:
            assert self._directory is not None
            self.path = self._directory / f"{uuid4().hex}{PART}"
            self._file = self.path.open("wb")
        self._file.write(self.data)
        self._md5.update(self.data)
        self._blake.update(self.data)
        self.data = bytearray()

    def _finish(self) -> None:
        if self._file is None:
            self._seal()
            return
        self._spill()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self.key = self._blake.hexdigest()

    def _seal(self) -> None:
        self._md5.update(self.data)
        self._blake.update(self.data)
        self.key = self._blake.hexdigest()

    def _remove(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)  # gone already if a write took it over
            self.path = None


async def gunzip(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The plain bytes of gzipped ones, in chunks of bounded size. Raises BadRequest if they are not gzip."""
    inflater = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        while chunk:
            try:
                plain = inflater.decompress(chunk, CHUNK)
            except zlib.error:
                raise BadRequest("The attachment is not valid gzip.") from None
            if plain:
                yield plain
            chunk = inflater.unconsumed_tail
    if not inflater.eof:
        raise BadRequest("The attachment's gzip data ends early.")
