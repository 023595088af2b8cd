"""Chains: order, refusals and deletions."""

from __future__ import annotations

import pytest

from filters.compute import Compute
from filters.drop import Drop
from filters.project import Project
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.stamp import Stamp
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter, Refused
from proxy.core.lens import Chain, Link, Withheld
from proxy.core.readback import check_putget
from tests.core.clinic import ANN, BOB, CLINIC, DOC, SHAPED, chain, deletion


class Raises(Filter):
    def shape(self, doc: Doc, client: Client) -> Doc | None:
        raise RuntimeError("no luck")


class Renames(Filter):
    """Tries to give documents another identity."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {"_id": "other", "a": doc.get("a")}

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return {**edited, "_id": "another", "_rev": "9-z"}


def test_an_empty_chain_changes_nothing() -> None:
    assert not Chain()
    assert Chain().passes_all
    assert Chain().shape(DOC, ANN) is DOC
    assert Chain().restore(DOC, None, ANN) is DOC
    assert check_putget(Chain(), DOC, DOC, ANN) == []


def test_filters_shape_in_order_and_restore_in_reverse() -> None:
    assert CLINIC.shape(DOC, ANN) == SHAPED
    assert CLINIC.restore(SHAPED, DOC, ANN) == DOC
    edited = {**SHAPED, "_rev": "4-d", "label": "Anna", "notes": [{"text": "c"}, {"text": "a"}]}
    whole = CLINIC.restore(edited, DOC, ANN)
    without_revpos = {key: value for key, value in DOC["_attachments"]["b.png"].items() if key != "revpos"}
    assert whole == {
        **DOC,
        "_rev": "4-d",
        "name": "Anna",
        "notes": [{"text": "c"}, {"text": "a"}, {"text": "b", "private": True}],
        "_attachments": {"a.txt": DOC["_attachments"]["a.txt"], "b.png": without_revpos},
    }
    assert check_putget(CLINIC, whole, edited, ANN, DOC) == []


class Chooses(Filter):
    """Its `restore` is made with it, instead of with its class."""

    def __init__(self) -> None:
        self.restore = self._stamped  # type: ignore[method-assign]

    def shape(self, doc: Doc, client: Client) -> Doc:
        return doc

    def _stamped(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return {**edited, "by": client.name}


def test_what_is_new_goes_back_through_every_filter_that_has_something_to_do_with_it() -> None:
    chain = Chain(
        [Link("default", Select(where="a")), Link("own", Stamp(fields={"at": "`1`"})), Link("late", Chooses())]
    )
    assert chain.restore({"_id": "x", "a": 1}, None, ANN) == {"_id": "x", "a": 1, "by": "ann", "at": 1}


def test_a_chain_passes_all_if_each_filter_does() -> None:
    assert chain(Drop(paths=["a"]), Rename(fields={"a": "b"})).passes_all
    assert not CLINIC.passes_all


def test_what_is_not_shown_cannot_be_written() -> None:
    assert CLINIC.shape(DOC, BOB) is None
    for position in (chain(Drop(paths=["a"]), Select(where="facility == client.facility")), CLINIC):
        with pytest.raises(Refused, match="not visible"):
            position.restore(DOC, DOC, BOB)


def test_a_filter_that_raises_withholds() -> None:
    broken = chain(Drop(paths=["a"]), Raises())
    with pytest.raises(Withheld, match="filter Raises raised RuntimeError: no luck") as caught:
        broken.shape(DOC, ANN)
    assert caught.value.filter_name == "Raises"
    with pytest.raises(Withheld):
        broken.restore(DOC, DOC, ANN)
    with pytest.raises(Refused, match="could not be read back"):
        check_putget(broken, DOC, DOC, ANN)


def test_identity_is_not_for_filters_to_change() -> None:
    renaming = chain(Renames())
    assert renaming.shape({"_id": "d", "_rev": "1-a", "a": 1}, ANN) == {"_id": "d", "_rev": "1-a", "a": 1}
    assert renaming.restore({"_id": "d", "_rev": "1-a"}, None, ANN) == {"_id": "d", "_rev": "1-a"}


def test_of_attachments_the_names_are_compared() -> None:
    new = {"content_type": "text/plain", "follows": True, "length": 5}
    edited = {**SHAPED, "_attachments": {"a.txt": {"stub": True}, "c.txt": new}}
    whole = CLINIC.restore(edited, DOC, ANN)
    assert list(whole["_attachments"]) == ["a.txt", "c.txt", "b.png"]
    assert check_putget(CLINIC, whole, edited, ANN, DOC) == []
    with pytest.raises(Refused, match="may not store"):
        CLINIC.restore({**SHAPED, "_attachments": {"d.png": {**new, "content_type": "image/png"}}}, DOC, ANN)


def test_a_deletion_keeps_what_decides_the_audience_and_nothing_else_that_is_hidden() -> None:
    assert CLINIC.restore(deletion(), DOC, ANN) == deletion(facility="f7")
    assert check_putget(CLINIC, CLINIC.restore(deletion(), DOC, ANN), deletion(), ANN, DOC) == []


def test_a_deletion_keeps_the_fields_that_the_client_sends() -> None:
    edited = deletion(label="Anna", type="patient", reason="moved")
    whole = CLINIC.restore(edited, DOC, ANN)
    assert whole == deletion(name="Anna", type="patient", reason="moved", facility="f7")
    assert check_putget(CLINIC, whole, edited, ANN, DOC) == []


def test_a_deletion_cannot_be_told_to_others() -> None:
    edited = deletion(facility="f8")
    with pytest.raises(Refused, match="would not be visible"):
        check_putget(CLINIC, CLINIC.restore(edited, DOC, ANN), edited, ANN)
    with pytest.raises(Refused, match="not visible"):
        CLINIC.restore(deletion(), DOC, BOB)


def test_a_deletion_restores_masked_values_that_it_carries() -> None:
    masking = chain(Redact(paths=["ssn"]))
    shaped = masking.shape(DOC, ANN)
    assert shaped is not None
    assert masking.restore({**shaped, "_deleted": True}, DOC, ANN)["ssn"] == "123"
    assert masking.restore(deletion(), DOC, ANN) == deletion()


def test_a_deletion_gets_stamps_and_is_validated() -> None:
    guarded = chain(
        Validate(where="!_deleted || old.type == 'patient'"),
        Stamp(fields={"changed_by": "client.name"}, when="write"),
    )
    assert guarded.restore(deletion(), {**DOC, "changed_by": "bob"}, ANN) == deletion(changed_by="ann")
    with pytest.raises(Refused):
        guarded.restore(deletion(), {**DOC, "type": "report"}, ANN)


def test_a_rule_about_the_body_judges_the_body_that_was_sent() -> None:
    guarded = chain(Validate(where="type == 'patient'"), Drop(paths=["ssn"]))
    assert guarded.restore(deletion(type="patient"), DOC, ANN) == deletion(type="patient")
    with pytest.raises(Refused):
        guarded.restore(deletion(), DOC, ANN)


def test_a_tombstone_can_be_edited_and_revived() -> None:
    stone = deletion(facility="f7", ssn="123")
    assert CLINIC.restore({**deletion(facility="f7"), "_rev": "5-e"}, stone, ANN) == {**stone, "_rev": "5-e"}
    revived = {"_id": "p1", "_rev": "5-e", "facility": "f7"}
    assert CLINIC.restore(revived, stone, ANN) == {**revived, "ssn": "123"}


def test_a_deletion_that_may_say_too_little_of_whom_it_reached_is_undecided() -> None:
    public = chain(Select(where="hidden != `true`"))
    for bare in (deletion(), deletion(reason="moved")):
        assert public.show(bare, ANN) is None
        assert public.undecided(bare, ANN) == bare
        assert public.shape(bare, ANN) == bare  # whoever writes it may
    assert public.show(deletion(hidden=False), ANN) == deletion(hidden=False)
    assert public.undecided(deletion(hidden=False), ANN) is None
    assert public.undecided(deletion(hidden=True), ANN) is None
    assert public.show({"_id": "p1"}, ANN) == {"_id": "p1"}
    assert public.undecided({"_id": "p1"}, ANN) is None


def test_a_deletion_has_to_have_all_that_decides() -> None:
    both = chain(Select(where="facility == client.facility && hidden != `true`"))
    own, lacking = deletion(facility="f7", hidden=False), deletion(facility="f7")
    assert both.show(own, ANN) == own
    assert both.show(lacking, ANN) is None
    assert both.undecided(lacking, ANN) == lacking
    assert both.undecided(deletion(facility="f8"), ANN) is None
    plain = chain(Select(where="!_attachments"))
    assert plain.undecided(deletion(), ANN) == deletion()


@pytest.mark.parametrize("where", ["_deleted || hidden != `true`", "hidden != `true` || _deleted"])
def test_a_condition_that_names_deletions_has_the_say(where: str) -> None:
    assert chain(Select(where=where)).show(deletion(), ANN) == deletion()
    assert chain(Select(where=where), Select(where="!secret || _deleted")).show(deletion(), ANN) == deletion()


def test_a_deletion_that_lacks_nothing_is_shown() -> None:
    assert chain(Select(where="starts_with(_id, 'p')")).show(deletion(), ANN) == deletion()
    assert chain(Drop(paths=["ssn"])).show(deletion(), ANN) == deletion()


class Public(Filter):
    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return None if doc.get("hidden") else doc


class Told(Public):
    def audience_fields(self) -> list[str]:
        return ["hidden", "_deleted"]


@pytest.mark.parametrize(
    "filters",
    [
        [Public()],
        [Project(body="{name: name, hidden: hidden, reason: reason}"), Select(where="hidden != `true`")],
        [Select(where="facility != 'f8'"), Public()],
    ],
)
def test_where_filters_do_not_say_what_decides_no_deletion_is_decided(filters: list[Filter]) -> None:
    made = chain(*filters)
    assert made.decided_by is None
    for stone in (deletion(), {**deletion(), "_attachments": {}}, deletion(reason="moved"), deletion(hidden=False)):
        assert made.show(stone, ANN) is None
        assert made.undecided(stone, ANN) is not None
    assert made.undecided(deletion(hidden=True), ANN) is None


def test_unless_they_say_that_deletions_do() -> None:
    assert chain(Told()).show(deletion(), ANN) == deletion()


def test_a_deletion_keeps_what_decides_for_others() -> None:
    plain = Chain([Link("drop", Drop(paths=["hidden"]))], others=[frozenset({"hidden"}), frozenset({"a", "b"})])
    assert plain.restore(deletion(), {**DOC, "hidden": True, "a": 1}, ANN) == deletion(hidden=True, a=1)
    assert plain.restore(deletion(), DOC, ANN) == deletion()


def test_fields_of_the_audience_are_found_behind_filters_that_rename_or_make_them() -> None:
    found = chain(
        Compute(fields={"region": "join('-', [country, area])"}),
        Project(body="{place: region, who: meta.owner, total: sum(items[].price)}"),
        Rename(fields={"who": "owner"}),
        Select(where="owner == client.name && place == 'x' && total > `1`"),
    ).audience_fields
    assert found == {"country", "area", "meta", "items"}


@pytest.mark.parametrize(
    ("filters", "edited", "path"),
    [
        ([Redact(paths=["ssn"]), Rename(fields={"ssn": "number"})], {"number": "9"}, "number"),
        (
            [Redact(paths=["home.no"]), Rename(fields={"home": "the address"})],
            {"the address": {"no": 2}},
            '"the address".no',
        ),
        (
            [Stamp(fields={"owner": "client.name"}, claims="refuse"), Project(body="{by: owner, n: n}")],
            {"by": "eve"},
            "by",
        ),
        (
            [
                Compute(fields={"total": "n"}, writes="refuse"),
                Rename(fields={"total": "a"}),
                Rename(fields={"a": "b"}),
            ],
            {"b": 9},
            "b",
        ),
        ([Redact(paths=["ssn"]), Compute(fields={"id": "ssn"})], {"ssn": "9"}, "ssn"),
    ],
)
def test_a_refusal_calls_a_field_as_the_client_does(filters: list[Filter], edited: Doc, path: str) -> None:
    original = {"_id": "d", "ssn": "123", "home": {"no": 1}, "owner": "bob", "n": 1}
    by = chain(*filters)
    with pytest.raises(Refused) as caught:
        by.restore({"_id": "d", **edited}, original, ANN)
    assert caught.value.path == path
    assert caught.value.reason.startswith(f"{path} ")


def test_a_refusal_of_an_odd_name_is_a_refusal() -> None:
    class Strict(Filter):
        def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
            for name in edited.keys() - {"_id", "a"}:
                raise Refused(f"{name} is unknown", name)
            return edited

    for name in ('"', '"x', ".", "[", ""):
        with pytest.raises(Refused) as caught:
            chain(Strict(), Rename(fields={"a": "b"})).restore({"_id": "d", name: 1}, None, ANN)
        assert caught.value.path == name


@pytest.mark.parametrize("hidden", [[], [{"hidden": True}]])
def test_a_refusal_does_not_tell_how_many_elements_are_hidden(hidden: list[Doc]) -> None:
    original = {"_id": "d", "_rev": "1-a", "notes": [*hidden, {"by": "ann"}]}
    with pytest.raises(Refused) as caught:
        chain(Redact(paths=["notes[].by"]), Drop(paths=["notes[?hidden]"])).restore(
            {"_id": "d", "notes": [{"by": "x"}]}, original, ANN
        )
    assert (caught.value.path, caught.value.reason) == ("notes[].by", "notes[].by is redacted and cannot be changed")
