"""What the source has of a document that is written. A document may have thousands of leaves, each with a long path:
what many writes ask of them is made out once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from proxy.contract import Doc
from proxy.core.revisions import Rev, descends, known_of, parse_rev


@dataclass(frozen=True)
class Stored:
    """What the source has of one document: all leaves (with `_revisions`), and the bodies of some ancestors, by rev."""

    leaves: Sequence[Doc] = ()
    bodies: Mapping[str, Doc] = field(default_factory=dict)
    judged: dict[Hashable, list[Doc]] = field(default_factory=dict, compare=False, repr=False)
    """What was made out of the leaves, by whom."""

    @property
    def live(self) -> list[Doc]:
        return [leaf for leaf in self.leaves if leaf.get("_deleted") is not True]

    def leaf(self, rev: str) -> Doc | None:
        if len(self.leaves) == 1:
            return self.leaves[0] if self.leaves[0]["_rev"] == rev else None
        return self._by_rev.get(rev)

    def body(self, rev: str) -> Doc | None:
        return self.leaf(rev) or self.bodies.get(rev)

    def known(self, path: Sequence[Rev]) -> Iterator[int]:
        """The indices of those revisions of a path, newest first, that are on a leaf's, with or without a body."""
        if len(self.leaves) == 1:
            return known_of(self.leaves[0], path)
        return (index for index, rev in enumerate(path) if rev in self._revisions)

    def newest_known(self, path: Sequence[Rev]) -> int:
        """The index of the first revision of a path that the source knows; the length of the path if it knows none."""
        return next(self.known(path), len(path))

    def own_path(self, path: tuple[Rev, ...], known: int) -> tuple[Rev, ...]:
        """The path, with the source's own ancestors of `path[known]`, the newest revision that it knows, if the client
        says that there are others, or that there is a leaf among them.

        CouchDB would hang the revision below these once more: a leaf among them would be none any more, without anybody
        having edited it. What an honest client says is left as it is, for it may be more than the source has.
        """
        rev, above = path[known], [each.hash for each in path[known + 1 :]]
        leaf = self.leaf(str(rev))
        leaves = [each for each in self.leaves if descends(each, str(rev))] if leaf is None else [leaf]
        own = [_above(each, rev) for each in leaves]
        names_none = all(self.leaf(str(each)) is None for each in path[known + 1 :])
        if names_none and any(_agree(each, above) for each in own):
            return path
        return (*path[: known + 1], *(Rev(rev.generation - age, name) for age, name in enumerate(own[0], 1)))

    def editable(self, path: Sequence[Rev], known: int) -> Iterator[Rev]:
        """What a revision that is pushed by this path may be an edit of, newest first: the newest other one that the
        source knows, and its own ancestors of that, whatever the client says of them. Of a revision that it knows, all
        its own ancestors. `known`: the index of the newest that it knows.

        Where a revision is on the paths of several leaves these share all that is above it; the longest says most.
        """
        if known == len(path):
            return
        rev = path[known]
        if known > 0:
            yield rev
        leaf = self.leaf(str(rev))
        leaves = [each for each in self.leaves if descends(each, str(rev))] if leaf is None else [leaf]
        above = max([_above(each, rev) for each in leaves], key=len)
        yield from (Rev(rev.generation - age, name) for age, name in enumerate(above, 1))

    def newest_body(self, revs: Iterable[Rev]) -> Doc | None:
        """The body of the first of some revisions of which there is one."""
        for rev in revs:
            body = self.body(str(rev))
            if body is not None:
                return body
        return None

    @cached_property
    def _by_rev(self) -> dict[str, Doc]:
        return {leaf["_rev"]: leaf for leaf in self.leaves}

    @cached_property
    def _revisions(self) -> set[tuple[int, str]]:
        """All revisions that are on the path of a leaf."""
        found: set[tuple[int, str]] = set()
        for leaf in self.leaves:
            revisions = leaf.get("_revisions") or {"start": 0, "ids": ()}
            found.update(zip(range(revisions["start"], 0, -1), revisions["ids"], strict=False))
            try:
                found.add(parse_rev(leaf["_rev"]))
            except ValueError:
                continue  # a source may say anything; nobody edits that
        return found


def _above(leaf: Doc, rev: Rev) -> Sequence[str]:
    """The hashes above one of a leaf's revisions, newest first."""
    revisions = leaf.get("_revisions")
    if not revisions:
        return []
    ids: list[str] = revisions["ids"]
    return ids[revisions["start"] - rev.generation + 1 :]


def _agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one of two paths goes on where the other ends."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


NOTHING = Stored()
"""Of a document that the source does not have."""
