"""A replication goes on where it stopped, whatever was restarted in between."""

from __future__ import annotations

from pathlib import Path

from tests.compatibility.table import every_source
from tests.conftest import Lab
from tests.support.clinic import patient
from tests.support.site import Site, fetched


@every_source("checkpoints resumed")
def test_nothing_is_fetched_twice(lab: Lab, lab_site: Site, tmp_path: Path) -> None:
    site = lab_site
    site.database.json("POST", "_bulk_docs", {"docs": [patient(n, "f1" if n % 3 else "f2") for n in range(1, 31)]})
    ann = site.person("ann", directory=tmp_path / "phone")
    first = ann.pull(batch_size=5)
    assert sorted(fetched(first["requests"])) == ann.device.ids()

    def restart_the_device() -> None:
        nonlocal ann
        ann.device.close()
        site.forget(ann)
        ann = site.person("ann", directory=tmp_path / "phone")

    for restart in (restart_the_device, lab.proxy.process.restart, lab.process.restart):
        restart()
        again = ann.pull(batch_size=5)
        assert fetched(again["requests"]) == []
        number = len(site.database.get("patient:1")["name"])
        site.database.edit("patient:1", name="x" * (number + 1))
        site.database.edit("patient:3", name="not ann's")
        later = ann.pull(batch_size=5)
        assert fetched(later["requests"]) == ["patient:1"]
        assert ann.device.get("patient:1")["name"] == "x" * (number + 1)


def test_a_push_goes_on_where_it_stopped(site: Site) -> None:
    ann = site.person("ann")
    for number in range(5):
        ann.device.put({"_id": f"visit:{number}", "facility": "f1"})
    assert ann.push()["docs_written"] == 5
    again = ann.push()
    assert again["docs_read"] == 0
    assert not [request for request in again["requests"] if request["path"].endswith("/_revs_diff")]


def test_two_devices_of_one_user_do_not_share_a_checkpoint(site: Site) -> None:
    site.database.json("POST", "_bulk_docs", {"docs": [patient(n) for n in range(1, 6)]})
    for _ in range(2):
        ann = site.person("ann")
        assert ann.pull()["docs_written"] == 5


def test_profiles_of_one_device_do_not_share_a_checkpoint(site: Site) -> None:
    site.database.json("POST", "_bulk_docs", {"docs": [patient(n) for n in range(1, 6)]})
    ann = site.person("ann")
    ann.pull()
    tablet = site.person("ann", "tablet")
    result = ann.device.pull(tablet.url, tablet.auth)
    assert len([r for r in result["requests"] if r["path"].endswith("/_changes")]) >= 1
    assert result["docs_read"] == 0, "the device has these revisions: only the feed is read again"
    assert result["last_seq"] not in (0, None)


def test_local_documents_are_kept_apart(site: Site) -> None:
    ann, carol, bob = site.person("ann"), site.person("carol"), site.person("bob")
    for person in (ann, bob):
        person.http.json("PUT", "/_local/same", {"of": person.user})
    assert ann.http.json("GET", "/_local/same")["of"] == "ann"
    assert bob.http.json("GET", "/_local/same")["of"] == "bob"
    assert carol.http.request("GET", "/_local/same").status == 404
    assert ann.http.json("GET", "/_local/same")["_id"] == "_local/same"
    assert site.source.http.request("GET", f"/{site.database.name}/_local/same").status == 404
