"""Wire codecs: bytes in, values out, and back. No I/O; the same result however the input is cut.

    rows         a streamed JSON object with one big array (`_changes`, `_all_docs`, `_find`, ...)
    cut, values  where an element of it ends: guessed and proven, or found by scanning
    changes      the four `_changes` layouts, byte for byte as CouchDB writes them
    multipart    incremental decoder for multipart/related, /mixed and /form-data
    envelope     encoders of CouchDB's multipart layouts
    header       `type/subtype; name=value` header values
    accept       what an Accept header lets CouchDB answer
    gzip         request bodies with a content coding, bounded

Decoders are fed with `feed(data)`, which returns what that data completed, and told of the end with
`close()`, which raises WireError if the input stopped short: a truncated body is never taken for a whole
one.
"""

from __future__ import annotations


class WireError(ValueError):
    """The bytes are not what the format allows: malformed, cut short, or larger than a limit.

    The reason is fit for a client. Sent by the source it means 502, sent by a client 400: the caller knows
    which.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
