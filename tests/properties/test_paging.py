"""A feed that is read page by page, while the source goes on, tells of everything, and ends when there is no more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.reading import source_feed
from tests.properties.conftest import Stage, examples
from tests.properties.dressed import Dressed
from tests.properties.edits import FACILITIES
from tests.properties.truth import Doc
from tests.properties.world import World

EDITS = st.lists(st.tuples(st.integers(0, 19), st.sampled_from([*FACILITIES, None])), max_size=40)
"""Documents by number, and where each goes; None deletes it."""


class Reader:
    """Reads a feed; the documents at the source are written beside it."""

    def __init__(self, world: World, limit: int) -> None:
        self._source = world.truth.database
        self._device: Dressed = world.add_device("ann", "phone")
        self._limit = limit
        self._stored: dict[str, Doc] = {}
        self.tokens: list[Any] = [0]
        self.known: dict[str, Doc] = {}
        """The last row of each document."""

    async def edit(self, number: int, facility: str | None) -> None:
        doc_id = f"doc-{number}"
        doc: Doc = {"_id": doc_id, "facility": facility}
        if facility is None:
            doc = {"_id": doc_id, "_deleted": True}
        if doc_id in self._stored:
            doc["_rev"] = self._stored[doc_id]["_rev"]
        elif facility is None:
            return
        [updated] = await self._source.bulk_docs([doc])
        self._stored[doc_id] = {**doc, "_rev": updated.rev}
        if facility is None:
            del self._stored[doc_id]

    async def page(self, since: Any, limit: int | None) -> Doc:
        size = "" if limit is None else f"&limit={limit}"
        page: Doc = (await self._device.ask("GET", f"/_changes?style=all_docs&since={since}{size}")).json
        return page

    async def read(self) -> bool:
        """Read one page; whether there may be more."""
        page = await self.page(self.tokens[-1], self._limit)
        rows = page["results"]
        if len(rows) < self._limit:
            assert (await self.page(page["last_seq"], None))["results"] == []
            assert not rows or (await self.page(rows[-1]["seq"], None))["results"] == []
        if rows:
            self.tokens.append(rows[-1]["seq"])
        self.known |= {row["id"]: row for row in rows}
        return len(rows) == self._limit

    def check(self) -> None:
        """All that the device may see was announced, and of all that it may not see any more the end."""
        visible = {doc_id: doc["_rev"] for doc_id, doc in self._stored.items() if doc["facility"] == "f1"}
        live = {doc_id: row["changes"][0]["rev"] for doc_id, row in self.known.items() if not row.get("deleted")}
        assert live == visible


def _told(row: Doc) -> Doc:
    """What a row tells: a document that left can leave by several deletions, and one is enough."""
    return {
        name: value for name, value in row.items() if name != "seq" and not (row.get("deleted") and name == "changes")
    }


@examples(40)
@given(EDITS, st.lists(EDITS, max_size=6), st.integers(1, 5), st.integers(1, 6))
def test_pages_are_full_until_the_end_and_tell_of_everything(
    stage: Stage,
    before: list[tuple[int, str | None]],
    meanwhile: list[list[tuple[int, str | None]]],
    limit: int,
    at_once: int,
) -> None:
    async def story(world: World) -> None:
        reader = Reader(world, limit)
        for edit in before:
            await reader.edit(*edit)
        for edits in meanwhile:
            await reader.read()
            for edit in edits:
                await reader.edit(*edit)
        while await reader.read():
            pass
        reader.check()
        for token in reader.tokens:
            rest = (await reader.page(token, None))["results"]
            assert {row["id"]: _told(row) for row in rest}.items() <= {
                doc_id: _told(row) for doc_id, row in reader.known.items()
            }.items()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_feed, "_PAGE", at_once)
        stage.run(story)
