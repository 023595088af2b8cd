"""Old and new are judged, and what the client wrote is sewn into the original. No I/O. See `plan` for the rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from proxy.contract import Doc, Refused
from proxy.core.guesses import with_other_values
from proxy.core.lens import Withheld
from proxy.core.marks import values_of
from proxy.core.news import news_in
from proxy.core.readback import check_putget, differences, forged_fields, read_back, uncovers
from proxy.core.surplus import without_surplus
from proxy.errors import CouchError, Forbidden, PreconditionFailed
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Refuse, Rules, Send, content

FAILED = "A filter failed on this document, so it was not written; the proxy's log has the details."


def judge(pushed: Pushed, original: Doc | None, rules: Rules) -> Send | Refuse:
    """The whole document, if the client may write it. `original`: a visible one; None: the client creates.

    Raises PreconditionFailed for a stub that stands for nothing that the client sees.
    """
    if not rules.chain:
        return Send(pushed.complete(pushed.body))
    try:
        return Send(pushed.complete(restored(pushed, content(original) if original else None, rules)))
    except (Refused, Withheld) as error:
        return refused(pushed, error)


def refused(pushed: Pushed, error: Refused | Withheld | CouchError) -> Refuse:
    """What the client is told where the whole document could not be made, or may not be stored."""
    if isinstance(error, CouchError):
        return Refuse(error.with_traceback(None))
    failure = error if isinstance(error, Withheld) else error.__cause__
    if isinstance(failure, Withheld):
        return Refuse(Forbidden(FAILED), pushed.id, failure)
    assert isinstance(error, Refused)
    return Refuse(Forbidden(f"{error.reason} (at {error.path})" if error.path else error.reason))


def restored(pushed: Pushed, original: Doc | None, rules: Rules) -> Doc:
    """The whole document. Raises Refused, Withheld."""
    hidden = _hidden_attachments(pushed, original, rules) if "_attachments" in pushed.body else []
    try:
        taken, whole = _readable(pushed.body, original, rules)
    except (Refused, Withheld) as error:
        if not (_is_of_filter(error) and pushed.deleted and original):
            raise
        taken, whole = _bare_deletion(pushed.body, original, rules)
    for other in rules.instead if rules.chain.judges_edits else ():
        _judge_instead(taken, original, other, rules)
    if hidden:  # told last: what could not be stored in any case is refused as if there were none
        raise Refused("this client cannot write this attachment", f"_attachments.{hidden[0]}")
    return whole


def _judge_instead(taken: Doc, original: Doc | None, other: Doc, rules: Rules) -> None:
    """Raises Refused, Withheld: also if filters would refuse it instead of the `other`, had that other values where it
    may matter what they are: a right guess at them is as good as a wrong one.
    """
    rules.chain.judge_instead(taken, original, other, rules.client)
    doubted = _otherwise(None, taken, other, rules)
    if doubted is not None:
        with suppress(Withheld):  # by a filter that fails on what the source never had
            rules.chain.judge_instead(taken, original, doubted, rules.client)


def _is_of_filter(error: Refused | Withheld) -> bool:
    """Whether it is for a filter that failed."""
    return isinstance(error, Withheld) or isinstance(error.__cause__, Withheld)


def _bare_deletion(sent: Doc, original: Doc, rules: Rules) -> tuple[Doc, Doc]:
    """As `_readable`, of a deletion on which a filter fails: nothing of what was sent. Raises Refused, Withheld."""
    bare: Doc = {name: sent[name] for name in ("_id", "_rev", "_deleted") if name in sent}
    try:
        return _readable(bare, original, rules)
    except (Refused, Withheld) as error:
        if not _is_of_filter(error):
            raise
    return bare, rules.chain.bare_deletion(bare, original, rules.client)


def _readable(sent: Doc, original: Doc | None, rules: Rules) -> tuple[Doc, Doc]:
    """What is taken of what was sent, and the whole document, in which nothing is hidden but what the source has
    hidden. Raises Refused, Withheld.
    """
    if not _reads_more(sent, rules):
        return sent, _read_as_sent(sent, original, rules)
    taken, forged = _taken_otherwise(sent, original, rules)
    taken, whole = _settled(taken, original, rules, forged)
    other = _otherwise(whole, taken, original, rules)
    return taken, _undoubted(whole, taken, original, _whole_otherwise(taken, other, rules), other, rules)


def _read_as_sent(sent: Doc, original: Doc | None, rules: Rules) -> Doc:
    """The whole document, of which the client reads what it sent. Raises Refused, Withheld.

    The other one is judged first: what it is refused for is what a wrong guess would be, also where this one is refused
    for something else.
    """
    other = _otherwise(None, sent, original, rules)
    otherwise = _whole_otherwise(sent, other, rules)
    _, whole = _settled(sent, original, rules)
    return _undoubted(whole, sent, original, otherwise, other, rules)


def _whole_otherwise(sent: Doc, other: Doc | None, rules: Rules) -> Doc | None:
    """The whole document if the original were the `other`. None: there is none, or a filter fails on what the source
    never had. Raises Refused.
    """
    if other is None:
        return None
    try:
        return _settled(sent, other, rules)[1]
    except Withheld:
        return None


def _reads_more(sent: Doc, rules: Rules) -> bool:
    """Whether the client may read back something else than it sent."""
    return "_deleted" in sent or rules.on_surplus == "discard"


def _taken_otherwise(sent: Doc, original: Doc | None, rules: Rules) -> tuple[Doc, Collection[str]]:
    """What is taken of what was sent, were the guesses in it wrong; and the fields that a deletion would lose then.

    Raises Refused, if the write were.
    """
    other = _otherwise(None, sent, original, rules)
    if other is None:
        return sent, ()
    try:
        taken, whole = _settled(sent, other, rules)
        lost = _sewn(sent, other, rules).keys() - whole.keys() if "_deleted" in sent else ()
    except Withheld:  # by a filter that fails on what the source never had
        return sent, ()
    return taken, lost


def _otherwise(whole: Doc | None, sent: Doc, original: Doc | None, rules: Rules) -> Doc | None:
    """The original, had it other values where it may matter to the write what they are; None if it does not."""
    chain, client, reads_more = rules.chain, rules.client, _reads_more(sent, rules)
    if not original or (chain.hides_by_place and not reads_more):
        return None
    shown = chain.shape(original, client) or {}
    told = [*news_in(sent, shown)]
    if whole and reads_more:  # all of it: what is uncovered may look like what was shown elsewhere
        told += values_of(read_back(chain, described(whole), client, original) or {})
    other = with_other_values(chain, original, shown, client, told) if told else None
    return None if other is None or _is_forbidden(other, original, shown, rules) else other


def _is_forbidden(other: Doc, original: Doc, shown: Doc, rules: Rules) -> bool:
    """Whether a rule allows what is stored to be there, and not the other document: an honest edit of what the client
    is shown would be refused for values that nobody has.
    """
    return rules.chain.judges_edits and _allows(original, shown, rules) and not _allows(other, shown, rules)


def _allows(original: Doc, shown: Doc, rules: Rules) -> bool:
    with suppress(Refused, Withheld):
        rules.chain.restore(shown, original, rules.client)
        return True
    return False


def _undoubted(
    whole: Doc, sent: Doc, original: Doc | None, otherwise: Doc | None, other: Doc | None, rules: Rules
) -> Doc:
    """`whole`, as far as it looks the same as what becomes `otherwise` of what was sent, if the original is the
    `other`. None: nothing is in doubt. Raises Refused, Withheld.
    """
    if otherwise is None:
        return whole
    if "_deleted" in sent:
        whole = {name: value for name, value in whole.items() if name in otherwise}
    chain, client = rules.chain, rules.client
    read, read_otherwise = (
        read_back(chain, described(each), client, of) or {} for each, of in ((whole, original), (otherwise, other))
    )
    if differences(chain, read, read_otherwise, client):
        raise Refused(UNCOVERS)
    return whole


def _settled(sent: Doc, original: Doc | None, rules: Rules, forged: Collection[str] = ()) -> tuple[Doc, Doc]:
    """What is taken of what was sent, and the whole document, judged by what is hidden as it is.

    `forged`: fields that a deletion loses in any case. Raises Refused, Withheld.
    """
    whole = _sewn(sent, original, rules)
    differing = _check(whole, sent, original, rules)
    if "_deleted" in sent:
        whole = _without_forged(whole, sent, original, rules, forged)
    elif not differing:
        return sent, whole
    elif rules.on_surplus == "refuse":
        raise Refused(NOT_READ_BACK, differing[0])
    else:
        sent, whole = _without_surplus(whole, sent, original, rules)
    if _uncovers(whole, sent, original, rules):
        whole = _without_others(whole, sent, original, rules)
    return sent, whole


NOT_READ_BACK = "this client would not read back what it wrote"
UNCOVERS = "this write would show the client what is hidden from it"
NOT_FOLLOWING = "attachments whose bodies follow cannot be left out or moved"


def _without_others(whole: Doc, sent: Doc, original: Doc | None, rules: Rules) -> Doc:
    """A deletion without what it keeps for other profiles, if it is this that the client would be shown. Raises Refused
    if not.
    """
    others = rules.chain.kept_fields - rules.chain.audience_fields if "_deleted" in sent else ()
    left = {name: value for name, value in whole.items() if name in sent or name not in others}
    if len(left) == len(whole) or _uncovers(left, sent, original, rules):
        raise Refused(UNCOVERS)
    return left


def _uncovers(whole: Doc, sent: Doc, original: Doc | None, rules: Rules) -> bool:
    return uncovers(rules.chain, described(whole), sent, rules.client, original)


def _without_forged(whole: Doc, sent: Doc, original: Doc | None, rules: Rules, more: Collection[str]) -> Doc:
    """A deletion without the fields in which something is hidden that is not the source's, nor `more` of them."""
    forged = _forged(whole, sent, original, rules).union(more)
    kept = {name: value for name, value in whole.items() if name not in forged}
    kept = rules.chain.routed(kept, original)
    if "_attachments" in kept:
        shown = (read_back(rules.chain, described(whole), rules.client, original) or {}).get("_attachments") or {}
        kept["_attachments"] = {name: entry for name, entry in kept["_attachments"].items() if name in shown}
        if not kept["_attachments"]:
            del kept["_attachments"]
        if following_names(kept) != following_names(sent):
            raise Refused(NOT_FOLLOWING, "_attachments")
    return kept


