"""Of more changed elements than are compared each with each: what is hidden in them stays with its element, or the edit
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client, Doc, Filter, Refused
from proxy.core import alignment
from proxy.core.alignment import align
from proxy.core.equality import key_of
from proxy.core.structural import restore_structurally


@pytest.fixture(autouse=True, scope="module")
def none_is_small() -> Iterator[None]:
    """No gap is small enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "_MAX_CELLS", 0)
        yield


def shown(element: Doc) -> Doc:
    return {name: value for name, value in element.items() if name != "h"}


@st.composite
def elements(draw: Any) -> Doc:
    """Some members have a value that few others have, some one that many have."""
    found = {"kind": draw(st.integers(0, 1)), "n": draw(st.integers(0, 2)), "text": draw(st.integers(0, 20))}
    return {name: found[name] for name in draw(st.sets(st.sampled_from(sorted(found)), min_size=1))}


Edited = list[tuple[int | None, Doc]]
"""The elements that a client sends, each with the index of the one that it was."""


@st.composite
def edits(draw: Any, before: list[Doc]) -> Edited:
    fresh = iter(range(1000, 10_000))
    after: Edited = []
    for index, element in enumerate(before):
        if draw(st.integers(0, 7)) == 0:
            after.append((None, {**draw(elements()), "text": next(fresh)}))
        if draw(st.integers(0, 5)) == 0:
            continue
        names = draw(st.sets(st.sampled_from([*sorted(element), "new", "new"]), max_size=2)) - {"id"}
        edited = {**element, **{name: next(fresh) for name in sorted(names)}}
        for name in draw(st.sets(st.sampled_from(sorted(element)), max_size=1)) - {"id"}:
            if draw(st.booleans()):
                del edited[name]
        after.append((index, edited))
    for _ in range(draw(st.integers(0, 1))):
        after = draw(st.permutations(after))
    return after


@settings(max_examples=300, deadline=None)
@given(st.lists(elements(), min_size=1, max_size=9), st.data(), st.integers(0, 12))
def test_what_is_hidden_stays_with_its_element_or_the_edit_is_refused(
    before: list[Doc], data: st.DataObject, named: int
) -> None:
    before = [{**each, "id": index} if index + 5 < named else each for index, each in enumerate(before)]
    original = {"l": [{**each, "h": index} for index, each in enumerate(before)]}
    after = data.draw(edits(before))
    try:
        whole = restore_structurally({"l": [each for _, each in after]}, {"l": before}, original)
    except Refused:
        return
    assert list(map(shown, whole["l"])) == [each for _, each in after]
    left = [origin for origin, _ in after if origin is not None]
    like_others = any(origin is not None and each != before[origin] and each in before for origin, each in after)
    taken = {stored["h"] for stored in whole["l"] if "h" in stored}
    for stored, (origin, edited) in zip(whole["l"], after, strict=True):
        if "h" not in stored:
            # what was moved and changed is new, and so is what another one has more of, or has been made the same as
            assert origin is None or left != sorted(left) or origin in taken or like_others
        elif origin is not None:
            assert before[stored["h"]] in (before[origin], edited)  # its own, or of what it was made the same as
        else:  # in place of one that was removed, or has become another one, and has half of what it was
            former = before[stored["h"]]
            assert 2 * len(former.items() & edited.items()) >= len(former)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(elements(), st.booleans()), max_size=9), st.data())
def test_where_nothing_is_hidden_within_elements_any_edit_is_taken_as_it_is(
    before: list[tuple[Doc, bool]], data: st.DataObject
) -> None:
    original = {"l": [{"hidden": index} if hides else each for index, (each, hides) in enumerate(before)]}
    kept = [index for index, (_, hides) in enumerate(before) if not hides]
    shaped = {"l": [original["l"][index] for index in kept]}
    edited = {"l": [each for _, each in data.draw(edits(shaped["l"]))]}
    whole = restore_structurally(edited, shaped, original, survivors={id(shaped["l"]): kept})
    assert [each for each in whole["l"] if "hidden" not in each] == edited["l"]
    hidden = [each["hidden"] for each in whole["l"] if "hidden" in each]
    assert sorted(hidden) == [index for index in range(len(before)) if index not in kept]


@pytest.mark.parametrize(("arrays", "size"), [(1, 101), (11, 100), (60, 50)])
def test_of_many_elements_a_flag_is_set_in_all_and_the_first_one_goes(arrays: int, size: int) -> None:
    def whole(version: int) -> Doc:
        return {
            f"a{n}": [{"text": f"{n} {k}", "kind": k % 7, "v": version, "h": [n, k]} for k in range(size)]
            for n in range(arrays)
        }

    def shaped(version: int) -> Doc:
        return {name: list(map(shown, value)) for name, value in whole(version).items()}

    last = f"a{arrays - 1}"
    assert restore_structurally({**shaped(2), last: shaped(2)[last][1:]}, shaped(1), whole(1)) == {
        **whole(2),
        last: whole(2)[last][1:],
    }


