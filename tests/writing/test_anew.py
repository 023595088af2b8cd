"""What has nothing in common with what is there is created: over a deletion, or beside the document of another."""

from __future__ import annotations

from typing import Any

import pytest

from filters.attachments import Attachments
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
from tests.support.inprocess import Site, profile, site

PROFILES = [
    profile("redact", Redact(paths=["ssn"], mode="partial", keep=2)),
    profile("drop", Drop(paths=["ssn", "notes[?private]"])),
    profile("truncate", Truncate(paths=["log"], items=1)),
    profile("stamp", Stamp(fields={"owner": "client.name"}), Attachments(deny=["image/*"])),
    profile("mine", Select(where="owner == client.name"), Drop(paths=["ssn"])),
    profile("checked", Drop(paths=["ssn"]), Validate(where="old == null || old._deleted", message="once")),
]
NAMES = [each.name for each in PROFILES]
A, B, C, D = (f"{number}-{name * 32}" for number, name in ((1, "a"), (2, "b"), (3, "c"), (1, "d")))
WHOLE = {
    "owner": "ann",
    "ssn": "123456",
    "notes": [{"private": True, "text": "hush"}, {"text": "well"}],
    "log": [1, 2, 3],
    "_attachments": {"a.png": {"content_type": "image/png", "data": "YQ=="}},
}
NEW = {"owner": "ann", "notes": [], "log": [9], "title": "new"}


async def source(at: Site, *path: str, **fields: Any) -> None:
    answer = await at.at_source("POST", "/clinic/_bulk_docs", _replicated(path, fields))
    assert (answer.status, answer.json) == (201, [])


async def push(at: Site, name: str, *path: str, **fields: Any) -> Any:
    return (await at.ask("POST", f"/clinic-{name}/_bulk_docs", _replicated(path, fields))).json


def _replicated(path: tuple[str, ...], fields: Doc) -> Doc:
    start, _, _ = path[0].partition("-")
    revisions = {"start": int(start), "ids": [rev.partition("-")[2] for rev in path]}
    return {"new_edits": False, "docs": [{"_id": "x", "_rev": path[0], "_revisions": revisions, **fields}]}


async def stored(at: Site, rev: str) -> Doc:
    doc: Doc = (await at.at_source("GET", f"/clinic/x?rev={rev}")).json
    return doc


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("name", NAMES)
async def test_a_document_over_a_deletion_has_nothing_of_it(name: str, asked: bool) -> None:
    async with site(*PROFILES) as at:
        await source(at, A, **WHOLE)
        await source(at, B, A, **WHOLE, _deleted=True)
        if asked:
            assert (await at.ask("POST", f"/clinic-{name}/_revs_diff", {"x": [C]})).json["x"]["missing"] == [C]
        assert await push(at, name, C, B, A, **NEW) == []
        assert await stored(at, C) == {"_id": "x", "_rev": C, **NEW}


@pytest.mark.parametrize("name", NAMES)
async def test_an_edit_of_a_deletion_itself_is_a_conflict_for_everybody(name: str) -> None:
    async with site(*PROFILES) as at:
        await source(at, A, **WHOLE)
        await source(at, B, A, **WHOLE, _deleted=True)
        for where in (at.at_source("PUT", f"/clinic/x?rev={B}", NEW), at.ask("PUT", f"/clinic-{name}/x?rev={B}", NEW)):
            answer = await where
            assert (answer.status, answer.json["error"]) == (409, "conflict")


async def test_it_goes_on_with_what_decides_whom_the_deletion_reached() -> None:
    async with site(*PROFILES, profile("all", Drop(paths=["owner", "ssn"]), others=["owner"])) as at:
        await source(at, A, **WHOLE)
        await source(at, B, A, **WHOLE, _deleted=True)
        assert await push(at, "all", C, B, A, title="new") == []
        assert await stored(at, C) == {"_id": "x", "_rev": C, "owner": "ann", "title": "new"}


async def test_what_stubs_of_the_deletion_stand_for_is_there() -> None:
    stub = {"content_type": "image/png", "stub": True}
    async with site(*PROFILES) as at:
        await source(at, A, **WHOLE)
        await source(at, B, A, **WHOLE, _deleted=True)
        assert await push(at, "drop", C, B, A, **NEW, _attachments={"a.png": stub}) == []
        assert list((await stored(at, C))["_attachments"]) == ["a.png"]
        refused = await push(at, "stamp", C[:-1] + "d", B, A, **NEW, _attachments={"a.png": stub})
        assert [row["error"] for row in refused] == ["missing_stub"]