def _without_surplus(whole: Doc, sent: Doc, original: Doc | None, rules: Rules) -> tuple[Doc, Doc]:
    """What is taken of what was sent, and the whole document that it makes."""
    forged = _forged(whole, sent, original, rules)
    if not forged:
        return sent, whole
    before = rules.chain.shape(original, rules.client) if original else None
    taken = without_surplus(sent, read_back(rules.chain, described(whole), rules.client, original), before)
    if taken is sent:  # all has its place, in another form: as it is stored, or as a filter has set it
        if forged & rules.chain.made_fields:
            raise Refused(NOT_READ_BACK, min(forged))
        return sent, whole
    whole = _sewn(taken, original, rules)
    _check(whole, taken, original, rules)
    again = without_surplus(taken, read_back(rules.chain, described(whole), rules.client, original))
    forged = _forged(whole, taken, original, rules)
    if forged and (again is not taken or forged & rules.chain.made_fields):
        raise Refused(NOT_READ_BACK)
    return taken, whole


def _forged(whole: Doc, sent: Doc, original: Doc | None, rules: Rules) -> set[str]:
    return forged_fields(rules.chain, described(whole), sent, rules.client, original)


def _sewn(sent: Doc, original: Doc | None, rules: Rules) -> Doc:
    """What was sent, sewn into the original. Raises Refused, Withheld."""
    whole = rules.chain.restore(sent, original, rules.client)
    deleted = "_deleted" in sent
    if deleted or "_deleted" in whole:
        whole = {name: value for name, value in whole.items() if name != "_deleted"}
    if deleted:
        whole["_deleted"] = True
        whole = rules.chain.routed(whole, original)  # also where a deletion follows a deletion
    return whole


