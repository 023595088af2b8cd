"""Of what a client sends: the surplus, which it would not read back.

What is hidden in a document must come from the source alone. A client that sends what it would not be shown, by a name
that is hidden from it or in an element that is, would otherwise decide what others find there. Such writes are refused;
with `on_surplus = "discard"`, the surplus is taken from what was sent before that is restored.

Only places count, not values: a value that is shown in another form (a mask, say) has its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.contract import Doc, Refused
from proxy.core.alignment import is_cut


def without_surplus(sent: Doc, shown: Doc | None) -> Doc:
    """`sent` without what has no place in `shown`: what the client would be shown of the document that was stored.

    None: it would not be shown the document. `sent` itself, if there is no surplus. What describes the document
    (`_id`, `_rev`, ...) stays; of attachments, those go that it would not be shown. Raises Refused if it cannot be told
    what of an array that is.
    """
    shown = shown or {}
    kept: Doc = {}
    for name, value in sent.items():
        if name == "_attachments":
            names = shown.get(name) or ()
            entries = {each: entry for each, entry in value.items() if each in names}
            if entries:
                kept[name] = value if len(entries) == len(value) else entries
        elif name in shown:
            try:
                kept[name] = _common(value, shown[name])
            except _Unclear:
                raise Refused("this client would not read back what it wrote", name) from None
        elif name.startswith("_"):
            kept[name] = value
    return kept if _differ(kept, sent) else sent


class _Unclear(Exception):
    """Elements of an array that was sent cannot be told from others that are shown."""


def _common(sent: Any, shown: Any) -> Any:
    if isinstance(sent, dict) and isinstance(shown, dict):
        members = {name: _common(value, shown[name]) for name, value in sent.items() if name in shown}
        return members if _differ(members, sent) else sent
    if isinstance(sent, list) and isinstance(shown, list):
        elements = [_common(sent[index], element) for index, element in zip(_origins(sent, shown), shown, strict=True)]
        changed = len(elements) < len(sent) or any(new is not old for new, old in zip(elements, sent, strict=True))
        return elements if changed else sent
    if isinstance(shown, dict | list):
        raise _Unclear
    return sent  # in another form, as a mask or cut short


def _origins(sent: list[Any], shown: list[Any]) -> Sequence[int]:
    """Of which element that was sent each one is that is shown."""
    origins: list[int] = []
    position = 0
    for element in shown:
        while position < len(sent) and not is_cut(element, sent[position]):
            position += 1
        if position == len(sent):
            break
        origins.append(position)
        position += 1
    else:
        return origins
    if len(shown) != len(sent):
        raise _Unclear
    return range(len(sent))


def _differ(kept: dict[str, Any], sent: dict[str, Any]) -> bool:
    return len(kept) < len(sent) or any(kept[name] is not value for name, value in sent.items())
