"""That all documents of a database were written anew, so that what they are now was shown by no other rules.

A local document of the source has the source's sequence before that, and the rules of the profiles that then served. It
counts until documents are shown by others.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from proxy import own
from proxy.contract import Doc
from proxy.place import Place

_TOUCHED = "_local/tailor-touched"


def named(profile: str, fingerprint: str) -> str:
    """What rules of a profile are called here."""
    return f"{profile} {fingerprint}"


async def begin(place: Place, rules: Collection[str], since: Any) -> None:
    """Note that documents were written anew after `since`, and are to be shown by these rules alone, each by its
    profile.
    """
    await own.update(place, _TOUCHED, lambda _: {"rules": sorted(rules), "since": since})


async def since(place: Place, rules: str, former: Collection[str]) -> Any:
    """The source's sequence after which all was shown by these rules alone, and by none of the `former`; None: there is
    none.
    """
    held = await own.read(place, _TOUCHED)
    if held is None or not _names(held, rules) or any(_names(held, each) for each in former):
        return None
    return held.get("since")


async def end(place: Place, rules: str) -> None:
    """Documents are about to be shown by these rules."""

    def ended(held: Doc | None) -> Doc | None:
        return None if held is None or not held.get("rules") or _names(held, rules) else {"rules": []}

    await own.update(place, _TOUCHED, ended)


def _names(held: Doc, rules: str) -> bool:
    named = held.get("rules")
    return isinstance(named, list) and rules in named
