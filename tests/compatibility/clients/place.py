"""A clinic behind the proxy, as one client from npm or PyPI sees it, over a wire that is listened to."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Iterator
from typing import Any

from tests.compatibility.clients.driver import Driver, node, python
from tests.compatibility.clients.wire import Wire
from tests.support.clinic import BIG, PASSWORD, SMALL, body, patient, seen
from tests.support.clinic import PROFILES as CLINIC
from tests.support.proxy import Proxy
from tests.support.sources import Source, SourceDatabase
from tests.support.tap import Tap

Doc = dict[str, Any]

USER = "ann"
PROFILES: dict[str, Doc] = {"phone": CLINIC["phone"], "whole": {"suffix": "whole", "filters": [], "design_docs": True}}
"""`phone` is the clinic's; `whole` hides nothing."""

VISIBLE = ["patient:1", "patient:3", "patient:5"]
HIDDEN: list[str | bytes] = [
    *(f"{what}-hidden-{number}" for what in ("ssn", "note") for number in (1, 3, 5)),
    *(f"{what} {number}" for what in ("Name", "public note") for number in (2, 4)),
    *("patient:2", "patient:4", "scan.bin", BIG),
]
"""What `fill` stores and USER's phone may never have."""


class Place:
    """`url` is the database through the phone's profile, credentials included. `tap`: the wire on the other side of the
    proxy, which it shares with all places."""

    def __init__(self, source: Source, tap: Tap, proxy: Proxy, unused: Iterator[str]) -> None:
        self.source = source
        self.tap = tap
        self.wire = Wire(proxy.port)
        self._unused = unused
        self._databases: list[SourceDatabase] = []
        self._drivers: list[Driver] = []
        self.database = self.another_database()
        self.name = f"{self.database.name}-phone"

    @property
    def server(self) -> str:
        """The proxy, credentials included."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.wire.port}"

    @property
    def url(self) -> str:
        return f"{self.server}/{self.name}"

    @property
    def bare_url(self) -> str:
        """Without credentials."""
        return f"{self.wire.url}/{self.name}"

    def another_database(self) -> SourceDatabase:
        database = self.source.create_database(next(self._unused))
        self._databases.append(database)
        return database

    def driver(self, script: str, *arguments: str) -> Driver:
        """A client from npm, by its script in tests/clients."""
        self._drivers.append(node(script, *arguments))
        return self._drivers[-1]

    def python(self, module: str) -> Driver:
        """A client from PyPI, by its module in tests/clients/python."""
        self._drivers.append(python(module))
        return self._drivers[-1]

    def fill(self) -> None:
        """Five patients, one with attachments, one with two branches, and what was deleted."""
        for number in range(1, 6):
            self.database.put(patient(number, "f1" if number % 2 else "f2"))
        self.database.put_attachment("patient:1", "note.txt", SMALL, "text/plain")
        self.database.put_attachment("patient:1", "scan.bin", BIG, "application/octet-stream")
        branch = {"_revisions": {"start": 2, "ids": ["b" * 32, self.rev("patient:5")[2:]]}, "_rev": "2-" + "b" * 32}
        other = {"_revisions": {"start": 2, "ids": ["a" * 32, self.rev("patient:5")[2:]]}, "_rev": "2-" + "a" * 32}
        docs = [{**patient(5, name="right"), **branch}, {**patient(5, name="left"), **other}]
        self.database.json("POST", "_bulk_docs", {"docs": docs, "new_edits": False})
        self.database.put(patient(6, "f1"))
        self.database.remove("patient:6")

    def rev(self, doc_id: str) -> str:
        return str(self.database.get(doc_id)["_rev"])

    def cut(self) -> dict[str, Doc]:
        """What the phone shows of the source as it is now, by id: winners without protocol members."""
        rows = self.database.json("GET", "_all_docs?include_docs=true")["rows"]
        return {row["id"]: seen(row["doc"], "phone") for row in rows if row["doc"].get("facility") == "f1"}

    def whole(self, doc_id: str) -> Doc:
        """The source's document without protocol members."""
        return body(self.database.get(doc_id))

    def assert_nothing_hidden(
        self, stored: Callable[[list[str]], list[str]] | None = None, besides: Collection[str] = ()
    ) -> None:
        """Neither over the wire nor in the client's store: `stored` tells which values, in base64, are in there.
        `besides`: what the client made up itself."""
        hidden = [value for value in HIDDEN if value not in besides]
        assert self.wire.carried(*hidden) == []
        assert self.wire.carried("public note 1"), "the wire was not listened to"
        if stored is not None:
            raw = [value.encode() if isinstance(value, str) else value[:30] for value in hidden]
            coded = [b64encode(value).decode() for value in raw]
            assert stored([*coded, b64encode(b64encode(BIG[:30])).decode()]) == []
            assert stored([b64encode(b"public note 1").decode()]), "the store was not searched"

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()
        self.wire.close()
        for database in self._databases:
            self.source.http.request("DELETE", f"/{database.name}")
