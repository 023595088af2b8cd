"""Reads an edit by the cut of the document that the client had, where that is another one than it would be shown now.

What the client wrote is sewn into what it would be shown now, by the former rules, as if that were the document. The
result is the edit that is judged: what the client would have sent, had it been shown the present cut. So it can do
nothing by a former cut that it could not do anyway, and learns nothing of what is hidden.

What nobody may write on a former cut is refused if it is nearer to that one: by the present rules it would remove what
the client may never have had.

A deletion is read by the present rules: it removes whatever the client was shown. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from proxy.contract import Doc, Refused
from proxy.core.cut import Cut, likely
from proxy.core.equality import same
from proxy.core.lens import Withheld
from proxy.core.readback import comparable
from proxy.core.unclear import left_out, unclear
from proxy.errors import CouchError, Forbidden
from proxy.writing.judge import judge, refused, restored
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Outcome, Refuse, Rules, Send, content

LOST = "documents were shown by rules that are gone, so that it cannot be told what is meant: fetch the document anew"
UNCLEAR = "this was shown in another form before, so that it cannot be told what is meant: fetch the document anew"


def judge_edit(pushed: Pushed, original: Doc | None, rules: Rules) -> Outcome:
    """As `judge`, by the most likely of all the cuts that the client may have been shown."""
    if not (rules.former or rules.lost_rules) or original is None or pushed.deleted:
        return judge(pushed, original, rules)
    original = content(original)
    shown = rules.shape(original)
    if shown is None or same(comparable(pushed.body), comparable(shown)):
        return judge(pushed, original, rules)
    if rules.lost_rules:
        return Refuse(Forbidden(LOST), former=True)
    try:
        former = [cut for cut in rules.former if not cut.again]
        outcome = _by_former(pushed, shown, original, rules) or _unclear(pushed, shown, original, former)
        if outcome is None and (name := left_out(pushed.body, shown, original, former)) is not None:
            return _told_as_unclear(pushed, name)
    except RecursionError:
        return Refuse(Forbidden("the document is nested too deeply"))
    return judge(pushed, original, rules) if outcome is None else outcome


def _by_former(pushed: Pushed, shown: Doc, original: Doc, rules: Rules) -> Send | Refuse | None:
    """What becomes of the edit if it is one of a former cut; None: it is not."""
    found: list[Send] = []
    nearest = 0
    for cut, nearer, sent, others in likely(pushed.body, shown, original, rules.former):
        if found and nearer < nearest:
            break
        refusal = _unclear(pushed, shown, original, [cut, *others])
        if refusal is not None:
            return refusal
        try:
            by = Rules(cut.chain, cut.client, rules.grafts, on_surplus=rules.on_surplus)
            whole = restored(pushed._replace(body=sent), cut.whole(shown), by)
        except (Refused, Withheld, CouchError) as error:
            if found or not nearer:
                continue  # it is as near to another one
            return replace(refused(pushed, error), former=True)
        try:
            outcome = judge(pushed._replace(body=cut.shown(whole)), original, rules)
        except (Refused, CouchError) as error:
            return replace(refused(pushed, error), former=True)
        if isinstance(outcome, Refuse):
            return replace(outcome, former=True)
        found.append(outcome._replace(former=True))
        nearest = nearer
    for other in found[1:]:
        if not same(other.doc, found[0].doc):
            return _told_as_unclear(pushed, next((n for n in shown if _differs(n, other.doc, found[0].doc)), ""))
    return found[0] if found else None


def _differs(name: str, one: Doc, other: Doc) -> bool:
    return (name in one) != (name in other) or not same(one.get(name), other.get(name))


def _unclear(pushed: Pushed, shown: Doc, original: Doc, former: Iterable[Cut]) -> Refuse | None:
    name = unclear(pushed.body, shown, original, former)
    return None if name is None else _told_as_unclear(pushed, name)


def _told_as_unclear(pushed: Pushed, name: str) -> Refuse:
    return replace(refused(pushed, Refused(UNCLEAR, name)), former=True)
