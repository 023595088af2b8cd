"""A feed index in front of a source that is slow, fails, breaks off, repeats rows and gives them in any order: clients
end with exactly what they may see, whether they asked meanwhile or begin afterwards.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.feeds import follower
from tests.compatibility.sources import Asked, Forward, Given, Script, World, refusal, untouched, world
from tests.compatibility.sources.cluster import Cluster
from tests.support.inprocess import profile

PHONE = profile("phone", Select(where="facility == client.facility"), Drop(paths=["secret"]))
ODD = profile("odd", Select(where="length(keys(@)) > `4` && facility == 'f1'", audience_fields=["facility"]))
FACILITIES = ("f1", "f2", "f3")
USERS = {"ann": "f1", "bob": "f2"}
SHARE = 0.25
"""How often a request fails."""


class Failing:
    """The script in front of another one. `calm`: it fails no longer."""

    def __init__(self, seed: int, script: Script) -> None:
        self._random = Random(seed)
        self._script = script
        self.calm = False

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        if self.calm or asked.endpoint == "_session":
            return await self._script(asked, forward)
        random = self._random
        await asyncio.sleep(random.choice((0, 0, 0, 0.01, 0.03)))
        if random.random() > SHARE:
            return await self._script(asked, forward)
        how = random.choice(("error", "unavailable", "half", "cut"))
        if how == "error":
            return refusal(500, "unknown_error", "function_clause")
        if how == "unavailable":
            return Given(503, b"<html>try again</html>")
        given = await self._script(asked, forward)
        end = random.randrange(len(given.body) + 1)
        return replace(given, body=given.body[:end]) if how == "half" else replace(given, cut=end)


class Device:
    """A client that replicates page by page. `has`: the bodies of the documents that it has, by id."""

    def __init__(self, site: World, user: str, dress: str, limit: int) -> None:
        self._site = site
        self._user = (user, user)
        self._path = f"/clinic-{dress}"
        self._limit = limit
        self._since: Any = "0"
        self.user = user
        self.dress = dress
        self.has: dict[str, Any] = {}

    async def page(self) -> bool | None:
        """Replicate a page: whether there was any; None if that failed."""
        path = f"{self._path}/_changes?style=all_docs&limit={self._limit}&since={self._since}"
        page = await self._ask("GET", path)
        if page is None:
            return None
        leaves = {row["id"]: row["changes"][0]["rev"] for row in page["results"]}
        wanted = [{"id": doc_id, "rev": rev} for doc_id, rev in leaves.items()]
        fetched = await self._ask("POST", f"{self._path}/_bulk_get", {"docs": wanted})
        if fetched is None:
            return None
        for result in fetched["results"]:
            [entry] = result["docs"]
            if entry["ok"].get("_deleted"):
                self.has.pop(result["id"], None)
            else:
                self.has[result["id"]] = entry["ok"]
        self._since = page["last_seq"]
        return bool(page["results"])

    async def to_the_end(self) -> None:
        while (found := await self.page()) is not False:
            assert found is not None

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = await self._site.ask(method, path, body, user=self._user)
        except aiohttp.ClientError:
            return None
        return answer.json if answer.status == 200 else None


def visible(docs: list[dict[str, Any]], device: Device) -> dict[str, Any]:
    facility = USERS[device.user]
    if device.dress == "odd":
        return {doc["_id"]: doc for doc in docs if doc["facility"] == "f1" and "secret" in doc}
    return {
        doc["_id"]: {name: value for name, value in doc.items() if name != "secret"}
        for doc in docs
        if doc["facility"] == facility
    }


async def change(site: World, random: Random, revs: dict[str, str]) -> None:
    """One write at the source: a document is made, edited, moved, or deleted."""
    doc_id = f"d{random.randrange(12)}"
    doc = {"_id": doc_id, "facility": random.choice(FACILITIES), "n": random.random()}
    if random.random() < 0.7:
        doc["secret"] = "hush"
    if doc_id in revs:
        doc["_rev"] = revs[doc_id]
        if random.random() < 0.25:
            kept = ("_id", "_rev", *(("facility",) if random.random() < 0.5 else ()))
            doc = {name: doc[name] for name in kept} | {"_deleted": True}
    revs[doc_id] = await site.put(doc)
    if "_deleted" in doc:
        del revs[doc_id]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("is_cluster", [False, True], ids=["one node", "cluster"])
async def test_clients_end_with_what_they_may_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cluster: bool, seed: int
) -> None:
    monkeypatch.setattr(follower, "_PAUSES", (0.01,))
    random, cluster = Random(seed), Cluster(seed)
    failing = Failing(seed, cluster if is_cluster else untouched)
    revs: dict[str, str] = {}
    async with world(failing, PHONE, ODD, data=tmp_path, timeout=5.0) as site:
        views = [("ann", "phone"), ("bob", "phone"), ("ann", "odd")]
        devices = [Device(site, user, dress, random.randint(1, 5)) for user, dress in views * 2]
        for _ in range(150):
            if random.random() < 0.5:
                await change(site, random, revs)
            else:
                await random.choice(devices).page()
        failing.calm = cluster.calm = True
        hub = await site.indexed()
        while not await hub.fresh():
            pass
        devices += [Device(site, user, dress, 4) for user, dress in views]
        rows = (await site.at_source("GET", "/clinic/_all_docs?include_docs=true")).json["rows"]
        for device in devices:
            await device.to_the_end()
            has = {doc_id: {k: v for k, v in doc.items() if k != "_revisions"} for doc_id, doc in device.has.items()}
            assert has == visible([row["doc"] for row in rows], device), (device.user, device.dress)
