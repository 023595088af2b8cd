"""A device with a user and a profile, and what the source has from its point of view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.core.revisions import Rev
from tests.properties.device import Device, Doc, Family
from tests.properties.dresses import PROMISING, shape
from tests.properties.truth import Key, Truth
from tests.support.inprocess import Answer, Site


class Dressed(Device):
    """`heard`: every answer that the device got, with the request."""

    def __init__(self, site: Site, truth: Truth, name: str, user: str, dress: str, family: Family, limit: int) -> None:
        super().__init__(name, dress, f"clinic-{dress}", self._request, family, limit)
        self.user = user
        self.dress = dress
        self.heard: list[tuple[str, bytes]] = []
        self._site = site
        self._truth = truth

    def __str__(self) -> str:
        return f"{self.name} ({self.user}, {self.dress})"

    def dress_as(self, user: str, dress: str) -> None:
        """Go on with another user and profile, with the documents that there are."""
        self.user, self.dress, self.database = user, dress, f"clinic-{dress}"
        self.forget()

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """A request to the database that is no part of replication."""
        return await self._request(method, f"/{self.database}{path}", body, **options)

    async def _request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        answer = await self._site.ask(method, path, body, user=(self.user, self.user), **options)
        self.heard.append((f"{method} {path}", answer.body))
        return answer

    def shape(self, doc: Doc) -> Doc | None:
        """What the device is to see of a source's document."""
        return shape(doc, self.user, self.dress)

    def sees(self, key: Key) -> bool:
        """Whether the source ever had a body of this revision that the device may see."""
        return key in self._truth.history and self.shape(self._truth.history[key]) is not None

    def saw_one_of(self, doc_id: str, revs: Iterable[Rev]) -> bool:
        """Whether the device could see any of the revisions."""
        return any(self.sees((doc_id, rev)) for rev in revs)

    @property
    def may_be_forgotten(self) -> bool:
        """Whether it may be unknown what the device could see: bodies are gone, and an index has nothing of them."""
        return self._truth.compacted if self.dress in PROMISING else self._truth.has_lost_bodies

    def view(self, doc_id: str) -> dict[Rev, Doc]:
        """The source's live leaves that the device is to see, the winner first, whole."""
        history = self._truth.history
        return {rev: history[doc_id, rev] for rev in self._truth.live(doc_id) if self.sees((doc_id, rev))}
