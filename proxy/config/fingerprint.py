"""Whether two processes have read the same configuration: the file, or a secret's, can change between their starts."""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Mapping
from typing import Any

from proxy.config.model import Config

_LEFT_OUT = {"host", "port", "workers", "chain", "rules", "registered", "directory"}
"""What the command line can decide, and what stands for itself: a profile's `epoch` and its rules' identities."""


def fingerprint(config: Config) -> str:
    """A digest of all that decides what a process does. It says nothing to those who do not have the secret."""
    rules = {name: [rule.identity for rule in profile.rules] for name, profile in config.profiles.items()}
    text = repr((_plain(dataclasses.replace(config, warnings=())), rules))
    return hmac.new(config.server.secret, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = (field.name for field in dataclasses.fields(value) if field.name not in _LEFT_OUT)
        return {name: _plain(getattr(value, name)) for name in fields}
    if isinstance(value, Mapping):
        return [(name, _plain(each)) for name, each in value.items()]
    if isinstance(value, frozenset):
        return sorted(value)
    return value
