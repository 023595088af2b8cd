"""The tour: each step does something through the proxy, shows it, and says whether it held."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from proxy.demo.data import ADMIN
from proxy.demo.http import Http

ANN, BOB, DORA, EVA = (("ann", "ann"), ("bob", "bob"), ("dora", "dora"), ("eva", "eva"))
_PATIENT = "patient:001"
_PHOTO = "photo:001"


class Tour:
    """What the demo shows. `source` and `proxy` are base URLs."""

    def __init__(self, http: Http, source: str, proxy: str) -> None:
        self._http = http
        self._source = f"{source}/clinic"
        self._phone = f"{proxy}/clinic-phone"
        self._tablet = f"{proxy}/clinic-tablet"
        self._auditor = f"{proxy}/clinic-auditor"
        self._failed = 0

    async def run(self) -> bool:
        """Take every step; whether all of them held."""
        steps: tuple[Callable[[], Awaitable[None]], ...] = (
            self._one_document_many_dresses,
            self._what_is_not_visible_is_not_there,
            self._an_edit_is_sewn_in,
            self._hidden_fields_cannot_be_written,
            self._hidden_attachments_stay,
            self._a_document_leaves_and_returns,
        )
        for number, step in enumerate(steps, 1):
            print(f"\n── {number}. {(step.__doc__ or '').strip()}\n")
            await step()
        total = "every step held" if not self._failed else f"{self._failed} checks FAILED"
        print(f"\nThe tour is over: {total}.")
        sys.stdout.flush()
        return not self._failed

    async def _one_document_many_dresses(self) -> None:
        """The same document, as the source holds it and as each client sees it."""
        whole = await self._get(self._source, ADMIN, _PATIENT)
        phone = await self._get(self._phone, ANN, _PATIENT)
        tablet = await self._get(self._tablet, DORA, _PATIENT)
        auditor = await self._get(self._auditor, EVA, _PATIENT)
        for who, doc in (("source", whole), ("phone", phone), ("tablet", tablet), ("auditor", auditor)):
            self._show(who, doc)
        self._check(
            "the phone has no social security number, billing or private note",
            "ssn" not in phone and "billing" not in phone and len(phone["notes"]) == 1,
        )
        self._check(
            "the tablet shows the last four digits only",
            tablet["ssn"].endswith(whole["ssn"][-4:]) and whole["ssn"] != tablet["ssn"],
        )
        self._check(
            "the auditor has the billing and no name", auditor["billing"] == whole["billing"] and "name" not in auditor
        )
        self._check("all carry the same revision", len({d["_rev"] for d in (whole, phone, tablet, auditor)}) == 1)

    async def _what_is_not_visible_is_not_there(self) -> None:
        """A document of another facility: absent, for reads and for the changes feed."""
        status, body = await self._http.json("GET", f"{self._phone}/{_PATIENT}", BOB)
        self._show("bob's phone", body)
        self._check("bob, in the south, gets a plain 404", (status, body.get("reason")) == (404, "missing"))
        feeds = {user[0]: await self._ids(user) for user in (ANN, BOB)}
        print(f"  ann's feed: {len(feeds['ann'])} documents, bob's feed: {len(feeds['bob'])} documents")
        self._check("the two feeds share nothing", feeds["ann"].isdisjoint(feeds["bob"]) and bool(feeds["ann"]))

    async def _an_edit_is_sewn_in(self) -> None:
        """The phone edits what it sees; the source keeps what the phone does not see."""
        before = await self._get(self._source, ADMIN, _PATIENT)
        edited = await self._get(self._phone, ANN, _PATIENT)
        edited["phone"] = "+49 30 555 000"
        edited["notes"].append({"text": "called back", "private": False})
        status, _ = await self._http.json("PUT", f"{self._phone}/{_PATIENT}", ANN, edited)
        after = await self._get(self._source, ADMIN, _PATIENT)
        self._show("source, afterwards", after)
        self._check("the edit was stored", status == 201 and after["phone"] == "+49 30 555 000")
        kept = all(after[name] == before[name] for name in ("ssn", "billing", "name", "facility"))
        texts = [note["text"] for note in after["notes"]]
        self._check(
            "hidden fields and the private note are intact",
            kept and all(note["text"] in texts for note in before["notes"]) and "called back" in texts,
        )

    async def _hidden_fields_cannot_be_written(self) -> None:
        """A write to a field that the phone cannot see is refused."""
        edited = await self._get(self._phone, ANN, _PATIENT)
        status, body = await self._http.json("PUT", f"{self._phone}/{_PATIENT}", ANN, {**edited, "ssn": "000"})
        self._show("the answer", body)
        self._check("forbidden, and it says which field", status == 403 and "ssn" in body.get("reason", ""))

    async def _hidden_attachments_stay(self) -> None:
        """The phone gets the thumbnail only, and does not lose the original by writing."""
        photo = await self._get(self._phone, ANN, _PHOTO)
        self._check("the phone sees the thumbnail only", list(photo["_attachments"]) == ["thumbnail.jpg"])
        await self._http.json("PUT", f"{self._phone}/{_PHOTO}", ANN, {**photo, "caption": "left knee"})
        after = await self._get(self._source, ADMIN, _PHOTO)
        self._check(
            "the source has the caption and both attachments",
            after.get("caption") == "left knee" and set(after["_attachments"]) == {"thumbnail.jpg", "original.jpg"},
        )

    async def _a_document_leaves_and_returns(self) -> None:
        """The doctor moves a patient to the south and back: ann's phone is told each time."""
        for facility, gone in (("south", True), ("north", False)):
            doc = await self._get(self._tablet, DORA, _PATIENT)
            await self._http.json("PUT", f"{self._tablet}/{_PATIENT}", DORA, {**doc, "facility": facility})
            _, feed = await self._http.json("GET", f"{self._phone}/_changes", ANN)
            row: dict[str, Any] = next((row for row in feed["results"] if row["id"] == _PATIENT), {})
            self._show(f"ann's feed, after the move to the {facility}", row)
            self._check("deleted on her phone" if gone else "back on her phone", bool(row.get("deleted")) == gone)

    async def _get(self, database: str, user: tuple[str, str], doc_id: str) -> dict[str, Any]:
        status, doc = await self._http.json("GET", f"{database}/{doc_id}", user)
        self._check(f"{user[0]} reads {doc_id}", status == 200, quiet=True)
        return dict(doc)

    async def _ids(self, user: tuple[str, str]) -> set[str]:
        _, feed = await self._http.json("GET", f"{self._phone}/_changes", user)
        return {row["id"] for row in feed["results"]}

    def _show(self, who: str, value: Any) -> None:
        print(f"  {who}:")
        for line in json.dumps(value, indent=2, ensure_ascii=False).splitlines():
            print(f"    {line}")

    def _check(self, what: str, held: bool, *, quiet: bool = False) -> None:
        self._failed += not held
        if not held or not quiet:
            print(f"  {'ok ' if held else 'FAILED'} {what}")
