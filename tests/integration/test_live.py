"""Live replication: several devices of different profiles on one source, all at the same time."""

from __future__ import annotations

import threading

from tests.compatibility.table import every_source
from tests.support.clinic import body, patient
from tests.support.http import eventually
from tests.support.site import Site


@every_source("live sync")
def test_edits_travel_between_devices_and_the_source(site: Site) -> None:
    site.database.put(patient(1))
    phone, tablet, bob = site.person("ann"), site.person("carol", "tablet"), site.person("bob")
    lives = [person.live() for person in (phone, tablet, bob)]
    phone.device.until("patient:1", name="Name 1")
    tablet.device.until("patient:1", name="Name 1")

    phone.device.edit("patient:1", name="from the phone")
    tablet.device.until("patient:1", name="from the phone")
    tablet.device.edit("patient:1", name="from the tablet")
    phone.device.until("patient:1", name="from the tablet")
    site.database.edit("patient:1", name="from the source")
    phone.device.until("patient:1", name="from the source")
    tablet.device.until("patient:1", name="from the source")
    assert body(site.database.get("patient:1")) == patient(1, name="from the source")

    site.database.edit("patient:1", facility="f2")
    bob.device.until("patient:1", name="from the source")
    phone.device.until_gone("patient:1")
    tablet.device.until_gone("patient:1")
    for live in lives:
        state = live.stop()
        assert state["denied"] == []
        assert state["errors"] == []
    assert phone.device.received("ssn-hidden", "note-hidden") == []


def test_a_refused_write_is_reported_and_the_rest_goes_on(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    live = ann.live()
    ann.device.until("patient:1", name="Name 1")
    ann.device.edit("patient:1", facility="f2")
    (denied,) = live.until_denied()
    assert (denied["id"], denied["name"]) == ("patient:1", "forbidden")
    ann.device.put({"_id": "visit:1", "facility": "f1"})
    eventually(
        lambda: site.source.http.request("GET", f"/{site.database.name}/visit:1").status == 200,
        "the next write arrives",
    )
    site.database.put(patient(2))
    ann.device.until("patient:2", name="Name 2")
    live.stop()
    assert body(site.database.get("patient:1")) == patient(1)


def test_a_longpoll_waits_for_what_the_client_may_see(site: Site) -> None:
    ann = site.person("ann")
    since = ann.http.json("GET", "/_changes")["last_seq"]
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(ann.http.json("GET", f"/_changes?feed=longpoll&since={since}&heartbeat=1000"))
    )
    waiting.start()
    for number in range(1, 4):
        site.database.put(patient(number, "f2"))
    site.database.put(patient(9))
    waiting.join()
    assert [row["id"] for row in answers[0]["results"]] == ["patient:9"]


def test_many_devices_at_once(site: Site) -> None:
    people = [site.person("ann" if n % 2 else "bob", "phone" if n % 3 else "tablet") for n in range(12)]
    lives = [person.live() for person in people]
    for n, person in enumerate(people):
        person.device.put({"_id": f"visit:{n}", "facility": "f1" if n % 2 else "f2"})
    for n, person in enumerate(people):
        for other in range(n % 2, 12, 2):
            person.device.until(f"visit:{other}")
    for live in lives:
        assert live.stop()["errors"] == []
    for n, person in enumerate(people):
        assert person.device.ids() == sorted(f"visit:{other}" for other in range(n % 2, 12, 2))
