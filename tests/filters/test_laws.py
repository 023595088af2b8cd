"""Every built-in filter against the lens laws."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from filters.attachments import Attachments
from filters.audience import Audience
from filters.compute import Compute
from filters.default import Default
from filters.drop import Drop
from filters.keep import Keep
from filters.project import Project
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.stamp import Stamp
from filters.testing import assert_lens_laws
from filters.truncate import Truncate
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter, Refused
from proxy.core import cutting
from tests.filters.samples import ANN, SAMPLES

PRIVATE = ["private"]
KEY = "sixteen characters or more"

CASES: list[tuple[Filter, list[str]]] = [
    (Drop(paths=["ssn"]), []),
    (Drop(paths=["ssn", "address.geo", "notes[?private]", "contacts.secret", "odd.key"]), PRIVATE),
    (Drop(paths=["notes[?by!=client.name].text", "*.street", "tags[]"]), ["by"]),
    (Keep(paths=["type", "address.city", "notes[].text", "contacts[?phone=='2']"]), ["phone"]),
    (Keep(paths=["*.geo.lat", "notes[?!private]", "contacts.id"]), PRIVATE),
    (Rename(fields={"ssn": "number", "facility": "owner", "owner": "facility"}), []),
    (Rename(fields={"name": "type"}), []),
    (Redact(paths=["ssn", "contacts.secret", "address.geo"]), []),
    (Redact(paths=["ssn", "contacts[].phone"], mode="hash", key=KEY), []),
    (Redact(paths=["ssn", "contacts[].phone"], mode="partial", keep=2, writable=True), []),
    (Truncate(paths=["notes", "tags", "name", "ssn"], items=2, chars=5), []),
    (Truncate(paths=["notes", "tags", "notes[].text", "name"], items=1, chars=4, end="last"), []),
    (Default(fields={"status": "open", "visits": 0, "ratio": {"a": []}}), []),
    (Compute(fields={"greeting": "join(' ', ['Hello', name])", "owner": "client.name", "n": "length(notes)"}), []),
    (Compute(fields={"n": "length(notes)", "visits": "visits"}), []),
    (Project(body="{kind: type, city: address.city, lat: address.geo.lat, n: length(to_string(notes))}"), []),
    (Attachments(allow=["image/*"]), []),
    (Attachments(max_size=100), []),
    (Select(where="facility == client.facility"), []),
    (Select(where="(type == 'patient' || facility == client.facility) && contains(client.roles, 'nurse')"), []),
    (Audience(keys=["facility"], client=["facility"]), ["facility"]),
    (Audience(keys={"facility": "facility", "user": "owner"}, client={"user": "name"}), ["facility", "owner"]),
    (Stamp(fields={"owner": "client.name"}), []),
    (Stamp(fields={"owner": "client.name", "seen": "client.facility"}, when="write", claims="refuse"), []),
    (Validate(where="_deleted || facility == old.facility"), []),
]


@pytest.mark.parametrize(("filter_", "fixed"), CASES, ids=[type(f).__name__ for f, _ in CASES])
def test_laws(filter_: Filter, fixed: list[str]) -> None:
    assert_lens_laws(filter_, SAMPLES, client=ANN, fixed=fixed, examples=60)


def test_explicit_edits_are_tried() -> None:
    tried: list[Doc] = []

    def edit(doc: Doc) -> Doc:
        tried.append(dict(doc))
        doc["name"] = "new"
        return doc

    assert_lens_laws(Drop(paths=["ssn"]), SAMPLES, edits=[edit], examples=1)
    assert len(tried) == len(SAMPLES)
    assert all("ssn" not in doc for doc in tried)


class Forgets(Filter):
    """Drops what the client changes."""

    def restore(self, edited: Doc, original: Doc | None, client: Any) -> Doc:
        return original or edited


class Loses(Filter):
    """Loses what it hides."""

    def shape(self, doc: Doc, client: Any) -> Doc:
        return {name: value for name, value in doc.items() if name != "ssn"}

    def restore(self, edited: Doc, original: Doc | None, client: Any) -> Doc:
        return edited


class Mutates(Filter):
    def shape(self, doc: Doc, client: Any) -> Doc:
        doc.pop("ssn", None)
        return doc


class Boasts(Filter):
    passes_all = True

    def shape(self, doc: Doc, client: Any) -> Doc | None:
        return doc if "ssn" in doc else None


class Misleads(Filter):
    """Tells of documents by a key that their readers do not hold."""

    declares_audience = True

    def shape(self, doc: Doc, client: Any) -> Doc | None:
        return doc if doc.get("name") == "Ann" or client.name == "ann" else None

    def audience(self, doc: Doc) -> list[str] | None:
        return ["ann"] if "ssn" in doc else None

    def client_keys(self, client: Any) -> list[str]:
        return [str(client.name)]


class Favours(Filter):
    def shape(self, doc: Doc, client: Any) -> Doc:
        return doc if client.name else {**doc, "name": "?"}

    def depends_on_client(self) -> bool:
        return False


class LosesWhenEdited(Loses):
    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return original if original and self.shape(original, client) == edited else edited


class LosesWhenInserted(Filter):
    """Hides a member of elements, and finds it again by position."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {**doc, "l": [{"t": each["t"]} for each in doc["l"]]} if "l" in doc else doc

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        before = (original or {}).get("l", [])
        if not before or len(before) != len(edited.get("l", [])):
            return edited
        return {**edited, "l": [{**old, **new} for old, new in zip(before, edited["l"], strict=True)]}


