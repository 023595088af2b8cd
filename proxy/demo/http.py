"""A small JSON client for the tour: it speaks to source and proxy as any client would."""

from __future__ import annotations

from base64 import b64encode
from types import TracebackType
from typing import Any, Self

import aiohttp

from proxy.core import jsonio

User = tuple[str, str]


class Http:
    """Requests as a user, JSON in and out."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def json(self, method: str, url: str, user: User, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer; the empty object for an answer that is not JSON."""
        data = None if body is None else jsonio.dumps(body)
        credentials = b64encode(":".join(user).encode()).decode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers["Authorization"] = f"Basic {credentials}"
        async with self._session.request(method, url, data=data, headers=headers) as answer:
            text = await answer.read()
            is_json = answer.content_type == "application/json"
            return answer.status, jsonio.loads(text) if is_json and text else {}
