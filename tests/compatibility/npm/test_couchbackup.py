"""couchbackup through a profile without filters, which is the source as it is; and through one that hides things."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compatibility.clients.driver import ClientError
from tests.compatibility.clients.place import HIDDEN, VISIBLE, Place
from tests.compatibility.table import row
from tests.support.clinic import patient

COUCHBACKUP = "2.11.12"


@row(
    "npm", "couchbackup", COUCHBACKUP, "backup and restore through a profile without filters, with `design_docs = true`"
)
def test_a_backup_and_its_restore(place: Place, tmp_path: Path) -> None:
    for number in range(1, 8):
        place.database.put(patient(number))
    place.database.edit("patient:2", name="edited")
    place.database.remove("patient:7")
    file = str(tmp_path / "backup.txt")
    client = place.driver("couchbackup.js")
    total = client.backup(f"{place.server}/{place.database.name}-whole", file, {"log": str(tmp_path / "log")})["total"]
    assert total == 7

    other = place.another_database()
    assert client.restore(file, f"{place.server}/{other.name}-whole", {})["total"] == 7
    restored = other.json("GET", "_all_docs?include_docs=true")["rows"]
    assert restored == place.database.json("GET", "_all_docs?include_docs=true")["rows"]
    assert len(other.leaves("patient:2")) == 1
    assert other.leaves("patient:7")[0]["_deleted"] is True


@row("npm", "couchbackup", COUCHBACKUP, "backup of what a profile shows")
def test_a_backup_of_a_cut(place: Place, tmp_path: Path) -> None:
    place.fill()
    file = tmp_path / "backup.txt"
    client = place.driver("couchbackup.js")
    client.backup(place.url, str(file), {"log": str(tmp_path / "log")})
    written = file.read_bytes()
    assert all(f'"{doc_id}"'.encode() in written for doc_id in VISIBLE)
    hidden = [value.encode() if isinstance(value, str) else value[:30] for value in HIDDEN]
    assert [value for value in hidden if value in written] == []
    place.assert_nothing_hidden()


@row(
    "npm",
    "couchbackup",
    COUCHBACKUP,
    "restore through a profile that hides documents",
    "refused by couchbackup: it wants `doc_count` 0 first, and such a profile gives no counts",
)
def test_no_restore_through_a_cut(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "backup.txt"
    file.write_text('[{"_id":"patient:1","facility":"f1"}]\n')
    with pytest.raises(ClientError, match="is not empty"):
        place.driver("couchbackup.js").restore(str(file), place.url, {})
    assert place.database.json("GET", "_all_docs")["rows"] == []
