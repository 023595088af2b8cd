"""What an edit may mean cannot always be told, since its client may have been shown a former cut of the document.

An edit that is no edit of a former cut, as far as can be seen, is read as one of the present. Where that would remove,
or overwrite, what the client may never have had, it is refused instead.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Final

from proxy.contract import Doc
from proxy.core.cut import Cut, renamed
from proxy.core.equality import same
from proxy.core.lens import Chain, Withheld
from proxy.core.marks import values_of
from proxy.core.readback import comparable


def unclear(sent: Doc, shown: Doc, original: Doc, former: Iterable[Cut]) -> str | None:
    """A field of what is `shown` of the `original` now, of which it cannot be told what `sent` makes of it; None: there
    is none. It was shown in another form before, and

      - is left out: then what was not shown of it would be removed;
      - is cut or masked now, too, and neither as it is now nor as it was before;
      - is not as it is shown now, and was cut or masked in a form that is under the present one; or
      - was shown by a condition on what is hidden now, and is not as it is shown now.
    """
    for cut in former:
        look, was = cut.of(shown) or {}, _shown_by(cut, original)
        for name, source, old, value in _named(cut, shown):
            said = [sent[each] for each in (name, old) if each in sent]
            if name == "_attachments" or old not in look or any(same(each, value) for each in said):
                continue
            whole, before = original.get(source), look[old]
            taken = not said or not (same(whole, value) or any(same(each, before) for each in said))
            if taken and not same(before, value):
                return name
            if taken and said and _was_cut(cut, source, old, whole, value, was):
                return name
            if old in was and not _values(whole).isdisjoint(_values(before) - _values(was[old])):
                return name
    return None


def left_out(sent: Doc, shown: Doc, original: Doc, former: Iterable[Cut]) -> str | None:
    """A field of what is `shown` of the `original` now that `sent`, read as an edit of that, would remove unseen; None:
    there is none. It has none of what one of the former cuts did not show, or not by that name, and nothing else that
    only the present one has: it may well be an edit of the former, whose masks cannot be told where the present ones
    are over them.
    """
    for cut in former:
        look = cut.of(shown)
        if look is None:
            continue
        fields = []
        for name, source, old, value in _named(cut, shown):
            before = _NOTHING if old != name and old in sent else look.get(old, _NOTHING)
            fields.append((name, value, original.get(source), before, sent.get(name, _NOTHING)))
        found = list(_newly_shown(fields))
        if found and not any(was_said for _, was_said in found):
            return found[0][0]
    return None


def _named(cut: Cut, shown: Doc) -> Iterator[tuple[str, str, str, Any]]:
    """Of each field that is shown now: its name, the source's, that which the cut showed it by, and what is shown."""
    sources = {name: source for source, name in cut.names.items()}
    names = renamed(cut.before.links, cut.client)
    for name, value in comparable(shown).items():
        source = sources.get(name, name)
        yield name, source, names.get(source, source), value


_Field = tuple[str, Any, Any, Any, Any]
"""A field's name, what is shown of it, what is stored, what was shown before, and what was sent."""
_NOTHING: Final = object()


def _newly_shown(fields: Iterable[_Field]) -> Iterator[tuple[str, bool]]:
    """Fields of which something is shown in clear that was not before, and whether that was sent."""
    for name, value, whole, before, said in fields:
        if before is _NOTHING:
            yield name, said is not _NOTHING
        elif isinstance(value, dict) and isinstance(before, dict) and isinstance(said, dict):
            stored = whole if isinstance(whole, dict) else {}
            for member, its in value.items():
                inner = (stored.get(member), before.get(member, _NOTHING), said.get(member, _NOTHING))
                yield from ((name, was_said) for _, was_said in _newly_shown([(member, its, *inner)]))
        elif said is not _NOTHING and same(said, value) and same(whole, value) and not same(before, value):
            yield name, True


def _was_cut(cut: Cut, source: str, name: str, whole: Any, value: Any, was: Doc) -> bool:
    """Whether a field was shown neither whole nor as now. Of a text the rules tell, so that what is stored does not: by
    what those of them that are none any more make of a long one.
    """
    if not isinstance(whole, str):
        return name in was and not any(same(each, was[name]) for each in (whole, value))
    passing = Chain([link for link in cut.chain.links if link.filter.passes_all])
    try:
        shown = passing.shape({"_id": "x", "_rev": "1-0", source: _LONG}, cut.client)
    except Withheld:
        return True
    return shown is None or shown.get(name) != _LONG


_LONG = "any text " * 1000


def _values(value: Any) -> set[Hashable]:
    return set(values_of({"": value}))


def _shown_by(cut: Cut, original: Doc) -> Doc:
    """What the client was shown of a document, by all of the former rules; nothing, if it was not."""
    try:
        return cut.before.shape(original, cut.client) or {}
    except Withheld:
        return {}
