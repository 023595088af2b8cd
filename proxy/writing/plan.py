"""What becomes of a pushed document: sent to the source whole, acknowledged, or refused. No I/O.

A client edited a shaped document; the source holds whole ones. The rules, in this order:

  1. Nothing is sent for a profile that does not write, nor a design document for one that is not trusted.
  2. A departure graft of this view is the proxy's own word for "you may no longer see this". Pushed back it is
     acknowledged, and never sent. Below the pushed revision it is allowed if the client sees the document now, or if
     there is none any more (rule 7). Below a revision that the source has it was judged when that was pushed. A return
     is not sent either; what edits one edits the revision that it shows again.
  3. A revision that the source has is acknowledged and not sent: its body could not be changed any more.
     What ancestors it has is the source's word, whatever the client says: none of them is another leaf.
  4. The document is restored onto its *original*: the newest ancestor of the pushed revision whose body the source
     has. Never simply onto the winner: a stale writer would silently overwrite what others wrote since. From the newest
     ancestor that the source knows on these are the source's own, whatever the client names or leaves out.
  5. An interactive write (`new_edits`) edits the leaf that `_rev` names, or creates; anything else is a conflict, as in
     CouchDB, where the source checks it once more when it stores the document. Whether a creation is one the source
     alone decides (see `originals`).
  6. If the source has the document, but no ancestor's body, the write is an orphan: restored onto the winner of the
     leaves that the client sees, or refused, as the profile says. But for what has a history of its own from the first
     revision on, which has nothing in common with what is there: it was created, elsewhere, and is a conflict, unless
     a filter would refuse to have it instead of a leaf that the client sees (see `Filter.sews`).
  7. A deletion holds nothing that could be lost: writing the document anew over it, or where all leaves are deleted,
     creates it. It goes on with no more of the deletion than the fields that decide whom it reaches, and those of the
     attachments that the client sees, which it may have meant by stubs. Beside live leaves it is a conflict, judged as
     by rule 6; also if they are all hidden: the client was told of the deletion alone.
  8. Both old and new are judged. What is edited must be visible, and so must be what it becomes (a deletion may be
     bare). If the client would not read back what it wrote (PutGet), it is refused, or its surplus discarded; of a
     deletion, surplus is always discarded. So what is hidden in a document is never a client's word (see `surplus`).
     What the client wrote is read as an edit of the cut that it was shown, which may be a former one (see `former`).
  9. Attachments that the client does not see stay, as stubs; one that it sends by such a name is refused. The
     attachments that follow in a multipart body keep their order.
 10. A write that could not create a document either is refused as for one that does not exist: only one that would have
     been stored tells that something is there, as it must.

So whatever is hidden in the original is in the document that is sent, unless the client deleted it; and what is
refused here never reaches the source. A filter that fails refuses the write; one that fails on what is left in a
deletion leaves it bare. Reasons never quote what is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from proxy.contract import Doc
from proxy.core.grafts import graft_in, may_be_graft
from proxy.core.revisions import parse_rev, rank
from proxy.errors import Conflict, CouchError, Forbidden
from proxy.writing.former import judge_edit
from proxy.writing.judge import judge
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Acknowledge, Outcome, Refuse, Rules, Send, content
from proxy.writing.stored import Stored

ANCESTORS = 16
"""How many ancestors' bodies are asked for, beside the leaves and the newest one."""

HIDDEN = "The document is not visible to this client."
ORPHAN = "The source no longer has the revision that was edited: fetch the document and edit it again."


def needed(pushed: Pushed, stored: Stored, asked: Collection[str] = ()) -> list[str]:
    """The ancestors whose bodies decide what the original is, newest first; not those that were `asked` for before."""
    wanted: list[str] = []
    if pushed.new_edits or not stored.leaves:
        return wanted
    for rev in map(str, stored.editable(pushed.path, stored.newest_known(pushed.path))):
        if stored.body(rev) is not None or len(wanted) == ANCESTORS:
            break
        if rev not in asked:
            wanted.append(rev)
    return wanted


