"""Where two JSON documents differ, as paths that a person can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from proxy.core.equality import same
from proxy.core.pathtree import quote

EVERYTHING: Final = object()
_NOTHING: Final = object()


def differences(a: Any, b: Any, place: str = "", shown: Any = EVERYTHING) -> Iterator[str]:
    """The paths (`address.zip`, `notes[2].text`) of the smallest parts in which `a` and `b` differ.

    Of a member that only one has, and of arrays that are not equally long, the path of the whole. Of a member that is
    neither in `b` nor in `shown`, the path of what it is in: its name may be as secret as its value. Of what is within
    a member that `shown` has not, the path of that: how far the two are alike may be as secret, too.
    """
    if a is b or same(a, b):
        return
    if shown is _NOTHING:
        yield place
    elif isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys([*a, *b]):
            step = f"{place}.{quote(name)}" if place else quote(name)
            if name in a and name in b:
                yield from differences(a[name], b[name], step, _within(shown, dict, name))
            elif name in b or shown is EVERYTHING or (isinstance(shown, dict) and name in shown):
                yield step
            else:
                yield place
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differences(one, other, f"{place}[{index}]", _within(shown, list, index))
    else:
        yield place


def _within(shown: Any, kind: type[dict[str, Any]] | type[list[Any]], step: Any) -> Any:
    """What `shown` has at a step into an object or array."""
    if shown is EVERYTHING:
        return shown
    if not isinstance(shown, kind):
        return _NOTHING
    inside = step in shown if isinstance(shown, dict) else step < len(shown)
    return shown[step] if inside else _NOTHING
