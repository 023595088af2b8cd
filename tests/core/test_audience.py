"""Keys of documents and clients, for chains: a document that a client gets shares one with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from filters.audience import Audience as Keys
from filters.compute import Compute
from filters.default import Default
from filters.drop import Drop
from filters.project import Project
from filters.rename import Rename
from filters.select import Select
from proxy.contract import Client, Doc, Filter
from proxy.core.audience import EVERYBODY, Audience, audience_of
from proxy.core.lens import Chain, Link, Withheld
from tests.core.conditions import clients, conditions, documents

ANN = Client("ann", frozenset({"unit:u1", "facility:f7"}), "phone")
BOB = Client("bob", frozenset({"unit:u2"}), "phone")

BY_UNIT = Keys(keys={"unit": "unit", "user": "owner"}, client={"user": "name"})
OWN_FACILITY = Select(where="facility == client.facility")
PATIENTS = Select(where="type == 'patient'")
NOTES_OF_OTHERS = Drop(paths=["notes[?by != client.name]"])


def chain(*filters: Filter) -> Chain:
    return Chain([Link(type(filter_).__name__, filter_) for filter_ in filters])


def audience(*filters: Filter) -> Audience:
    found = audience_of(chain(*filters))
    assert found is not None
    return found


def test_keys_of_an_audience_filter() -> None:
    found = audience(Drop(paths=["ssn"]), BY_UNIT)
    assert found.of({"_id": "d", "unit": "u1", "owner": "bob"}) == {"unit:u1", "user:bob"}
    assert found.of({"_id": "d"}) == set()
    assert found.held_by(ANN) == {EVERYBODY, "unit:u1", "user:ann"}
    assert found.held_by(Client(None)) == {EVERYBODY}
    assert found.description == "unit:{unit}, user:{owner}"


def test_keys_of_a_select() -> None:
    found = audience(OWN_FACILITY)
    assert found.of({"_id": "d", "facility": "f7"}) < found.held_by(ANN)
    assert found.of({"_id": "d", "facility": "f8"}).isdisjoint(found.held_by(ANN))
    assert found.held_by(BOB) == {EVERYBODY}  # without a facility it gets nothing, not what has none
    assert found.description == "facility == client.facility"


def test_a_filter_counts_if_none_before_it_depends_on_the_client() -> None:
    assert audience_of(chain()) is None
    assert audience_of(chain(Drop(paths=["a"]))) is None
    assert audience_of(chain(NOTES_OF_OTHERS, OWN_FACILITY)) is None
    assert audience_of(chain(Select(where="starts_with(owner, client.name)"), BY_UNIT)) is None
    assert audience(OWN_FACILITY, NOTES_OF_OTHERS).description == "facility == client.facility"
    assert audience(PATIENTS, BY_UNIT).description == "unit:{unit}, user:{owner}"
    assert audience(PATIENTS, NOTES_OF_OTHERS, BY_UNIT).description == "type == 'patient'"
    assert audience(OWN_FACILITY, BY_UNIT).description == "facility == client.facility"


def test_keys_are_those_of_the_document_that_the_filter_sees() -> None:
    renamed = audience(PATIENTS, Rename(fields={"clinic": "facility"}), OWN_FACILITY)
    assert renamed.of({"_id": "d", "type": "patient", "clinic": "f7"}) < renamed.held_by(ANN)
    assert renamed.of({"_id": "d", "type": "patient", "facility": "f7"}).isdisjoint(renamed.held_by(ANN))
    assert renamed.of({"_id": "d", "type": "report", "clinic": "f7"}) == set()


class Telling(Filter):
    """Gives what it is told to give."""

    declares_audience = True

    def __init__(self, keys: Any) -> None:
        self._keys = keys

    def audience(self, doc: Doc) -> Iterable[str] | None:
        if isinstance(self._keys, Exception):
            raise self._keys
        found: Iterable[str] | None = self._keys
        return found


def test_a_document_of_which_nothing_can_be_told_is_a_candidate_for_everybody() -> None:
    doc: Doc = {"_id": "d"}
    for nothing in (None, RuntimeError("no luck"), RecursionError(), 7, [f"k{n}" for n in range(5000)]):
        assert audience(Telling(nothing)).of(doc) == {EVERYBODY}
    assert audience(Telling(["a"])).of({"_id": "_design/app"}) == {EVERYBODY}
    assert audience(Telling(["a"])).of(doc) == {"a"}


class Wider(Select):
    """Shows more than the condition says."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return doc if client.name == "root" else super().shape(doc, client)


class Told(Wider):
    def audience(self, doc: Doc) -> Iterable[str] | None:
        return ["all"]

    def client_keys(self, client: Client) -> Iterable[str]:
        return ["all"]

    def depends_on_client(self) -> bool:
        return False


