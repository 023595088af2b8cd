"""What each built-in filter shows, takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from filters import redact
from filters.attachments import Attachments
from filters.audience import Audience
from filters.compute import Compute
from filters.default import Default
from filters.drop import Drop
from filters.keep import Keep
from filters.project import Project
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.stamp import Stamp
from filters.truncate import Truncate
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter, Refused
from proxy.rules import same
from tests.filters.samples import ANN, BOB, NOBODY, ODD, PATIENT, SPARSE, TOMBSTONE

KEY = "sixteen characters or more"


def put(filter_: Filter, edited: Doc, original: Doc | None = None, client: Client = ANN) -> Doc:
    return filter_.restore(edited, original, client)


def refused(filter_: Filter, edited: Doc, original: Doc | None = None, client: Client = ANN) -> Refused:
    with pytest.raises(Refused) as caught:
        filter_.restore(edited, original, client)
    return caught.value


def test_drop_and_keep_with_nothing_to_cut() -> None:
    assert Drop(paths=["missing", "notes[?missing].x"]).shape(PATIENT, ANN) is PATIENT
    assert Keep(paths=["missing"]).shape(TOMBSTONE, ANN) == {k: v for k, v in TOMBSTONE.items() if k[0] == "_"}
    assert Keep(paths=["type"]).shape(PATIENT, ANN)["_attachments"] == PATIENT["_attachments"]


def test_drop_finds_the_right_element_among_alike_ones() -> None:
    notes = [{"t": "a", "s": 1, "h": True}, {"t": "a", "s": 2}, {"t": "a", "s": 3, "h": True}]
    dropping = Drop(paths=["notes[?h]", "notes[].s"])
    edited = {"_id": "d", "notes": [{"t": "b"}]}
    assert put(dropping, edited, {"_id": "d", "notes": notes}) == {
        "_id": "d",
        "notes": [notes[0], {"t": "b", "s": 2}, notes[2]],
    }


def test_rename_shows_each_name_for_one_thing() -> None:
    renaming = Rename(fields={"a": "b"})
    assert renaming.shape({"_id": "d", "a": 1, "b": 2, "c": 3}, ANN) == {"_id": "d", "b": 1, "c": 3}
    assert renaming.shape({"_id": "d", "b": 2}, ANN) == {"_id": "d"}
    assert put(renaming, {"_id": "d", "b": 5}, {"_id": "d", "b": 2}) == {"_id": "d", "b": 2, "a": 5}
    assert put(renaming, {"_id": "d", "a": 5, "b": 6}) == {"_id": "d", "a": 6}
    assert put(renaming, {"_id": "d"}, {"_id": "d", "a": 1, "b": 2}) == {"_id": "d", "b": 2}


def test_rename_swaps() -> None:
    swapping = Rename(fields={"a": "b", "b": "a"})
    assert swapping.shape({"a": 1, "b": 2}, ANN) == {"b": 1, "a": 2}
    assert put(swapping, {"a": 2, "b": 3}, {"a": 1, "b": 2}) == {"a": 3, "b": 2}


def test_redact_hides_every_kind_of_value() -> None:
    doc: Doc = {"_id": "d", "s": [None, True, 0, "x", [], {"a": 1}]}
    assert Redact(paths=["s[]"]).shape(doc, ANN)["s"] == ["***"] * 6
    assert Redact(paths=["s[]"], value=None).shape(doc, ANN)["s"] == [None] * 6
    hashed = Redact(paths=["s[]"], mode="hash", key=KEY).shape(doc, ANN)["s"]
    assert len(set(hashed)) == 6
    assert all(len(digest) == 32 for digest in hashed)
    assert Redact(paths=["s[]"], mode="hash", key=KEY[::-1]).shape(doc, ANN)["s"] != hashed
    assert Redact(paths=["s[]"], mode="partial", keep=1).shape(doc, ANN)["s"] == ["***"] * 6


def test_redact_partial_shows_an_end_but_never_all() -> None:
    partial = Redact(paths=["s"], mode="partial", keep=4)
    shown = [partial.shape({"s": value}, ANN)["s"] for value in ("123-45-6789", "6789", "", 123456, -1.5)]
    assert shown == ["***6789", "***", "***", "***3456", "***"]


def test_redact_hash_is_of_the_value_not_of_its_spelling() -> None:
    hashing = Redact(paths=["s"], mode="hash", key=KEY)
    one, other = hashing.shape({"s": {"a": 1, "b": 2}}, ANN), hashing.shape({"s": {"b": 2, "a": 1}}, ANN)
    assert one == other


def test_redact_takes_back_what_it_showed_and_refuses_the_rest() -> None:
    masking = Redact(paths=["ssn", "contacts[].phone"])
    shaped = masking.shape(PATIENT, ANN)
    assert put(masking, {**shaped, "name": "New"}, PATIENT) == {**PATIENT, "name": "New"}
    assert refused(masking, {**shaped, "ssn": "9"}, PATIENT).path == "ssn"
    assert refused(masking, {k: v for k, v in shaped.items() if k != "ssn"}, PATIENT).path == "ssn"
    contacts = [{**shaped["contacts"][0], "phone": "9"}, *shaped["contacts"][1:]]
    assert refused(masking, {**shaped, "contacts": contacts}, PATIENT).path == "contacts[0].phone"
    assert refused(masking, {"_id": "new", "ssn": "9"}).path == "ssn"
    assert put(masking, {**shaped, "contacts": shaped["contacts"][1:]}, PATIENT)["contacts"] == PATIENT["contacts"][1:]


@pytest.mark.parametrize("how", [{}, {"mode": "hash", "key": KEY}, {"mode": "partial", "keep": 2}], ids=str)
@pytest.mark.parametrize("path", ["notes[?private]", "notes[?kind=='pin'].kind", "notes[?kind=='pin']", "notes[].kind"])
def test_redact_knows_its_mask_where_a_condition_does_not(path: str, how: dict[str, Any]) -> None:
    original: Doc = {"_id": "d", "notes": [{"kind": "memo"}, {"private": True, "kind": "pin", "text": "1234"}], "n": 1}
    masking = Redact(paths=[path], **how)
    shaped = masking.shape(original, ANN)
    assert shaped["notes"][1] != original["notes"][1]
    assert put(masking, shaped, original) == original
    assert put(masking, {**shaped, "n": 2}, original) == {**original, "n": 2}
    assert put(masking, {**shaped, "notes": [*shaped["notes"], "new"]}, original)["notes"][:2] == original["notes"]
    another = {"private": True, "kind": "pin", "text": "of the client"}
    assert refused(masking, {**shaped, "notes": [shaped["notes"][0], another]}, original).path


@pytest.mark.parametrize("by", ["client's", "ann", None])
def test_redact_refuses_a_new_value_also_where_the_mask_would_be_gone(by: str | None) -> None:
    """Who turns the condition sees what is stored, or is refused: it does not overwrite what it never saw."""
    original: Doc = {"_id": "d", "a b": {"notes": [{"id": 1, "private": True, "by": "ann"}, {"id": 2, "by": "bob"}]}}
    masking = Redact(paths=['"a b".notes[?private].by'])
    shown = masking.shape(original, ANN)["a b"]["notes"]
    sent = {"_id": "d", "a b": {"notes": [{**shown[0], "private": False, "by": by}, shown[1]]}}
    assert refused(masking, sent, original).path == '"a b".notes[0].by'
    assert put(Redact(paths=['"a b".notes[?private].by'], writable=True), sent, original) == sent
    gone = {"_id": "d", "a b": {"notes": [{"id": 3, "by": by}, shown[1]]}}
    assert put(masking, gone, original) == gone


@pytest.mark.parametrize("instead", [None, 1, "text", []])
def test_what_has_masks_in_it_may_be_removed_also_by_putting_something_in_its_place(instead: Any) -> None:
    masking = Redact(paths=["address.zip", "cards[].number", "a[].b[].c"])
    original = {"_id": "d", "address": {"zip": "1"}, "cards": [{"number": 1}], "a": [{"id": 1, "b": [{"c": 1}]}]}
    shown = masking.shape(original, ANN)
    for sent in ({"address": instead}, {"cards": instead}, {"a": [{"id": 1, "b": instead}]}):
        if isinstance(instead, list) and "address" not in sent:
            continue  # an array that has lost its elements
        assert put(masking, {**shown, **sent}, original) == {**original, **sent}


def test_masks_that_are_values_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many that a client sends, among many that the source has."""
    compared = 0

    def counting(a: Any, b: Any) -> bool:
        nonlocal compared
        compared += 1
        return same(a, b)

    monkeypatch.setattr(redact, "same", counting)
    masking = Redact(paths=["cards[].number"], value="")
    original = {"_id": "d", "cards": [*({"id": n, "number": str(n)} for n in range(300)), {"id": 300, "number": ""}]}
    more = [{"id": -n, "number": ""} for n in range(1, 300)]
    sent = {"_id": "d", "cards": [*masking.shape(original, ANN)["cards"], *more]}
    assert len(put(masking, sent, original)["cards"]) == 600
    assert compared < 20 * 600


