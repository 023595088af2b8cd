"""Filters that do what they should not: what they are given stays as it was, and what they give is a document."""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar

import pytest
from hypothesis import given

from filters.drop import Drop
from proxy.contract import Client, Doc, Filter
from proxy.core.guard import Guarded, guarded
from proxy.core.lens import Chain, Link, Withheld
from proxy.core.readback import check_putget
from tests.core.json_strategies import docs

ANN = Client("ann")
DOC: Doc = {"_id": "d", "_rev": "1-a", "ssn": "secret", "address": {"street": "x", "geo": [1, 2]}, "n": 2**70}


def chain(*filters: Filter) -> Chain:
    return Chain([Link(type(each).__name__, each) for each in filters])


class InPlace(Filter):
    """Hides what it should, by taking it out of what it was given."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        doc.pop("ssn", None)
        if isinstance(doc.get("address"), dict):
            doc["address"].pop("geo", None)
        return doc


class BothWays(InPlace):
    """Writes `restore` itself, by way of the default."""

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        edited.pop("from the device", None)
        return super().restore(edited, original, client)


class WhiteList(Filter):
    """What its author thinks a document is, with a member of the protocol's namespace that is none."""

    pure: ClassVar[bool] = False

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {"_secret": 1, **{name: doc[name] for name in ("_id", "_rev", "name") if name in doc}}

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return {**(original or {}), **self.shape(edited, client)}


class PureWhiteList(WhiteList):
    pure: ClassVar[bool] = True


@pytest.mark.parametrize("filter_", [WhiteList(), PureWhiteList()], ids=["guarded", "pure"])
def test_a_filter_does_not_decide_whether_a_document_is_deleted(filter_: Filter) -> None:
    gone: Doc = {"_id": "d", "_rev": "2-a", "_deleted": True, "ssn": "1"}
    shown = chain(filter_).shape(gone, ANN)
    assert shown is not None
    assert shown["_deleted"] is True
    assert ("_secret" in shown) is filter_.pure
    assert chain(filter_).restore({"_id": "d", "name": "x", "_deleted": True}, DOC, ANN)["_deleted"] is True
    assert "_deleted" not in chain(filter_).restore({"_id": "d", "name": "x"}, gone, ANN)


class Returning(Filter):
    def __init__(self, value: Any) -> None:
        self.value = value

    def shape(self, doc: Doc, client: Client) -> Any:
        return self.value(doc) if callable(self.value) else self.value

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Any:
        return self.shape(edited, client)


@pytest.mark.parametrize("filter_", [InPlace(), BothWays()], ids=["shape", "both"])
def test_what_a_filter_is_given_stays_as_it_was(filter_: Filter) -> None:
    before, by = deepcopy(DOC), chain(filter_)
    shown = by.shape(DOC, ANN)
    assert shown == {"_id": "d", "_rev": "1-a", "address": {"street": "x"}, "n": 2**70}
    assert before == DOC
    edited = {**shown, "address": {"street": "y"}}
    sent = deepcopy(edited)
    whole = by.restore(edited, DOC, ANN)
    assert whole == {**DOC, "address": {"street": "y", "geo": [1, 2]}}
    assert (before, sent) == (DOC, edited)
    assert check_putget(by, whole, edited, ANN, DOC) == []


def test_what_is_no_document_withholds_it() -> None:
    wrong: list[Any] = ["text", [DOC], True, 1, {"tags": {1}}, {"x": object()}, lambda doc: [*doc]]
    for value in wrong:
        by = chain(Returning(value))
        with pytest.raises(Withheld, match=r"filter Returning raised (TypeError|ValueError): "):
            by.shape(DOC, ANN)
        with pytest.raises(Withheld, match="filter Returning raised"):
            by.restore(DOC, DOC, ANN)
    with pytest.raises(Withheld, match="restore returned NoneType, not a document"):
        chain(Returning(None)).restore(DOC, None, ANN)
    assert chain(Returning(None)).shape(DOC, ANN) is None


def test_what_is_returned_is_what_it_is_as_json() -> None:
    made = chain(Returning(lambda doc: {**doc, "pair": (1, 2), 7: True}))
    assert made.shape({"_id": "d", "_rev": "1-a"}, ANN) == {"_id": "d", "_rev": "1-a", "pair": [1, 2], "7": True}


@pytest.mark.parametrize("leave", [sys.exit, lambda: sys.exit("bye")])
def test_a_filter_does_not_end_the_proxy(leave: Callable[[], Any]) -> None:
    with pytest.raises(Withheld, match="SystemExit"):
        chain(Returning(lambda doc: leave())).shape(DOC, ANN)
    with pytest.raises(Withheld, match="SystemExit"):
        chain(Returning(lambda doc: leave())).restore(DOC, None, ANN)


@given(docs())
def test_a_document_that_is_left_as_it_is_is_the_same(doc: Doc) -> None:
    assert Guarded(Filter()).shape(doc, ANN) is doc


def test_the_promise_is_that_of_the_class_that_wrote_the_methods() -> None:
    class Own(Drop):
        def shape(self, doc: Doc, client: Client) -> Doc:
            return doc

    class OwnBack(Drop):
        def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
            return edited

    class Promised(Own):
        pure: ClassVar[bool] = True

    class Named(Drop):
        """Another name for it."""

    kept = [Drop(paths=["a"]), Promised(paths=["a"]), Named(paths=["a"])]
    assert [guarded(each) for each in kept] == kept
    for each in (Own(paths=["a"]), OwnBack(paths=["a"]), Filter(), InPlace()):
        assert isinstance(guarded(each), Guarded)
