"""Filters that could be loaded, and could not be meant."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest

from proxy.config.soundness import class_fault, fault
from proxy.contract import Client, Doc, Filter
from tests.config.conftest import Loader
from tests.config.test_mistakes import GOOD, mistakes
from tests.config.test_modules import module

USE = GOOD + 'filters = [{ use = "rules:Keep" }]\n'
SHAPE = "def shape(self, doc, client): return doc"
NOTHING = "does nothing: it has no shape(), and documents would be shown whole"
OTHERS = "is called with other arguments; write"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", NOTHING),
        ("def shap(self, doc, client): return None", f'{NOTHING}; it has shap(); did you mean "shape"?'),
        ("def describe_audience(self): return 'all'", NOTHING),
        ("def depends_on_client(self): return False", NOTHING),
        ("def shape(self, doc): return doc",
         f"is not a filter: shape() {OTHERS} (self, doc, client), not (self, doc)"),
        ("def shape(self, doc, client, more): return doc",
         f"is not a filter: shape() {OTHERS} (self, doc, client), not (self, doc, client, more)"),
        ("def shape(doc, client): return doc", f"is not a filter: shape() {OTHERS} (self, doc, client), "
         "not (doc, client)"),
        ("def shape(self, doc: dict, *, client) -> dict: return doc",
         f"is not a filter: shape() {OTHERS} (self, doc, client), not (self, doc, *, client)"),
        (f"{SHAPE}\n    def restore(self, edited, original): return edited",
         f"is not a filter: restore() {OTHERS} (self, edited, original, client), not (self, edited, original)"),
        (f"{SHAPE}\n    by_fields = True", "is not a filter: by_fields must be a method; write def by_fields(self)"),
        (f'{SHAPE}\n    passes_all = "yes"', "says passes_all = 'yes'; it must be True or False"),
        (f"{SHAPE}\n    pure = 1", "says pure = 1; it must be True or False"),
        (f"{SHAPE}\n    thread_safe = 'yes'", "says thread_safe = 'yes'; it must be True or False"),
        (f"{SHAPE}\n    sews = 1", "says sews = 1; it must be True or False"),
        (f"{SHAPE}\n    declares_audience = True",
         "says declares_audience = True, and has no audience(); write def audience(self, doc)"),
        (f"{SHAPE}\n    declares_audience = True\n    def audience(self, doc): return ()",
         "says declares_audience = True, and has no client_keys(); write def client_keys(self, client)"),
        (f"{SHAPE}\n    def audience_fields(self): return 3",
         'returns 3 from audience_fields(); it must be strings, as ["name"]'),
        (f"{SHAPE}\n    def sets_fields(self): return 'owner'",
         "returns 'owner' from sets_fields(); it must be strings, as [\"name\"]"),
        (f"{SHAPE}\n    def depends_on_client(self): pass",
         "returns None from depends_on_client(); it must be True or False"),
        (f"{SHAPE}\n    def origins(self): return {{'a': 'b'}}",
         "returns {'a': 'b'} from origins(); it must be strings by name, as {\"name\": [\"first\", \"last\"]}"),
    ],
)  # fmt: skip
def test_what_is_not_meant(load_text: Loader, body: str, message: str) -> None:
    module(f"from proxy.contract import Filter\nclass Keep(Filter):\n    {body}\n")
    assert mistakes(load_text, USE) == [f'clinic.toml:9: profiles.phone.filters[0].use: "rules:Keep" {message}']


class Keeps(Filter):
    def audience_fields(self) -> list[str]:
        return ["ward"]


class Refuses(Filter):
    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return edited


class Chooses(Filter):
    def __init__(self) -> None:
        self.shape = self._given  # type: ignore[method-assign]

    def _given(self, doc: Doc, client: Client) -> Doc:
        return doc


class Derived(Chooses):
    pass


class Other(Filter):
    @staticmethod
    def shape(document: Doc, who: Client, more: int = 0) -> Doc:
        return document

    @classmethod
    def restore(cls, *args: Any) -> Doc:
        doc: Doc = args[0]
        return doc


def counted(method: Any) -> Any:
    @wraps(method)
    def called(self: Filter, doc: Doc, client: Client) -> Any:
        return method(self, doc, client, 1)

    return called


class Decorated(Filter):
    @counted
    def shape(self, doc: Doc, client: Client, count: int) -> Doc:
        return doc


@pytest.mark.parametrize("cls", [Keeps, Refuses, Chooses, Derived, Other, Decorated])
def test_what_is_unusual_and_right(cls: type[Filter]) -> None:
    assert class_fault(cls) is None
    assert fault(cls()) is None