def test_redact_writable_takes_new_values_but_no_masks() -> None:
    masking = Redact(paths=["ssn", "contacts[].phone"], writable=True)
    shaped = masking.shape(PATIENT, ANN)
    assert put(masking, {**shaped, "ssn": "9"}, PATIENT)["ssn"] == "9"
    assert "ssn" not in put(masking, {k: v for k, v in shaped.items() if k != "ssn"}, PATIENT)
    assert put(masking, {"_id": "new", "ssn": "9"}) == {"_id": "new", "ssn": "9"}
    copied = {**shaped, "contacts": [*shaped["contacts"], {"id": "c9", "phone": "***"}]}
    assert refused(masking, copied, PATIENT).path == "contacts[3].phone"
    assert list(masking.sets_fields()) == ["ssn", "contacts[].phone"]


def test_redact_keeps_its_key_out_of_listings() -> None:
    assert Redact(paths=["ssn"], mode="hash", key=KEY).describe() == "ssn (hash)"


def test_truncate_shows_an_end() -> None:
    doc: Doc = {"_id": "d", "l": [1, 2, 3], "s": "abc", "short": [1], "o": {"l": [1, 2, 3]}, "n": 123}
    first = Truncate(paths=["l", "s", "short", "o.l", "n"], items=2, chars=2)
    assert first.shape(doc, ANN) == {**doc, "l": [1, 2], "s": "ab", "o": {"l": [1, 2]}}
    last = Truncate(paths=["l", "s"], items=2, chars=2, end="last")
    assert last.shape(doc, ANN) == {**doc, "l": [2, 3], "s": "bc"}
    assert Truncate(paths=["l", "s"], chars=1).shape(doc, ANN) == {**doc, "s": "a"}


