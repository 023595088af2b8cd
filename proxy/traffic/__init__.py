"""Recorded HTTP traffic between a client and a CouchDB: written, read, compared, made anonymous. No I/O.

exchange    a request and its reply, and the file format: one exchange on each line
tap         bytes of HTTP/1.1 passing by, taken apart into exchanges
har, mitm   exchanges from the files of browsers and of mitmproxy
binding     what the server made up (ids, revisions, sequences, cookies): recorded value -> the live server's
content     a body as a value: JSON, JSON lines, event streams, multipart
compare     where a live reply differs from the recorded one
anonymise   names and values replaced, with a key
"""

from __future__ import annotations


class TrafficError(ValueError):
    """A file or a stream is not what it should be. The message is for the user, without the file's name."""
