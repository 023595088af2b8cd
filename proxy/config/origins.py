"""Readers of `[server.cors]`: origins as browsers write them, headers, methods."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from proxy.config.problems import BadValue
from proxy.config.values import each, header_name, strings

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "COPY")
"""What the proxy serves."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def origins(value: Any) -> tuple[str, ...]:
    """Origins, or `*` alone."""
    listed = strings(value)
    if not listed:
        raise BadValue('is empty; name the origins of your pages, as origins = ["https://app.example.org"]')
    mixed = BadValue('"*" stands for every origin; write it alone, or leave it out')
    each(enumerate(listed), _origin, [mixed] if "*" in listed and len(listed) > 1 else ())
    return listed


def _origin(origin: str) -> str:
    fault = None if origin == "*" else _fault(origin)
    if fault is not None:
        raise BadValue(f'"{origin}" {fault}')
    return origin


def _fault(origin: str) -> str | None:
    """What is wrong with an origin: one that no browser writes would never match."""
    if origin == "null":
        return "is the origin of every sandboxed page, whoever made it; serve your page from an origin of its own"
    if origin == "file://":  # of pages in an app's own web view
        return None
    if not _ORIGIN.fullmatch(origin):
        return 'is not an origin; write scheme, host and port in lower case, as "https://app.example.org"'
    parts = urlsplit(origin)
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is not None and origin.endswith(default):
        return f'never matches: browsers leave the default port out; write "{origin.removesuffix(default)}"'
    return None


def header_names(value: Any) -> frozenset[str]:
    """Lower-case names of request headers."""
    return frozenset(each(enumerate(strings(value)), header_name).values())


def methods(value: Any) -> tuple[str, ...]:
    return tuple(each(enumerate(strings(value)), _method).values())


def _method(name: str) -> str:
    if name not in METHODS:
        raise BadValue(f'"{name}" is not served; choose from {", ".join(METHODS)}')
    return name