@pytest.mark.parametrize("end", ["first", "last"])
def test_truncate_keeps_the_remainder(end: str) -> None:
    doc = {"_id": "d", "l": [{"a": 1}, {"a": 2}, {"a": 3}], "s": "abc"}
    cutting = Truncate(paths=["l", "s"], items=2, chars=2, end=end)
    shaped = cutting.shape(doc, ANN)
    edited = {**shaped, "l": [{"a": 9}, shaped["l"][1]], "s": "xy"}
    whole = put(cutting, edited, doc)
    assert whole["s"] == ("xyc" if end == "first" else "axy")
    assert whole["l"] == ([{"a": 9}, {"a": 2}, {"a": 3}] if end == "first" else [{"a": 1}, {"a": 9}, {"a": 3}])


def test_truncate_refuses_what_has_no_one_way_back() -> None:
    doc = {"_id": "d", "l": [1, 2, 3], "s": "abc", "short": "a"}
    cutting = Truncate(paths=["l", "s", "short"], items=2, chars=2)
    shaped = cutting.shape(doc, ANN)
    assert refused(cutting, {**shaped, "l": [1]}, doc).path == "l"
    assert refused(cutting, {**shaped, "l": [1, 2, 4]}, doc).path == "l"
    assert refused(cutting, {**shaped, "s": "x"}, doc).path == "s"
    assert refused(cutting, {**shaped, "s": None}, doc).path == "s"
    assert refused(cutting, {**shaped, "l": "none"}, doc).path == "l"
    assert refused(cutting, {**shaped, "short": "long"}, doc).path == "short"
    assert put(cutting, {**shaped, "short": "xy"}, doc)["short"] == "xy"
    assert refused(cutting, {"_id": "new", "s": "long"}).path == "s"


def test_default_is_stored_only_if_it_was_changed() -> None:
    filling = Default(fields={"status": "open", "n": 1})
    assert filling.shape(SPARSE, ANN) == {**SPARSE, "status": "open", "n": 1}
    assert filling.shape(TOMBSTONE, ANN) is TOMBSTONE
    assert put(filling, {**SPARSE, "status": "open", "n": 2}, SPARSE) == {**SPARSE, "n": 2}
    assert put(filling, {**SPARSE, "n": True}, SPARSE) == {**SPARSE, "n": True}
    explicit = {**SPARSE, "status": "open"}
    assert put(filling, explicit, explicit) == explicit
    assert put(filling, explicit, {**SPARSE, "status": "closed"}) == explicit
    assert put(filling, explicit) == SPARSE


