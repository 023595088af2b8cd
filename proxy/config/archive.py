"""A profile's rules as JSON, to be kept, and a chain made of that again: how devices were shown documents by rules
that are gone.

Secrets among the options (`redact`'s `key`) are not kept: a keyed digest stands for each, and they are found again if
they are still somewhere in the configuration. Rules whose filter, or whose site's code, is another one by now, or which
have a secret that is gone, cannot be had again.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from proxy.config.model import Config, Profile
from proxy.config.problems import Problems
from proxy.config.rules import SECRET_OPTIONS, Workshop
from proxy.core.lens import Chain

_SEALED = "sealed"


class Archive:
    """The rules of a configuration, and those that were kept of former ones."""

    def __init__(self, config: Config) -> None:
        self._registered = config.registered
        self._directory = config.directory
        self._key = blake2b(config.server.secret, person=b"archive").digest()
        secrets = [secret for profile in config.profiles.values() for secret in _secrets(profile)]
        self._secrets = {self._seal(secret): secret for secret in secrets}

    def rules_of(self, profile: Profile) -> list[str]:
        """What a profile's chain can be built from again, a text of JSON for each filter."""
        if len(profile.rules) != len(profile.chain.links):  # its chain is not from a file
            return [f"{profile.name} {index}" for index in range(len(profile.chain.links))]
        return [
            self._sealed(rule.identity) if _is_json(rule.options) else f"{rule.use}: not JSON" for rule in profile.rules
        ]

    def fingerprint(self, rules: Sequence[str]) -> str:
        """What tells rules from others: 24 hexadecimal digits."""
        text = "\0".join(rules).encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._key, digest_size=12).hexdigest()

    def build(self, rules: Any, fingerprint: str) -> Chain | None:
        """The chain of rules that were kept under their fingerprint, None if it is not to be had."""
        called = f"former rules {fingerprint}"
        try:
            if self.fingerprint(rules) != fingerprint:
                return None
            items = [self._opened(json.loads(rule)) for rule in rules]
        except (AttributeError, TypeError, ValueError, KeyError, RecursionError):
            return None
        problems = Problems(called, {})
        workshop = Workshop(self._registered, self._directory, problems)
        chain, built = workshop.build(items, (called,))
        now = [self._sealed(rule.identity) for rule in built]
        return chain if len(now) == len(rules) and all(map(_stands_for, now, rules)) else None

    def _sealed(self, identity: str) -> str:
        use, stamp, version, options = json.loads(identity)
        kept = {
            name: {_SEALED: self._seal(value)} if name in SECRET_OPTIONS and value is not None else value
            for name, value in options.items()
        }
        return json.dumps([use, stamp, version, kept], sort_keys=True)

    def _opened(self, rule: Any) -> dict[str, Any]:
        """A kept rule as a table of the file. Raises KeyError for a secret that is gone; other errors for no rule."""
        use, _, _, options = rule
        opened = {
            name: self._secrets[value[_SEALED]] if name in SECRET_OPTIONS and value is not None else value
            for name, value in options.items()
        }
        return {"use": use, **opened}

    def _seal(self, secret: Any) -> str:
        return hmac.new(self._key, json.dumps(secret, sort_keys=True, default=str).encode(), "sha256").hexdigest()


def _stands_for(now: str, kept: str) -> bool:
    """Whether a rule is the one that was kept, but for options that its filter has got since, with their defaults."""
    *filter_, options = json.loads(now)
    *its_filter, its_options = json.loads(kept)
    return bool(filter_ == its_filter and its_options == {n: v for n, v in options.items() if n in its_options})


def _is_json(options: Mapping[str, Any]) -> bool:
    """Whether the options of a rule can be written as JSON: dates cannot."""
    try:
        json.dumps(dict(options))
    except (TypeError, ValueError):
        return False
    return True


def _secrets(profile: Profile) -> Iterator[Any]:
    for rule in profile.rules:
        options: Mapping[str, Any] = rule.options
        yield from (value for name, value in options.items() if name in SECRET_OPTIONS)
