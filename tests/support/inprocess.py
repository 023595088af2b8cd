"""An embedded endpoint in memory and the proxy in front of it, in the test's own process, over real sockets."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from proxy.app import running
from proxy.config.model import Config, Database, Profile, Server, Source
from proxy.contract import Filter
from proxy.core import jsonio
from proxy.core.lens import Chain, Link
from proxy.endpoint.serve import start
from proxy.endpoint.server import Server as SourceServer
from proxy.feeds.hub import Hub
from proxy.feeds.local import Feeds

ADMIN = ("admin", "secret")
PROXY_SECRET = "shared with the source"
USERS = {
    "ann": ("ann", ("nurse", "facility:f1")),
    "bob": ("bob", ("nurse", "facility:f2")),
    "eva": ("eva", ("auditor",)),
}

User = tuple[str, str] | None


def basic(user: User) -> dict[str, str]:
    """The headers of Basic credentials; none for nobody."""
    return {} if user is None else {"Authorization": "Basic " + b64encode(":".join(user).encode()).decode()}


@dataclass
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return jsonio.loads(self.body)


class Site:
    """Requests to source and proxy. Paths begin with the database: `/clinic/x` at the source, `/clinic-phone/x`."""

    def __init__(self, source: str, proxy: str, session: aiohttp.ClientSession) -> None:
        self.source_url = source
        self.proxy_url = proxy
        self.session = session
        self.hub: Hub | None = None
        """The feed index of the database `clinic`, if it has one."""
        self.server: SourceServer | None = None
        """What the source is made of, where it is in this process."""

    async def indexed(self, *, but: bytes | None = None) -> Hub:
        """Waits until there is an index, another one than `but`."""
        assert self.hub is not None
        while self.hub.index is None or self.hub.index.index_id == but:
            await asyncio.sleep(0.005)
        return self.hub

    async def at_source(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.request(method, self.source_url + path, body, user=ADMIN, **options)

    async def ask(
        self, method: str, path: str, body: Any = None, *, user: User = ("ann", "ann"), **options: Any
    ) -> Answer:
        return await self.request(method, self.proxy_url + path, body, user=user, **options)

    async def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        user: User = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | AsyncIterator[bytes] | None = None,
    ) -> Answer:
        """`body` is sent as JSON, `data` as it is. JSON is asked for unless `headers` says otherwise."""
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            data = jsonio.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        sent.update(basic(user))
        async with self.session.request(method, url, data=data, headers=sent, allow_redirects=False) as got:
            return Answer(got.status, got.headers, await got.read())

    async def put(self, doc: Mapping[str, Any]) -> str:
        """Store a document of the database `clinic` at the source; its new revision."""
        answer = await self.at_source("POST", "/clinic", doc)
        assert answer.status in (200, 201), answer.body
        return str(answer.json["rev"])


def profile(name: str, *filters: Filter, others: Iterable[str] = (), **options: Any) -> Profile:
    """A profile of the database `clinic`, reachable as `clinic-<name>`. `others`: fields that decide for others."""
    chain = Chain([Link(f"{name}: {type(each).__name__}", each) for each in filters], others=[frozenset(others)])
    return Profile(name, frozenset(["clinic"]), chain, **{"suffix": name, **options})


@asynccontextmanager
async def site(
    *profiles: Profile, docs: Sequence[Mapping[str, Any]] = (), source: Mapping[str, Any] | None = None, **server: Any
) -> AsyncIterator[Site]:
    """Endpoint and proxy with these profiles and documents. `server`, `source`: settings other than the usual ones."""
    async with await start(admins=dict([ADMIN]), users=USERS, proxy_secret=PROXY_SECRET) as endpoint:
        asked = {"auth": "service", "username": ADMIN[0], "password": ADMIN[1]} if source is None else source
        upstream = Source("main", endpoint.url, **asked)
        settings = {"port": 0, "secret": b"a secret of the tests", **server}
        config = Config(
            Server(**settings),
            {"main": upstream},
            {"clinic": Database("clinic", upstream, "clinic")},
            {each.name: each for each in profiles},
        )
        feeds = Feeds(config)
        async with running(config, feeds) as (host, port), aiohttp.ClientSession(auto_decompress=False) as session:
            made = Site(endpoint.url, f"http://{host}:{port}", session)
            made.hub = feeds.hubs.get("clinic")
            made.server = endpoint.server
            await made.at_source("PUT", "/clinic")
            for doc in docs:
                await made.put(doc)
            yield made