def _check(whole: Doc, sent: Doc, original: Doc | None, rules: Rules) -> list[str]:
    """The paths at which the client would not read back what it sent. Raises Refused, Withheld."""
    if ("_attachments" in whole or "_attachments" in sent) and following_names(whole) != following_names(sent):
        raise Refused(NOT_FOLLOWING, "_attachments")
    return check_putget(rules.chain, described(whole), sent, rules.client, original)


def _hidden_attachments(pushed: Pushed, original: Doc | None, rules: Rules) -> list[str]:
    """The names of those that the client sends, and the original has hidden from it.

    Only what the client sees can it refer to by a stub: the source would look for it also where nobody may. Raises
    PreconditionFailed, in CouchDB's words.
    """
    held = (original or {}).get("_attachments") or {}
    shown = ((rules.chain.shape(original, rules.client) if held and original else None) or {}).get("_attachments") or {}
    for name, entry in pushed.attachments.items():
        if entry.get("stub") is True and name not in shown:
            raise PreconditionFailed(f"Invalid attachment stub in {pushed.id} for {name}", error="missing_stub")
    return [name for name in pushed.attachments if name in held and name not in shown]


def following_names(doc: Doc) -> list[str]:
    entries: Mapping[str, Any] = doc.get("_attachments") or {}
    return [name for name, entry in entries.items() if entry.get("follows") is True]


def described(whole: Doc) -> Doc:
    """`whole` with its attachments as filters know them: described by type and length, without their data."""
    if "_attachments" not in whole:
        return whole
    entries: Mapping[str, Any] = whole.get("_attachments") or {}
    if all(entry.get("stub") is True for entry in entries.values()):
        return whole
    return {**whole, "_attachments": {name: _entry(entry) for name, entry in entries.items()}}


def _entry(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if entry.get("stub") is True:
        return entry
    described = {"content_type": "application/octet-stream", **entry, "stub": True}
    described.pop("follows", None)
    data = described.pop("data", None)
    if isinstance(data, str):
        described["length"] = len(data) * 3 // 4 - data[-2:].count("=")
    return described
