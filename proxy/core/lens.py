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
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from traceback import walk_tb
from typing import Any

from proxy.contract import Client, Doc, Filter, Refused, promises
from proxy.core.differences import EVERYTHING, differences
from proxy.core.equality import same
from proxy.core.guard import by_reference, guarded, restores
from proxy.core.instead import Step, judge_instead
from proxy.core.marks import Value, copied, hidden_values, places_of, values_of
from proxy.core.paths import Paths, compile_steps
from proxy.core.pathtree import Step as PathStep
from proxy.core.pathtree import parse_paths, quote
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
        self.audience_fields = _in_source(filters, lambda filter_: filter_.audience_fields())
        """Top-level fields of the source's document that decide whom it reaches."""
        self.kept_fields = self.audience_fields.union(*others)
        """Those that tombstones keep."""
        judging = [index for index, filter_ in enumerate(filters) if not filter_.passes_all]
        says = all(_promised(each, "by_fields") for each in filters[: judging[-1] + 1 if judging else 0])
        self.decided_by = self.audience_fields if says else None
        """Those by which alone it is decided whether a document is shown; None if not all filters say so."""
        self._deciding = None if self.decided_by is None else self.decided_by.difference(_IDENTITY)
        self._judges_deletions = self.passes_all or "_deleted" in self.audience_fields
        """Whether filters know by themselves to whom they show deletions."""
        self.thread_safe = all(
            promises(each, "thread_safe", "shape", "restore") and each.thread_safe for each in filters
        )
        """Whether filters may be called from any thread, several at a time."""
        self.hides_by_place = all(_promised(filter_, "hides_by_place") for filter_ in filters)
        """Whether what is hidden in a document that a client is shown is told by its place alone."""
        self._set = _paths_shown(filters, "sets_fields")
        self.set_fields = _in_source(filters, _set_fields)
        """Top-level fields of the source's document in which there is something that filters set themselves."""
        self.made_fields = self.set_fields | _in_source(filters, lambda filter_: filter_.fills_fields())
        """These, and those that filters fill: what a client is shown there is not what it sent."""
        self._filled = _names_shown(filters, lambda filter_: filter_.fills_fields())
        self._unseen = _paths_shown(filters, "writes_unseen")
        self._moved = _in_source(filters, lambda filter_: (name for of in filter_.origins().values() for name in of))
        self._origins = [found for filter_ in reversed(filters) if (found := filter_.origins())]
        self._filters = [(watched(guarded(link.filter), link.name), link.name) for link in self.links]
        self._steps: _Steps = tuple((filter_.shape, name) for filter_, name in self._filters)
        self._by_reference: _Steps = tuple((by_reference(link.filter).shape, link.name) for link in self.links)
        self._tracebacks: defaultdict[Hashable, OnceAMinute] = defaultdict(OnceAMinute)
        self._judging = frozenset(n for n, filter_ in enumerate(filters) if restores(filter_) and not _sews(filter_))
        """The places of filters that may refuse an edit for what it is."""
        self.judges_edits = bool(self._judging)
        self._setting = [frozenset(_set_fields(filter_)) for filter_ in filters]
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

    def check_putget(self, whole: Doc, edited: Doc, client: Client, original: Doc | None = None) -> list[str]:
        """The paths at which `client` would not read back what it wrote: where the shape of `whole` is not `edited`.

        Not compared are `_rev`, protocol members, what filters set themselves (unless it hides what the client sent, as
        `forged` tells) or fill where the client sent nothing, and of attachments all but the names; of a deletion, what
        the client did not send. `original` tells of what type and size the attachments are that `whole` has as bare
        stubs. Paths name nothing that the client neither sent nor was shown; one may be empty. Raises Refused if the
        client could not read the document at all: such a write is refused even where a surplus may be discarded.
        """
        try:
            shaped = self._read_of_source(whole, edited, client, original)
            if same(shaped, edited) or (shaped is None and _is_bare_deletion(edited)):
                return []
            if shaped is not None:
                found = self.differences(shaped, edited, client)
                if found:
                    return self.differences(shaped, edited, client, self._shown(original, client))
                return [] if self._set is None else sorted(self._forged(whole, edited, shaped, original, client))
        except Withheld as error:
            raise Refused(f"the document could not be read back: {error}") from error
        except RecursionError:
            raise Refused("the document is nested too deeply") from None
        raise Refused("the document would not be visible to the client that writes it")

    def read_back(self, whole: Doc, client: Client, original: Doc | None = None) -> Doc | None:
        """What `client` would be shown of `whole`, were it stored. `original` as in `check_putget`. Raises Withheld."""
        return self.shape(_with_described_stubs(whole, original), client)

    def _read_of_source(self, whole: Doc, edited: Doc, client: Client, original: Doc | None) -> Doc | None:
        """`read_back` without the fields that filters have filled: what there is of them is no answer to what was sent.

        A field that was sent is; and one that the document has, which the client may not have been shown.
        """
        shaped = self.read_back(whole, client, original)
        if shaped is None or not self._filled or self._filled <= edited.keys():
            return shaped
        for name in self._filled & shaped.keys() - edited.keys():
            sources = self.in_source_names(name)
            without = whole if sources.isdisjoint(whole) else {n: v for n, v in whole.items() if n not in sources}
            filled = shaped if without is whole else self.read_back(without, client, original) or {}
            if name in filled and same(filled[name], shaped[name]):
                shaped = {n: value for n, value in shaped.items() if n != name}
        return shaped

    def forged(self, whole: Doc, sent: Doc, client: Client, original: Doc | None = None) -> set[str]:
        """The top-level fields of `whole` in which there is something that the client has `sent`, and neither would be
        shown of it nor is in the `original`: it would be hidden, and not the source's. Raises Withheld.

        Values count by their path without the indices of arrays, as often as they are there. What may be written unseen
        does not count.
        """
        return self._forged(whole, sent, self.read_back(whole, client, original) or {}, original, client)

    def _forged(self, whole: Doc, sent: Doc, shown: Doc, original: Doc | None, client: Client) -> set[str]:
        own = body_of(sent if self._unseen is None else self._unseen.drop(sent, client))
        before = Counter(map(self.term, values_of(body_of(original or {}))))
        theirs = set(self.in_source(values_of(own)))
        stored = Counter(value for value in map(self.term, values_of(body_of(whole))) if value in theirs)
        new = {value for value, count in stored.items() if count > before[value]}
        hidden = self._hidden_values(whole, new, client, original) if new else Counter()
        found = {str(value[0]) for value, count in hidden.items() if count > before[value]}
        names = {source for name in own for source in self.in_source_names(name)}
        places = {*(original or {}), *(source for name in shown for source in self.in_source_names(name))}
        return found | {name for name in body_of(whole) if name in names and name not in places}

    def _hidden_values(self, whole: Doc, values: set[Value], client: Client, original: Doc | None) -> Counter[Value]:
        """How often some values are in `whole` where the client would not be shown them. Raises Withheld."""
        marked = copied(whole)
        places = [*places_of(marked, values, self.term)]
        shown = self.read_back(marked, client, original) or {}

        def shape() -> Doc | None:
            with suppress(Withheld):  # by a filter that does not bear the marks
                return self.shape_marked(_with_described_stubs(marked, original), client)
            return None

        return hidden_values(places, shown, shape, self.in_source(values_of(body_of(shown))), self.term)

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

    def uncovers(self, whole: Doc, edited: Doc, client: Client, original: Doc | None = None) -> bool:
        """Whether in `whole` the client could read what it has neither sent nor been shown of the `original`.

        That is no surplus to be discarded: it is hidden, and a condition for it to be so is gone. Only values count,
        by their path without the indices of arrays. Not compared is what filters set or fill. Raises Withheld.
        """
        shaped = self._read_of_source(whole, edited, client, original)
        if shaped is None:
            return False
        sent, shown = self._compared(edited, client), self._compared(self._shown(original, client), client)
        known = {*values_of(sent), *values_of(shown)}
        return any(value not in known for value in values_of(self._compared(shaped, client)))

    def differences(self, shaped: Doc, edited: Doc, client: Client, shown: Any = EVERYTHING) -> list[str]:
        """The paths at which the two differ, by the rules of `check_putget`. `shown`: what the client may be told of
        beside what it sent.
        """
        sent, read = self._compared(edited, client), self._compared(shaped, client)
        if edited.get("_deleted") is True:
            read = {name: value for name, value in read.items() if name in sent}
        return list(differences(read, sent, shown=shown))

    def _compared(self, doc: Doc, client: Client) -> Doc:
        content = comparable(doc)
        return content if self._set is None else self._set.drop(content, client)

    def _shown(self, original: Doc | None, client: Client) -> Doc:
        return {} if original is None else self.shape(original, client) or {}

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
        """A filter's refusal, with the field called as the client knows it: later filters may have renamed it."""
        found = _FIRST_NAME.match(error.path or "")
        if found is None or error.path is None:
            return error
        name = shown = _unquoted(found[0])
        for link in self.links[position + 1 :]:
            made = set(_set_fields(link.filter))
            renamed = (each for each, of in link.filter.origins().items() if (*of,) == (shown,) and each not in made)
            shown = next(renamed, shown)
        if shown == name:
            return error
        path = quote(shown) + error.path[found.end() :]
        reason = error.reason
        return Refused(path + reason[len(error.path) :] if reason.startswith(error.path) else reason, path)