def test_compute_shows_and_never_stores() -> None:
    computing = Compute(fields={"owner": "client.name", "n": "length(notes)"})
    shaped = computing.shape(PATIENT, BOB)
    assert (shaped["owner"], shaped["n"]) == ("bob", 4)
    assert put(computing, shaped, PATIENT, BOB) == PATIENT
    assert computing.shape(SPARSE, BOB)["n"] is None
    assert computing.shape(TOMBSTONE, BOB) == TOMBSTONE
    assert put(computing, {**shaped, "n": 5}, PATIENT, BOB) == PATIENT
    assert put(Compute(fields={"n": "`1`"}), {"_id": "d", "n": 7}) == {"_id": "d"}


def test_compute_can_refuse_changes() -> None:
    computing = Compute(fields={"owner": "client.name", "n": "length(notes)"}, writes="refuse")
    shaped = computing.shape(PATIENT, BOB)
    assert refused(computing, {**shaped, "n": 5}, PATIENT, BOB).path == "n"
    shorter = {**shaped, "notes": PATIENT["notes"][:1]}
    assert put(computing, shorter, PATIENT, BOB) == {**PATIENT, "notes": PATIENT["notes"][:1]}
    assert put(computing, {**shorter, "n": 1}, PATIENT, BOB)["notes"] == PATIENT["notes"][:1]


def test_project_shows_what_the_expression_gives() -> None:
    projecting = Project(body="{kind: type, city: address.city, n: length(notes), who: client.name}")
    shaped = projecting.shape(PATIENT, ANN)
    assert shaped is not None
    assert {k: v for k, v in shaped.items() if k[0] != "_"} == {"kind": "patient", "city": "X", "n": 4, "who": "ann"}
    assert shaped["_attachments"] == PATIENT["_attachments"]
    assert Project(body="address").shape(ODD, ANN) is None
    assert Project(body="address").shape(PATIENT, ANN) == {
        **{k: v for k, v in PATIENT.items() if k[0] == "_"},
        **PATIENT["address"],
    }


def test_project_writes_plain_paths_and_refuses_the_rest() -> None:
    projecting = Project(body="{kind: type, city: address.city, a: x.y, b: x, n: length(notes || `[]`)}")
    shaped = projecting.shape(PATIENT, ANN)
    assert shaped is not None
    whole = put(projecting, {**shaped, "kind": "p", "city": "Y"}, PATIENT)
    assert whole == {**PATIENT, "type": "p", "address": {**PATIENT["address"], "city": "Y"}}
    without = put(projecting, {k: v for k, v in shaped.items() if k != "city"}, PATIENT)
    assert without["address"] == {"street": "Main 1", "geo": PATIENT["address"]["geo"]}
    assert put(projecting, {"_id": "new", "city": "Z"}) == {"_id": "new", "address": {"city": "Z"}}
    for change in ({"a": 1}, {"b": 1}, {"other": 1}, {"kind": None}):
        assert refused(projecting, {**shaped, **change}, PATIENT).path == next(iter(change))
    assert put(projecting, {**shaped, "n": 5}, PATIENT) == PATIENT
    strict = Project(body="{kind: type, n: length(notes || `[]`)}", writes="refuse")
    assert refused(strict, {"_id": "p", "kind": "patient", "n": 5}, PATIENT).path == "n"
    odd = projecting.shape(ODD, ANN)
    assert odd is not None
    reason = refused(projecting, {**odd, "city": "Y"}, ODD).reason
    assert reason == "city cannot be stored: the document has something else there"  # by a name that is not shown
    assert refused(Project(body="address"), {"_id": "d", "city": "Y"}, {"_id": "d", "address": {"city": "X"}}).path


def names(doc: Doc) -> list[str]:
    return list(doc.get("_attachments", {}))