def test_what_a_class_says_of_itself_is_not_believed_of_a_subclass_with_another_shape() -> None:
    assert audience_of(chain(Wider(where="facility == client.facility"))) is None
    assert chain(Wider(where="type == 'patient'")).depends_on_client
    assert audience(Told(where="facility == client.facility")).of({"_id": "d"}) == {"all"}
    assert not chain(Told(where="type == 'patient'")).depends_on_client


def test_a_chain_depends_on_the_client_if_a_filter_does() -> None:
    assert not chain().depends_on_client
    assert not chain(PATIENTS, Drop(paths=["a"])).depends_on_client
    assert chain(PATIENTS, NOTES_OF_OTHERS).depends_on_client
    assert chain(Filter()).depends_on_client


def test_the_identity_is_that_of_the_rules_which_decide_the_keys() -> None:
    links = chain(PATIENTS, OWN_FACILITY, NOTES_OF_OTHERS)

    def identity(*identities: str) -> str:
        found = audience_of(links, identities)
        assert found is not None
        return found.identity

    first = identity("a", "b", "c")
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert first == identity("a", "b", "other")
    assert len({first, identity("other", "b", "c"), identity("a", "other", "c"), identity("ab", "", "c")}) == 4
    assert audience(OWN_FACILITY).identity == audience(OWN_FACILITY, PATIENTS).identity


EARLIER: list[Filter] = [
    Drop(paths=["m", "n[?p]"]),
    Drop(paths=["n[?a != client.k]"]),
    Rename(fields={"a": "b"}),
    Default(fields={"a": "x", "m": ["x"]}),
    Compute(fields={"a": "b", "b": "length(m)"}),
    Compute(fields={"b": "client.k"}),
    Project(body="{a: a, b: c.d, m: m, n: n}"),
    Select(where="a == 'x' || contains(m, 'x') || b"),
]
EXPLICIT: list[Filter] = [
    Keys(keys={"k": "a", "n": "m"}),
    Keys(keys={"k": "[a, c.d]", "user": "b"}, client={"user": "name"}),
    Keys(keys=["a", "m[]", "n[].a", "sort(m)"], client=["name", "grants.k", "to_number(grants.n[0])", "max(roles)"]),
]


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    conditional = conditions().map(lambda where: Select(where=where, audience_fields=["a"], optional=["k", "name"]))
    strict = conditions().map(lambda where: Select(where=where, audience_fields=["a"]))
    deciding = draw(st.one_of(conditional, strict, st.sampled_from(EXPLICIT)))
    earlier = draw(st.lists(st.sampled_from(EARLIER), max_size=2))
    return chain(*earlier, deciding, *draw(st.lists(st.sampled_from(EARLIER), max_size=1)))


def test_the_law() -> None:
    """Whoever gets a document shares a key with it. Keys, not only EVERYBODY, do find and tell apart."""
    seen: Counter[str] = Counter()

    @settings(max_examples=500, deadline=None)
    @given(chains(), st.lists(documents(), min_size=3, max_size=6), st.lists(clients(), min_size=2, max_size=4))
    def law(links: Chain, docs: list[Doc], asking: list[Client]) -> None:
        found = audience_of(links)
        if found is None:
            seen["without"] += 1
            return
        for doc in docs:
            keys = found.of(doc)
            for client in asking:
                gets, shares = _gets(links, doc, client), keys & found.held_by(client)
                assert shares or not gets, (links.links, doc, client, keys)
                told = EVERYBODY not in keys
                seen[f"{'gets' if gets else 'does not get'}, {'by keys' if told else 'by none'}"] += 1
                seen["spared"] += not shares

    law()
    assert seen["without"] > 10, seen
    assert seen["gets, by keys"] > 200, seen
    assert seen["spared"] > 200, seen


def test_what_does_not_depend_on_the_client_is_the_same_for_all() -> None:
    seen: Counter[bool] = Counter()

    @settings(max_examples=200, deadline=None)
    @given(
        st.one_of(chains(), st.lists(st.sampled_from(EARLIER), max_size=3).map(lambda filters: chain(*filters))),
        documents(),
        clients(),
        clients(),
    )
    def law(links: Chain, doc: Doc, one: Client, other: Client) -> None:
        same = _shown(links, doc, one) == _shown(links, doc, other)
        assert same or links.depends_on_client
        seen[links.depends_on_client] += 1

    law()
    assert min(seen[True], seen[False]) > 10, seen


def _shown(links: Chain, doc: Doc, client: Client) -> Doc | str | None:
    try:
        return links.shape(doc, client)
    except Withheld as error:
        return str(error)


def _gets(links: Chain, doc: Doc, client: Client) -> bool:
    return isinstance(_shown(links, doc, client), dict)
