"""What a filter author sees: `filters/` imports this module and `proxy.rules`, and nothing else of the proxy.

A filter is a *lens* over documents. `shape` cuts the source's document to fit a client; `restore` sews what the
client wrote back into the whole. The laws, for every document and client for which `shape` does not return None:

    GetPut   restore(shape(doc), doc) == doc          an untouched shape changes nothing
    PutGet   shape(restore(edited, doc)) == edited     the client reads back what it wrote

PutGet is also enforced by the proxy on every write; a write that breaks it is refused with `forbidden`. What a
filter decides by itself (`sets_fields`) is exempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, cast

from proxy.core.refused import Refused as Refused
from proxy.core.structural import restore_structurally

Doc = dict[str, Any]
"""A JSON document as CouchDB sends it: `_id`, `_rev`, the body, and, where present, `_deleted` and `_attachments`.

Other underscore members (`_revisions`, `_conflicts`, ...) belong to the protocol and never reach a filter.
"""

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Client:
    """Who is asking, on what.

    `name` is None for anonymous. `roles` are the source's. `attributes` are trusted facts derived from the roles: a
    role `facility:f7` gives `attributes["facility"] == "f7"` (and, if a client has several such roles, no attribute:
    use `grants["facility"]`, the tuple of all values). `device` holds what the client says of itself in request
    headers named by the profile: never base visibility on it.
    """

    name: str | None
    roles: frozenset[str] = frozenset()
    profile: str = ""
    device: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    @cached_property
    def grants(self) -> Mapping[str, tuple[str, ...]]:
        """All values of the client's `key:value` roles, by key, sorted."""
        found: dict[str, list[str]] = {}
        for role in sorted(self.roles):
            key, colon, value = role.partition(":")
            if colon and key and value:
                found.setdefault(key, []).append(value)
        return {key: tuple(values) for key, values in found.items()}

    @cached_property
    def attributes(self) -> Mapping[str, str]:
        """The values of `key:value` roles of which the client has exactly one."""
        return {key: values[0] for key, values in self.grants.items() if len(values) == 1}

    @cached_property
    def scope(self) -> Mapping[str, Any]:
        """What expressions see as `client`: `name, roles, profile, device, grants` and the attributes by their keys."""
        return {
            **self.attributes,
            "name": self.name,
            "roles": sorted(self.roles),
            "profile": self.profile,
            "device": dict(self.device),
            "grants": {key: list(values) for key, values in self.grants.items()},
        }


class OptionError(ValueError):
    """A filter's option is wrong. `option` names it; `at` is a 0-based offset into `text` where that helps."""

    def __init__(self, option: str, message: str, *, text: str | None = None, at: int | None = None) -> None:
        super().__init__(f"{option}: {message}")
        self.option = option
        self.message = message
        self.text = text
        self.at = at


