"""A database whose users own so many documents each, and a proxy with an index of it: what measures of feeds share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.core import jsonio
from proxy.upstream import JSON_HEADERS, Upstream
from tests.bench.lanes import document
from tests.bench.servers import DATABASE, Process, Stage

OWN = 100
"""Documents of each user, whatever the size of the database."""


def owner(number: int, sizes: Sequence[int]) -> str:
    """Who owns a document of a database that grows through `sizes`.

    The users of a size are those whose documents came last, scattered over all that came since the size before.
    """
    place = next(place for place, size in enumerate(sizes) if number < size)
    start = sizes[place - 1] if place else 0
    return f"user{sizes[place]}-{(number - start) % ((sizes[place] - start) // OWN)}"


def users(sizes: Sequence[int], place: int, count: int) -> list[str]:
    """Some users of `sizes[place]`, each of whom owns OWN documents."""
    there = (sizes[place] - (sizes[place - 1] if place else 0)) // OWN
    return [f"user{sizes[place]}-{number % there}" for number in range(count)]


async def fill(stage: Stage, sizes: Sequence[int], place: int) -> None:
    """Let the database grow to `sizes[place]`."""
    start, end = sizes[place - 1] if place else 0, sizes[place]
    for first in range(start, end, 1000):
        numbers = range(first, min(first + 1000, end))
        docs = [{**document(number), "owner": owner(number, sizes)} for number in numbers]
        await stage.request("POST", stage.source_url, f"/{DATABASE}/_bulk_docs", {"docs": docs})


def data_directory(stage: Stage) -> Path:
    """Where the indexes of `indexed` are."""
    return stage.directory / "indexes"


@asynccontextmanager
async def indexed(stage: Stage, *, twice: bool = False) -> AsyncIterator[Process]:
    """A proxy whose index is complete, with empty caches. `twice`: it has another index of the same, as AGAIN."""
    path = stage.configure(data=data_directory(stage), twice=twice)
    build = await stage.command("index", "build", "-c", str(path))
    if await build.wait():
        raise RuntimeError("`couch-tailor index build` failed")
    proxy = await stage.start_proxy(path)
    try:
        direct = await _token(stage, stage.proxy.url)
        # a token out of an index has a position, too
        while len(await _token(stage, proxy.url)) < len(direct) + 15:
            await asyncio.sleep(0.05)
        yield proxy
    finally:
        await proxy.stop()


async def _token(stage: Stage, url: str) -> str:
    client = stage.client(url)
    page = jsonio.loads(await ask(stage, client, "GET", f"/{DATABASE}-own/_changes?since=now&limit=1"))
    client.close()
    return str(page["last_seq"])


async def ask(
    stage: Stage,
    client: Upstream,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    status: int = 200,
) -> bytes:
    """The body of an answer. Raises RuntimeError for one of another status."""
    data = None if body is None else jsonio.dumps(body)
    sent = {**JSON_HEADERS, "Authorization": stage.authorization, **(headers or {})}
    async with await client.request(method, path, headers=sent, body=data) as reply:
        answer = await reply.read()
    if reply.status != status:
        raise RuntimeError(f"{method} {path}: {reply.status} {answer[:200]!r}")
    return answer
