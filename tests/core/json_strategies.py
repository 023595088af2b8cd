"""Random JSON documents, and paths that lead somewhere in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from proxy.contract import Doc
from proxy.core.pathtree import quote

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 0.5]), st.text("ab", max_size=2)
)
NAMES = st.sampled_from(["a", "b", "c", "id", "x y"])


def values(leaves: int = 12) -> st.SearchStrategy[Any]:
    """Small JSON values in which names, scalars and array elements often repeat."""
    return st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=leaves,
    )


def docs() -> st.SearchStrategy[Doc]:
    """Documents with `_id` and `_rev`."""
    bodies = st.dictionaries(NAMES, values(), max_size=5)
    return bodies.map(lambda body: {"_id": "doc", "_rev": "1-a", **body})


def paths_in(doc: Doc) -> list[str]:
    """Every path that leads to a value of the document, by the names and `[]` on the way."""
    return sorted(
        {path for name, value in doc.items() if not name.startswith("_") for path in _below(value, quote(name))}
    )


def _below(value: Any, path: str) -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _below(member, f"{path}.{quote(name)}")
    elif isinstance(value, list):
        for element in value:
            yield from _below(element, f"{path}[]")