def plan(pushed: Pushed, stored: Stored, rules: Rules) -> Outcome:
    """What becomes of one pushed document."""
    try:
        applied = rules.applied_to(pushed.id)
        if applied.present and pushed.ancestors:
            applied = applied.of(pushed.id, str(pushed.ancestors[0]))
        if not stored.leaves and len(pushed.path) < 2:  # nothing there, and no ancestor that could be a graft
            return judge(pushed, None, applied)
        if pushed.new_edits:
            pushed = _of_the_sources_own(pushed, stored, applied)
            return _plan_interactive(pushed, stored, applied)
        return _plan_replicated(pushed, stored, applied)
    except _Hidden as error:
        return _as_if_new(pushed, error.with_traceback(None), applied)
    except CouchError as error:
        return Refuse(error.with_traceback(None))  # which would refer to the caller's frame, where this is kept


def _as_if_new(pushed: Pushed, hidden: _Hidden, rules: Rules) -> Refuse:
    """Rule 10: `hidden`, unless a document that does not exist could not be written so, either."""
    try:
        outcome = judge(pushed, None, rules)
    except CouchError as error:
        # replicators give up on any other error, and what is no longer visible would keep them from all the rest
        return Refuse(error.with_traceback(None) if pushed.new_edits else hidden)
    if isinstance(outcome, Refuse):
        return outcome
    return Refuse(Conflict() if pushed.new_edits and pushed.path else hidden)


def _of_the_sources_own(pushed: Pushed, stored: Stored, rules: Rules) -> Pushed:
    """An interactive write, which edits the leaf if it says that it edits a return of it."""
    if not pushed.path or (held := returning(pushed.id, str(pushed.path[0]), stored, rules)) is None:
        return pushed
    return pushed._replace(body={**pushed.body, "_rev": held}, path=(parse_rev(held),))


def returning(doc_id: str, rev: str, stored: Stored, rules: Rules) -> str | None:
    """The leaf of which a revision is a return; None: it is none, or of what is no leaf any more."""
    for leaf in stored.leaves if may_be_graft(rev) else ():
        graft = rules.grafts.find(doc_id, rev, leaf["_revisions"]["start"], leaf["_revisions"]["ids"])
        if graft is not None and graft.returns and graft.held == leaf["_rev"]:
            return graft.held
    return None


class _Hidden(Forbidden):
    """The document is there, and not for this client."""

    def __init__(self) -> None:
        super().__init__(HIDDEN)


def _plan_interactive(pushed: Pushed, stored: Stored, rules: Rules) -> Outcome:
    """An edit of a leaf, or a creation. Raises Conflict, _Hidden."""
    leaf = stored.leaf(str(pushed.path[0])) if pushed.path else None
    if leaf is not None:
        return _plan_edit(pushed, leaf, stored, rules)
    if not pushed.path and not stored.live:
        return judge(pushed, None, rules)
    raise Conflict() if _visible(stored.leaves, rules) else _Hidden()


def _plan_replicated(pushed: Pushed, stored: Stored, rules: Rules) -> Outcome:
    path = pushed.path
    known = stored.newest_known(path)
    if 0 < known < len(path) - 1 and rules.chain:
        path = stored.own_path(path, known)
        pushed = pushed._replace(path=path)
    graft = graft_in([rev.hash for rev in path[: known + 2]]) if len(path) > 1 else None
    if graft == 0:
        return Acknowledge()
    if not stored.leaves:
        return judge(pushed, None, rules)
    if graft is not None and stored.live and not _seen(stored, rules):
        raise _Hidden
    original = stored.newest_body(stored.editable(path, known))
    if known == 0:
        if _visible([*stored.leaves, *([original] if original else [])], rules):
            return Acknowledge()
        raise _Hidden
    if original is None:
        return _plan_orphan(pushed, stored, rules, known=known < len(path))
    return _plan_edit(pushed, original, stored, rules)