def test_attachments_by_type_name_and_size() -> None:
    entries = {
        "a.png": {"content_type": "image/png", "length": 10, "stub": True},
        "b.TXT": {"content_type": "Text/Plain; charset=utf-8", "length": 20, "stub": True},
        "c.bin": {"length": 30, "stub": True},
        "d/e.pdf": {"content_type": "application/pdf", "stub": True},
        "bare": {"stub": True},
        "data": {"data": "aGVsbG8=", "content_type": "text/x"},
    }
    doc = {"_id": "d", "_attachments": entries}

    def shown(**options: Any) -> list[str]:
        return names(Attachments(**options).shape(doc, ANN))

    assert shown(allow=["image/*", "text/plain"]) == ["a.png", "b.TXT"]
    assert shown(deny=["image/*", "application/octet-stream"]) == ["b.TXT", "d/e.pdf", "data"]
    assert shown(allow_names=["*.p??"]) == ["a.png", "d/e.pdf"]
    assert shown(deny_names=["*.*"]) == ["data"]
    assert shown(max_size=20) == ["a.png", "b.TXT", "data"]
    assert shown(max_size=5) == ["data"]
    assert shown(max_size=4) == []
    assert shown(allow=[]) == []
    assert shown(deny=["*/*"]) == shown(deny=["*"]) == []
    assert shown(deny=["*/p*", "text/?"]) == ["c.bin"]
    assert "_attachments" not in Attachments(allow=[]).shape(doc, ANN)
    assert Attachments(allow=["*"]).shape(SPARSE, ANN) is SPARSE


def test_attachments_are_hidden_by_a_name_in_any_case_and_shown_by_the_same_alone() -> None:
    entry = {"content_type": "image/png", "length": 10, "stub": True}
    doc = {"_id": "d", "_attachments": {"a.raw": entry, "b.RAW": entry, "c": entry}}
    assert names(Attachments(deny_names=["*.Raw"]).shape(doc, ANN)) == ["c"]
    assert names(Attachments(allow_names=["*.raw"]).shape(doc, ANN)) == ["a.raw"]
    assert refused(Attachments(deny_names=["*.raw"]), {"_id": "d", "_attachments": {"x.Raw": entry}})


@pytest.mark.parametrize("stored", ["png", "", "; charset=utf-8", " ", None, 7])
def test_attachments_of_what_is_no_type_have_none(stored: object) -> None:
    doc = {"_id": "d", "_attachments": {"a": {"content_type": stored, "length": 10, "stub": True}}}
    for deny in ("*", "*/*", "application/*", "application/octet-stream"):
        assert names(Attachments(deny=[deny]).shape(doc, ANN)) == []
    assert names(Attachments(deny=["image/*"]).shape(doc, ANN)) == ["a"]


@pytest.mark.parametrize(
    ("pattern", "stored"),
    [
        ("application/*+json", "application/vnd.api+json"),
        ("IMAGE/PNG", "image/png"),
        ("image/[jp]*", "image/JPEG"),
        ("*/mp4", "video/mp4"),
        ("video*", "video/mp4"),
        ("*mp4", "video/mp4"),
        ("*video*", "video/mp4"),
        ("**", "video/mp4"),
        ("image/*", "image/svg+xml; charset=utf-8"),
    ],
)
def test_attachments_by_patterns_of_types(pattern: str, stored: str) -> None:
    doc = {"_id": "d", "_attachments": {"a": {"content_type": stored, "length": 10, "stub": True}}}
    assert names(Attachments(deny=[pattern]).shape(doc, ANN)) == []
    assert names(Attachments(allow=[pattern]).shape(doc, ANN)) == ["a"]


def test_attachments_that_cannot_be_stored_are_told_which_rule() -> None:
    limiting = Attachments(allow=["image/*"], deny=["image/gif"], deny_names=["*.raw"], max_size=100)
    hidden = {name: {"content_type": "text/plain", "length": 5, "stub": True} for name in ("a", "a.raw")}
    good = {"content_type": "image/png", "length": 100}
    faults: list[tuple[str, Doc, str]] = [
        ("a", {**good, "content_type": "video/mp4; codecs=x"}, "of the type video/mp4"),
        ("a", {**good, "content_type": "image/gif"}, "of the type image/gif"),
        ("a", {"length": 5}, "of the type application/octet-stream"),
        ("a.raw", good, "by this name"),
        ("a", {**good, "length": 101}, "of more than 100 bytes"),
        ("a", {"content_type": "image/png", "follows": True}, "of more than 100 bytes"),
        ("a", {"stub": True}, "such as this one"),
    ]
    originals: list[Doc | None] = [None, {"_id": "d"}, {"_id": "d", "_attachments": hidden}]
    for name, entry, words in faults:
        for sent in ({name: entry}, {"a": good, name: entry}, {name: entry, "b": good}):
            told = {refused(limiting, {"_id": "d", "_attachments": sent}, each).reason for each in originals}
            assert told == {f"this client may not store an attachment {words}"}
    told_last = refused(limiting, {"_id": "d", "_attachments": {"b": good, "a": good}}, originals[2])
    assert (told_last.reason, told_last.path) == (
        "this client may not store an attachment such as this one",
        "_attachments.a",
    )


