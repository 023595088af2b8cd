"""Recorded traffic in files: our own, and those of browsers and of mitmproxy."""

from __future__ import annotations

from pathlib import Path

from proxy.cli.errors import UsageError
from proxy.traffic import TrafficError
from proxy.traffic.exchange import Exchange, load
from proxy.traffic.har import read_har
from proxy.traffic.mitm import read_mitm


def read_recording(path: str) -> list[Exchange]:
    """The exchanges in a file, in order of their requests. What it is, its content says, not its name.

    Raises UsageError.
    """
    try:
        data = Path(path).read_bytes()
        found = _read(data)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except TrafficError as error:
        raise UsageError(f"{path}: {error}") from None
    if not found:
        raise UsageError(f"{path}: holds no exchange")
    return sorted(found, key=lambda exchange: exchange.n)


def _read(data: bytes) -> list[Exchange]:
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1].isdigit():
        return read_mitm(data)
    if start[:1] == b"{" and b'"entries"' in start and b'"log"' in start[:64]:
        return read_har(start)
    return list(load(data.split(b"\n")))
