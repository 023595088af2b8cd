"""The hash that CouchDB gives a new revision: equal edits of equal documents are one revision everywhere.

It is the MD5, in lower-case hexadecimal, of Erlang's external term format (minor version 1) of

    [Deleted, OldGeneration, OldHash | 0, Body, Attachments]

Body is the document's own members as `{[{Name, Value}, ...]}` in their order, Attachments `{Name, Type, MD5}`
in reverse order (couch_db:new_revid). The id of the document does not take part; the order of members and the
difference between 1 and 1.0 do.

Where a deleted document is created again, couch_db_updater computes the hash once more, of attachments whose names,
types and digests it does not look up: each is `{undefined, undefined, undefined}`, and only their number counts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from proxy.core.revisions import Rev, hash_bytes

_Out = list[bytes]

# tags of the external term format
_VERSION = b"\x83"
_NIL = b"j"
_LIST = struct.Struct(">cI")
_STRING = struct.Struct(">cH")
_BINARY = struct.Struct(">cI")
_INTEGER = struct.Struct(">ci")
_FLOAT = struct.Struct(">cd")
_ATOMS = {True: b"d\x00\x04true", False: b"d\x00\x05false", None: b"d\x00\x04null"}
_PAIR = b"h\x02"
_OBJECT = b"h\x01"
_TRIPLE = b"h\x03"
_UNDEFINED = b"d\x00\x09undefined"
_BYTES = [b"a" + bytes([value]) for value in range(256)]


class AttachmentId(NamedTuple):
    """What of an attachment takes part in the hash. `md5` are 16 bytes, of the data as stored."""

    name: str
    content_type: str
    md5: bytes


def new_hash(
    body: Mapping[str, Any],
    parent: Rev | None = None,
    *,
    deleted: bool = False,
    attachments: Sequence[AttachmentId | None] = (),
) -> str:
    """The 32 hex digits for the revision that edits `parent` (None: the first one) to `body`.

    `body` is JSON (dict, list, str, int, float, bool, None) without members of CouchDB's own (`_id`, `_rev`,
    ...). An attachment that is None only counts.
    """
    out = [_VERSION, _LIST.pack(b"l", 5), _ATOMS[deleted]]
    _put_int(parent.generation if parent else 0, out)
    if parent is None:
        out.append(_BYTES[0])
    else:
        _put_bytes(hash_bytes(parent.hash), out)
    _put_object(body, out)
    _put_attachments(attachments, out)
    out.append(_NIL)
    return hashlib.md5(b"".join(out), usedforsecurity=False).hexdigest()


def _put_attachments(attachments: Sequence[AttachmentId | None], out: _Out) -> None:
    if attachments:
        out.append(_LIST.pack(b"l", len(attachments)))
        for attachment in reversed(attachments):
            out.append(_TRIPLE)
            _put_attachment(attachment, out)
    out.append(_NIL)


def _put_attachment(attachment: AttachmentId | None, out: _Out) -> None:
    if attachment is None:
        out.append(_UNDEFINED * 3)
        return
    name, content_type, md5 = attachment
    for part in (name.encode(), content_type.encode(), md5):
        _put_bytes(part, out)


def _put(value: Any, out: _Out) -> None:
    try:
        writer = _WRITERS[type(value)]
    except KeyError:
        raise TypeError(f"not a JSON value: {type(value).__name__}") from None
    writer(value, out)


def _put_object(value: Mapping[str, Any], out: _Out) -> None:
    out.append(_OBJECT)
    if value:
        out.append(_LIST.pack(b"l", len(value)))
        for name, member in value.items():
            out.append(_name(name))
            _put(member, out)
    out.append(_NIL)


def _put_array(value: Sequence[Any], out: _Out) -> None:
    if value and len(value) <= 0xFFFF and _are_bytes(value):
        out.append(_STRING.pack(b"k", len(value)))  # Erlang takes a list of small integers for a string
        out.append(bytes(value))
        return
    if value:
        out.append(_LIST.pack(b"l", len(value)))
        for item in value:
            _put(item, out)
    out.append(_NIL)


def _are_bytes(items: Iterable[Any]) -> bool:
    return all(type(item) is int and 0 <= item <= 255 for item in items)


def _put_int(value: int, out: _Out) -> None:
    if 0 <= value <= 255:
        out.append(_BYTES[value])
    elif -0x80000000 <= value <= 0x7FFFFFFF:
        out.append(_INTEGER.pack(b"b", value))
    else:
        _put_big(value, out)


def _put_big(value: int, out: _Out) -> None:
    magnitude = abs(value)
    size = (magnitude.bit_length() + 7) // 8
    out.append(bytes([110, size]) if size <= 255 else struct.pack(">cI", b"o", size))
    out.append(bytes([value < 0]))
    out.append(magnitude.to_bytes(size, "little"))


def _put_float(value: float, out: _Out) -> None:
    out.append(_FLOAT.pack(b"F", value))


def _put_text(value: str, out: _Out) -> None:
    _put_bytes(value.encode(), out)


def _put_bytes(value: bytes, out: _Out) -> None:
    out.append(_BINARY.pack(b"m", len(value)))
    out.append(value)


def _put_atom(value: bool | None, out: _Out) -> None:
    out.append(_ATOMS[value])


@lru_cache(maxsize=4096)
def _name(name: str) -> bytes:
    """A member's name with what precedes it: documents of one kind have the same names."""
    raw = name.encode()
    return _PAIR + _BINARY.pack(b"m", len(raw)) + raw


_WRITERS: dict[type, Callable[[Any, _Out], None]] = {
    str: _put_text,
    int: _put_int,
    float: _put_float,
    bool: _put_atom,
    type(None): _put_atom,
    dict: _put_object,
    list: _put_array,
}
