"""The packages that follow a changes feed, with documents in the rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compatibility.clients.place import Place
from tests.compatibility.table import row
from tests.support.clinic import body

RUN = "changes feed with `include_docs`, from the start and while it goes on; documents that enter and leave the view"


@row("npm", "follow", "1.1.0", RUN)
@row("npm", "cloudant-follow", "0.18.2", RUN)
@row("npm", "changes-stream", "2.2.0", RUN)
@pytest.mark.parametrize("kind", ["follow", "cloudant-follow", "changes-stream"])
def test_follower(place: Place, kind: str) -> None:
    place.fill()
    follower = place.driver("followers.js", kind)
    follower.follow({"db": place.url + ("/" if kind == "changes-stream" else ""), "since": 0, "include_docs": True})

    rows = follower.untilRow("patient:5", {"name": "right"})
    assert newest(rows) == place.cut()

    place.database.edit("patient:1", name="from the source")
    follower.untilRow("patient:1", {"name": "from the source"})
    place.database.edit("patient:4", facility="f1")
    follower.untilRow("patient:4", {"name": "Name 4"})
    place.database.edit("patient:4", facility="f2", name="gone again")
    rows = follower.untilRow("patient:4", {"deleted": True})
    assert newest(rows) == place.cut()
    assert follower.stop() == []
    assert len(place.wire.paths("_changes")) < 10, "it asks again and again"
    assert place.wire.carried("gone again", "ssn-hidden-4") == []


def newest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The documents that are left after all rows."""
    docs = {each["id"]: each for each in rows}
    return {doc_id: body(each["doc"]) for doc_id, each in docs.items() if not each.get("deleted")}