@pytest.mark.parametrize("path", [[D], ["2-" + "e" * 32, D]])
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "checked"])
async def test_who_has_made_the_same_document_alone_makes_a_conflict(name: str, asked: bool, path: list[str]) -> None:
    """As in CouchDB; it is no edit of the winner, and gets nothing of what is hidden in that."""
    async with site(*PROFILES) as at:
        await source(at, A, **WHOLE)
        if asked:
            await at.ask("POST", f"/clinic-{name}/_revs_diff", {"x": [path[0]]})
        assert await push(at, name, *path, **NEW) == []
        assert await stored(at, path[0]) == {"_id": "x", "_rev": path[0], **NEW}
        leaves = (await at.at_source("GET", "/clinic/x?open_revs=all")).json
        assert {leaf["ok"]["_rev"] for leaf in leaves} == {A, path[0]}
        assert (await stored(at, A))["ssn"] == "123456"


async def test_what_is_hidden_gets_no_conflict() -> None:
    async with site(*PROFILES) as at:
        await source(at, A, **{**WHOLE, "owner": "bob"})
        assert [row["error"] for row in await push(at, "mine", D, **NEW)] == ["forbidden"]


async def test_where_the_source_has_cut_off_what_may_have_been_edited_it_is_an_edit() -> None:
    async with site(*PROFILES) as at:
        await source(at, "5-" + "f" * 32, "4-" + "e" * 32, **WHOLE)  # what came before is not known
        assert await push(at, "drop", "2-" + "b" * 32, D, **{**NEW, "notes": [{"text": "well"}]}) == []
        assert (await stored(at, "2-" + "b" * 32))["ssn"] == "123456"


class Owned(Filter):
    """A site's own rule about edits."""

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if original is not None and original.get("owner") != edited.get("owner"):
            raise Refused("it is not yours", "owner")
        return edited


@pytest.mark.parametrize("rule", [Owned(), Validate(where="old == null || owner == old.owner", message="not yours")])
async def test_nobody_gets_round_a_rule_about_edits_by_a_history_of_his_own(rule: Filter) -> None:
    """Of a conflict either may win: a made-up history of many generations would."""
    hidden = profile("hidden", Drop(paths=["ssn"]), rule, Redact(paths=["log"]))
    async with site(hidden) as at:
        await source(at, A, **WHOLE)
        theirs = await push(at, "hidden", "2-" + "e" * 32, D, owner="bob")
        assert [(row["error"], row["reason"][:3]) for row in theirs] in [[("forbidden", "it ")], [("forbidden", "not")]]
        assert await push(at, "hidden", "2-" + "e" * 32, D, owner="ann") == []
        assert await stored(at, "2-" + "e" * 32) == {"_id": "x", "_rev": "2-" + "e" * 32, "owner": "ann"}


OF_ITS_OWN = [f"{5 - age}-{str(age) * 32}" for age in range(5)]