def test_attachments_that_would_be_hidden_cannot_be_stored() -> None:
    limiting = Attachments(allow=["image/*"], max_size=10_000)
    shaped = limiting.shape(PATIENT, ANN)
    assert names(shaped) == ["photo.png"]

    def storing(**entries: Doc) -> Doc:
        return {**shaped, "_attachments": {**shaped["_attachments"], **entries}}

    new = {"content_type": "image/gif", "length": 5, "follows": True}
    assert names(put(limiting, storing(x=new), PATIENT)) == ["photo.png", "x", "note.txt"]
    assert refused(limiting, storing(x={**new, "length": 20_000}), PATIENT).path == "_attachments.x"
    assert refused(limiting, storing(x={**new, "content_type": "text/plain"}), PATIENT).path == "_attachments.x"
    assert refused(limiting, storing(**{"note.txt": new}), PATIENT).path == '_attachments."note.txt"'
    assert refused(limiting, storing(**{"note.txt": {"stub": True}}), PATIENT).path == '_attachments."note.txt"'
    assert refused(limiting, storing(x={"stub": True}), PATIENT).path == "_attachments.x"
    assert names(put(limiting, storing(**{"photo.png": {"stub": True}}), PATIENT)) == ["photo.png", "note.txt"]
    assert refused(limiting, {"_id": "new", "_attachments": {"a": {"data": "aGk="}}}).path == "_attachments.a"


def test_select_fails_closed() -> None:
    own = Select(where="facility == client.facility")
    assert own.shape(PATIENT, ANN) is PATIENT
    assert own.shape({"_id": "d"}, ANN) is None
    for nowhere in (BOB, NOBODY, Client("eve")):
        assert own.shape(PATIENT, nowhere) is None
        assert own.shape({"_id": "d"}, nowhere) is None
    either = Select(where="type == 'patient' || owner == client.name")
    assert either.shape(PATIENT, ANN) is PATIENT
    assert either.shape(PATIENT, NOBODY) is None
    assert (
        Select(where="type == 'patient' || owner == client.name", optional=["name"]).shape(PATIENT, NOBODY) is PATIENT
    )
    member = Select(where="contains(members, client.name)")
    assert member.shape({"_id": "d", "members": ["ann"]}, ANN) is not None
    assert member.shape({"_id": "d"}, ANN) is None
    assert Select(where="size > `1`").shape({"_id": "d", "size": "big"}, ANN) is None
    assert Select(where="merge(a, b).x", audience_fields=["a"]).shape({"_id": "d", "a": {}, "b": "zz"}, ANN) is None


def test_select_says_what_it_reads() -> None:
    assert set(Select(where="facility == client.facility || owner == 'x'").audience_fields()) == {"facility", "owner"}
    assert set(Select(where="length(keys(@)) > `3`", audience_fields=["a"]).audience_fields()) == {"a"}


def test_stamp_sets_on_creation_and_keeps() -> None:
    stamping = Stamp(fields={"owner": "client.name"})
    assert put(stamping, {"_id": "new", "owner": "mallory"}) == {"_id": "new", "owner": "ann"}
    assert put(stamping, {"_id": "p", "owner": "ann"}, {"_id": "p", "owner": "bob"}) == {"_id": "p", "owner": "bob"}
    assert put(stamping, {"_id": "p"}, {"_id": "p", "owner": "bob"}) == {"_id": "p", "owner": "bob"}
    assert put(stamping, {"_id": "p", "owner": "ann"}, {"_id": "p"}) == {"_id": "p"}
    assert "cannot be set" in refused(stamping, {"_id": "new"}, None, NOBODY).reason
    assert stamping.shape(PATIENT, ANN) is PATIENT


