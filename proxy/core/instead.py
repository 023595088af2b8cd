"""Whether a document may be there instead of another one, which it has nothing in common with. No I/O.

A conflict of both may be won by either, or the other is deleted. So filters that judge edits are asked as for an edit
of the other one. Unless that is deleted, they are asked twice about what is hidden in it: as the client's own word has
it, if it has one, and as it stays where it can be sewn on. What filters set themselves is not the client's claim.

What is hidden is followed by its name on the way back, never by its value: a filter that masks it would take the mask
for the client's word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from proxy.contract import Doc, Refused
from proxy.core.equality import same
from proxy.core.staying import over_hidden, staying


class Step(NamedTuple):
    """A filter on the way back from what a client wrote to the whole document."""

    judges: bool
    """Whether it may refuse an edit for what it is."""
    sets: frozenset[str]
    """The fields that it sets itself."""
    origins: Mapping[str, Iterable[str]]
    """The fields that it shows by other names, with those that they are made of."""
    as_edit: Callable[[Doc], Doc]
    """Back onto the other document. Raises Refused, as the next one."""
    as_own: Callable[[Doc], Doc]
    """Back onto what the document goes on with, if anything."""
    other: Doc
    """What comes to the filter of the other document."""
    shown: Callable[[], Doc]
    """What the filter makes of that."""


def judge_instead(edited: Doc, steps: Iterable[Step], *, lives: bool) -> None:
    """Whether what was `edited` may be there instead of the other document. `steps`: in the order of the way back;
    `lives`: whether the other document is no deletion. Raises Refused, Withheld.
    """
    own = sewn = edited
    hidden: Hidden = {}
    for step in steps:
        if step.judges:
            own = _unset(own, step)
            whole = _with_hidden(own, step.other, hidden)
            judged = step.as_edit(whole)
            sewn = step.as_edit(_unset(sewn, step)) if lives else judged
            own = _as_it_was(judged, whole, own)
            continue
        written, own = own, step.as_own(own)
        if not lives:
            continue
        shown = step.shown()
        hidden = _both(_named_before(hidden, step), _hidden_by(step, shown))
        try:
            sewn = step.as_edit(sewn)
        except Refused:  # what it hides cannot be written so, and stays
            if same(own, written):
                sewn = staying(sewn, shown, step.other)
            else:
                sewn = over_hidden(own, _picked(step.other, hidden))


def _unset(doc: Doc, step: Step) -> Doc:
    """A document without the fields that a filter sets itself."""
    return {name: value for name, value in doc.items() if name not in step.sets} if step.sets else doc


def _as_it_was(judged: Doc, whole: Doc, own: Doc) -> Doc:
    """What a filter has made of what it judged, without what was hidden in that and it has left alone."""
    kept = {name: value for name, value in judged.items() if name not in whole or not same(value, whole[name])}
    return {name: value for name, value in own.items() if name in judged} | kept


Hidden = dict[str, Any]
"""Names of what is hidden: of members of an object that is shown another one like this, of all else None."""


def _hidden_by(step: Step, shown: Doc) -> Hidden:
    """What a filter shows nowhere as it is."""
    names = {name: [name] for name in shown}
    for name, sources in step.origins.items():
        for source in sources if name in shown else ():
            names.setdefault(source, []).append(name)
    return {
        name: _hidden_in(value, [shown[each] for each in names.get(name, ())])
        for name, value in step.other.items()
        if (not name.startswith("_") or name == "_attachments")
        and not any(same(shown[each], value) for each in names.get(name, ()))
    }


def _hidden_in(value: Any, shown: Sequence[Any]) -> Hidden | None:
    if len(shown) != 1 or not shown[0] or not isinstance(value, dict) or not isinstance(shown[0], dict):
        return None
    members = shown[0]
    return {
        name: _hidden_in(member, [members[name]] if name in members else [])
        for name, member in value.items()
        if name not in members or not same(members[name], member)
    }


def _named_before(hidden: Hidden, step: Step) -> Hidden:
    """What is hidden by later filters, as it was called before this one, which may have made it."""
    found: Hidden = {}
    for name, members in hidden.items():
        if name not in step.sets:
            for source in step.origins.get(name, (name,)):
                found = _both(found, {source: members})
    return found


def _both(one: Hidden, other: Hidden) -> Hidden:
    found = {**one, **other}
    for name in one.keys() & other.keys():
        mine, theirs = one[name], other[name]
        found[name] = None if mine is None or theirs is None else _both(mine, theirs)
    return found


def _picked(doc: Doc, hidden: Hidden) -> Doc:
    """What a document has by the names of what is hidden."""
    return {
        name: doc[name] if members is None or not isinstance(doc[name], dict) else _picked(doc[name], members)
        for name, members in hidden.items()
        if name in doc
    }


def _with_hidden(own: Doc, other: Doc, hidden: Hidden) -> Doc:
    """A document with what is hidden in the other one, unless it has that itself: what holds it and was not sent is
    there whole.
    """
    found = dict(own)
    for name, members in hidden.items():
        mine, theirs = own.get(name), other.get(name)
        if name in other and name not in own:
            found[name] = theirs
        elif isinstance(mine, dict) and isinstance(theirs, dict):
            found[name] = _with_hidden(mine, theirs, dict.fromkeys(theirs) if members is None else members)
    return found
