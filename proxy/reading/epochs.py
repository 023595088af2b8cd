"""What a feed tells a device that was shown documents by other rules, or with other roles, before.

Its old token tells how far it had been told by those. So, of the feed that begins anew, up to there:

  - what only former cuts have shown leaves (`resolve.judge`, told which count). A cut has not shown what came after it
    had ended: that is for nobody to hear of;
  - what may have left so before, and is shown again as it was, returns: as a revision of its own, since the device has
    the source's (see `core.grafts`); so does what is shown otherwise, since the user has other roles. What is shown
    otherwise by changed rules alone comes with its next revision: that may be all there is, for every user.

A device without a token may have lost it, or have had one of another profile: it is not told what leaves, since nobody
knows what it has, but what returns does so for it, too.

A return is the revision that the document has in this feed for as long as the source has no other. It is closed for the
user's devices as soon as it is not that any more, by whatever row comes of the document; for that returns are
recorded (`cuts.returns`), and tokens tell that their device may have some.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from proxy.contract import Doc
from proxy.core.grafts import MOST_RETURNS
from proxy.core.seqs import includes_change
from proxy.core.tokens import Carried, source_seq
from proxy.cuts import returns as record
from proxy.past import Return, Stint
from proxy.reading.source_feed import Row
from proxy.resolve import Shown, Told, closed, in_order, returned
from proxy.view import View

log = logging.getLogger("couch_tailor.changes")


_CLOSED = 64
"""Returns of a revision that are closed at once: a device that has an older one has missed as many turns."""


class Epochs:
    """For one feed. `carried`: what the token carries that it goes on from; None: nothing."""

    def __init__(self, view: View, carried: Carried | None = None, *, from_zero: bool = False) -> None:
        """`from_zero`: the device comes without a token."""
        self._view = view
        self._carried = Carried()
        self._partitioned = False
        self.is_one = True
        """Whether nothing has to be heeded: whatever the device has is of the present cut."""
        self._go_on(Carried(anew=from_zero) if carried is None else carried)
        if self.begins and not (view.past.formers or self._carried.returns):
            self.end()

    async def begin(self) -> None:
        """Learn what has to be known before anything is told. Raises the source's error."""
        view, past = self._view, self._view.past
        if self.is_one:
            return
        read = await record.read(view, 0 if self.begins else self._carried.returns)
        self._go_on(self._carried._replace(returns=max(self._carried.returns, read.read)))
        if self._carried.anew and not (self.tells_departures or read.read or past.may_return or past.dresses):
            self.end()
        if self.begins:
            self._go_on(self._carried._replace(turn=past.stint.last))
            props = (await view.info()).get("props")
            self._partitioned = isinstance(props, dict) and props.get("partitioned") is True
            if read.read >= record.MOST:
                log.warning(
                    "what %s is shown of %s again, by rules or roles that come and go, is too much to be recorded: "
                    "devices get further documents with their next revision",
                    view.client.name,
                    view.name,
                )

    async def begin_at_the_end(self) -> None:
        """The same for who only asks what comes from now on: it may have been shown something again before."""
        if self._view.past.formers:
            self._go_on(Carried(returns=(await record.read(self._view)).read))

    def end(self) -> None:
        """All that the device may have been told of before has been told anew."""
        self._go_on(Carried(returns=self._carried.returns))

    def _go_on(self, carried: Carried) -> None:
        self._carried = carried
        self.is_one = carried == Carried()

    @property
    def carried(self) -> Carried | None:
        """What the next token is to carry."""
        return None if self.is_one else self._carried

    @property
    def begins(self) -> bool:
        """Whether the feed begins anew, and is not at its end yet."""
        return self._carried.begins

    @property
    def tells_departures(self) -> bool:
        """Whether the device is to hear of what only former cuts have shown it."""
        return self._carried.had is not None

    def teller(self, rows: Iterable[Row], bodies: Mapping[str, Sequence[Doc]]) -> Told | None:
        """What `judge` is to count as shown by former cuts."""
        if not self.tells_departures:
            return None
        by_id = {row["id"]: row for row in rows}

        def told(view: View, doc: Doc) -> bool:
            several = len(bodies[doc["_id"]]) > 1
            return view.was_shown(doc, at=partial(self._had_shown, by_id[doc["_id"]], several))

        return told

    def _had_shown(self, row: Row, several: bool, stint: Stint) -> bool:
        """Whether a former cut had been shown to the device when the document's last change came. Of `several` leaves
        nobody knows which that was.
        """
        return several or all(self._is_among(seq, row) for seq in (self._carried.had, stint.ended))

    def _may_have_shown(self, row: Row, several: bool, stint: Stint) -> bool:
        """The same where it does no harm if it had not."""
        return several or all(self._is_among(seq, row) is not False for seq in (self._carried.had, stint.ended))

    def _is_among(self, seq: Any, row: Row) -> bool | None:
        """Whether a change is among those up to a sequence; None: nobody knows."""
        if seq is None:
            return None
        return includes_change(seq, source_seq(row["seq"]), row["id"], partitioned=self._partitioned)

    def settles(self, row: Row, doc: Doc, shaped: Doc | None) -> bool:
        """Whether what was made of a document, which has one leaf, is all that there is to tell."""
        if row["id"] in self._view.past.strand.returns.of:
            return False
        if shaped is not None:
            return doc.get("_deleted") is True or not self._may_return(row, doc, shaped)
        if not self.tells_departures:
            return True
        had_shown = partial(self._had_shown, row, False)
        return row["changes"][0]["rev"].startswith("1-") and not self._view.was_shown(doc, at=had_shown)

    def _may_return(self, row: Row, doc: Doc, shaped: Doc, *, several: bool = False, after: int | None = None) -> bool:
        """Whether the device may have been told that a visible document was gone, or may have been shown something
        else of it. `after`: since the turn in which it was shown again.
        """
        view, at = self._view, partial(self._may_have_shown, row, several)
        return self.begins and (
            view.may_have_departed(doc, at=at, since=after) or view.looked_otherwise(doc, shaped, at=at, since=after)
        )

    async def grow(
        self, rows: Iterable[Row], bodies: Mapping[str, Sequence[Doc]], leaves: Mapping[str, Sequence[Shown]]
    ) -> dict[str, list[Shown]]:
        """The leaves of the rows' documents with what returns and what is closed. Raises the source's error."""
        known = self._view.past.strand.returns.of
        new: dict[tuple[str, str], Return] = {}
        grown: dict[str, list[Shown]] = {}
        for row in rows:
            doc_id, docs = row["id"], bodies.get(row["id"], ())
            shown, returning = self._grown(row, docs, leaves.get(doc_id, ()), known.get(doc_id, {}))
            new |= {(doc_id, rev): each for rev, each in returning.items()}
            if shown:
                grown[doc_id] = shown
        if new:
            await record.add(self._view, new)
        # also what other feeds have recorded since this one began
        self._go_on(self._carried._replace(returns=max(self._carried.returns, self._view.past.strand.returns.read)))
        return grown

    def _grown(
        self, row: Row, docs: Sequence[Doc], leaves: Sequence[Shown], known: Mapping[str, Return]
    ) -> tuple[list[Shown], dict[str, Return]]:
        """The leaves of one document, and what has to be recorded of it first."""
        view, doc_id, whole = self._view, row["id"], {doc["_rev"]: doc for doc in docs}
        live = [leaf for leaf in leaves if not (leaf.departed or leaf.deleted)]
        several = len(docs) > 1
        numbers = {leaf.rev: self._number(row, whole[leaf.rev], leaf, known.get(leaf.rev), several) for leaf in live}
        returning: dict[str, Return] = {}
        last = {rev: each.number for rev, each in known.items()}
        shown = list(leaves)
        if any(numbers.values()):  # then all do, or another one would win
            for place, leaf in enumerate(leaves):
                if leaf.rev in numbers:
                    number = numbers[leaf.rev] or 1
                    shown[place] = returned(view, leaf, whole[leaf.rev], number)
                    last[leaf.rev] = number - 1
                    held = known.get(leaf.rev)
                    if held is None or held.number != number:
                        returning[leaf.rev] = Return(number, view.past.stint.last, view.past.strand.kind)
        visible = {leaf.rev for leaf in leaves if not leaf.departed}
        for rev, number in last.items():
            if rev in whole and rev not in visible and not self.tells_departures:
                continue  # hidden by now, which the devices that had it were told when they began anew
            shown += closed(view, doc_id, rev, range(max(1, number - _CLOSED), number + 1), docs)
        return in_order(shown), returning

    def _number(self, row: Row, doc: Doc, leaf: Shown, known: Return | None, several: bool) -> int:
        """For the how-manieth time a visible leaf returns; 0: it does not."""
        past = self._view.past
        if known is not None and (known[1:] == (past.stint.last, past.strand.kind) or not self.begins):
            return known.number
        if past.strand.returns.read >= record.MOST:
            return 0
        if known is None:
            return int(self._may_return(row, doc, leaf.doc, several=several))
        other = known.kind != past.strand.kind
        again = other or self._may_return(row, doc, leaf.doc, several=several, after=known.turn)
        return min(known.number + again, MOST_RETURNS)
