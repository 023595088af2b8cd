"""Readers of single values: each takes what `tomllib` gave and returns it read, or raises BadValue."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from proxy.config.problems import BadValue, kind_of

K = TypeVar("K", bound=str | int)
V = TypeVar("V")
R = TypeVar("R")

MIN_SECRET = 16
"""Characters below which a secret counts as guessable."""

MAKE_SECRET = "make one with `openssl rand -hex 32`"

MAX_DATABASE_NAME = 238
"""Characters that CouchDB allows in a database's name (it becomes a file name)."""

_DATABASE = re.compile(r"[a-z][a-z0-9_$()+/-]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_SIZE = re.compile(r"([0-9]{1,18}) ?(B|KiB|MiB|GiB|kB|KB|MB|GB)?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|min|m|h|d)?")
_SIZE_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MOST = 1024
_NOT_NAMED = re.compile(r"[\x00-\x1f\x7f]")


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue(f"expected true or false (without quotes), not {kind_of(value)}")
    return value


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"expected a string, not {kind_of(value)}")
    if not value:
        raise BadValue("is empty; give a value or leave the key out")
    return value


def directory(value: Any) -> Path:
    """A directory, which need not be there yet."""
    if "\0" in string(value):
        raise BadValue("cannot be the name of a directory: there is a null character in it; write its path")
    path = Path(value)
    there = next((each for each in (path, *path.parents) if os.path.exists(each)), None)
    if there is not None and not os.path.isdir(there):
        raise BadValue(f'"{value}" cannot be a directory: {there} is a file; name one that is there or can be made')
    return path


def hidden(value: Any) -> str:
    """A string that no message repeats."""
    if not isinstance(value, str):
        raise BadValue("expected a string in quotes")
    return string(value)


def strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        hint = f'; write ["{value}"]' if isinstance(value, str) else ""
        raise BadValue(f"expected an array of strings, not {kind_of(value)}{hint}")
    return tuple(each(enumerate(value), _filled).values())


