"""A chain of filters as one lens. Protocol members (`_revisions`, ...) stay outside of it.

Invariants:
  - a filter that raises withholds the document: `shape` raises Withheld, which callers treat as "not visible" and log.
    So does one that calls `sys.exit`, or raises a cancellation: a call waits for nothing, so that is not its task's;
  - `_id`, `_rev` and `_deleted` come out as they went in, whatever a filter does to them;
  - a chain restores in reverse order, each filter onto the original that it was given on the way out;
  - a deletion is restored like any other edit, and then loses what the client was not shown: only the fields that
    decide whom the tombstone reaches are kept for it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from traceback import walk_tb

from proxy.contract import Client, Doc, Filter, Refused, promises
from proxy.core.equality import same
from proxy.core.guard import by_reference, guarded, restores
from proxy.core.hooks import depends_on_client, in_source, names_shown, paths_shown, promised, set_fields, sews
from proxy.core.instead import Step, judge_instead
from proxy.core.marks import Value
from proxy.core.pathtree import quote
from proxy.core.slow import OnceAMinute, watched


class Withheld(Exception):
    """A filter raised: the document is withheld. `filter_name` says which, `__cause__` why."""

    def __init__(self, filter_name: str, error: BaseException) -> None:
        super().__init__(f"filter {filter_name} raised {type(error).__name__}: {error}")
        self.filter_name = filter_name


@dataclass(frozen=True)
class Link:
    """A filter with the name by which messages call it (`drop`, or `profiles.phone.filters[2] (drop)`)."""

    name: str
    filter: Filter


class Chain:
    """The filters of a profile, in order, as one lens. `others`: of other profiles, the top-level fields that decide
    whom the source's document reaches.
    """

    def __init__(self, links: Sequence[Link] = (), *, others: Iterable[frozenset[str]] = ()) -> None:
        self.links = tuple(links)
        self.passes_all = all(link.filter.passes_all for link in self.links)
        self.depends_on_client = any(depends_on_client(link.filter) for link in self.links)
        """Whether clients may be shown different things. If not, what one is shown is what all are."""
        filters = [link.filter for link in self.links]
        self.audience_fields = in_source(filters, lambda filter_: filter_.audience_fields())
        """Top-level fields of the source's document that decide whom it reaches."""
        self.kept_fields = self.audience_fields.union(*others)
        """Those that tombstones keep."""
        judging = [index for index, filter_ in enumerate(filters) if not filter_.passes_all]
        says = all(promised(each, "by_fields") for each in filters[: judging[-1] + 1 if judging else 0])
        self.decided_by = self.audience_fields if says else None
        """Those by which alone it is decided whether a document is shown; None if not all filters say so."""
        self._deciding = None if self.decided_by is None else self.decided_by.difference(_IDENTITY)
        self._judges_deletions = self.passes_all or "_deleted" in self.audience_fields
        """Whether filters know by themselves to whom they show deletions."""
        self.thread_safe = all(
            promises(each, "thread_safe", "shape", "restore") and each.thread_safe for each in filters
        )
        """Whether filters may be called from any thread, several at a time."""
        self.hides_by_place = all(promised(filter_, "hides_by_place") for filter_ in filters)
        """Whether what is hidden in a document that a client is shown is told by its place alone."""
        self.set_paths = paths_shown(filters, "sets_fields")
        """What filters set themselves, as the client is shown it; None: nothing."""
        self.set_fields = in_source(filters, set_fields)
        """Top-level fields of the source's document in which there is something that filters set themselves."""
        self.made_fields = self.set_fields | in_source(filters, lambda filter_: filter_.fills_fields())
        """These, and those that filters fill: what a client is shown there is not what it sent."""
        self.filled = names_shown(filters, lambda filter_: filter_.fills_fields())
        """The fields that filters fill where the source has none, as the client is shown them."""
        self.unseen_paths = paths_shown(filters, "writes_unseen")
        """What a client may write without being shown it; None: nothing."""
        self._moved = in_source(filters, lambda filter_: (name for of in filter_.origins().values() for name in of))
        self._origins = [found for filter_ in reversed(filters) if (found := filter_.origins())]
        self._filters = [(watched(guarded(link.filter), link.name), link.name) for link in self.links]
        self._steps: _Steps = tuple((filter_.shape, name) for filter_, name in self._filters)
        self._by_reference: _Steps = tuple((by_reference(link.filter).shape, link.name) for link in self.links)
        self._tracebacks: defaultdict[Hashable, OnceAMinute] = defaultdict(OnceAMinute)
        self._judging = frozenset(n for n, filter_ in enumerate(filters) if restores(filter_) and not sews(filter_))
        """The places of filters that may refuse an edit for what it is."""
        self.judges_edits = bool(self._judging)
        self._setting = [frozenset(set_fields(filter_)) for filter_ in filters]
        self._creating: _Back = []
        for position in reversed(range(len(self.links))):
            if restores(self.links[position].filter):
                self._creating.append((self._filters[position][0].restore, None, position))

    def __bool__(self) -> bool:
        return bool(self.links)

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        """`doc` (without protocol members) as `client` sees it; None if it does not get it. Raises Withheld."""
        return self._shape(self._steps, doc, client)

    def shape_marked(self, doc: Doc, client: Client) -> Doc | None:
        """`shape`, so that the scalars that are shown are the very objects that the document has, unless filters make
        them anew: what comes out is not for clients. Raises Withheld.
        """
        return self._shape(self._by_reference, doc, client)

    def _shape(self, steps: _Steps, doc: Doc, client: Client) -> Doc | None:
        shaped: Doc | None = doc
        for step, name in steps:
            try:
                shaped = step(shaped, client)  # type: ignore[arg-type]  # None ends the loop below
            except Exception as error:
                raise Withheld(name, error) from error
            if shaped is None:
                return None
        if shaped is not doc:
            return _same_identity(shaped, doc)
        return shaped

    def show(self, doc: Doc, client: Client) -> Doc | None:
        """`shape`, for who reads: None also for a deletion that may say too little of whom the document reached.

        A condition may be true of a document without fields (`hidden != true`); then a bare deletion would tell
        everybody of what was hidden. So the documents that it follows decide, as for one that is not shown.
        """
        return None if self._may_lack(doc) else self.shape(doc, client)

    def undecided(self, doc: Doc, client: Client) -> Doc | None:
        """The shape of a deletion that is hidden by `show` alone; None of all else. Raises Withheld."""
        return self.shape(doc, client) if self._may_lack(doc) else None

    def _may_lack(self, doc: Doc) -> bool:
        """Whether it is a deletion that lacks a field by which filters decide whom a document reaches: what was deleted
        may have had it. Where not all filters say by what they decide, it may lack anything.
        """
        if doc.get("_deleted") is not True or self._judges_deletions:
            return False
        return self._deciding is None or not self._deciding <= doc.keys()

    def traceback_of(self, error: Withheld) -> BaseException | None:
        """What to log the traceback of, for a filter that raised: with each kind of error, and line that raises it,
        once a minute. It may well raise for every document.
        """
        cause = error.__cause__
        *_, line = [0, *(line for _, line in walk_tb(cause.__traceback__ if cause else None))]
        return cause if self._tracebacks[error.filter_name, type(cause), line].is_due() else None

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        """The whole document for the client's `edited` one. Raises Refused, and Withheld if a filter fails."""
        back = self._creating if original is None else self._back(original, client)
        whole = self._restore(edited, back, client)
        if original is not None and edited.get("_deleted") is True and original.get("_deleted") is not True:
            whole = self._deletion(whole, edited, original, back, client)
        return whole

    def judge_instead(self, edited: Doc, original: Doc | None, other: Doc, client: Client) -> None:
        """Whether what is restored onto `original` (None: created) may be there instead of an `other` document, which
        it has nothing in common with: see `proxy.core.instead`. Raises Refused, Withheld.
        """
        bases = {} if original is None else {position: base for _, base, position in self._back(original, client)}
        steps = (
            Step(
                judges=position in self._judging,
                sets=self._setting[position],
                origins=self.links[position].filter.origins(),
                as_edit=partial(self._restore, back=[(restore, against, position)], client=client),
                as_own=partial(self._restore, back=[(restore, bases.get(position), position)], client=client),
                other=against or {},
                shown=partial(self._shaped_by, position, against or {}, client),
            )
            for restore, against, position in self._back(other, client)
        )
        judge_instead(edited, steps, lives=other.get("_deleted") is not True)

    def _shaped_by(self, position: int, doc: Doc, client: Client) -> Doc:
        """A document, as it comes to a filter, as it leaves that."""
        filter_, name = self._filters[position]
        try:
            return filter_.shape(doc, client) or {}
        except Exception as error:
            raise Withheld(name, error) from error

    def bare_deletion(self, edited: Doc, original: Doc, client: Client) -> Doc:
        """What deletes the `original` for a client where a filter fails on what is left of it in a deletion: nothing of
        what was sent, only what filters set, and what decides whom it concerns. Raises Refused, Withheld.
        """
        whole = self.restore(_bare_deletion(edited), original, client)
        kept = self.kept_fields | self.set_fields
        return {name: value for name, value in whole.items() if name in _IDENTITY or name in kept}

    def in_source_names(self, name: str) -> set[str]:
        """What the source may call the field in which there is what a client is shown, or sends, by a name."""
        names = {name}
        for origins in self._origins:
            names = {source for each in names for source in origins.get(each, (each,))}
        return names

    def in_source(self, values: Iterable[Value]) -> Iterator[Value]:
        """Values that a client is shown, or sends, in the terms of the source."""
        for name, *rest in values:
            for source in self.in_source_names(str(name)) if self._origins else (name,):
                yield self.term((source, *rest))

    def term(self, value: Value) -> Value:
        """A value of the source's document, as it is compared with what clients are shown or send: one from a field
        that filters show by other names by these alone, for they may show parts of it.
        """
        return (value[0], value[-1]) if value[0] in self._moved else value

    def _back(self, original: Doc, client: Client) -> _Back:
        """The steps back to the whole document. Raises Refused if the client does not get the original."""
        back: _Back = []
        stage = original
        for filter_, name in self._filters:
            back.append((filter_.restore, stage, len(back)))
            if self.links[-1].filter.passes_all and len(back) == len(self.links):
                break  # nobody asks what it makes of the original
            try:
                shaped = filter_.shape(stage, client)
            except Exception as error:
                raise Withheld(name, error) from error
            if shaped is None:
                raise Refused("the document is not visible to this client")
            stage = shaped
        back.reverse()
        return back

    def _deletion(self, whole: Doc, edited: Doc, original: Doc, back: _Back, client: Client) -> Doc:
        """`whole` without the fields that came from the original alone, but with those of the audience."""
        hidden = self._from_original(edited, original, back, client)
        left = {name: value for name, value in whole.items() if not (name in hidden and same(hidden[name], value))}
        if "_attachments" not in edited:
            left.pop("_attachments", None)
        return self.routed(left, original)

    def routed(self, stone: Doc, original: Doc | None) -> Doc:
        """A deletion with what decides whom it concerns, as the `original` has it."""
        kept = {name: value for name, value in (original or {}).items() if name in self.kept_fields}
        return {**stone, **{name: value for name, value in kept.items() if name not in stone}}

    def left_of_deletion(self, stone: Doc, shown: Doc) -> Doc:
        """What of a deletion goes on in a document that is made anew over it: what decides whom it reaches, and the
        attachments of which the client is `shown`.
        """
        left = {name: value for name, value in stone.items() if name in _IDENTITY or name in self.kept_fields}
        own, seen = stone.get("_attachments") or {}, shown.get("_attachments") or {}
        attachments = {name: entry for name, entry in own.items() if name in seen}
        return {**left, "_attachments": attachments} if attachments else left

    def _from_original(self, edited: Doc, original: Doc, back: _Back, client: Client) -> Doc:
        """What a deletion without a body would carry on of the original, except for what filters set anew."""
        try:
            bare = self._restore(_bare_deletion(edited), back, client)
        except Refused:  # by a rule about the body, which the client's own has passed
            bare = {name: value for name, value in original.items() if name not in edited}
        return {
            name: value
            for name, value in bare.items()
            if not name.startswith("_") and (name not in self.set_fields or same(value, original.get(name)))
        }

    def _restore(self, edited: Doc, back: _Back, client: Client) -> Doc:
        whole = edited
        for restore, original, position in back:
            try:
                whole = restore(whole, original, client)
            except Refused as error:
                raise self._as_shown(error, position) from error.__cause__
            except Exception as error:
                raise Withheld(self._filters[position][1], error) from error
        return whole if whole is edited else _same_identity(whole, edited)

    def _as_shown(self, error: Refused, position: int) -> Refused:
        """A filter's refusal, with the field called as the client knows it: later filters may have renamed it, and
        hidden elements of arrays, so that it knows them by other numbers.
        """
        if error.path is None:
            return error
        if position + 1 < len(self.links):
            error = _at(error, _INDEX.sub("[]", error.path))
        path = str(error.path)
        found = _FIRST_NAME.match(path)
        if found is None:
            return error
        name = shown = _unquoted(found[0])
        for link in self.links[position + 1 :]:
            made = set(set_fields(link.filter))
            renamed = (each for each, of in link.filter.origins().items() if (*of,) == (shown,) and each not in made)
            shown = next(renamed, shown)
        if shown == name:
            return error
        return _at(error, quote(shown) + path[found.end() :])


