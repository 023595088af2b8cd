"""A chain of filters as one lens. Protocol members (`_revisions`, ...) stay outside of it.

Invariants:
  - a filter that raises withholds the document: `shape` raises Withheld, which callers treat as "not visible" and log;
  - `_id` and `_rev` come out as they went in, whatever a filter does to them;
  - a chain restores in reverse order, each filter onto the original that it was given on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.contract import Client, Doc, Filter, Refused


class Withheld(Exception):
    """A filter raised: the document is withheld. `filter_name` says which, `__cause__` why."""

    def __init__(self, filter_name: str, error: Exception) -> None:
        super().__init__(f"filter {filter_name} raised {type(error).__name__}: {error}")
        self.filter_name = filter_name


@dataclass(frozen=True)
class Link:
    """A filter with the name by which messages call it (`drop`, or `profiles.phone.filters[2] (drop)`)."""

    name: str
    filter: Filter


class Chain:
    """The filters of a profile, in order, as one lens."""

    def __init__(self, links: Sequence[Link] = ()) -> None:
        self.links = tuple(links)
        self.passes_all = all(link.filter.passes_all for link in self.links)
        self.audience_fields = frozenset(
            name for link in self.links for name in link.filter.audience_fields()
        )
        self._steps = tuple((link.filter.shape, link.name) for link in self.links)

    def __bool__(self) -> bool:
        return bool(self.links)

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        """`doc` (without protocol members) as `client` sees it; None if it does not get it. Raises Withheld."""
        shaped: Doc | None = doc
        for step, name in self._steps:
            try:
                shaped = step(shaped, client)  # type: ignore[arg-type]  # None ends the loop below
            except Exception as error:
                raise Withheld(name, error) from error
            if shaped is None:
                return None
        if shaped is not doc:
            shaped = _same_identity(shaped, doc)
        return shaped

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        """The whole document for the client's `edited` one. Raises Refused, and Withheld if a filter fails."""
        stages: list[Doc | None] = [original]
        for step, name in self._steps[:-1]:
            previous = stages[-1]
            if previous is None:
                stages.append(None)
                continue
            try:
                stage = step(previous, client)
            except Exception as error:
                raise Withheld(name, error) from error
            if stage is None:
                raise Refused("the document is not visible to this client")
            stages.append(stage)
        whole = edited
        for link, stage in zip(reversed(self.links), reversed(stages), strict=False):
            try:
                whole = link.filter.restore(whole, stage, client)
            except Refused:
                raise
            except Exception as error:
                raise Withheld(link.name, error) from error
        return whole if whole is edited else _same_identity(whole, edited)


def _same_identity(result: Doc | None, given: Doc) -> Doc:
    """`result` with the identity of `given`: a filter may not change or drop `_id` and `_rev`."""
    assert result is not None
    if result.get("_id") != given.get("_id") or result.get("_rev") != given.get("_rev"):
        result = {k: v for k, v in result.items() if k not in ("_id", "_rev")}
        return {**{k: given[k] for k in ("_id", "_rev") if k in given}, **result}
    return result