def _filled(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadValue(f"expected a string that is not empty, not {kind_of(value)}")
    return value


def each(items: Iterable[tuple[K, V]], read: Callable[[V], R], faults: Iterable[BadValue] = ()) -> dict[K, R]:
    """What `read` gives for each item, by its key or index. Raises BadValue with all mistakes, `faults` among them."""
    found: dict[K, R] = {}
    wrong = list(faults)
    for key, item in items:
        try:
            found[key] = read(item)
        except BadValue as error:
            wrong.append(BadValue(error.message, (key, *error.path)))
    if wrong:
        first, *more = wrong
        raise BadValue(first.message, first.path, more)
    return found


def databases(value: Any) -> tuple[str, ...]:
    """Those that a profile shows: without any, nothing could choose it."""
    if value == []:
        raise BadValue('is empty; name those that it shows, as databases = ["clinic"], or remove the profile')
    named: set[str] = set()

    def once(name: str) -> str:
        if name in named:
            raise BadValue(f'names "{name}" again; leave it out')
        named.add(name)
        return name

    return tuple(each(enumerate(strings(value)), once).values())


def choice(*words: str) -> Callable[[Any], str]:
    """A reader of one of `words`."""
    listed = " or ".join(f'"{word}"' for word in words)

    def read(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            raise BadValue(f"expected {listed}, not {kind_of(value)}")
        return value

    return read


def size(value: Any) -> int:
    """Bytes, from an integer or a string with a unit."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        value = int(match[1]) * _SIZE_UNITS[match[2] or "B"]
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(f'expected a size such as "64MiB", "500kB" or a number of bytes, not {kind_of(value)}')
    if value <= 0:
        raise BadValue("must be more than 0 bytes")
    return value


def count(value: Any) -> int:
    """How many, at least one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(f"expected a whole number, not {kind_of(value)}")
    if not 1 <= value <= _MOST:
        raise BadValue(f"must be from 1 to {_MOST}")
    return value


def duration(value: Any) -> float:
    """Seconds, from a number or a string with a unit."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        value = float(match[1]) * _DURATION_UNITS[match[2] or "s"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise BadValue(f'expected a time such as "10s", "500ms", "2m" or a number of seconds, not {kind_of(value)}')
    return float(value)


def timeout(value: Any) -> float:
    seconds = duration(value)
    if not seconds:
        raise BadValue("must be more than 0 seconds")
    return seconds


def bind(value: Any) -> tuple[str, int]:
    """Host and port to listen on."""
    host, colon, port = string(value).rpartition(":")
    if not colon or not host or port.endswith("]"):
        raise BadValue(f'"{value}" is not an address to listen on; write host:port, as "127.0.0.1:5984" or "[::]:5984"')
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadValue(f'"{port}" is not a port; write a number from 0 (any free port) to 65535')
    return _host(host), int(port)


def _host(host: str) -> str:
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        if bracketed or not _is_host_name(host):
            raise BadValue(f'"{host}" is neither an IP address nor a host name') from None
        return host
    if (address.version == 6) != bracketed:
        remedy = f"[{host}]" if address.version == 6 else host[1:-1]
        raise BadValue(f'write the host as "{remedy}": brackets are for IPv6 addresses, and only for them')
    return str(address)


def _is_host_name(host: str) -> bool:
    return _HOST_NAME.fullmatch(host) is not None and not host.replace(".", "").isdigit()


def host(value: Any) -> str:
    """Where to listen, without a port: as in `bind`, or an IPv6 address without brackets."""
    text = string(value)
    return text if _is_address(text) else _host(text)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def url(value: Any) -> str:
    """The address of a source, without a trailing slash."""
    return _url(value, 'write one such as "http://127.0.0.1:5984" or "https://couch.example.org/prefix"').rstrip("/")


def token_url(value: Any) -> str:
    """The address of a token service."""
    return _url(value, 'write one such as "https://iam.cloud.ibm.com/identity/token"')


def _url(value: Any, remedy: str) -> str:
    text = string(value)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadValue(f'"{text}" is not a URL: {error}; {remedy}') from None
    if parts.username is not None or parts.password is not None:  # the value is not repeated: it holds a password
        raise BadValue("a URL must not hold credentials; put them into username and password")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"[\s\x00-\x1f]", text):
        raise BadValue(f'"{text}" is not an http or https URL; {remedy}')
    if not (_is_address(parts.hostname) or _is_host_name(parts.hostname)):
        fault = f'"{parts.hostname}" is neither an IP address nor a host name'
        raise BadValue(f'"{text}" names no host: {fault}; {_in_ascii(parts.hostname) or remedy}')
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise BadValue(f'"{text}" has a query or a fragment; {remedy}')
    return text


def _in_ascii(host: str) -> str:
    """What to write for a name in other letters; nothing if it is none."""
    try:
        name = host.encode("idna")
        same = name.decode("idna") == host  # Python's rules are of 2003: some letters mean another host by now
    except UnicodeError:
        return ""
    return f'write it as "{name.decode()}"' if same and not host.isascii() else ""


def secret(value: Any) -> bytes:
    text = hidden(value)
    count = len(text.strip())
    if count < MIN_SECRET:
        beside = "" if count == len(text) else ", but for the space around them,"
        raise BadValue(f"has {count} characters{beside} and needs at least {MIN_SECRET}; {MAKE_SECRET}")
    return text.encode()


def user_name(value: Any) -> str:
    if ":" in string(value):
        raise BadValue("must not contain a colon: HTTP Basic authentication cannot carry one")
    return string(value)


def database_name(value: Any) -> str:
    """A database's name as CouchDB allows it (https://docs.couchdb.org/en/stable/api/database/common.html#put--db)."""
    name = string(value)
    if (fault := database_name_fault(name)) is not None:
        raise BadValue(f'"{name}" {fault}')
    return name


def database_name_fault(name: str) -> str | None:
    """What is wrong with a database's name, or None."""
    if name.startswith("_"):
        return "is a system database; those are not served"
    if not _DATABASE.fullmatch(name):
        return "is not a database name: CouchDB allows a-z, 0-9 and _$()+-/, beginning with a letter"
    if len(name) > MAX_DATABASE_NAME:
        return f"is longer than CouchDB allows ({MAX_DATABASE_NAME} characters)"
    return None


def suffix(value: Any) -> str | None:
    """What follows the database's name and a hyphen in a virtual name; None for `false`."""
    if value is False:
        return None
    if not isinstance(value, str) or not value:
        raise BadValue(f"expected a string, or false for a profile that is not chosen by name, not {kind_of(value)}")
    if not _DATABASE.fullmatch(f"a-{value}"):
        raise BadValue(f'"{value}" cannot end a database name: CouchDB allows a-z, 0-9 and _$()+-/')
    return value


def header(value: Any) -> tuple[str, str]:
    """Lower-case name and value, from `X-Device: phone`."""
    name, colon, content = string(value).partition(":")
    if not colon or not content.strip() or _NOT_NAMED.search(content):
        raise BadValue(f'expected a header with its value, as "X-Device: phone", not {kind_of(value)}')
    return header_name(name.strip()), content.strip()


def header_name(value: Any) -> str:
    """Lower-case name of a request header."""
    if not _HEADER_NAME.fullmatch(string(value)):
        raise BadValue(f'"{value}" is not the name of a header; write one such as "X-Device-Model"')
    return str(value).lower()


def header_names(value: Any) -> dict[str, str]:
    """Attribute → lower-case header name."""
    if not isinstance(value, dict):
        raise BadValue(f'expected a table, as {{ model = "X-Device-Model" }}, not {kind_of(value)}')
    return each(value.items(), header_name)
