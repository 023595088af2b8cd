"""Kinds of arguments of commands, for argparse's `type`."""

from __future__ import annotations

from argparse import ArgumentTypeError

from proxy.config import values
from proxy.config.problems import BadValue

_LAST_PORT = 65535


def port(text: str) -> int:
    """Where to listen; 0 for any port that is free."""
    if not _is_whole(text) or int(text) > _LAST_PORT:
        raise ArgumentTypeError(f'"{text}" is not a port; write a number from 0 (any free port) to {_LAST_PORT}')
    return int(text)


def host(text: str) -> str:
    """Where to listen, without the port."""
    try:
        return values.host(text)
    except BadValue as error:
        raise ArgumentTypeError(error.message if text else "is empty; write an address, as 127.0.0.1") from None


def size(text: str) -> int:
    """A number of bytes, at least one."""
    if not _is_whole(text) or int(text) == 0:
        raise ArgumentTypeError(f'"{text}" is not a number of bytes; write a whole one from 1 on')
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
