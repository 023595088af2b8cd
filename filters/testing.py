"""A kit for testing filters: the lens laws over sample documents, with edits that hypothesis makes up.

    def test_laws():
        assert_lens_laws(Drop(paths=["ssn"]), [{"_id": "p1", "_rev": "1-a", "name": "Ann", "ssn": "1"}])

Needs the package `hypothesis`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client, Doc, Filter, Refused
from proxy.rules import Chain, Link, check_putget, differences

_IDENTITIES = ("_id", "id", "key")
"""By these elements of arrays are told apart: with another one it is another element."""

Edit = Callable[[Doc], Doc]
"""From a document as the client was shown it (a copy, to change at will) to what the client sends."""

SOMEBODY = Client("ann", frozenset({"nurse", "facility:f7"}), "phone")
"""The client that the kit uses unless it is given another."""


def assert_lens_laws(
    filter: Filter,
    samples: Sequence[Doc],
    *,
    client: Client = SOMEBODY,
    edits: Iterable[Edit] = (),
    fixed: Sequence[str] = (),
    examples: int = 100,
) -> None:
    """Fails with an AssertionError that says what went wrong, unless for each of `samples` that `client` gets:

    - `shape` changes nothing in place, gives the same twice, gives a tombstone without fields a thought, and leaves
      `_id`, `_rev` and `_deleted` as they are;
    - GetPut: restoring an untouched shape gives the sample;
    - PutGet: after an edit, shaping what was restored gives what the client sent, or `restore` raises Refused;
    - what is hidden survives: an edit that was accepted, and is then taken back, leaves the sample;
    - who goes on with what was accepted, without fetching what the filter has made of it, is not refused, and sending
      it again changes nothing;
    - `restore` takes a new document (it is given no original) and a deletion, or raises Refused;
    - with `declares_audience`: whoever is shown a document, edited or not, holds one of its keys;
    - if it does not depend on the client: others are shown the same.

    Warns if no edit at all was accepted. Edits are those of `edits`, each visible value changed by itself, each array
    made longer, and `examples` that are made up: values of the shaped sample are changed, added and removed, elements
    of arrays moved and copied (but for those with arrays in them), any number of times; the same at each run.

    `fixed` names members that made-up edits leave alone, because the filter decides by them what it hides: an edit
    there may hide what the client wrote, which the proxy refuses.

    Not compared is what the filter `sets_fields` itself; of attachments, only names are.
    """
    bench = _Bench(filter, client)
    shown = [(sample, shaped) for sample in samples if (shaped := bench.shape(sample)) is not None]
    assert shown, "the client gets none of the samples: nothing was tested"
    bench.shape({"_id": "gone", "_rev": "2-b", "_deleted": True})
    for sample in samples:
        bench.others(sample)
    for sample, shaped in shown:
        bench.get_put(sample, shaped)
        for edit in edits:
            bench.put_get(sample, shaped, edit(deepcopy(shaped)))
        for edited in _changed_by_one(shaped, fixed):
            bench.put_get(sample, shaped, edited)
        for edited in [*_changed_by_one(shaped, (*fixed, *_IDENTITIES)), *_longer_by_one(shaped, fixed)]:
            bench.take_back(sample, shaped, edited)
        bench.create(shaped)
        bench.delete(sample)

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(st.data())
    def made_up(data: st.DataObject) -> None:
        sample, shaped = data.draw(st.sampled_from(shown))
        pool = [{n: value for n, value in other.items() if n not in sample} for _, other in shown]
        edited = data.draw(edits_of(shaped, pool, fixed))
        bench.others(edited)
        bench.put_get(sample, shaped, edited)

    made_up()
    if not bench.accepted:
        warnings.warn(f"{type(filter).__name__} refused every edit that was tried", stacklevel=2)


class _Bench:
    def __init__(self, filter: Filter, client: Client) -> None:
        self._filter = filter
        self._client = client
        self._chain = Chain([Link(type(filter).__name__, filter)])
        strangers = replace(client, name="somebody else"), replace(client, roles=frozenset(("nobody:else",)))
        self._clients = [client, Client(None), *strangers]
        self.accepted = 0

    def others(self, doc: Doc) -> None:
        """What holds for all clients, not only for the one that edits."""
        told = self._filter.declares_audience
        keys = None if not told else self._keys(doc)
        shown = [_outcome(self._filter.shape, doc, client) for client in self._clients]
        for client, shaped in zip(self._clients, shown, strict=True):
            if keys is not None and isinstance(shaped, dict):
                held = set(self._filter.client_keys(client))
                message = f"{client} is shown a document, but holds none of its keys {sorted(keys)}: {sorted(held)}"
                assert keys & held, f"{message}\n{_text(doc)}"
        if not self._chain.depends_on_client:
            differing = [client for client, shaped in zip(self._clients, shown, strict=True) if shaped != shown[0]]
            assert not differing, (
                f"does not depend on the client, but shows {differing[:1]} something else\n{_text(doc)}"
            )

    def _keys(self, doc: Doc) -> set[str] | None:
        found = _outcome(lambda doc, client: self._filter.audience(doc), doc, self._client)
        return None if found is None or isinstance(found, type) else set(found)

    def shape(self, doc: Doc) -> Doc | None:
        before = deepcopy(doc)
        shaped = self._filter.shape(doc, self._client)
        assert doc == before, f"shape changed the document that it was given:\n{_text(before)}\n{_text(doc)}"
        assert shaped == self._filter.shape(doc, self._client), f"shape is not the same twice for\n{_text(doc)}"
        assert shaped is not None or not self._filter.passes_all, f"passes_all, but withholds\n{_text(doc)}"
        if shaped is not None:
            _check_protocol(doc, shaped)
        return shaped

    def get_put(self, sample: Doc, shaped: Doc) -> None:
        restored = self._filter.restore(deepcopy(shaped), sample, self._client)
        differing = differences(self._chain, restored, sample, self._client)
        assert not differing, _report("GetPut: untouched, but changed", differing, sample, shaped, restored)

    def create(self, shaped: Doc) -> None:
        """What is edited may be new: there is no original then."""
        self._restored({name: value for name, value in shaped.items() if name not in ("_rev", "_deleted")}, None)

    def delete(self, sample: Doc) -> None:
        self._restored({**{n: sample[n] for n in ("_id", "_rev") if n in sample}, "_deleted": True}, sample)

    def _accepted(self, edited: Doc, sample: Doc) -> Doc | None:
        """What the proxy would store; None if it would not."""
        whole = self._restored(edited, sample)
        try:
            return None if whole is None or check_putget(self._chain, whole, edited, self._client, sample) else whole
        except Refused:
            return None

    def _restored(self, edited: Doc, original: Doc | None) -> Doc | None:
        """What `restore` gives for a copy; None if it refuses."""
        return self._restore(deepcopy(edited), deepcopy(original))

    def _restore(self, edited: Doc, original: Doc | None) -> Doc | None:
        try:
            return self._filter.restore(edited, original, self._client)
        except Refused:
            return None
        except Exception as error:
            given = "None" if original is None else _text(original)
            raise AssertionError(f"restore raises {error!r} for\n{_text(edited)}\nand the original {given}") from error

    def put_get(self, sample: Doc, shaped: Doc, edited: Doc) -> None:
        sent, before = deepcopy(edited), deepcopy(sample)
        whole = self._restore(edited, sample)
        try:
            unread = [] if whole is None else check_putget(self._chain, whole, edited, self._client, sample)
        except Refused:
            return
        if whole is None:
            return
        assert edited == sent, f"restore changed what it was given:\n{_text(sent)}\n{_text(edited)}"
        assert sample == before, f"restore changed the original:\n{_text(before)}\n{_text(sample)}"
        if unread:
            read = self._filter.shape(whole, self._client)
            message = "PutGet: the client does not read back what it wrote, at"
            raise AssertionError(_report(message, unread, sample, shaped, edited, whole, read))
        self.accepted += 1
        if "_deleted" not in edited:
            self._go_on(sample, shaped, edited, whole)

    def _go_on(self, sample: Doc, shaped: Doc, edited: Doc, whole: Doc) -> None:
        """A device keeps what it sent: it does not fetch the revision that it has made itself."""
        again = self._accepted(edited, whole)
        message = "refused, although the client goes on with what was accepted before, and has fetched nothing since"
        assert again is not None, f"{message}:\n{_text(edited)}\nonto the document\n{_text(whole)}"
        differing = differences(self._chain, again, whole, self._client)
        message = "sent twice, and stored differently, at"
        assert not differing, _report(message, differing, sample, shaped, edited, whole, again)

    def take_back(self, sample: Doc, shaped: Doc, edited: Doc) -> None:
        """The client thinks better of it: then all is as it was, what it never saw included."""
        whole = self._accepted(edited, sample)
        again = None if whole is None else self._restored(shaped, whole)
        if whole is None or again is None:
            return
        for name in self._filter.fills_fields():
            if name not in sample and name in again and again[name] == shaped.get(name):
                del again[name]  # stored now, as it was shown
        lost = differences(self._chain, again, sample, self._client)
        message = "hidden values are lost: after an edit that was taken back, there is something else at"
        assert not lost, _report(message, lost, sample, shaped, edited, whole, again)


def _check_protocol(doc: Doc, shaped: Doc) -> None:
    """The proxy puts right what a filter does to these; but it is not what its author meant."""
    report = f"\n{_text(doc)}\n{_text(shaped)}"
    for name in ("_id", "_rev", "_deleted"):
        assert shaped.get(name) == doc.get(name), f"shape changes or drops {name}{report}"
    made_up = [name for name in shaped if name.startswith("_") and name not in doc]
    assert not made_up, f"shape makes up {made_up[0]}: such names belong to the protocol{report}"


def _outcome(call: Callable[[Doc, Client], Any], doc: Doc, client: Client) -> Any:
    """What a hook gives, or what it raises: then the document is withheld, or a candidate for everybody."""
    try:
        return call(doc, client)
    except Exception as error:
        return type(error)


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.text("abc*", max_size=4))


@st.composite
def edits_of(draw: st.DrawFn, shaped: Doc, pool: Sequence[Doc] = (), fixed: Sequence[str] = ()) -> Doc:
    """Documents that a client might send after it was shown `shaped`, made up as `assert_lens_laws` says.

    New members come from the documents of `pool`.
    """
    edited = deepcopy(shaped)
    if "_rev" in edited:
        edited["_rev"] = "9-edited"
    for _ in range(draw(st.integers(0, 4))):
        places = [(container, key) for container, key in _places(edited) if key not in fixed]
        changes = [_add_member]
        changes += [_change_scalar, _remove] if places else []
        changes += [_edit_array] if any(_movable(container[key]) for container, key in places) else []
        draw(st.sampled_from(changes))(draw, edited, places, pool)
    return edited


_Place = tuple[Any, Any]
"""A container and a key or index into it."""


def _changed_by_one(shaped: Doc, fixed: Sequence[str]) -> Iterator[Doc]:
    """`shaped` with one of its values changed to another of the same type, for each of them."""
    for index, (container, key) in enumerate(_places(shaped)):
        if key in fixed or isinstance(container[key], dict | list):
            continue
        edited = deepcopy(shaped)
        [place] = [place for at, place in enumerate(_places(edited)) if at == index]
        place[0][place[1]] = _another(container[key])
        yield edited


def _longer_by_one(shaped: Doc, fixed: Sequence[str]) -> Iterator[Doc]:
    """`shaped` with one of its arrays longer by an element, for each of them."""
    arrays = [i for i, (container, key) in enumerate(_places(shaped)) if isinstance(container[key], list)]
    for index in arrays:
        edited = deepcopy(shaped)
        container, key = list(_places(edited))[index]
        array = container[key]
        if key not in fixed:
            array.append(_new_like(array[-1]) if array else "new")
            yield edited


def _new_like(element: Any) -> Any:
    if isinstance(element, dict):
        return {name: _new_like(value) for name, value in element.items()}
    return [] if isinstance(element, list) else _another(element)


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return "new" if value is None else value + " new" if isinstance(value, str) else value + 1


def _places(value: Any, top: bool = True) -> Iterator[_Place]:
    keys: Iterable[Any] = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        if top and key.startswith("_"):
            continue
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key], False)


def _change_scalar(draw: st.DrawFn, edited: Doc, places: list[_Place], pool: Sequence[Doc]) -> None:
    scalars = [(container, key) for container, key in places if not isinstance(container[key], dict | list)]
    if scalars:
        container, key = draw(st.sampled_from(scalars))
        container[key] = draw(_SCALARS)


def _remove(draw: st.DrawFn, edited: Doc, places: list[_Place], pool: Sequence[Doc]) -> None:
    removable = [(container, key) for container, key in places if not _may_hide(container[key])]
    if removable:
        container, key = draw(st.sampled_from(removable))
        del container[key]


def _may_hide(value: Any) -> bool:
    """Whether hidden things may stay behind when the value is removed, so that the client reads back a remainder."""
    if isinstance(value, list):
        return True
    return isinstance(value, dict) and (not value or any(map(_may_hide, value.values())))


def _add_member(draw: st.DrawFn, edited: Doc, places: list[_Place], pool: Sequence[Doc]) -> None:
    members = [(n, v) for doc in pool for n, v in doc.items() if n not in edited and not n.startswith("_")]
    if members:
        name, value = draw(st.sampled_from(members))
        edited[name] = deepcopy(value)


def _edit_array(draw: st.DrawFn, edited: Doc, places: list[_Place], pool: Sequence[Doc]) -> None:
    """Moves or copies an element."""
    array = draw(st.sampled_from([container[key] for container, key in places if _movable(container[key])]))
    element = draw(st.sampled_from(_movable(array)))
    moved = array.pop(element) if draw(st.booleans()) else deepcopy(array[element])
    array.insert(draw(st.integers(0, len(array))), moved)


def _movable(value: Any) -> list[int]:
    """The elements of an array that may be moved: one that was changed as well is a new one, and what was hidden in the
    former one stays behind.
    """
    return [i for i, element in enumerate(value) if not _may_hide(element)] if isinstance(value, list) else []


def _report(what: str, paths: Sequence[str], sample: Doc, shaped: Doc, *rest: Any) -> str:
    names = ["edited", "restored", "read back"] if len(rest) == 3 else ["restored"]
    docs = [("sample", sample), ("shaped", shaped), *zip(names, rest, strict=True)]
    return "\n".join([f"{what} {', '.join(paths)}", *(f"{name:>9}: {_text(doc)}" for name, doc in docs)])


def _text(doc: Any) -> str:
    return json.dumps(doc, ensure_ascii=False)
