"""What left a view is told to a client that comes when the source has compacted the bodies of what it could see."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from filters.compute import Compute
from filters.drop import Drop
from filters.rename import Rename
from filters.select import Select
from proxy.contract import Client, Doc, Filter
from proxy.core.lens import Chain, Link
from tests.support.inprocess import Site, profile, site

CONDITION = "facility == client.facility && !archived"
CHANGES = "/clinic-phone/_changes?style=all_docs&since="


class Silent(Filter):
    """The same condition, by a filter that does not say by which fields it decides."""

    declares_audience = True

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return doc if doc.get("facility") in client.grants.get("facility", ()) and not doc.get("archived") else None

    def audience(self, doc: Doc) -> Iterable[str]:
        return [str(doc.get("facility"))]

    def client_keys(self, client: Client) -> Iterable[str]:
        return client.grants.get("facility", ())


class Saying(Silent):
    """One that does."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return super().shape(doc, client)

    def audience(self, doc: Doc) -> Iterable[str]:
        return super().audience(doc)

    def client_keys(self, client: Client) -> Iterable[str]:
        return super().client_keys(client)

    def audience_fields(self) -> Iterable[str]:
        return ("facility", "archived")

    def by_fields(self) -> bool:
        return True


class Adding(Filter):
    """A field that is made of others, which it does not say."""

    passes_all = True

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return {**doc, "archived": "text" in doc}

    def depends_on_client(self) -> bool:
        return False


async def compacted(made: Site, doc_id: str, *bodies: Doc) -> None:
    """Write these one after the other, let the index see each, and compact."""
    for body in bodies:
        doc = (await made.at_source("GET", f"/clinic/{doc_id}")).json
        assert (await made.at_source("PUT", f"/clinic/{doc_id}", {"_rev": doc["_rev"], **body})).status in (200, 201)
        assert await (await made.indexed()).fresh()
    assert (await made.at_source("POST", "/clinic/_compact", {})).status == 202
    while (await made.at_source("GET", "/clinic")).json.get("compact_running"):
        pass
    gone = f"/clinic/{doc_id}?rev={doc['_rev']}"
    assert (await made.at_source("GET", gone)).status == 404


async def rows(made: Site, since: Any, name: str) -> tuple[list[Any], Any]:
    found = (await made.ask("GET", f"{CHANGES}{since}", user=(name, name))).json
    return [(row["id"], row.get("deleted", False)) for row in found["results"]], found["last_seq"]


MINE: Doc = {"facility": "f1", "text": "a", "ssn": "secret"}
LEAVING: dict[str, list[Doc]] = {
    "to others": [{**MINE, "facility": "f2"}],
    "to others, and changed there": [{**MINE, "facility": "f2"}, {**MINE, "facility": "f2", "text": "b"}],
    "out of sight": [{**MINE, "archived": True}],
    "and changed there often": [{**MINE, "facility": "f2", "text": str(number)} for number in range(20)],
    "after other changes": [{**MINE, "text": "b"}, {**MINE, "text": "c"}, {**MINE, "archived": True}],
    "deleted": [{"_deleted": True}],
}


@pytest.mark.parametrize("bodies", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("filter_", [Select(where=CONDITION), Saying()], ids=["select", "own"])
async def test_it_is_told_to_whom_had_it(tmp_path: Path, filter_: Filter, bodies: list[Doc]) -> None:
    phone = profile("phone", filter_, Drop(paths=["ssn"]))
    docs = [{"_id": "d", **MINE}, {"_id": "theirs", **MINE, "facility": "f2"}]
    async with site(phone, docs=docs, data=tmp_path, cache=0) as made:
        await made.indexed()
        seen, since = await rows(made, 0, "ann")
        assert seen == [("d", False)]
        _, never = await rows(made, 0, "eva")
        await compacted(made, "d", *bodies)
        answer = await made.ask("GET", f"{CHANGES}{since}")
        [row] = answer.json["results"]
        assert (row["id"], row["deleted"]) == ("d", True)
        wanted = {"docs": [{"id": "d", "rev": change["rev"]} for change in row["changes"]]}
        [given] = (await made.ask("POST", "/clinic-phone/_bulk_get?revs=true", wanted)).json["results"]
        assert given["docs"][0]["ok"]["_deleted"] is True
        assert b"secret" not in answer.body
        assert (await made.ask("GET", "/clinic-phone/d")).status == 404
        assert (await rows(made, never, "eva"))[0] == []
        graft = f"/clinic-phone/d?rev={row['changes'][0]['rev']}"
        assert (await made.ask("GET", graft)).json["_deleted"] is True
        assert (await made.ask("GET", graft, user=("eva", "eva"))).status == 404


async def test_a_filter_that_does_not_say_by_what_it_decides_is_not_asked(tmp_path: Path) -> None:
    async with site(profile("phone", Silent()), docs=[{"_id": "d", **MINE}], data=tmp_path, cache=0) as made:
        await made.indexed()
        _, since = await rows(made, 0, "ann")
        await compacted(made, "d", {**MINE, "archived": True})
        assert (await rows(made, since, "ann"))[0] == []


async def test_the_hashes_of_what_it_never_saw_are_not_told(tmp_path: Path) -> None:
    async with site(
        profile("phone", Select(where=CONDITION)), docs=[{"_id": "d", **MINE}], data=tmp_path, cache=0
    ) as made:
        await made.indexed()
        _, since = await rows(made, 0, "ann")
        await compacted(made, "d", *({**MINE, "facility": "f2", "text": str(number)} for number in range(6)))
        [row] = (await made.ask("GET", f"{CHANGES}{since}")).json["results"]
        rev = row["changes"][0]["rev"]
        given = (await made.ask("GET", f"/clinic-phone/d?rev={rev}&revs=true")).json
        assert rev.startswith("2-")
        assert given["_revisions"]["start"] == len(given["_revisions"]["ids"]) == 2


def test_by_what_a_chain_decides() -> None:
    def decided_by(*filters: Filter) -> frozenset[str] | None:
        return Chain([Link("filter", each) for each in filters]).decided_by

    both = frozenset(("facility", "archived"))
    assert decided_by() == decided_by(Drop(paths=["ssn"])) == frozenset()
    assert decided_by(Drop(paths=["ssn"]), Select(where=CONDITION), Adding()) == both
    assert decided_by(Saying()) == both
    assert decided_by(Rename(fields={"unit": "facility"}), Select(where=CONDITION)) == frozenset(("unit", "archived"))
    assert decided_by(Compute(fields={"archived": "done"}), Select(where=CONDITION)) == frozenset(("facility", "done"))
    everything = Compute(fields={"archived": "contains(keys(@), 'done')"})
    named = Select(where="contains(keys(@), 'facility')", audience_fields=["facility"])
    for filters in (
        [Select(where=CONDITION), Silent()],
        [Adding(), Select(where=CONDITION)],
        [named],
        [everything, Saying()],
    ):
        assert decided_by(*filters) is None
