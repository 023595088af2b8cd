"""The epoch of a profile's rules: devices that saw another one are shown changed documents anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from proxy.config.model import Rule

_BYTES = 6


def epoch(rules: Sequence[Rule], design_docs: bool, device: Mapping[str, str]) -> str:
    """12 hexadecimal digits, the same on every node with the same rules.

    Left out is what decides who may use a profile, and under which name: that changes who sees the documents,
    not what they look like.
    """
    decisive = [[rule.identity for rule in rules], design_docs, sorted(device.items())]
    return hashlib.blake2b(json.dumps(decisive).encode(), digest_size=_BYTES).hexdigest()
