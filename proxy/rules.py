"""What a filter author may use beside the contract: compiled expressions and paths, whom a condition can be
true for, the structural restore, chains, and what a client reads back of what it wrote."""

from __future__ import annotations

from proxy.core.equality import key_of, same
from proxy.core.jmes import Expression, Sharing, compile_expression, sharing
from proxy.core.lens import Chain, Link
from proxy.core.paths import GONE, Paths, Survivors, compile_paths
from proxy.core.pathtree import quote
from proxy.core.readback import check_putget, differences
from proxy.core.structural import restore_structurally

__all__ = [
    "GONE",
    "Chain",
    "Expression",
    "Link",
    "Paths",
    "Sharing",
    "Survivors",
    "check_putget",
    "compile_expression",
    "compile_paths",
    "differences",
    "key_of",
    "quote",
    "restore_structurally",
    "same",
    "sharing",
]