def _unquoted(name: str) -> str:
    """A name as a path has it, or as it is: filters give names that would have to be quoted without quotes, too."""
    try:
        return str(json.loads(name)) if name[0] == '"' else name
    except ValueError:
        return name


_IDENTITY = ("_id", "_rev", "_deleted")
"""What no filter changes, and each deletion has."""
_FIRST_NAME = re.compile(r'"(?:[^"\\]|\\.)*"|[^.\[]+')
"""What a path begins with."""


_Steps = tuple[tuple[Callable[[Doc, Client], Doc | None], str], ...]
"""The steps to what a client is shown: of each filter `shape`, and its name."""
_Back = list[tuple[Callable[[Doc, Doc | None, Client], Doc], Doc | None, int]]
"""The steps back: of each filter `restore`, what it was given of the original, and its place in the chain."""


def depends_on_client(filter_: Filter) -> bool:
    """Whether what a filter shows may depend on the client."""
    return not promises(filter_, "depends_on_client", "shape") or filter_.depends_on_client() is not False


def _sews(filter_: Filter) -> bool:
    """Whether `restore` of a filter promises to refuse nothing for what an edit is."""
    return promises(filter_, "sews", "restore") and filter_.sews


def _promised(filter_: Filter, hook: str) -> bool:
    """Whether a filter promises something of what it shows. One that changes nothing need not."""
    if type(filter_).shape is Filter.shape:
        return True
    return promises(filter_, hook, "shape") and getattr(filter_, hook)() is True