class Moved(Filter):
    """A site's own: shown and written elsewhere, and nothing to be refused for that."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return {name: value for name, value in doc.items() if name != "locked"}

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return {**edited, **({"locked": original["locked"]} if original and "locked" in original else {})}


LOCKED = Validate(where="!(locked)", message="no")
MINE = Stamp(fields={"owner": "client.name"})


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ([Validate(where="owner == client.name", message="no"), MINE], True),
        ([LOCKED, Drop(paths=["locked"])], True),
        ([LOCKED, Redact(paths=["locked"])], True),
        ([LOCKED, Redact(paths=["locked"], mode="hash", key="k" * 16)], True),
        ([LOCKED, Keep(paths=["title", "owner"])], True),
        ([LOCKED, Project(body="{title: title, owner: owner, n: n}", writes="refuse")], True),
        ([LOCKED, Moved()], True),
        ([Validate(where="!contains(log, `3`)", message="no"), Truncate(paths=["log"], items=1)], True),
        ([Validate(where="old == null || old.n == n", message="no"), Drop(paths=["n", "locked"])], False),
        ([MINE, Drop(paths=["locked"])], False),
        ([Stamp(fields={"owner": "client.name"}, claims="refuse"), Drop(paths=["locked"])], False),
    ],
)
@pytest.mark.parametrize("over", ["nothing", "own deletion", "own deletion, by PUT"])
async def test_beside_a_document_it_is_judged_as_an_edit_of_that(rules: list[Filter], refused: bool, over: str) -> None:
    """Of a conflict either may win: rules that do not name the old document would see a new one only."""
    async with site(profile("ruled", *rules)) as at:
        await source(at, A, **{**WHOLE, "owner": "eve"}, n=1, locked=True)
        path = OF_ITS_OWN
        if over != "nothing":
            await source(at, *OF_ITS_OWN[1:], owner="ann", _deleted=True)
        if over == "own deletion, by PUT":
            answer = await at.ask("PUT", f"/clinic-ruled/x?rev={OF_ITS_OWN[1]}", {"owner": "ann", "title": "new"})
            assert answer.status == (403 if refused else 201)
            path = path if refused else [answer.json["rev"]]
        else:
            rows = await push(at, "ruled", *OF_ITS_OWN, owner="ann", title="new")
            assert [row["error"] for row in rows] == ["forbidden"] * refused
        if not refused:
            assert await stored(at, path[0]) == {"_id": "x", "_rev": path[0], "owner": "ann", "title": "new"}
        assert (await stored(at, A))["locked"] is True


@pytest.mark.parametrize("hides", [Drop(paths=["notes[?private].price"]), Redact(paths=["notes[?private].price"])])
@pytest.mark.parametrize("price", [1, 100])
async def test_what_is_hidden_until_it_is_sent_is_a_clients_own_word_there(price: int, hides: Filter) -> None:
    """And a right guess is as good as a wrong one."""
    fixed = Validate(where="old == null || notes[0].price == old.notes[0].price", message="fixed")
    hidden, shown = {"private": True, "price": 100}, {"private": False, "price": price}
    async with site(profile("fixed", fixed, hides)) as at:
        await source(at, A, notes=[hidden])
        assert [row["reason"] for row in await push(at, "fixed", *OF_ITS_OWN, notes=[shown])] == ["fixed"]


ORDERED = Validate(where="old == null || !(p.locked) || p.name == old.p.name", message="locked")


@pytest.mark.parametrize(
    "hides",
    [
        [Drop(paths=["p.locked"]), Redact(paths=["p.pin"])],
        [Redact(paths=["p.pin", "p.locked"])],
        [Keep(paths=["p.name", "p.pin"]), Redact(paths=["p.pin"])],
        [Drop(paths=["p.locked"]), Truncate(paths=["p.log"], items=1)],
    ],
)
async def test_a_rule_sees_what_is_hidden_and_what_is_sent_in_one_object(hides: list[Filter]) -> None:
    """Where a mask is left out it cannot be sewn on, and the rest of the object is judged with it nevertheless."""
    async with site(profile("ordered", ORDERED, *hides)) as at:
        await source(at, A, p={"name": "A", "locked": True, "pin": "1", "log": [1, 2]})
        assert [row["reason"] for row in await push(at, "ordered", *OF_ITS_OWN, p={"name": "Z"})] == ["locked"]


@pytest.mark.parametrize(
    "filters",
    [
        [MINE, Redact(paths=["p.pin"]), Drop(paths=["p.note"])],
        [MINE, Redact(paths=["p.pin"]), Drop(paths=["p"])],
        [MINE, Redact(paths=["p.q.pin"]), Drop(paths=["p.q"])],
        [LOCKED, Redact(paths=["p.pin", "hiv", "notes[?private].text"]), Keep(paths=["title", "p.name", "owner"])],
        [LOCKED, Redact(paths=["log[].pin"]), Truncate(paths=["log"], items=1)],
        [MINE, Redact(paths=["p.pin"]), Rename(fields={"p": "person"}), Drop(paths=["person.note"])],
        [MINE, Redact(paths=["p.pin", "hiv"]), Project(body="{title: title, owner: owner}", writes="refuse")],
        [Redact(paths=["p.pin", "hiv"]), Drop(paths=["p.note"]), MINE],
    ],
)
@pytest.mark.parametrize("more", [{}, {"hiv": "positive"}, {"notes": [{"private": True, "text": "x"}]}])
async def test_no_filter_takes_the_mask_of_what_a_later_one_hides_for_the_clients(
    filters: list[Filter], more: Doc
) -> None:
    held = {"p": {"pin": "1", "note": "N", "name": "A", "q": {"pin": "2", "x": 1}}, "log": [{"pin": "x"}, {"pin": "y"}]}
    async with site(profile("masked", *filters)) as at:
        await source(at, A, **held, **more, title="old", owner="eve")
        assert await push(at, "masked", *OF_ITS_OWN, title="new") == []
        assert "p" not in await stored(at, OF_ITS_OWN[0])


@pytest.mark.parametrize("hides", [Drop(paths=["p.pin", "p.q.pin"]), Redact(paths=["p.pin", "p.q.pin"])])
@pytest.mark.parametrize(("name", "refused"), [("B", []), ("C", ["fixed"])])
async def test_what_is_hidden_in_an_object_stays_as_it_is(hides: Filter, name: str, refused: list[str]) -> None:
    rule = "old == null || (p.pin == old.p.pin && p.q.pin == old.p.q.pin && p.name != 'C')"
    async with site(profile("fixed", Validate(where=rule, message="fixed"), hides)) as at:
        await source(at, A, p={"pin": "1", "name": "A", "q": {"pin": "2", "x": 1}})
        rows = await push(at, "fixed", *OF_ITS_OWN, p={"name": name, "q": {"x": 2}})
        assert [row["reason"] for row in rows] == refused
        if not refused:
            assert (await stored(at, OF_ITS_OWN[0]))["p"] == {"name": name, "q": {"x": 2}}


async def test_what_is_shown_by_another_name_is_not_hidden() -> None:
    ordered = Validate(where="!(end) || start <= end", message="order")
    async with site(profile("renamed", ordered, Rename(fields={"end": "until"}))) as at:
        await source(at, A, start=1, end=5)
        assert await push(at, "renamed", *OF_ITS_OWN, start=9) == []


@pytest.mark.parametrize("guess", ["eve", "bob"])
async def test_a_hidden_stamp_of_another_document_cannot_be_guessed(guess: str) -> None:
    stamp = Stamp(fields={"author": "client.name"}, claims="refuse")
    async with site(profile("hidden", stamp, Drop(paths=["author"]), on_surplus="discard")) as at:
        await source(at, A, author="eve", title="old")
        rows = await push(at, "hidden", *OF_ITS_OWN, author=guess, title="new")
        assert [row["reason"] for row in rows] == ["author is set by the server (at author)"]


async def test_a_document_of_ones_own_beside_a_public_one_is_stored() -> None:
    mine = Select(where="owner == client.name || public")
    async with site(profile("mine", mine, MINE)) as at:
        await source(at, A, owner="eve", public=True)
        assert await push(at, "mine", D, title="new") == []
        assert await stored(at, D) == {"_id": "x", "_rev": D, "owner": "ann", "title": "new"}


async def test_over_a_deletion_beside_a_live_leaf_the_same_goes_on_as_without_it() -> None:
    stub = {"content_type": "image/png", "stub": True}
    hidden = profile("hidden", Drop(paths=["owner"]), Validate(where="title != 'x'", message="no"), others=["owner"])
    async with site(hidden) as at:
        await source(at, A, owner="ann")
        await source(at, B, A, owner="ann", title="live")
        stone = "2-" + "e" * 32
        await source(at, stone, A, owner="ann", _deleted=True, _attachments=WHOLE["_attachments"])
        path = ["3-" + "f" * 32, stone, A]
        assert await push(at, "hidden", *path, title="new", _attachments={"a.png": stub}) == []
        made = await stored(at, path[0])
        assert (made["owner"], made["title"], list(made["_attachments"])) == ("ann", "new", ["a.png"])


async def test_a_rule_sees_all_that_a_deletion_has_kept() -> None:
    final = Validate(where="old == null || !(old._deleted) || !(old.final)", message="it is over")
    async with site(profile("ruled", final, Redact(paths=["ssn"]))) as at:
        await source(at, A, **WHOLE)
        await source(at, B, A, final=True, ssn="1", _deleted=True)
        assert [row["reason"] for row in await push(at, "ruled", C, B, A, title="new")] == ["it is over"]


async def test_without_any_ancestor_it_is_no_edit_of_what_is_cut_off() -> None:
    async with site(*PROFILES) as at:
        await source(at, "5-" + "f" * 32, "4-" + "e" * 32, **WHOLE)
        assert await push(at, "drop", D, **NEW) == []
        assert await stored(at, D) == {"_id": "x", "_rev": D, **NEW}


async def test_a_claim_over_a_deletion_is_one_of_a_new_document() -> None:
    stamp = Stamp(fields={"owner": "client.name"}, claims="refuse")
    async with site(profile("stamped", stamp, Drop(paths=["ssn"]))) as at:
        await source(at, A, owner="eve", ssn="1")
        await source(at, B, A, owner="eve", ssn="1", _deleted=True)
        assert [row["error"] for row in await push(at, "stamped", C, B, A, owner="bob")] == ["forbidden"]
        assert await push(at, "stamped", C, B, A, owner="ann") == []
        assert await stored(at, C) == {"_id": "x", "_rev": C, "owner": "ann"}
