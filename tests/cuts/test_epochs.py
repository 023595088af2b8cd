"""What becomes of documents that rules have hidden and shown again, where more changes than these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.contract import Doc
from tests.cuts.nodes import ANN, Filters, Node, Ward, ward
from tests.properties.device import Device
from tests.support.inprocess import Answer

OPENED: Filters = [{"use": "select", "where": "!closed"}, {"use": "drop", "paths": ["note"]}]
HIDING: Filters = [{"use": "select", "where": "!closed && bed != `1`"}, {"use": "drop", "paths": ["note"]}]


class Phone(Device):
    """Ann's. `node`: through which it asks."""

    def __init__(self) -> None:
        self.node: Node
        super().__init__("phone", "brand", "clinic-phone", self._by_node)

    async def _by_node(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.node.site.ask(method, path, body, user=ANN, **options)

    async def pull_by(self, there: Ward, filters: Filters, **options: Any) -> Phone:
        async with there.node(filters, **options) as self.node:
            await self.pull()
        return self

    async def push_by(self, there: Ward, filters: Filters, **options: Any) -> Phone:
        async with there.node(filters, **options) as self.node:
            await self.push()
        return self


async def leaves(there: Ward) -> list[Doc]:
    found = (await there.site.at_source("GET", "/clinic/x?open_revs=all")).json
    return [each["ok"] for each in found]


async def departed(there: Ward, filters: Filters = OPENED) -> Phone:
    """A device that had the document, and was told that it is gone."""
    phone = await Phone().pull_by(there, filters)
    assert phone.leaf("x") is not None
    await phone.pull_by(there, HIDING)
    assert phone.leaf("x") is None
    return phone


async def returned(there: Ward, filters: Filters = OPENED) -> tuple[Phone, Doc]:
    """One that was shown it again, and as what."""
    phone = await departed(there, filters)
    await phone.pull_by(there, filters)
    leaf = phone.leaf("x")
    assert leaf is not None
    return phone, leaf


@pytest.mark.parametrize("filters", [OPENED, HIDING], ids=["shown", "hidden"])
async def test_a_departure_made_with_another_secret_deletes_nothing(tmp_path: Path, filters: Filters) -> None:
    """With the secret checkpoints change, so that devices push all that they have."""
    async with ward(tmp_path) as there:
        phone = await departed(there)
        before = await leaves(there)
        await phone.push_by(there, filters, secret="another secret of all the nodes")
        assert await leaves(there) == before


async def test_a_return_made_with_another_secret_brings_nothing_back(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        phone, _ = await returned(there)
        [stored] = await leaves(there)
        await there.site.at_source("DELETE", f"/clinic/x?rev={stored['_rev']}")
        before = await leaves(there)
        await phone.push_by(there, OPENED, secret="another secret of all the nodes")
        assert await leaves(there) == before


@pytest.mark.parametrize("way", ["DELETE", "PUT", "attachment"])
async def test_without_filters_a_return_can_be_edited_as_well(tmp_path: Path, way: str) -> None:
    async with ward(tmp_path) as there:
        _, leaf = await returned(there, [])
        async with there.node([]) as node:
            if way == "attachment":
                path, text = f"/clinic-phone/x/a?rev={leaf['_rev']}", {"Content-Type": "text/plain"}
                answer = await node.site.ask("PUT", path, data=b"text", headers=text)
            elif way == "PUT":
                answer = await node.put({**leaf, "name": "Anna"})
            else:
                answer = await node.site.ask("DELETE", f"/clinic-phone/x?rev={leaf['_rev']}")
        assert answer.status in (200, 201)
        [stored] = await leaves(there)
        assert stored["_rev"] == answer.json["rev"]
        assert stored.get("note") == (None if way == "DELETE" else "kept")


async def test_nodes_that_hear_of_a_change_at_different_times_leave_nothing_out(tmp_path: Path) -> None:
    """One goes on by the former rules for a while: what it shows is a turn of its own."""
    async with ward(tmp_path) as there, there.node(OPENED) as opened, there.node(HIDING) as hiding:
        phone = Phone()
        for node in (opened, hiding, opened, hiding, hiding, opened, hiding, opened):
            phone.node = node
            await phone.pull()
            assert (phone.leaf("x") is None) == (node is hiding)
        await there.edit(name="Anna")
        await phone.pull()
        assert len(phone.docs["x"].live) == 1