def test_stamp_sets_what_is_made_anew_over_a_deletion() -> None:
    tombstone: Doc = {"_id": "p", "_deleted": True, "owner": "bob"}
    table = {"owner": "client.name", "facility": "client.facility"}
    stamping = Stamp(fields=table)
    assert put(stamping, {"_id": "p"}, tombstone) == {"_id": "p", "owner": "bob", "facility": "f7"}
    assert put(stamping, {"_id": "p", "facility": "x"}, tombstone)["facility"] == "f7"
    assert put(stamping, {"_id": "p"}, {"_id": "p", "_deleted": True}) == {"_id": "p", "owner": "ann", "facility": "f7"}
    assert refused(stamping, {"_id": "p"}, tombstone, NOBODY).path == "facility"
    again = {"_id": "p", "_deleted": True}
    assert put(stamping, again, tombstone, NOBODY) == tombstone

    refusing = Stamp(fields=table, claims="refuse")
    assert put(refusing, {"_id": "p", "owner": "bob", "facility": "f7"}, tombstone)["owner"] == "bob"
    assert refused(refusing, {"_id": "p", "facility": "f8"}, tombstone).path == "facility"
    assert refused(refusing, {"_id": "p", "owner": "eve"}, tombstone).path == "owner"
    for owner in ("ann", "bob"):
        held: Doc = {"_id": "p", "owner": owner, "facility": "f7"}
        assert put(refusing, held, held) == held
        assert refused(refusing, {**held, "owner": "eve"}, held).path == "owner"


def test_validate_is_told_of_the_deletion_that_a_document_is_made_anew_over() -> None:
    tombstone: Doc = {"_id": "p", "_deleted": True, "owner": "bob"}
    theirs = Validate(where="old == null || old.owner == client.name")
    assert refused(theirs, {"_id": "p"}, tombstone)
    assert put(theirs, {"_id": "p"}, tombstone, BOB) == {"_id": "p"}
    anybodys = Validate(where="old == null || old._deleted || old.owner == client.name")
    assert put(anybodys, {"_id": "p"}, tombstone) == {"_id": "p"}


def test_default_and_compute_over_a_deletion() -> None:
    tombstone: Doc = {"_id": "p", "_deleted": True}
    assert put(Default(fields={"s": 1}), {"_id": "p", "s": 1}, tombstone) == {"_id": "p"}
    assert put(Default(fields={"s": 1}), {"_id": "p", "s": 1}, {**tombstone, "s": 1}) == {"_id": "p", "s": 1}
    assert put(Compute(fields={"n": "length(l)"}), {"_id": "p", "l": [1], "n": 1}, tombstone) == {"_id": "p", "l": [1]}


def test_stamp_sets_on_every_write_and_refuses_claims() -> None:
    stamping = Stamp(
        fields={"by": "client.name", "key": "join('/', [client.name, type])"}, when="write", claims="refuse"
    )
    original = {"_id": "p", "type": "x", "by": "bob", "key": "bob/x"}
    assert put(stamping, original, original) == {"_id": "p", "type": "x", "by": "ann", "key": "ann/x"}
    assert put(stamping, {"_id": "p", "type": "x", "by": "ann"}, original)["by"] == "ann"
    own = put(stamping, original, original)
    assert put(stamping, {**original, "key": "ann/x"}, own)["by"] == "ann"  # a device keeps what it sent
    assert refused(stamping, {**original, "by": "eve"}, original).path == "by"
    assert refused(stamping, {"_id": "new", "type": "x", "by": "eve"}).path == "by"


def test_validate_judges_new_and_old() -> None:
    owners = Validate(where="old == null || old.owner == client.name", message="only the owner may")
    assert put(owners, {"_id": "new"}) == {"_id": "new"}
    assert put(owners, {**PATIENT, "name": "x"}, PATIENT)["name"] == "x"
    assert refused(owners, PATIENT, PATIENT, BOB).reason == "only the owner may"
    unjudged = Validate(where="contains(tags, 'x')")
    assert refused(unjudged, SPARSE).reason == "not allowed: contains(tags, 'x')"
    assert refused(Validate(where="facility == client.facility"), SPARSE, None, BOB)
    assert refused(Validate(where="type == 'patient'"), TOMBSTONE, PATIENT)
    assert put(Validate(where="_deleted || type == 'patient'"), TOMBSTONE, PATIENT) is TOMBSTONE


