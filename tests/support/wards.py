"""Documents that come, change, move and go at the source, devices that write some of their own, and what each of these
is to have in the end: exactly what it may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.support.clinic import PASSWORD, USERS, patient, seen
from tests.support.devices import PATIENCE, Device, Live
from tests.support.http import Http, basic, eventually
from tests.support.sources import SourceDatabase

Doc = dict[str, Any]

FACILITIES = ("f1", "f1", "f2", "f3", "nobody's")
"""Where documents are, some more often than others."""
_PATIENTS = 60


def facility_of(user: str) -> str:
    [facility] = [role.partition(":")[2] for role in USERS[user] if role.startswith("facility:")]
    return facility


class Wards:
    """The source's database and what is written there. Whatever is drawn comes from `random`."""

    def __init__(self, database: SourceDatabase, random: Random) -> None:
        self._database = database
        self._random = random
        self._acknowledged: dict[str, list[str]] = {}

    def write(self, count: int) -> None:
        """Make, edit, move and delete so many documents. Raises OSError if the source does not acknowledge them."""
        random, revs = self._random, {doc_id: doc["_rev"] for doc_id, doc in self.docs().items()}
        docs = []
        for number in random.sample(range(_PATIENTS), count):
            facility = random.choice(FACILITIES)
            doc: Doc = patient(number, facility, text=f"written for {facility}: {random.random()}")
            if rev := revs.get(doc["_id"]):
                doc["_rev"] = rev
                if random.random() < 0.2:
                    kept = ("_id", "_rev", *(("facility",) if random.random() < 0.5 else ()))
                    doc = {name: doc[name] for name in kept} | {"_deleted": True}
            docs.append(doc)
        for row in self._database.json("POST", "_bulk_docs", {"docs": docs}):
            assert "rev" in row, row
            self._acknowledged.setdefault(row["id"], []).append(row["rev"])

    def docs(self) -> dict[str, Doc]:
        """All documents that there are."""
        rows = self._database.json("GET", "_all_docs?include_docs=true&conflicts=true")["rows"]
        return {row["id"]: row["doc"] for row in rows}

    def visible(self, user: str) -> dict[str, Doc]:
        """The documents that a user's phone is to have, with their revisions."""
        facility = facility_of(user)
        protocol = ("_rev", "_conflicts")
        return {
            doc_id: {**seen(doc, "phone"), **{name: doc[name] for name in protocol if name in doc}}
            for doc_id, doc in self.docs().items()
            if doc["facility"] == facility
        }

    def lost(self) -> Doc:
        """What was acknowledged and is not there."""
        lost: Doc = self._database.json("POST", "_revs_diff", self._acknowledged)
        return lost


class Nurse:
    """A user with a phone: PouchDB. Documents of its own are written by it alone, so that there are no conflicts."""

    def __init__(self, user: str, device: Device, url: str) -> None:
        """`url`: of the database that the phone replicates with."""
        self.user = user
        self.device = device
        self.url = url
        self._written = 0
        self._pushed: frozenset[str] = frozenset()

    @property
    def auth(self) -> tuple[str, str]:
        return (self.user, PASSWORD)

    def listen(self) -> Live:
        """Replicate both ways until that is stopped."""
        return self.device.live(self.url, self.auth, batch_size=20, steady=True)

    def begin(self, direction: str, **options: Any) -> int:
        """Begin a one-shot replication, whatever comes of it: `DeviceHost.result` waits for it."""
        return self.device.begin(direction, self.url, self.auth, steady=True, patience=PATIENCE, **options)

    def work(self, random: Random) -> None:
        """Make a document, and edit or delete another one."""
        self._written += 1
        place = {"facility": facility_of(self.user), "text": f"written for {facility_of(self.user)}", "notes": []}
        self.device.put({"_id": f"{self.user}:{self._written}", **place})
        other = f"{self.user}:{random.randint(1, self._written)}"
        if self.device.find(other) is None:
            return
        # whoever deletes what was never there is refused: nobody can say whom it concerns
        if other in self._pushed and random.random() < 0.3:
            self.device.remove(other)
        else:
            self.device.edit(other, edited=random.random())

    def sync(self) -> None:
        """One-shot replications until one has done all there was to do."""
        eventually(lambda: self._sync_once(), f"{self.user} replicates")

    def _sync_once(self) -> bool:
        result = self.device.sync(self.url, self.auth, batch_size=20, steady=True, patience=PATIENCE)
        assert result["denied"] == []
        return bool(result["error"] is None and result["push"]["ok"] and result["pull"]["ok"])

    def has_pushed(self) -> None:
        """All that is on the phone is at the source."""
        self._pushed = frozenset(self.device.ids())

    def holds(self) -> dict[str, Doc]:
        """What is on the phone."""
        return self.device.all_docs(conflicts=True)

    def received(self) -> list[str]:
        """What came over the wire and never should have."""
        others = {facility for facility in FACILITIES if facility != facility_of(self.user)}
        hidden = ["ssn-hidden", "note-hidden"]
        return self.device.received(*hidden, *(f"written for {facility}" for facility in sorted(others)))

    def peek(self) -> set[str]:
        """The ids that a plain feed from the beginning announces as being there."""
        page: Any = Http(self.url, basic(*self.auth)).json("GET", "/_changes")
        return {row["id"] for row in page["results"] if "deleted" not in row}


def check(wards: Wards, listeners: Sequence[Nurse], askers: Sequence[Nurse]) -> None:
    """Fails unless everybody has what it may see: who asks has it when it has asked, who listens has it soon."""
    for _ in range(2):  # the second time for what came from the others
        for nurse in askers:
            nurse.sync()
        for nurse in listeners:
            _until_complete(nurse, wards)
    for nurse in askers:
        assert nurse.holds() == wards.visible(nurse.user)
    for nurse in (*listeners, *askers):
        assert nurse.peek() == wards.visible(nurse.user).keys()
        assert nurse.received() == []
        nurse.has_pushed()
    assert wards.lost() == {}


def _until_complete(nurse: Nurse, wards: Wards) -> None:
    try:
        eventually(lambda: nurse.holds() == wards.visible(nurse.user), f"{nurse.user} has everything")
    except AssertionError as error:
        holds, visible = nurse.holds(), wards.visible(nurse.user)
        for doc_id in sorted(holds.keys() | visible.keys()):
            if holds.get(doc_id) != visible.get(doc_id):
                rev = visible.get(doc_id, {}).get("_rev", "of a deletion")
                told = "was told" if nurse.device.received(rev) else "was not told"
                error.add_note(f"{doc_id} ({told}): {holds.get(doc_id)} instead of {visible.get(doc_id)}")
        error.add_note("\n".join(map(str, nurse.device.requests()[-50:])))
        raise
