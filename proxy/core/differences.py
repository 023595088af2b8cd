"""Where two JSON documents differ, as paths that a person can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.core.equality import same
from proxy.core.pathtree import quote


def differences(a: Any, b: Any, place: str = "") -> Iterator[str]:
    """The paths (`address.zip`, `notes[2].text`) of the smallest parts in which `a` and `b` differ.

    Of a member that only one has, and of arrays that are not equally long, the path of the whole.
    """
    if a is b or same(a, b):
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys([*a, *b]):
            step = f"{place}.{quote(name)}" if place else quote(name)
            if name in a and name in b:
                yield from differences(a[name], b[name], step)
            else:
                yield step
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    else:
        yield place
