"""What a document would be after a write that a filter cannot sew on, if all stayed that is hidden in it."""

from __future__ import annotations

from typing import Any

from proxy.contract import Doc
from proxy.core.equality import same
from proxy.core.structural import restore_structurally


def staying(edited: Doc, shaped: Doc, original: Doc) -> Doc:
    """An edit sewn onto an original as if nothing of what is hidden, or shown otherwise, had been written over."""
    return restore_structurally(edited, shaped, original, sew=_unless_hidden, stays=_is_hidden)


def _unless_hidden(edited: Any, shaped: Any, original: Any) -> Any:
    return original if _is_hidden(shaped, original) else edited


def _is_hidden(shaped: Any, original: Any) -> bool:
    return not same(shaped, original)


def over_hidden(written: Doc, hidden: Doc) -> Doc:
    """What was written, with what is hidden of fields: of objects, the members that were not written."""
    return {**written, **{name: _beneath(written.get(name), value) for name, value in hidden.items()}}


def _beneath(written: Any, hidden: Any) -> Any:
    if not (isinstance(written, dict) and isinstance(hidden, dict)):
        return hidden
    return {
        **hidden,
        **{
            name: _beneath(value, hidden[name]) if isinstance(value, dict) and name in hidden else value
            for name, value in written.items()
        },
    }