def _plan_edit(pushed: Pushed, original: Doc, stored: Stored, rules: Rules) -> Outcome:
    """An edit of a revision that the source has, or (rule 7) a document over a deletion. Raises _Hidden."""
    base = _visible_original(pushed, original, stored, rules)
    if original.get("_deleted") is not True or pushed.deleted or not rules.chain:
        return judge_edit(pushed, base, rules)
    seen = _seen(stored, rules)
    if not seen:
        return judge(pushed, base, rules if base is None else replace(rules, instead=[content(original)]))
    return judge(pushed, base, _beside(seen, rules))


def _beside(seen: Sequence[Doc], rules: Rules) -> Rules:
    """The rules for what is created beside live leaves, which the client sees and has not edited, the winner first.

    Of many only some are asked about; a conflict of more is nobody's work.
    """
    return replace(rules, instead=[content(leaf) for leaf in seen[:_MOST]])


_MOST = 16


def _visible_original(pushed: Pushed, original: Doc, stored: Stored, rules: Rules) -> Doc | None:
    """`original` as filters get it, if the client sees it, of a deletion what a document made anew goes on with (rule
    7); None for a hidden one. Raises _Hidden. A deletion that may say too little of whom it reached counts as seen: who
    was told of it, or wrote it, makes the document anew.
    """
    body = content(original)
    shown = rules.shape(body)
    if shown is not None:
        if original.get("_deleted") is not True or pushed.deleted or not rules.chain:
            return body
        left = rules.chain.left_of_deletion(body, shown)
        return left if rules.shape(left) is not None else None
    if original.get("_deleted") is True and (not stored.live or _seen(stored, rules)):
        return None
    raise _Hidden


def _plan_orphan(pushed: Pushed, stored: Stored, rules: Rules, *, known: bool) -> Outcome:
    """Rules 6 and 7, where the source has the body of no ancestor. `known`: whether it knows one."""
    seen = _seen(stored, rules)
    if stored.live and not seen:
        raise _Hidden
    if not known and _begins(pushed) and (len(pushed.path) == 1 or all(map(_is_whole, stored.leaves))):
        return judge(pushed, None, _beside(seen, rules))
    edited = known or bool(stored.live)
    if edited and rules.orphans == "refuse" and rules.chain:
        raise Forbidden(ORPHAN)
    if not seen:
        return judge(pushed, None, rules)
    winner = seen[0]
    # without filters, what has nothing to do with what is there stays as it was sent
    outcome = judge_edit(pushed, winner, rules) if rules.chain or edited else judge(pushed, winner, rules)
    return outcome._replace(lender=winner) if isinstance(outcome, Send) else outcome


def _begins(pushed: Pushed) -> bool:
    """Whether the path that was sent is all there is of it, from a first revision on."""
    return pushed.path[-1].generation == 1


def _is_whole(leaf: Doc) -> bool:
    """Whether the source has all of a leaf's path: nothing was cut off (`_revs_limit`) that could have been edited."""
    revisions = leaf["_revisions"]
    return bool(len(revisions["ids"]) == revisions["start"])


def _seen(stored: Stored, rules: Rules) -> list[Doc]:
    """Live leaves that the client sees, in the order in which they win."""
    live = stored.live
    if len(live) < 2:
        return _visible(live, rules)
    seen = stored.judged.get(rules.chain)
    if seen is None:
        seen = sorted(_visible(live, rules), key=lambda leaf: rank(parse_rev(leaf["_rev"])), reverse=True)
        stored.judged[rules.chain] = seen
    return seen


def _visible(docs: Iterable[Doc], rules: Rules) -> list[Doc]:
    return [doc for doc in docs if rules.shape(doc) is not None]
