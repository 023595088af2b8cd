"""Reads an edit by the cut of the document that the client had, where that is another one than it would be shown now.

What the client changed is sewn into the whole document by the former rules; what it would be shown of that by the
present ones is then the edit that is judged, as if it had been made on the present cut. So the present rules have every
say: nothing can be stored through a former cut that could not be by the present one. No I/O.

What nobody may write on a former cut is refused if it is nearer to that one: by the present rules it would remove what
the client may never have had.

A deletion is read by the present rules: it removes whatever the client was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from proxy.contract import Doc, Refused
from proxy.core.cut import Cut, likely
from proxy.core.equality import same
from proxy.core.lens import Withheld
from proxy.errors import CouchError
from proxy.writing.judge import NOT_FOLLOWING, described, following_names, judge, refused, restored
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Outcome, Rules, Send, content

CHANGED = "this client may no longer change what it was shown before and changed here: fetch the document anew"


def judge_edit(pushed: Pushed, original: Doc | None, rules: Rules) -> Outcome:
    """As `judge`, by the most likely of all the cuts that the client may have been shown."""
    if not rules.former or original is None or pushed.deleted:
        return judge(pushed, original, rules)
    original = content(original)
    present = Cut(rules.chain, rules.client)
    for cut, nearer in likely(pushed.body, original, present, rules.former):
        try:
            whole = restored(pushed, original, Rules(cut.chain, cut.client, rules.grafts))
        except (Refused, Withheld, CouchError) as error:
            if not nearer:
                continue  # it is as near to another one
            return replace(refused(pushed, error), former=True)
        try:
            return Send(pushed.complete(_by_present_rules(pushed, whole, original, cut, rules)), former=True)
        except (Refused, Withheld) as error:
            return replace(refused(pushed, error), former=True)
    return judge(pushed, original, rules)


def _by_present_rules(pushed: Pushed, whole: Doc, original: Doc, cut: Cut, rules: Rules) -> Doc:
    """The whole document of the edit that says, of the present cut, what `whole` says. Raises Refused, Withheld."""
    shown = rules.chain.read_back(described(whole), rules.client, original)
    if shown is None:
        raise Refused("the document would not be visible to the client that writes it")
    if "_attachments" in shown:
        shown = {**shown, "_attachments": {name: whole["_attachments"][name] for name in shown["_attachments"]}}
    again = restored(pushed._replace(body=shown), original, rules)
    if following_names(again) != following_names(pushed.body):
        raise Refused(NOT_FOLLOWING, "_attachments")
    of_rules = rules.chain.set_fields | cut.chain.set_fields
    if rules.on_surplus == "refuse" and not same(_compared(again, of_rules), _compared(whole, of_rules)):
        raise Refused(CHANGED)
    return again


def _compared(doc: Doc, left_out: Iterable[str]) -> Doc:
    """What clients decide of a document: not what filters set, and not how an attachment is told that is there."""
    entries: Mapping[str, Any] = doc.get("_attachments") or {}
    attachments = {name: entry.get("stub") is True or entry for name, entry in entries.items()}
    skipped = set(left_out)
    body = {name: value for name, value in doc.items() if not name.startswith("_") and name not in skipped}
    return {**body, "_attachments": attachments}
