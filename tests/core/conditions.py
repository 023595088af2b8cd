"""Random conditions over documents and clients, from a grammar and few values, so that many are true."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from proxy.contract import Client, Doc

SCALARS: list[Any] = ["x", "y", "xy", "", 0, 1, 1.0, 2, True, False, None]
VALUES = st.one_of(
    st.sampled_from(["x", "x", "x", "y"]),
    st.just("x"),
    st.sampled_from(SCALARS),
    st.lists(st.sampled_from(SCALARS), max_size=2),
    st.sampled_from([{"d": "x"}, {"d": 1}, {"d": True}, {"d": ["x"]}]),
)
ELEMENTS = st.one_of(st.fixed_dictionaries({}, optional={"a": VALUES, "p": VALUES}), st.sampled_from(["x", None, [1]]))

DOCUMENT = [
    *["a", "a", "b", "c.d", "m", "m"] * 2,
    "m[0]",
    "a.d",
    "@.b",
    "m[]",
    "to_string(a)",
    "[a]",
    "{d: b}",
    "missing",
    "length(m)",
]
CLIENT = [
    *["client.k", "client.k", "client.name", "client.grants.k"] * 2,
    "client.roles",
    "client.grants.k[0]",
    "client.grants.*[]",
    "client.device.m",
    "client.profile",
    "to_number(client.grants.n[0])",
    "(client.name == 'x')",
    "[client.name == 'x']",
    "[client.k]",
    "{d: client.k}",
    "{d: client.name == 'x'}",
    "length(client.grants.k)",
    "sort(client.grants.k)",
]
LITERALS = ["'x'", "'y'", "`1`", "`true`", "`null`", '`["x"]`']


@st.composite
def _atoms(draw: st.DrawFn, within: bool = True) -> str:
    document, client = draw(st.sampled_from(DOCUMENT)), draw(st.sampled_from(CLIENT))
    literal = draw(st.sampled_from(LITERALS))
    forms = [
        *[f"{document} == {client}", f"{client} == {document}"] * 3,
        *["a == client.k", "client.name == a", "contains(m, client.name)", "contains(client.grants.k, a)"],
        *[f"contains({client}, {document})", f"contains({document}, {client})"] * 2,
        f"{document} == {literal}",
        f"{document}",
        f"!({document})",
        f"{client} == {literal}",
        f"contains({client}, {literal})",
        f'contains(`[1, true, "x"]`, {document})',
        f"{document} != {client}",
        f"starts_with({document}, {client})",
        f'[{document}, {client}] == `["x", "x"]`',
        f"({document} || {client}) == {client}",
        f"{document} | [?@ == client.k]",
        f"client.grants.k[?@ == {document}]",
        f"contains(client.roles, join(':', ['k', {document}]))",
    ]
    if within:
        inner = draw(conditions(within=False))
        forms += [f"n[?{inner}]"] * 3 + ["m[?@ == client.k]", f"n[?{inner}].a", f"n[*].a[?{inner}]", f"m[?{inner}]"]
    return draw(st.sampled_from(forms))


def conditions(within: bool = True) -> st.SearchStrategy[str]:
    """Texts of conditions; `within`: those on the elements of arrays among them."""
    return st.recursive(
        _atoms(within),
        lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
        max_leaves=4,
    )


_MEMBERS = st.one_of(
    st.just(["x", "y"]), st.lists(st.sampled_from(SCALARS), max_size=3), st.sampled_from(["x", "xy", None])
)


def documents() -> st.SearchStrategy[Doc]:
    return st.fixed_dictionaries(
        {"_id": st.sampled_from(["x", "y", "xy"]), "a": VALUES, "m": _MEMBERS},
        optional={
            "b": VALUES,
            "c": st.fixed_dictionaries({"d": VALUES}),
            "n": st.lists(ELEMENTS, max_size=3),
            "_deleted": st.just(True),
        },
    )


ROLES = ["k:x", "k:x", "k:y", "k:xy", "n:1", "n:2.0", "x", "admin"]


def clients() -> st.SearchStrategy[Client]:
    return st.builds(
        Client,
        st.sampled_from(["x", "x", "x", "y", None]),
        st.frozensets(st.sampled_from(ROLES), min_size=1, max_size=4),
        st.sampled_from(["x", "y"]),
        st.sampled_from([{}, {"m": "x"}, {"m": "y"}]),
    )
