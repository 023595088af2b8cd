"""A source that lasts, with a script in front of it, and nodes before it that come and go, each with its rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from proxy.app import running
from proxy.config import load
from proxy.config.model import Config
from proxy.contract import Doc
from proxy.endpoint.serve import start
from tests.compatibility.sources import Asked, Script, serving, untouched
from tests.support.inprocess import ADMIN, Answer, Site
from tests.support.proxy import to_toml

Filters = list[dict[str, Any]]
ANN = ("ann", "ann")
DOC: Doc = {"_id": "x", "name": "Ann", "note": "kept", "bed": 1}
ALL: Filters = []
NOTELESS: Filters = [{"use": "drop", "paths": ["note"]}]


@dataclass
class Ward:
    """The source of several nodes. `asked`: what they asked it, until it is cleared."""

    url: str
    directory: Path
    asked: list[Asked]
    site: Site
    session: aiohttp.ClientSession

    def config(
        self,
        filters: Filters,
        *,
        own: str = "",
        profile: Mapping[str, Any] | None = None,
        head: Mapping[str, Any] | None = None,
        **server: Any,
    ) -> Config:
        """What a node reads that serves by these filters. `own`: the text of a module `own` beside it; `head`: another
        profile, ahead.
        """
        sections = {
            "server": {"bind": "127.0.0.1:0", "secret": "a secret of all the nodes", **server},
            "sources": {"main": {"url": self.url, "auth": "service", "username": ADMIN[0], "password": ADMIN[1]}},
            "databases": {"clinic": {}},
            "profiles": {
                **({} if head is None else {"head": head}),
                "phone": {"databases": ["clinic"], "filters": filters, **(profile or {})},
            },
        }
        self.directory.mkdir(exist_ok=True)
        (self.directory / "own.py").write_text(own)
        (self.directory / "clinic.toml").write_text(to_toml(sections))
        return load(self.directory / "clinic.toml", {})

    @asynccontextmanager
    async def node(self, filters: Filters, **options: Any) -> AsyncIterator[Node]:
        """One that serves while the context lasts."""
        async with running(self.config(filters, **options)) as (host, port):
            yield Node(Site(self.site.source_url, f"http://{host}:{port}", self.session))

    async def local(self) -> list[Doc]:
        """The local documents of the source that are the proxy's own."""
        found = await self.site.at_source("GET", "/clinic/_local_docs?include_docs=true")
        return [row["doc"] for row in found.json["rows"]]

    async def stored(self) -> Doc:
        """The document, without its revision."""
        doc: Doc = (await self.site.at_source("GET", "/clinic/x")).json
        return {name: value for name, value in doc.items() if name != "_rev"}

    async def edit(self, **fields: Any) -> None:
        """Somebody else changes the document."""
        doc = (await self.site.at_source("GET", "/clinic/x")).json
        assert (await self.site.at_source("PUT", "/clinic/x", {**doc, **fields})).status == 201


class Node:
    """What ann does through one node."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.database = "clinic-phone"

    async def get(self, user: tuple[str, str] = ANN, version: str = "") -> Doc:
        answer = await self.site.ask("GET", f"/{self.database}/x", user=user, headers={"X-Version": version})
        assert answer.status == 200, answer.body
        doc: Doc = answer.json
        return doc

    async def put(self, doc: Doc, user: tuple[str, str] = ANN, version: str = "") -> Answer:
        return await self.site.ask("PUT", f"/{self.database}/x", doc, user=user, headers={"X-Version": version})


@asynccontextmanager
async def ward(directory: Path, script: Script = untouched) -> AsyncIterator[Ward]:
    """A source with the document, and no node yet."""
    asked: list[Asked] = []
    users = {"ann": ("ann", ("nurse",)), "bob": ("bob", ("nurse",))}
    async with (
        await start(admins=dict([ADMIN]), users=users) as endpoint,
        serving(script, asked, endpoint.url) as url,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        site = Site(endpoint.url, "", session)
        assert (await site.at_source("PUT", "/clinic")).status == 201
        assert (await site.at_source("PUT", "/clinic/x", DOC)).status == 201
        yield Ward(url, directory, asked, site, session)