def _in_source(filters: Sequence[Filter], names_of: Callable[[Filter], Iterable[str]]) -> frozenset[str]:
    """The fields that filters name, as the source's document calls them before the filters ahead of each."""
    found: set[str] = set()
    for position, filter_ in enumerate(filters):
        names = set(names_of(filter_))
        for earlier in reversed(filters[:position]):
            origins = earlier.origins()
            names = {source for name in names for source in origins.get(name, (name,))}
        found |= names
    return frozenset(found)


def _names_shown(filters: Sequence[Filter], names_of: Callable[[Filter], Iterable[str]]) -> frozenset[str]:
    """The top-level fields that filters name, as the client is shown them at the end of the chain."""
    found: set[str] = set()
    for filter_ in filters:
        renamed = {name for name, of in filter_.origins().items() if not found.isdisjoint(of)}
        found |= {*renamed, *names_of(filter_)}
    return frozenset(found)


def _steps(filter_: Filter, hook: str) -> list[list[PathStep]]:
    """The paths that a filter's hook names. Raises OptionError, by the hook's name, if they are none."""
    paths = list(getattr(filter_, hook)())
    return list(parse_paths(paths, hook).values()) if paths else []


def _set_fields(filter_: Filter) -> Iterable[str]:
    return [str(steps[0][1]) for steps in _steps(filter_, "sets_fields")]


def _paths_shown(filters: Sequence[Filter], hook: str) -> Paths | None:
    """What a hook of the filters names by paths, as the client is shown it at the end of the chain."""
    found: list[list[PathStep]] = []
    for position, filter_ in enumerate(filters):
        paths = _steps(filter_, hook)
        for later in filters[position + 1 :]:
            origins = later.origins().items()
            paths += [[("name", name), *path[1:]] for path in paths for name, of in origins if path[0][1] in of]
        found.extend(paths)
    return compile_steps(found) if found else None


def _bare_deletion(doc: Doc) -> Doc:
    return {**{name: doc[name] for name in ("_id", "_rev") if name in doc}, "_deleted": True}


def _is_bare_deletion(doc: Doc) -> bool:
    return doc.get("_deleted") is True and all(name.startswith("_") for name in doc)


def comparable(doc: Doc) -> Doc:
    """What a client wrote or reads, without what is not its content: of attachments the names, ..."""
    content: dict[str, Any] = {name: value for name, value in doc.items() if not name.startswith("_")}
    if doc.get("_deleted"):
        content["_deleted"] = True
    if doc.get("_attachments"):
        content["_attachments"] = dict.fromkeys(doc["_attachments"])
    return content


def body_of(doc: Doc) -> Doc:
    """The members of a document that are its application's."""
    return {name: value for name, value in doc.items() if not name.startswith("_")}


def _with_described_stubs(whole: Doc, original: Doc | None) -> Doc:
    """`whole` with the type and size that the original knows for attachments of which only the name came back."""
    known = original.get("_attachments") if original else None
    own = whole.get("_attachments")
    if not known or not own:
        return whole
    described = {
        name: {**known[name], **entry} if name in known and entry.get("stub") else entry for name, entry in own.items()
    }
    return {**whole, "_attachments": described}


def _same_identity(result: Doc | None, given: Doc) -> Doc:
    """`result` with the identity of `given`: no filter decides which revision it is, or whether it is deleted."""
    assert result is not None
    for name in _IDENTITY:
        if result.get(name) != given.get(name):
            own = {name: given[name] for name in _IDENTITY if name in given}
            return {**own, **{name: value for name, value in result.items() if name not in _IDENTITY}}
    return result