def _at(error: Refused, path: str) -> Refused:
    """The same refusal by another path, by which its reason may begin."""
    before, reason = str(error.path), error.reason
    return Refused(path + reason[len(before) :] if reason.startswith(before) else reason, path)


def _unquoted(name: str) -> str:
    """A name as a path has it, or as it is: filters give names that would have to be quoted without quotes, too."""
    try:
        return str(json.loads(name)) if name[0] == '"' else name
    except ValueError:
        return name


_IDENTITY = ("_id", "_rev", "_deleted")
"""What no filter changes, and each deletion has."""
_INDEX = re.compile(r"\[\d+\]")
_FIRST_NAME = re.compile(r'"(?:[^"\\]|\\.)*"|[^.\[]+')
"""What a path begins with."""


_Steps = tuple[tuple[Callable[[Doc, Client], Doc | None], str], ...]
"""The steps to what a client is shown: of each filter `shape`, and its name."""
_Back = list[tuple[Callable[[Doc, Doc | None, Client], Doc], Doc | None, int]]
"""The steps back: of each filter `restore`, what it was given of the original, and its place in the chain."""


def _bare_deletion(doc: Doc) -> Doc:
    return {**{name: doc[name] for name in ("_id", "_rev") if name in doc}, "_deleted": True}


def _same_identity(result: Doc | None, given: Doc) -> Doc:
    """`result` with the identity of `given`: no filter decides which revision it is, or whether it is deleted."""
    assert result is not None
    for name in _IDENTITY:
        if result.get(name) != given.get(name):
            own = {name: given[name] for name in _IDENTITY if name in given}
            return {**own, **{name: value for name, value in result.items() if name not in _IDENTITY}}
    return result