def test_elements_that_nothing_tells_apart_are_refused_with_the_field_named() -> None:
    original = {"of": {"l": [{"kind": k % 3, "h": k} for k in range(101)]}}
    shaped = {"of": {"l": [{"kind": k % 3} for k in range(101)]}}
    edited = {"of": {"l": [{"kind": k % 3, "seen": True} for k in range(100)]}}
    with pytest.raises(Refused, match="give them an `id`") as refused:
        restore_structurally(edited, shaped, original)
    assert refused.value.path == "of"


def test_as_many_others_with_identities_of_their_own_are_taken_instead() -> None:
    original = {"l": [{"id": k, "h": k} for k in range(500)]}
    edited: Doc = {"l": [{"id": k} for k in range(500, 1000)]}
    assert restore_structurally(edited, {"l": [{"id": k} for k in range(500)]}, original) == edited


def test_only_what_may_have_become_another_is_unsure() -> None:
    old = [*({"id": k, "t": 0} for k in range(200)), *({"t": 1} for _ in range(200)), *([k] for k in range(200))]
    new: list[Any] = [{"id": k, "t": 2} for k in range(900, 1200)]
    assert align(new, old).unsure == {*range(200, 400)}
    assert align([], old).unsure == frozenset()
    assert align([*new, [-1]], old).unsure == {*range(200, 600)}


class Masking(Filter):
    """A site's: leaves out elements, and shows a member of the others otherwise."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        shown = [{**each, "by": "***"} for each in doc["a"] if not each.get("private")]
        return {**doc, "a": shown}


@given(st.lists(st.tuples(st.sampled_from("vwxyz"), st.booleans()), min_size=1, max_size=30), st.data())
def test_what_a_filter_has_masked_and_left_out_is_told_or_the_edit_is_refused(
    elements: list[tuple[str, bool]], data: st.DataObject
) -> None:
    """Whoever has the text of the element that was edited has its secret, too."""
    whole = [
        {"t": text, "by": f"{text}{number}", **({"private": True} if private else {})}
        for number, (text, private) in enumerate(elements)
    ]
    original: Doc = {"_id": "x", "a": whole}
    mine = Masking()
    shown = mine.shape(original, Client("ann"))
    if not shown["a"]:
        return
    index = data.draw(st.integers(0, len(shown["a"]) - 1))
    edited = {**shown, "a": [{**each, "new": 1} if n == index else each for n, each in enumerate(shown["a"])]}
    try:
        restored = mine.restore(edited, original, Client("ann"))
    except Refused:
        return
    assert sorted(str(each["by"]) for each in restored["a"]) == sorted(str(each["by"]) for each in whole)
    assert all(each["by"].startswith(each["t"]) for each in restored["a"])


def test_elements_without_a_name_are_found_among_many_that_are_masked() -> None:
    whole = [{"t": f"text {n}", "by": n, **({"private": True} if n == 70 else {})} for n in range(200)]
    original: Doc = {"_id": "x", "a": whole}
    mine = Masking()
    shown = mine.shape(original, Client("ann"))
    restored = mine.restore({**shown, "a": shown["a"][1:]}, original, Client("ann"))
    assert restored["a"] == whole[1:]


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_equal_ones_are_as_many_as_they_can_be_in_order(new: list[int], old: list[int]) -> None:
    pairs = alignment._common(*([key_of(each) for each in some] for some in (new, old)))
    assert all(new[i] == old[j] for i, j in pairs)
    assert pairs == sorted(set(pairs))
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    longest = [[0] * (len(old) + 1) for _ in range(len(new) + 1)]
    for i, mine in enumerate(new):
        for j, theirs in enumerate(old):
            longest[i + 1][j + 1] = longest[i][j] + 1 if mine == theirs else max(longest[i][j + 1], longest[i + 1][j])
    assert len(pairs) == longest[-1][-1]


@given(st.lists(st.sampled_from(["", "x", "y"]), max_size=10), st.data())
def test_what_is_done_in_place_moves_nothing(texts: list[str], data: st.DataObject) -> None:
    """A flag set in all of a list, some of which have it already."""
    done = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    before = [
        {"text": f"{text}{n}" if text else "", "done": flag}
        for n, (text, flag) in enumerate(zip(texts, done, strict=True))
    ]
    after = [{**each, "done": True} for each in before]
    partners = align(after, before, alignment.Effort()).partners
    for index, partner in enumerate(partners):
        assert partner is None or before[partner]["text"] == before[index]["text"]
