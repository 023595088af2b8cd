"""Of what a client sends: the surplus, which it would not read back.

What is hidden in a document must come from the source alone. A client that sends what it would not be shown, by a name
that is hidden from it or in an element that is, would otherwise decide what others find there. Such writes are refused;
with `on_surplus = "discard"`, the surplus is taken from what was sent before that is restored.

Only places count, not values: a value that is shown in another form (a mask, say) has its place. What the client was
shown before is no surplus, even if what it sends would hide it: to leave that out would be to delete it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.contract import Doc, Refused
from proxy.core.alignment import Effort, align, is_cut


def without_surplus(sent: Doc, shown: Doc | None, before: Doc | None = None) -> Doc:
    """`sent` without what has no place in `shown`: what the client would be shown of the document that was stored.

    None: it would not be shown the document. `before`: what it was shown of the revision that it edited. `sent` itself,
    if there is no surplus. What describes the document (`_id`, `_rev`, ...) stays; of attachments, those go that it
    would not be shown. Raises Refused if it cannot be told what of an array that is, and for what it was shown before.
    """
    shown, before = shown or {}, before or {}
    effort = Effort()
    kept: Doc = {}
    for name, value in sent.items():
        try:
            if name == "_attachments":
                entries = _members(value, shown.get(name) or {}, before.get(name))
                if entries:
                    kept[name] = value if len(entries) == len(value) else entries
            elif name in shown:
                kept[name] = _common(value, shown[name], before.get(name), effort)
            elif name.startswith("_"):
                kept[name] = value
            elif name in before:
                raise _Unclear
        except _Unclear:
            raise Refused("this client would not read back what it wrote", name) from None
    return kept if _differ(kept, sent) else sent


class _Unclear(Exception):
    """Elements of an array that was sent cannot be told from others that are shown; or what would go is no surplus."""


def _members(sent: Doc, shown: Doc, before: Any) -> Doc:
    """The members that are shown, whole."""
    gone = [name for name in sent if name not in shown]
    if isinstance(before, dict) and not before.keys().isdisjoint(gone):
        raise _Unclear
    return {name: value for name, value in sent.items() if name in shown}


def _common(sent: Any, shown: Any, before: Any, effort: Effort) -> Any:
    if isinstance(sent, dict) and isinstance(shown, dict):
        known = before if isinstance(before, dict) else {}
        kept = _members(sent, shown, known)
        members = {name: _common(value, shown[name], known.get(name), effort) for name, value in kept.items()}
        return members if _differ(members, sent) else sent
    if isinstance(sent, list) and isinstance(shown, list):
        return _common_elements(sent, shown, before if isinstance(before, list) else [], effort)
    if isinstance(shown, dict | list):
        raise _Unclear
    return sent  # in another form, as a mask or cut short


def _common_elements(sent: list[Any], shown: list[Any], before: list[Any], effort: Effort) -> list[Any]:
    origins = _origins(sent, shown)
    partners, unsure = align(sent, before, effort)
    left_out = set(range(len(sent))).difference(origins)
    if left_out and (unsure or any(partners[index] is not None for index in left_out)):
        raise _Unclear
    elements: list[Any] = []
    for index, element in zip(origins, shown, strict=True):
        at = partners[index]
        kept = _common(sent[index], element, None if at is None else before[at], effort)
        if kept is not sent[index] and unsure and (at is None or at in unsure):
            raise _Unclear
        elements.append(kept)
    changed = len(elements) < len(sent) or any(new is not sent[at] for new, at in zip(elements, origins, strict=True))
    return elements if changed else sent


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
