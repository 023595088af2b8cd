"""What devices are told when roles come and go: departures, returns and their closings, and what is done with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.core import revisions
from proxy.feeds.hub import Hub
from proxy.feeds.waiting import Keys
from tests.properties.device import Device, Doc
from tests.support.inprocess import Answer, Site, profile, site

OWN = profile(
    "phone",
    Select(where="contains(client.roles, facility) || public"),
    Drop(paths=["ssn", "notes[?for != client.name && !contains(client.roles, 'head')]"]),
)
PATIENT: Doc = {"_id": "p", "facility": "facility:f1", "ssn": "hidden", "bed": 1}
NONE, F1, F2 = (), ("facility:f1",), ("facility:f2",)


@pytest.fixture(params=["direct", "indexed"])
async def clinic(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """With a patient of ann's facility."""
    server: Doc = {"data": tmp_path} if request.param == "indexed" else {}
    async with site(OWN, session_ttl=0.0, **server) as made:
        if made.hub is not None:
            await made.indexed()
        await made.put(PATIENT)
        yield made


def device(clinic: Site, name: str = "device", *, user: str = "ann", limit: int = 100) -> Device:
    async def ask(method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return await clinic.ask(method, path, body, user=(user, user), **options)

    return Device(name, "brand", "clinic-phone", ask, limit=limit)


async def grant(clinic: Site, roles: tuple[str, ...], user: str = "ann") -> None:
    path = f"/_users/org.couchdb.user:{user}"
    held = (await clinic.at_source("GET", path)).json
    answer = await clinic.at_source("PUT", path, {**held, "roles": ["nurse", *roles], "password": user})
    assert answer.status == 201


async def edit(clinic: Site, **fields: Any) -> str:
    held = (await clinic.at_source("GET", "/clinic/p")).json
    return await clinic.put({**PATIENT, "_rev": held["_rev"], **fields})


async def pulled(clinic: Site, phone: Device) -> Device:
    if clinic.hub is not None:
        await clinic.hub.fresh()
    await phone.pull()
    return phone


def bed(phone: Device) -> Any:
    """What the device shows of the patient; None: nothing."""
    leaf = phone.leaf("p")
    return leaf and leaf["bed"]


def conflicts(phone: Device) -> int:
    return len(phone.docs["p"].live) - 1


async def back_again(clinic: Site, phone: Device) -> Device:
    """The device had the patient, lost it with a role, and has it again with the role."""
    await pulled(clinic, phone)
    assert bed(phone) == 1
    await grant(clinic, NONE)
    await pulled(clinic, phone)
    assert bed(phone) is None
    await grant(clinic, F1)
    return await pulled(clinic, phone)


async def follows(clinic: Site, phone: Device) -> None:
    """The device has what comes next at the source, and nothing beside it."""
    await edit(clinic, bed=2)
    await pulled(clinic, phone)
    assert (bed(phone), conflicts(phone)) == (2, 0)
    await edit(clinic, _deleted=True)
    await pulled(clinic, phone)
    assert bed(phone) is None


async def test_a_document_leaves_with_the_role_and_comes_back_with_it(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    assert bed(phone) == 1
    leaf = phone.leaf("p")
    assert leaf is not None
    assert "ssn" not in leaf
    stored = (await clinic.at_source("GET", "/clinic/p?revs=true")).json
    assert stored["_revisions"]["start"] == 1


async def test_it_does_so_any_number_of_times(clinic: Site) -> None:
    phone = device(clinic)
    for _ in range(4):
        await back_again(clinic, phone)
        assert (bed(phone), conflicts(phone)) == (1, 0)


async def test_who_missed_some_of_these_times_has_it_once(clinic: Site) -> None:
    phone, other = device(clinic), device(clinic, "other")
    await back_again(clinic, phone)
    for _ in range(2):
        await back_again(clinic, other)
    await pulled(clinic, phone)
    assert [(bed(each), conflicts(each)) for each in (phone, other)] == [(1, 0), (1, 0)]


async def test_what_comes_next_at_the_source_takes_its_place(clinic: Site) -> None:
    await follows(clinic, await back_again(clinic, device(clinic)))


async def test_what_leaves_for_good_after_it_came_back_is_gone(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    await edit(clinic, facility="facility:f2")
    await pulled(clinic, phone)
    assert bed(phone) is None


@pytest.mark.parametrize("fields", [{"bed": 2}, {"_deleted": True}])
async def test_a_device_that_comes_late_is_told_of_the_end_of_what_it_was_shown_again(
    clinic: Site, fields: Doc
) -> None:
    phone = await back_again(clinic, device(clinic))
    await edit(clinic, bed=3)
    await edit(clinic, **fields)
    assert (await clinic.at_source("POST", "/clinic/_compact", {})).status == 202
    await pulled(clinic, phone)
    assert bed(phone) == fields.get("bed")
    assert "_deleted" in fields or conflicts(phone) == 0


async def test_it_can_be_edited_and_nothing_hidden_is_lost(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    leaf = phone.leaf("p")
    assert leaf is not None
    phone.put({**leaf, "bed": 7})
    await phone.push()
    stored = (await clinic.at_source("GET", "/clinic/p?revs=true&conflicts=true")).json
    assert (stored["bed"], stored["ssn"], stored.get("_conflicts")) == (7, "hidden", None)
    assert stored["_revisions"]["start"] == 3
    await pulled(clinic, phone)
    other = await pulled(clinic, device(clinic, "other"))
    assert [(bed(each), conflicts(each)) for each in (phone, other)] == [(7, 0), (7, 0)]
    await edit(clinic, bed=8)
    await pulled(clinic, phone)
    assert (bed(phone), conflicts(phone)) == (8, 0)


async def test_it_can_be_deleted(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    leaf = phone.leaf("p")
    assert leaf is not None
    phone.remove("p", leaf["_rev"])
    await phone.push()
    assert (await clinic.at_source("GET", "/clinic/p")).status == 404
    await pulled(clinic, phone)
    assert bed(phone) is None


async def test_nothing_of_it_is_pushed_back(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    await back_again(clinic, phone)
    before = (await clinic.at_source("GET", "/clinic")).json["update_seq"]
    await phone.push()
    assert phone.pushes == []
    await phone.push(blind=True)
    leaves = {doc: [str(rev) for rev in revisions.leaves(held.tree)] for doc, held in phone.docs.items()}
    assert (await clinic.ask("POST", "/clinic-phone/_revs_diff", leaves)).json == {}
    docs = [phone._outgoing("p", rev, ()) for rev in leaves["p"]]
    answer = await clinic.ask("POST", "/clinic-phone/_bulk_docs", {"docs": docs, "new_edits": False})
    assert (answer.status, answer.json) == (201, [])
    assert (await clinic.at_source("GET", "/clinic")).json["update_seq"] == before


async def test_it_is_read_and_edited_by_the_revision_that_the_device_has(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    leaf = phone.leaf("p")
    assert leaf is not None
    rev = leaf["_rev"]
    read = await clinic.ask("GET", f"/clinic-phone/p?rev={rev}&revs=true")
    assert (read.json["bed"], read.json["_rev"], read.json["_revisions"]["start"]) == (1, rev, 2)
    assert "ssn" not in read.json
    answer = await clinic.ask("PUT", "/clinic-phone/p", {"facility": "facility:f1", "bed": 5, "_rev": rev})
    assert answer.status == 201
    stored = (await clinic.at_source("GET", "/clinic/p?revs=true")).json
    assert (stored["bed"], stored["ssn"], stored["_revisions"]["start"]) == (5, "hidden", 2)
    again = await clinic.ask("PUT", "/clinic-phone/p", {"facility": "facility:f1", "bed": 6, "_rev": rev})
    assert again.status == 409
    await pulled(clinic, phone)
    assert (bed(phone), conflicts(phone)) == (5, 0)


async def test_its_attachments_are_those_of_the_revision_that_it_shows_again(clinic: Site) -> None:
    rev = (await clinic.at_source("GET", "/clinic/p")).json["_rev"]
    path = f"/clinic/p/photo?rev={rev}"
    put = await clinic.at_source("PUT", path, data=b"a photo", headers={"Content-Type": "image/png"})
    assert put.status == 201
    phone = await back_again(clinic, device(clinic))
    leaf = phone.leaf("p")
    assert leaf is not None
    assert leaf["_attachments"]["photo"]["content_type"] == "image/png"
    phone.put({**leaf, "bed": 9})
    await phone.push()
    stored = await clinic.at_source("GET", "/clinic/p/photo", headers={"Accept": "*/*"})
    assert stored.body == b"a photo"


async def test_what_is_new_since_is_not_told_of_as_gone(clinic: Site) -> None:
    phone = await pulled(clinic, device(clinic))
    await grant(clinic, NONE)
    await clinic.put({"_id": "secret", "facility": "facility:f1", "bed": 2})
    await pulled(clinic, phone)
    assert list(phone.docs) == ["p"]
    rows = (await clinic.ask("GET", "/clinic-phone/_changes")).json["results"]
    assert rows == []


async def test_who_never_had_it_hears_nothing_of_it(clinic: Site) -> None:
    await pulled(clinic, device(clinic))
    await grant(clinic, NONE)
    other = await pulled(clinic, device(clinic, "other"))
    bob = await pulled(clinic, device(clinic, "bob", user="bob"))
    assert (other.docs, bob.docs) == ({}, {})


async def test_a_first_grant_shows_the_sources_own_revision(clinic: Site) -> None:
    await grant(clinic, F2)
    phone = await pulled(clinic, device(clinic))
    assert phone.docs == {}
    await grant(clinic, F1)
    await pulled(clinic, phone)
    leaf = phone.leaf("p")
    assert leaf is not None
    assert leaf["_rev"] == (await clinic.at_source("GET", "/clinic/p")).json["_rev"]
    fresh = (await clinic.ask("GET", "/clinic-phone/_changes")).json
    assert [row["changes"] for row in fresh["results"]] == [[{"rev": leaf["_rev"]}]]


async def test_it_leaves_by_what_it_was_when_it_changed_after_the_role_was_lost(clinic: Site) -> None:
    phone = await pulled(clinic, device(clinic))
    await grant(clinic, NONE)
    await edit(clinic, bed=4)
    await pulled(clinic, phone)
    assert bed(phone) is None
    await grant(clinic, F1)
    await pulled(clinic, phone)
    assert (bed(phone), conflicts(phone)) == (4, 0)


async def test_a_client_that_asks_for_winners_only_hears_of_the_end_as_well(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    leaf = phone.leaf("p")
    rev = await edit(clinic, bed=2)
    if clinic.hub is not None:
        await clinic.hub.fresh()
    [row] = (await clinic.ask("GET", f"/clinic-phone/_changes?since={await phone.checkpoint()}")).json["results"]
    [winner, closing] = [change["rev"] for change in row["changes"]]
    assert (winner, row.get("deleted")) == (rev, None)
    read = await clinic.ask("GET", f"/clinic-phone/p?rev={closing}&revs=true")
    assert leaf is not None
    assert read.json["_deleted"] is True
    assert read.json["_revisions"]["ids"][1] == leaf["_rev"].partition("-")[2]


async def test_pages_of_any_size_tell_the_same(clinic: Site) -> None:
    for number in range(5):
        await clinic.put({"_id": f"q{number}", "facility": "facility:f1", "bed": number})
    await clinic.put({"_id": "everybodys", "facility": "f3", "public": True, "bed": 0})
    phones = [device(clinic, f"device{limit}", limit=limit) for limit in (1, 2, 3, 100)]
    for roles in (F1, NONE, F1, F2, F1):
        await grant(clinic, roles)
        for phone in phones:
            await pulled(clinic, phone)
            there = sorted(doc_id for doc_id, held in phone.docs.items() if held.live)
            assert there == sorted(["everybodys", *(["p", *(f"q{n}" for n in range(5))] if roles == F1 else [])])
            assert not any(held.live[1:] for held in phone.docs.values())


async def test_a_feed_that_goes_on_waits_for_what_comes_next(clinic: Site) -> None:
    """What was carried through the pages ends with them."""
    phone = await pulled(clinic, device(clinic))
    await grant(clinic, NONE)
    await pulled(clinic, phone)
    await clinic.put({"_id": "everybodys", "facility": "f3", "public": True, "bed": 0})
    await pulled(clinic, phone)
    assert phone.leaf("everybodys") is not None


async def test_what_is_shown_again_is_recorded_before_it_is_shown(clinic: Site) -> None:
    await back_again(clinic, device(clinic))
    found = (await clinic.at_source("GET", "/clinic/_local_docs?include_docs=true")).json
    records = [row["doc"]["returns"] for row in found["rows"] if row["id"].startswith("_local/tailor-returns-")]
    [[[doc_id, rev, number, *_]]] = records
    assert (doc_id, number) == ("p", 1)
    assert rev == (await clinic.at_source("GET", "/clinic/p")).json["_rev"]


NOTES = [{"for": "ann", "text": "own"}, {"for": "bob", "text": "private"}]


async def test_a_role_that_shows_more_of_a_document_reaches_the_device_at_once(clinic: Site) -> None:
    rev = (await clinic.at_source("GET", "/clinic/p")).json["_rev"]
    await clinic.put({**PATIENT, "notes": NOTES, "_rev": rev})
    await clinic.put({"_id": "q", "facility": "facility:f1", "bed": 3})
    phone = await pulled(clinic, device(clinic))
    for roles, notes in ((("head", *F1), NOTES), (F1, NOTES[:1]), (("head", *F1), NOTES), (F1, NOTES[:1])):
        await grant(clinic, roles)
        await pulled(clinic, phone)
        leaf, other = phone.leaf("p"), phone.leaf("q")
        assert leaf is not None
        assert other is not None
        assert (leaf["notes"], conflicts(phone)) == (notes, 0)
        assert other["_rev"] == (await clinic.at_source("GET", "/clinic/q")).json["_rev"]
    leaf = phone.leaf("p")
    assert leaf is not None
    phone.put({**leaf, "bed": 9})
    await phone.push()
    stored = (await clinic.at_source("GET", "/clinic/p")).json
    assert (stored["bed"], stored["notes"], stored["ssn"]) == (9, NOTES, "hidden")
    await pulled(clinic, phone)
    assert (bed(phone), conflicts(phone)) == (9, 0)


@pytest.mark.parametrize("way", ["replicated", "put"])
@pytest.mark.parametrize("notes", [[NOTES[0], {**NOTES[1], "text": "read"}], NOTES[:1], []])
async def test_what_a_granted_role_shows_can_be_edited_and_taken_out(clinic: Site, way: str, notes: list[Doc]) -> None:
    """The device has a revision of its own with the present cut: what it leaves out it has seen."""
    rev = (await clinic.at_source("GET", "/clinic/p")).json["_rev"]
    await clinic.put({**PATIENT, "notes": NOTES, "_rev": rev})
    phone = await pulled(clinic, device(clinic))
    await grant(clinic, ("head", *F1))
    await pulled(clinic, phone)
    leaf = phone.leaf("p")
    assert leaf is not None
    if way == "replicated":
        phone.put({**leaf, "notes": notes})
        await phone.push()
    else:
        edited = {"facility": "facility:f1", "bed": 1, "notes": notes, "_rev": leaf["_rev"]}
        assert (await clinic.ask("PUT", "/clinic-phone/p", edited)).status == 201
    stored = (await clinic.at_source("GET", "/clinic/p")).json
    assert (stored["notes"], stored["ssn"]) == (notes, "hidden")


async def test_what_came_while_the_role_was_lost_is_not_told_of_when_another_comes(clinic: Site) -> None:
    phone = await pulled(clinic, device(clinic))
    await grant(clinic, NONE)
    await pulled(clinic, phone)
    await clinic.put({"_id": "secret", "facility": "facility:f1", "bed": 2})
    await clinic.put({"_id": "everybodys", "facility": "f3", "public": True, "bed": 2})
    await pulled(clinic, phone)
    await grant(clinic, F2)
    await pulled(clinic, phone)
    assert sorted(phone.docs) == ["everybodys", "p"]


@pytest.mark.parametrize("more", [{}, {"_deleted": True}])
@pytest.mark.parametrize("query", ["", "?open_revs=all", "?revs=true", "?conflicts=true"])
async def test_a_lost_role_tells_nothing_of_what_is_there(clinic: Site, more: Doc, query: str) -> None:
    await grant(clinic, NONE)
    await pulled(clinic, device(clinic))
    rev = await clinic.put({"_id": "secret", "facility": "facility:f1", "bed": 2})
    await clinic.put({"_id": "secret", "facility": "facility:f1", "bed": 3, "_rev": rev, **more})
    if clinic.hub is not None:
        await clinic.hub.fresh()
    here, nowhere = [await clinic.ask("GET", f"/clinic-phone/{doc_id}{query}") for doc_id in ("secret", "nosuch")]
    assert (here.status, here.body) == (nowhere.status, nowhere.body)


async def test_an_attachment_is_put_and_deleted_by_the_revision_that_the_device_has(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    leaf = phone.leaf("p")
    assert leaf is not None
    path, image = f"/clinic-phone/p/photo?rev={leaf['_rev']}", {"Content-Type": "image/png"}
    put = await clinic.ask("PUT", path, data=b"a photo", headers=image)
    assert put.status == 201
    stored = (await clinic.at_source("GET", "/clinic/p")).json
    assert (stored["bed"], stored["ssn"], list(stored["_attachments"])) == (1, "hidden", ["photo"])
    await pulled(clinic, phone)
    await back_again_later(clinic, phone)
    leaf = phone.leaf("p")
    assert leaf is not None
    edited = {name: value for name, value in leaf.items() if name != "_attachments"}
    kept = {**edited, "bed": 4, "_attachments": {"photo": {"stub": True, "content_type": "image/png", "revpos": 2}}}
    assert (await clinic.ask("PUT", "/clinic-phone/p", kept)).status == 201
    assert (await clinic.at_source("GET", "/clinic/p/photo", headers={"Accept": "*/*"})).body == b"a photo"
    await pulled(clinic, phone)
    await back_again_later(clinic, phone)
    leaf = phone.leaf("p")
    assert leaf is not None
    assert (await clinic.ask("DELETE", f"/clinic-phone/p/photo?rev={leaf['_rev']}")).status == 200
    stored = (await clinic.at_source("GET", "/clinic/p")).json
    assert (stored["bed"], stored["ssn"], "_attachments" in stored) == (4, "hidden", False)


async def back_again_later(clinic: Site, phone: Device) -> None:
    for roles in (NONE, F1):
        await grant(clinic, roles)
        await pulled(clinic, phone)
        assert (bed(phone) is None) == (roles == NONE)


async def test_what_has_never_left_does_not_return_when_another_role_comes(clinic: Site) -> None:
    phone = await back_again(clinic, device(clinic))
    await edit(clinic, bed=2)
    await clinic.put({"_id": "q", "facility": "facility:f1", "bed": 3})
    await pulled(clinic, phone)
    before = {doc_id: list(held.tree) for doc_id, held in phone.docs.items()}
    for roles in (("unrelated", *F1), F1, ("another", *F1)):
        await grant(clinic, roles)
        await pulled(clinic, phone)
        assert {doc_id: list(held.tree) for doc_id, held in phone.docs.items()} == before


async def test_of_conflicting_leaves_that_which_the_device_has_leaves_and_returns_whichever_came_last(
    clinic: Site,
) -> None:
    """A row tells of the last change of a document, whatever leaf that was of."""
    phone = await pulled(clinic, device(clinic))
    rival: Doc = {**PATIENT, "bed": 0, "_rev": "1-" + "0" * 32}

    async def put(doc: Doc) -> None:
        answer = await clinic.at_source("POST", "/clinic/_bulk_docs", {"docs": [doc], "new_edits": False})
        assert answer.json == []

    await grant(clinic, NONE)
    await put(rival)
    await pulled(clinic, phone)
    assert bed(phone) is None
    await grant(clinic, F1)
    await put({**rival, "_rev": "2-" + "0" * 32, "_deleted": True, "_revisions": {"start": 2, "ids": ["0" * 32] * 2}})
    await pulled(clinic, phone)
    assert (bed(phone), conflicts(phone)) == (1, 0)


async def test_design_documents_are_as_they_are() -> None:
    hiding = Drop(paths=["notes[?!contains(client.roles, 'head')]"])
    shown = profile("phone", Select(where="contains(client.roles, facility)"), hiding, design_docs=True)
    async with site(shown, session_ttl=0.0) as clinic:
        await clinic.put({"_id": "_design/x", "facility": "facility:f1", "notes": [{"for": "bob"}], "views": {}})
        phone = await pulled(clinic, device(clinic))
        leaf = phone.leaf("_design/x")
        for roles in (("head", *F1), NONE, F1):
            await grant(clinic, roles)
            await pulled(clinic, phone)
            assert phone.leaf("_design/x") == leaf


@pytest.mark.parametrize("indexed", [False, True])
async def test_an_app_that_calls_itself_otherwise_by_then_is_told_of_the_end(tmp_path: Path, indexed: bool) -> None:
    versioned = profile(
        "phone",
        Select(where="contains(client.roles, facility)"),
        Drop(paths=["ssn"]),
        device_headers={"version": "x-version"},
    )
    server: Doc = {"data": tmp_path} if indexed else {}
    async with site(versioned, session_ttl=0.0, **server) as clinic:
        if clinic.hub is not None:
            await clinic.indexed()
        await clinic.put(PATIENT)
        version = ["1"]

        async def ask(method: str, path: str, body: Any = None, **options: Any) -> Answer:
            options["headers"] = {**(options.get("headers") or {}), "X-Version": version[0]}
            return await clinic.ask(method, path, body, **options)

        phone = Device("device", "brand", "clinic-phone", ask)
        await back_again(clinic, phone)
        version[0] = "2"
        await pulled(clinic, phone)
        assert (bed(phone), conflicts(phone)) == (1, 0)
        await follows(clinic, phone)


async def test_feeds_of_a_users_devices_side_by_side_are_all_told_of_the_end(clinic: Site) -> None:
    """Whichever of them records what is shown again."""
    phones = [device(clinic, f"device{number}", limit=1) for number in range(8)]
    for number in range(6):
        await clinic.put({"_id": f"q{number}", "facility": "facility:f1", "bed": 1})
    for roles in (F1, NONE, F1):
        await grant(clinic, roles)
        await asyncio.gather(*(pulled(clinic, phone) for phone in phones))
    await edit(clinic, bed=2)
    await asyncio.gather(*(pulled(clinic, phone) for phone in phones))
    assert [(bed(phone), conflicts(phone)) for phone in phones] == [(2, 0)] * 8
    await edit(clinic, _deleted=True)
    await asyncio.gather(*(pulled(clinic, phone) for phone in phones))
    assert [bed(phone) for phone in phones] == [None] * 8


async def test_who_asks_from_now_on_is_told_of_the_end_as_well(clinic: Site) -> None:
    """As clients do that get to know what they have missed in another way."""
    phone = await back_again(clinic, device(clinic))
    now = (await clinic.ask("GET", "/clinic-phone/_changes?since=now")).json["last_seq"]
    rev = await edit(clinic, bed=2)
    if clinic.hub is not None:
        await clinic.hub.fresh()
    [row] = (await clinic.ask("GET", f"/clinic-phone/_changes?since={now}")).json["results"]
    assert row["changes"][0]["rev"] == rev
    assert len(row["changes"]) == 2
    assert bed(phone) == 1


async def test_a_feed_that_has_told_what_is_gone_waits_for_the_present_roles_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[Keys] = []
    wait = Hub.wait

    async def listening(hub: Hub, keys: Keys) -> None:
        waited.append(keys)
        await wait(hub, keys)

    monkeypatch.setattr(Hub, "wait", listening)
    own = profile("phone", Select(where="facility == client.facility"))
    async with site(own, session_ttl=0.0, data=tmp_path) as clinic:
        await clinic.indexed()
        await clinic.put({**PATIENT, "facility": "f1"})
        phone = await pulled(clinic, device(clinic))
        await grant(clinic, F2)
        since, live = await phone.checkpoint(), "feed=longpoll&timeout=50"
        told = (await clinic.ask("GET", f"/clinic-phone/_changes?since={since}&{live}")).json
        assert [row["id"] for row in told["results"]] == ["p"]
        later = (await clinic.ask("GET", f"/clinic-phone/_changes?since={told['last_seq']}&{live}")).json
        assert later["results"] == []
        await clinic.ask("GET", f"/clinic-phone/_changes?since={since}&feed=continuous&timeout=50")
        one, other = waited
        assert one == other
        assert one is not None


async def test_what_came_before_a_checkpoint_could_be_stored_comes_back_as_well(clinic: Site) -> None:
    phone = await pulled(clinic, device(clinic))
    since = await phone.checkpoint()
    await grant(clinic, NONE)
    await pulled(clinic, phone)
    assert bed(phone) is None
    await grant(clinic, F1)
    if clinic.hub is not None:
        await clinic.hub.fresh()
    [row] = (await clinic.ask("GET", f"/clinic-phone/_changes?style=all_docs&since={since}")).json["results"]
    assert row["changes"][0]["rev"].startswith("2-00000000")
