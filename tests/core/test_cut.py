"""Which cut of a document an edit is of."""

from __future__ import annotations

import pytest

from filters.compute import Compute
from filters.rename import Rename
from proxy.contract import Client, Doc, Filter, Refused
from proxy.core.cut import MOST, Cut, former_cuts, likely, renamed
from proxy.core.lens import Chain, Link

CLIENT = Client("ann")
DOC: Doc = {"_id": "x", "_rev": "1-a", "a": 1, "b": 2, "c": 3}


class Only(Filter):
    """Some of the fields; `raises` for a filter that does."""

    passes_all = True

    def __init__(self, *names: str, raises: bool = False) -> None:
        self._names, self._raises = names, raises

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        if self._raises:
            raise RuntimeError("a bug")
        return {name: value for name, value in doc.items() if name in self._names or name.startswith("_")}

    def depends_on_client(self) -> bool:
        return False


class Nurses(Filter):
    """Documents for nurses alone."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return doc if "nurse" in client.roles else None


def cut(*names: str, raises: bool = False) -> Cut:
    return Cut(Chain([Link("only", Only(*names, raises=raises))]), CLIENT)


A, AB = cut("a"), cut("a", "b")


def nearer(sent: Doc, *former: Cut, shown: Doc = DOC) -> list[tuple[Cut, int]]:
    return [(each.cut, each.nearer) for each in likely({"_id": "x", "_rev": "1-a", **sent}, shown, shown, former)]


def test_the_nearest_comes_first() -> None:
    assert nearer({"a": 9}, AB, A) == [(A, 2), (AB, 1)]
    assert nearer({"a": 9, "b": 2}, A, AB) == [(AB, 1), (A, 0)]


def test_of_equally_near_ones_the_present_is_the_last_and_the_order_stays() -> None:
    assert nearer({"a": 1, "b": 9, "c": 3}, AB) == []
    assert nearer({"a": 1, "b": 2, "c": 9}, AB) == [(AB, 0)]
    assert [each for each, _ in nearer({"a": 9}, A, cut("a", "d"))] == [A], "the same look is one"


def test_what_was_not_shown_is_not_edited() -> None:
    nobodys = Cut(Chain([Link("nurses", Nurses())]), CLIENT)
    assert nearer({"a": 9}, nobodys, cut("a", raises=True)) == []


def test_what_is_as_it_is_shown_now_is_no_edit_of_anything_else() -> None:
    assert nearer({"a": 1, "b": 2}, A, shown={"_id": "x", "_rev": "1-a", "a": 1, "b": 2}) == []


def test_no_more_than_some_are_tried() -> None:
    many = [cut(*(f"n{number}" for number in range(count))) for count in range(1, 2 * MOST)]
    shown = {"_id": "x", "_rev": "1-a", **{f"n{number}": number for number in range(2 * MOST)}}
    assert len(nearer({"n0": 9}, *many, shown=shown)) == MOST


def test_of_a_former_chain_that_counts_which_the_present_has_not() -> None:
    only, nurses, stamp = Link("only", Only("a")), Link("nurses", Nurses()), Link("stamp", Filter())
    former = [(nurses, "n"), (only, "o"), (stamp, "s")]

    def links(*present: str, client: Client = CLIENT) -> list[tuple[Link, ...]]:
        now = [each for each in former if each[1] in present]
        return [each.chain.links for each in former_cuts(former, client, now, CLIENT)]

    assert links() == [(nurses, only), (only,)]
    assert links("n") == [(only,)]
    assert links("n", "o") == []
    assert links("n", "o", client=Client("ann", frozenset(["nurse"]))) == [(nurses,)]


def test_what_is_renamed_now_had_the_sources_name() -> None:
    first, second = (
        Link("1", Rename(fields={"name": "called", "a": "b", "b": "a"})),
        Link("2", Rename(fields={"called": "n"})),
    )
    compute = Link("3", Compute(fields={"size": "length(note)"}))
    assert renamed([first, second, compute], CLIENT) == {"name": "n", "a": "b", "b": "a"}
    [made] = former_cuts([], CLIENT, [(first, "1"), (second, "2")], CLIENT)
    shown = {"_id": "x", "n": 1, "b": 2, "a": 3, "other": 4}
    assert made.whole(shown) == {"_id": "x", "name": 1, "a": 2, "b": 3, "other": 4}
    assert made.shown(made.whole(shown)) == shown
    with pytest.raises(Refused):
        made.shown({"_id": "x", "name": 1, "n": 2})