class Filter:
    """One adaptation of documents. Configured once, called for each document; synchronous, and a function of what it is
    given.

    The constructor takes the options of the configuration as keyword arguments and raises OptionError for a bad one.
    """

    passes_all: ClassVar[bool] = False
    """True if `shape` neither returns None nor raises, whatever JSON it is given: feeds need not look at bodies."""

    pure: ClassVar[bool] = False
    """True is a promise: `shape` and `restore` change nothing in what they are given, and return nothing but JSON. Then
    they are given the documents themselves, otherwise copies, which cost some microseconds each.

    A subclass that writes one of them anew has to make it anew.
    """

    thread_safe: ClassVar[bool] = False
    """True is a promise: `shape` and `restore` may be called from any thread, also while they are called in another.
    Then large documents are judged in a thread when they are written, otherwise while nobody else is served.

    A subclass that writes one of them anew has to make it anew.
    """

    sews: ClassVar[bool] = False
    """True is a promise: `restore` refuses what it cannot sew into the original, and nothing for what an edit makes of
    it. What has been created elsewhere under the id of another document is stored beside that, as a conflict: filters
    without this promise are asked as if it were an edit of the other one, and may refuse it.

    A subclass that writes `restore` anew has to make it anew.
    """

    declares_audience: bool = False
    """Whether `audience` and `client_keys` tell whom documents reach: feeds need not look at all documents."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        """The document as this client sees it, or None if it does not get it.

        Parts of `doc` may be reused in the result. An exception withholds the document from the client, and so does
        what is no document.
        """
        return doc

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        """The whole document that the client's `edited` one stands for.

        `original` is what `shape` was given before the client edited it; None when the client creates the document.
        The default applies the difference between `shape(original)` and `edited` to `original`, in nested objects and
        in arrays. Raise Refused to refuse the write.
        """
        if original is None:
            return edited
        shaped = self.shape(original if promises(self, "pure", "shape") and self.pure else deepcopy(original), client)
        if shaped is None:
            raise Refused("the document is not visible to this client")
        return restore_structurally(edited, shaped, original)

    def audience(self, doc: Doc) -> Iterable[str] | None:
        """The keys of those whom `doc` reaches, without knowing the client; None if this filter cannot say.

        For feeds to find a client's documents: whoever gets the document (`shape` does not return None) must hold one
        of these keys. That somebody holds one without getting it is no harm. Set `declares_audience` for it to count.
        """
        return None

    def client_keys(self, client: Client) -> Iterable[str]:
        """The keys that a client holds. It shares one with each document that it gets, unless that has None."""
        return ()

    def depends_on_client(self) -> bool:
        """Whether `shape` may give different clients different results. False is a promise: results are shared.

        A subclass that writes `shape` anew has to make it anew.
        """
        return True

    def audience_fields(self) -> Iterable[str]:
        """Top-level fields by which `shape` decides whom a document reaches: they are kept in tombstones."""
        return ()

    def by_fields(self) -> bool:
        """Whether `shape` goes by fields: what it makes of a top-level field depends on that one alone, or on those
        that `origins` names, and whether it shows a document on `audience_fields` alone. True is a promise: by these
        fields it is told what a client could see when the source has no body of it any more.

        A subclass that writes `shape` anew has to make it anew.
        """
        return False

    def hides_by_place(self) -> bool:
        """Whether what `shape` hides or masks in documents that it shows goes by its place: a member that is hidden in
        one is hidden in all. Elements of arrays may go as a whole, by whatever is in them. True is a promise: a write
        then need not be judged once more to tell whether a right guess at what is hidden would make a difference.

        A subclass that writes `shape` anew has to make it anew.
        """
        return False

    def sets_fields(self) -> Iterable[str]:
        """Paths (`owner`, `notes[].by`) of what this filter decides by itself, whatever the client sends.

        As `shape` shows them. What a client reads back there may differ from what it wrote.
        """
        return ()

    def fills_fields(self) -> Iterable[str]:
        """Top-level fields that `shape` shows with a value of its own where a document has none.

        A client that sends none reads that value back.
        """
        return ()

    def writes_unseen(self) -> Iterable[str]:
        """Paths, as `shape` shows them, at which a client may store what it is not shown: those of a writable mask.

        Anywhere else a write is refused by which a client would store what is hidden from it.
        """
        return ()

    def origins(self) -> Mapping[str, Iterable[str]]:
        """By the name of a top-level field that `shape` shows: the fields it is made of, where it is not the same one.

        So that fields which a later filter of the chain names can be found in the source's document.
        """
        return _EMPTY


def promises(filter_: Filter, hook: str, *methods: str) -> bool:
    """Whether what `hook` says is about the `methods` that a filter has, not about those of a class that it is derived
    from.
    """
    return _promises(cast(Any, type(filter_)), hook, methods)


@lru_cache(maxsize=1000)
def _promises(cls: type, hook: str, methods: tuple[str, ...]) -> bool:
    writes = next(each for each in cls.__mro__ if not {hook, *methods}.isdisjoint(vars(each)))
    return hook in vars(writes)
