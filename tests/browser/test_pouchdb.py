"""PouchDB over IndexedDB in a real browser, on a page of another origin than the proxy's."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from filters.attachments import Attachments
from filters.drop import Drop
from filters.select import Select
from proxy.app import running
from proxy.config.model import Config, Cors, Database, Server, Source
from proxy.endpoint.serve import start
from proxy.http_server import served
from proxy.listening import listen
from tests.browser import chromium
from tests.browser.chromium import Page
from tests.compatibility.table import row
from tests.support.devices import CLIENTS
from tests.support.inprocess import ADMIN, USERS, Site, profile

POUCHDB = CLIENTS / "node_modules/pouchdb/dist/pouchdb.min.js"
VERSION = "9.0.0"
PATIENCE = 30
"""Seconds after which what has not arrived is taken for lost."""

HIDDEN = ("ssn-of-one", "ssn-of-two", "a letter too long", "somebody of f2")
"""What is in the source and may be nowhere in the browser."""


def attached(text: str) -> dict[str, str]:
    return {"content_type": "text/plain", "data": b64encode(text.encode()).decode()}


DOCS: list[dict[str, Any]] = [
    {"_id": "one", "facility": "f1", "name": "Ada", "ssn": "ssn-of-one", "_attachments": {"note": attached("a note")}},
    {"_id": "two", "facility": "f1", "name": "Bea", "ssn": "ssn-of-two"},
    {"_id": "other", "facility": "f2", "name": "somebody of f2"},
]
DOCS[1]["_attachments"] = {"letter": attached("a letter too long for phones")}


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    command = chromium.find()
    if command is None:
        pytest.skip("there is no browser; install Chromium (Debian: apt-get install chromium), or name one in CHROMIUM")
    if not POUCHDB.is_file():
        pytest.fail("the clients are not installed; run `make clients`", pytrace=False)
    async with chromium.chromium(command, tmp_path / "browser") as opened:
        yield opened


@asynccontextmanager
async def page_server() -> AsyncIterator[str]:
    """Serves the page, at an origin of its own; yields that origin."""
    files = {"/": (Path(__file__).with_name("page.html"), "text/html"), "/pouchdb.min.js": (POUCHDB, "text/javascript")}

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        file, content_type = files[request.path]
        return web.Response(body=file.read_bytes(), content_type=content_type, charset="utf-8")

    async with served(web.Server(serve), listen("127.0.0.1", 0)) as (host, port):
        yield f"http://{host}:{port}"


class Clinic:
    """A source with the documents, and a proxy in front that can go away and come back at the same address."""

    def __init__(self, source: Source, session: aiohttp.ClientSession, origin: str) -> None:
        self.site = Site(source.url, "", session)
        self._source = source
        self._origin = origin
        self._port = 0
        self._proxy = AsyncExitStack()

    async def go_online(self) -> None:
        phone = profile(
            "phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]), Attachments(max_size=10)
        )
        cors = Cors((self._origin,), credentials=True)
        config = Config(
            Server(port=self._port, secret=b"a secret of the tests", cors=cors),
            {"main": self._source},
            {"clinic": Database("clinic", self._source, "clinic")},
            {"phone": phone},
        )
        host, self._port = await self._proxy.enter_async_context(running(config))
        self.site.proxy_url = f"http://{host}:{self._port}"

    async def go_offline(self) -> None:
        await self._proxy.aclose()

    async def at_source(self, doc_id: str) -> Any:
        return (await self.site.at_source("GET", f"/clinic/{doc_id}?conflicts=true")).json

    async def edit(self, doc_id: str, **fields: Any) -> None:
        await self.site.put({**await self.at_source(doc_id), **fields})


@asynccontextmanager
async def clinic(origin: str) -> AsyncIterator[Clinic]:
    async with await start(admins=dict([ADMIN]), users=USERS) as endpoint, aiohttp.ClientSession() as session:
        source = Source("main", endpoint.url, auth="service", username=ADMIN[0], password=ADMIN[1])
        made = Clinic(source, session, origin)
        await made.site.at_source("PUT", "/clinic")
        for doc in DOCS:
            await made.site.put(doc)
        await made.go_online()
        try:
            yield made
        finally:
            await made.go_offline()


async def until(what: Any, **fields: Any) -> Any:
    """Call `what` until the document that it gives has these fields; that document."""
    found: Any = None
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found and all(found.get(name) == value for name, value in fields.items())):
                await asyncio.sleep(0.05)
                found = await what()
    except TimeoutError:
        pytest.fail(f"expected {fields}, and there is {found}")
    return found


def forms(text: str) -> tuple[bytes, bytes]:
    """A text as it may lie on the disk: as it is, and the whole groups of its base64."""
    data = text.encode()
    return data, b64encode(data)[: len(data) // 3 * 4]


def js(function: str, *arguments: Any) -> str:
    return f"{function}({', '.join(map(json.dumps, arguments))})"


@row(
    "npm",
    "PouchDB in Chromium",
    VERSION,
    "a page of another origin, IndexedDB: sign-in, preflights, live sync with attachments, edits offline, online again",
)
async def test_a_device_in_a_browser(page: Page, tmp_path: Path) -> None:
    async with page_server() as origin, clinic(origin) as served:
        proxy = served.site.proxy_url

        async def here(doc_id: str) -> Any:
            return (await page.run("docs()")).get(doc_id)

        await page.open(origin)
        assert await page.run("PouchDB.version") == VERSION
        assert await page.run(js("ask", f"{proxy}/clinic-phone")) == 401
        assert await page.run(js("login", proxy, "ann", "wrong")) == 401
        assert await page.run(js("login", proxy, "ann", "ann")) == 200
        assert await page.run(js("ask", f"{proxy}/clinic-phone")) == 200
        assert await page.run("document.cookie") == ""  # not for scripts

        await page.run(js("start", f"{proxy}/clinic-phone"))
        await until(lambda: here("two"), name="Bea")
        assert await page.run(js("attachment", "one", "note")) == "a note"
        await page.run(js("edit", "one", {"name": "Ada L."}))
        edited = await until(lambda: served.at_source("one"), name="Ada L.")
        assert (edited["ssn"], "note" in edited["_attachments"]) == ("ssn-of-one", True)
        await served.edit("one", phone="123")
        await until(lambda: here("one"), phone="123", name="Ada L.")

        await served.go_offline()
        assert await page.run(js("ask", f"{proxy}/_up")) == "TypeError"
        await page.run(js("edit", "two", {"name": "Bea, edited offline"}))
        await page.run(js("edit", "new", {"facility": "f1", "name": "made offline"}))
        await served.edit("one", phone="456")
        await served.go_online()

        whole = await until(lambda: served.at_source("two"), name="Bea, edited offline")
        assert (whole["ssn"], "letter" in whole["_attachments"]) == ("ssn-of-two", True)
        await until(lambda: served.at_source("new"), name="made offline")
        await until(lambda: here("one"), phone="456")

        docs = await page.run("docs()")
        assert sorted(docs) == ["new", "one", "two"]
        for doc_id, doc in docs.items():
            source = await served.at_source(doc_id)
            assert (doc["_rev"], doc["name"], doc.get("phone")) == (source["_rev"], source["name"], source.get("phone"))
            assert "_conflicts" not in {**doc, **source}
        stored = await page.run("stored()")
        assert "Ada L." in stored
        assert "a note" in stored
        kept = stored.encode() + b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        assert [text for text in HIDDEN if any(form in kept for form in forms(text))] == []


@row(
    "npm", "PouchDB in Chromium", VERSION, "a page of an origin that is not listed", "gets nothing, not even a sign-in"
)
async def test_a_page_that_nobody_listed(page: Page) -> None:
    async with page_server() as origin, page_server() as other, clinic(origin) as served:
        await page.open(other)
        for path in ("/_up", "/_session", "/clinic-phone"):
            assert await page.run(js("ask", served.site.proxy_url + path)) == "TypeError"
        assert await page.run(js("login", served.site.proxy_url, "ann", "ann")) == "TypeError"
        await page.open(origin)
        assert await page.run(js("ask", f"{served.site.proxy_url}/_up")) == 200
