"""Whether a document may be there instead of another one."""

from __future__ import annotations

from typing import Any

import pytest

from filters.compute import Compute
from filters.drop import Drop
from filters.keep import Keep
from filters.redact import Redact
from filters.rename import Rename
from filters.stamp import Stamp
from proxy.contract import Client, Doc, Filter, Refused
from proxy.core.lens import Chain, Link

ANN = Client("ann")
OTHER: Doc = {"_id": "x", "title": "old", "pin": 1, "p": {"pin": 2, "name": "A"}, "list": [{"pin": 3}]}


class Seeing(Filter):
    """Judges edits, and takes note of what it is asked."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.seen: list[tuple[Doc, Doc | None]] = []
        self._refuses = refuses

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        self.seen.append((edited, original))
        if self._refuses:
            raise Refused("no")
        return edited


def seen(*hides: Filter, edited: Doc, other: Doc = OTHER, original: Doc | None = None) -> list[Doc]:
    """What a filter that judges edits, ahead of others, is asked: as the client's word has it, and as it stays."""
    rule = Seeing()
    chain = Chain([Link(type(each).__name__, each) for each in (rule, *hides)])
    chain.judge_instead({"_id": "x", **edited}, original, other, ANN)
    assert all(original == other for _, original in rule.seen)
    return [{name: value for name, value in doc.items() if name != "_id"} for doc, _ in rule.seen]


@pytest.mark.parametrize(
    ("hides", "edited", "own", "sewn"),
    [
        ([Drop(paths=["pin", "p.pin"])], {}, {"pin": 1, "p": OTHER["p"]}, {"pin": 1}),
        (
            [Drop(paths=["pin", "p.pin"])],
            {"pin": 9, "p": {"pin": 8, "name": "B"}},
            {"pin": 9, "p": {"pin": 8, "name": "B"}},
            {"pin": 1, "p": {"pin": 2, "name": "B"}},
        ),
        (
            [Redact(paths=["p.pin"]), Drop(paths=["p"])],
            {"title": "new"},
            {"title": "new", "p": {"pin": 2, "name": "A"}},
            {"title": "new", "p": {"pin": 2, "name": "A"}},
        ),
        (
            [Rename(fields={"pin": "code"}), Drop(paths=["code"])],
            {"title": "new"},
            {"title": "new", "pin": 1},
            {"title": "new", "pin": 1},
        ),
        (
            [Compute(fields={"both": "[pin, p.pin]"}), Drop(paths=["both", "list"])],
            {"title": "new"},
            {"title": "new", "list": [{"pin": 3}]},
            {"title": "new", "list": [{"pin": 3}]},
        ),
        ([Keep(paths=["title"])], {}, {n: v for n, v in OTHER.items() if n not in ("_id", "title")}, None),
    ],
)
def test_it_is_asked_for_twice_what_is_hidden(hides: list[Filter], edited: Doc, own: Doc, sewn: Any) -> None:
    asked = seen(*hides, edited=edited)
    assert asked == [own, own if sewn is None else sewn]


def test_onto_a_deletion_there_is_nothing_to_stay() -> None:
    other = {**OTHER, "_deleted": True}
    assert seen(Drop(paths=["pin"]), edited={"title": "new"}, other=other) == [{"title": "new"}]


def test_what_filters_set_is_not_the_clients() -> None:
    asked = seen(Stamp(fields={"pin": "client.name"}), edited={"pin": 7})
    assert [doc["pin"] for doc in asked] == [1, 1]  # as in an edit of the other one


def test_a_refusal_is_one() -> None:
    chain = Chain([Link("seeing", Seeing(refuses=True)), Link("drop", Drop(paths=["pin"]))])
    with pytest.raises(Refused, match="no"):
        chain.judge_instead({"_id": "x"}, None, OTHER, ANN)
