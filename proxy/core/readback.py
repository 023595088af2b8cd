"""What a client would read of the document that it writes, were it stored: compared with what it has sent. No I/O.

Not compared are `_rev`, protocol members, what filters set or fill, and of attachments all but the names. A value
counts by its path without the indices of arrays: it is the client's if it was sent, or shown, there.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

from proxy.contract import Client, Doc, Refused
from proxy.core.differences import EVERYTHING
from proxy.core.differences import differences as differing_paths
from proxy.core.equality import same
from proxy.core.lens import Chain, Withheld
from proxy.core.marks import Value, copied, hidden_values, places_of, values_of


def check_putget(chain: Chain, whole: Doc, edited: Doc, client: Client, original: Doc | None = None) -> list[str]:
    """The paths at which `client` would not read back what it wrote: where the shape of `whole` is not `edited`.

    Not compared are `_rev`, protocol members, what filters set themselves (unless it hides what the client sent, as
    `forged_fields` tells) or fill where the client sent nothing, and of attachments all but the names; of a deletion,
    what the client did not send. `original` tells of what type and size the attachments are that `whole` has as bare
    stubs. Paths name nothing that the client neither sent nor was shown; one may be empty. Raises Refused if the
    client could not read the document at all: such a write is refused even where a surplus may be discarded.
    """
    try:
        shaped = _read_of_source(chain, whole, edited, client, original)
        if same(shaped, edited) or (shaped is None and _is_bare_deletion(edited)):
            return []
        if shaped is not None:
            found = differences(chain, shaped, edited, client)
            if found:
                known = EVERYTHING if original is None else _shown(chain, original, client)
                return differences(chain, shaped, edited, client, known)
            return [] if chain.set_paths is None else sorted(_forged(chain, whole, edited, shaped, original, client))
    except Withheld as error:
        raise Refused(f"the document could not be read back: {error}") from error
    except RecursionError:
        raise Refused("the document is nested too deeply") from None
    raise Refused("the document would not be visible to the client that writes it")


def read_back(chain: Chain, whole: Doc, client: Client, original: Doc | None = None) -> Doc | None:
    """What `client` would be shown of `whole`, were it stored. `original` as in `check_putget`. Raises Withheld."""
    return chain.shape(_with_described_stubs(whole, original), client)


def _read_of_source(chain: Chain, whole: Doc, edited: Doc, client: Client, original: Doc | None) -> Doc | None:
    """`read_back` without the fields that filters have filled: what there is of them is no answer to what was sent.

    A field that was sent is; and one that the document has, which the client may not have been shown.
    """
    shaped = read_back(chain, whole, client, original)
    if shaped is None or not chain.filled or chain.filled <= edited.keys():
        return shaped
    for name in chain.filled & shaped.keys() - edited.keys():
        sources = chain.in_source_names(name)
        without = whole if sources.isdisjoint(whole) else {n: v for n, v in whole.items() if n not in sources}
        filled = shaped if without is whole else read_back(chain, without, client, original) or {}
        if name in filled and same(filled[name], shaped[name]):
            shaped = {n: value for n, value in shaped.items() if n != name}
    return shaped


def forged_fields(chain: Chain, whole: Doc, sent: Doc, client: Client, original: Doc | None = None) -> set[str]:
    """The top-level fields of `whole` in which there is something that the client has `sent`, and neither would be
    shown of it nor is in the `original`: it would be hidden, and not the source's. Raises Withheld.

    Values count by their path without the indices of arrays, as often as they are there. What may be written unseen
    does not count.
    """
    return _forged(chain, whole, sent, read_back(chain, whole, client, original) or {}, original, client)


def _forged(chain: Chain, whole: Doc, sent: Doc, shown: Doc, original: Doc | None, client: Client) -> set[str]:
    own = body_of(sent if chain.unseen_paths is None else chain.unseen_paths.drop(sent, client))
    before = Counter(map(chain.term, values_of(body_of(original or {}))))
    theirs = set(chain.in_source(values_of(own)))
    stored = Counter(value for value in map(chain.term, values_of(body_of(whole))) if value in theirs)
    new = {value for value, count in stored.items() if count > before[value]}
    hidden = _hidden_values(chain, whole, new, client, original) if new else Counter()
    found = {str(value[0]) for value, count in hidden.items() if count > before[value]}
    names = {source for name in own for source in chain.in_source_names(name)}
    places = {*(original or {}), *(source for name in shown for source in chain.in_source_names(name))}
    return found | {name for name in body_of(whole) if name in names and name not in places}


def _hidden_values(
    chain: Chain, whole: Doc, values: set[Value], client: Client, original: Doc | None
) -> Counter[Value]:
    """How often some values are in `whole` where the client would not be shown them. Raises Withheld."""
    marked = copied(whole)
    places = [*places_of(marked, values, chain.term)]
    shown = read_back(chain, marked, client, original) or {}

    def shape() -> Doc | None:
        with suppress(Withheld):  # by a filter that does not bear the marks
            return chain.shape_marked(_with_described_stubs(marked, original), client)
        return None

    return hidden_values(places, shown, shape, chain.in_source(values_of(body_of(shown))), chain.term)


def uncovers(chain: Chain, whole: Doc, edited: Doc, client: Client, original: Doc | None = None) -> bool:
    """Whether in `whole` the client could read what it has neither sent nor been shown of the `original`.

    That is no surplus to be discarded: it is hidden, and a condition for it to be so is gone. Only values count,
    by their path without the indices of arrays. Not compared is what filters set or fill. Raises Withheld.
    """
    shaped = _read_of_source(chain, whole, edited, client, original)
    if shaped is None:
        return False
    sent, shown = _compared(chain, edited, client), _compared(chain, _shown(chain, original, client), client)
    known = {*values_of(sent), *values_of(shown)}
    return any(value not in known for value in values_of(_compared(chain, shaped, client)))


def differences(chain: Chain, shaped: Doc, edited: Doc, client: Client, shown: Any = EVERYTHING) -> list[str]:
    """The paths at which the two differ, by the rules of `check_putget`. `shown`: what the client may be told of
    beside what it sent.
    """
    sent, read = _compared(chain, edited, client), _compared(chain, shaped, client)
    if edited.get("_deleted") is True:
        read = {name: value for name, value in read.items() if name in sent}
    return list(differing_paths(read, sent, shown=shown))


def _compared(chain: Chain, doc: Doc, client: Client) -> Doc:
    content = comparable(doc)
    return content if chain.set_paths is None else chain.set_paths.drop(content, client)


def _shown(chain: Chain, original: Doc | None, client: Client) -> Doc:
    return {} if original is None else chain.shape(original, client) or {}


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


def _is_bare_deletion(doc: Doc) -> bool:
    return doc.get("_deleted") is True and all(name.startswith("_") for name in doc)


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