class Grows(Filter):
    """Adds to what it is sent."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {**doc, "name": str(doc.get("name", "")).rstrip("!")}

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        count = str((original or {}).get("name", "")).count("!") + (edited.get("name") != (original or {}).get("name"))
        return {**edited, "name": edited.get("name", "") + "!" * count} if "name" in edited else edited


class CannotCreate(Loses):
    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return {**edited, "ssn": original["ssn"]}  # type: ignore[index]


class ForgetsDeletion(Filter):
    def shape(self, doc: Doc, client: Client) -> Doc:
        return {name: doc[name] for name in ("_id", "_rev", "name") if name in doc}


class MakesUp(Filter):
    def shape(self, doc: Doc, client: Client) -> Doc:
        return {**doc, "_secret": 1}


class Hides(Filter):
    def shape(self, doc: Doc, client: Any) -> Doc | None:
        return None


ANN_DOC: Doc = {"_id": "p", "_rev": "1-a", "name": "Ann", "ssn": "1", "l": [{"t": "a", "h": 1}, {"t": "b", "h": 2}]}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Forgets(), "PutGet: the client does not read back what it wrote, at"),
        (Loses(), "GetPut: untouched, but changed ssn"),
        (Mutates(), "shape changed the document that it was given"),
        (Boasts(), "passes_all, but withholds"),
        (
            Misleads(),
            "Client(name=None, roles=frozenset(), profile='', device=mappingproxy({})) is shown a document, but",
        ),
        (Favours(), "does not depend on the client, but shows [Client(name=None"),
        (Hides(), "the client gets none of the samples"),
        (ForgetsDeletion(), "shape changes or drops _deleted"),
        (MakesUp(), "shape makes up _secret"),
        (
            LosesWhenEdited(),
            "hidden values are lost: after an edit that was taken back, there is something else at ssn",
        ),
        (
            LosesWhenInserted(),
            "hidden values are lost: after an edit that was taken back, there is something else at l",
        ),
        (CannotCreate(), "restore raises TypeError"),
        (Compute(fields={"n": "name"}, writes="refuse"), "goes on with what was accepted before"),
        (Grows(), "sent twice, and stored differently, at name"),
    ],
)
def test_broken_filters_are_found(broken: Filter, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_lens_laws(broken, [deepcopy(ANN_DOC), {"_id": "q", "name": "Bob"}])
    assert message in str(caught.value)


@pytest.mark.parametrize("filter_", [filter_ for filter_, _ in CASES], ids=[type(f).__name__ for f, _ in CASES])
def test_nothing_is_compiled_for_a_document(filter_: Filter, monkeypatch: pytest.MonkeyPatch) -> None:
    def restore() -> None:
        for doc in SAMPLES:
            shaped = filter_.shape(doc, ANN)
            if shaped is not None:
                filter_.restore(deepcopy(shaped), doc, ANN)

    restore()
    monkeypatch.setattr(cutting, "define", None)
    restore()


def test_a_filter_that_refuses_every_edit_is_told_of() -> None:
    class Refuses(Loses):
        def restore(self, edited: Doc, original: Doc | None, client: Any) -> Doc:
            if original is not None and {**edited, "ssn": 1} == {**original, "ssn": 1}:
                return original
            raise Refused("no")

    with pytest.warns(UserWarning, match="Refuses refused every edit"):
        assert_lens_laws(Refuses(), [ANN_DOC], examples=1)