def test_audience_gives_keys() -> None:
    plain = Audience(keys=["owner", "members[]"], client=["name", "roles"])
    assert list(
        plain.audience({"_id": "d", "owner": "ann", "members": ["bob", "ann", None, ["eve"], True, "", 7]})
    ) == [
        "ann",
        "bob",
        "eve",
        "7",
    ]
    assert list(plain.audience({"_id": "d"})) == []
    assert set(plain.audience_fields()) == {"owner", "members"}
    assert plain.client_keys(ANN) == {"ann", "nurse", "facility:f7"}
    table = Audience(keys={"facility": "facility", "user": "owner"}, client={"user": "name"})
    assert list(table.audience(PATIENT)) == ["facility:f7", "user:ann"]
    assert table.client_keys(ANN) == {"facility:f7", "user:ann"}
    assert table.client_keys(BOB) == {"facility:f7", "facility:f8", "user:bob"}
    assert table.client_keys(NOBODY) == set()


def test_audience_hides_what_shares_no_key() -> None:
    table = Audience(keys={"facility": "facility", "user": "owner"}, client={"user": "name"})
    assert table.shape(PATIENT, ANN) is PATIENT
    assert table.shape(PATIENT, BOB) is PATIENT
    assert table.shape(PATIENT, NOBODY) is None
    assert table.shape(PATIENT, Client("eve", frozenset({"facility:f9"}))) is None
    assert table.shape({"_id": "d", "owner": "f7"}, ANN) is None  # prefixes keep kinds of keys apart
    nobodies: list[Any] = [None, True, "", [], {"name": "ann"}]
    for nobody in nobodies:
        assert table.shape({"_id": "d", "owner": nobody}, NOBODY) is None
        assert table.shape({"_id": "d", "owner": nobody}, ANN) is None
    numbered = Audience(keys={"unit": "unit"})
    assert numbered.shape({"_id": "d", "unit": 7}, Client("ann", frozenset({"unit:7"}))) is not None
    assert "not visible" in refused(table, PATIENT, PATIENT, NOBODY).reason


def test_audience_fails_closed() -> None:
    failing = Audience(keys=["sort(members)", "owner"], client=["join('', [name])"])
    assert failing.shape({"_id": "d", "members": "ann", "owner": "bob"}, ANN) is None
    assert failing.shape({"_id": "d", "members": "ann", "owner": "ann"}, ANN) is not None
    assert failing.shape({"_id": "d", "members": ["ann"], "owner": "ann"}, NOBODY) is None


DEPENDING: list[tuple[Filter, bool]] = [
    (Drop(paths=["a", "b[?c].d", "*.e"]), False),
    (Drop(paths=["a", "b[?x.client == `1`]"]), False),
    (Drop(paths=["a", "*.b.c[].d[?e[?f == client.name]]"]), True),
    (Keep(paths=["a", "b[?c]"]), False),
    (Keep(paths=["a[?b == client.device.model]"]), True),
    (Redact(paths=["a"]), False),
    (Redact(paths=["a[?b != client.name].c"]), True),
    (Truncate(paths=["a"], items=1), False),
    (Truncate(paths=["a[?client.name == b].c"], items=1), True),
    (Rename(fields={"a": "b"}), False),
    (Default(fields={"a": 1}), False),
    (Compute(fields={"a": "b", "c": "length(d)"}), False),
    (Compute(fields={"a": "b", "c": "client.profile"}), True),
    (Project(body="{a: b}"), False),
    (Project(body="{a: b, c: d[?e == client.name]}"), True),
    (Attachments(allow=[]), False),
    (Select(where="type == 'x'"), False),
    (Select(where="type == 'x' || contains(client.roles, 'a')"), True),
    (Audience(keys={"unit": "unit"}), True),
    (Stamp(fields={"owner": "client.name"}), False),
    (Validate(where="owner == client.name"), False),
]


@pytest.mark.parametrize(("filter_", "depends"), DEPENDING)
def test_filters_know_whether_they_depend_on_the_client(filter_: Filter, depends: bool) -> None:
    assert filter_.depends_on_client() is depends


def test_what_is_no_number_of_json_is_null() -> None:
    computing = Compute(fields={"n": "to_number(s)", "sum": "sum(all)", "mean": "avg(all)"})
    doc = {"_id": "d", "s": "1e400", "all": [1e308, 1e308]}
    shaped = computing.shape(doc, ANN)
    assert shaped == {**doc, "n": None, "sum": None, "mean": None}
    assert put(computing, {**shaped, "x": 1}, doc) == {**doc, "x": 1}
    assert computing.shape({"_id": "d", "s": "2.5", "all": [1, 2]}, ANN)["n"] == 2.5
