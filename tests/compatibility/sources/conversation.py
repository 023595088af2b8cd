"""What is asked of the proxy in front of two sources, to compare the answers."""

from __future__ import annotations

from typing import Any

from tests.compatibility.sources import World

MINE = {"facility": "f1", "secret": "hush"}
REVS = {letter: letter * 32 for letter in "abcdef"}


def pushed(doc_id: str, path: str, **members: Any) -> dict[str, Any]:
    """A revision by its path, newest letter first."""
    revisions = {"start": len(path), "ids": [REVS[letter] for letter in path]}
    return {"_id": doc_id, "_rev": f"{len(path)}-{REVS[path[0]]}", "_revisions": revisions, **members}


TREES = [
    pushed("plain", "a", **MINE, n=1),
    pushed("conflict", "ba", **MINE, n=2),
    pushed("conflict", "ca", **MINE, n=3),
    pushed("deleted", "a", **MINE),
    pushed("deleted", "ba", _deleted=True),
    pushed("left", "a", **MINE),
    pushed("left", "ba", facility="f2", secret="hush"),
    pushed("others", "a", facility="f2", secret="hush"),
    pushed("ä/ö", "a", **MINE),
]


async def grow(site: World) -> None:
    for doc in TREES:  # one at a time: the bodies of ancestors are kept
        answer = await site.at_source("POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": [doc]})
        assert answer.status == 201


def without_sequences(value: Any) -> Any:
    """An answer without what differs from source to source, the leaves of a document in a fixed order."""
    if isinstance(value, list):
        items = [without_sequences(each) for each in value]
        return sorted(items, key=repr) if all(isinstance(each, dict) and "ok" in each for each in items) else items
    if isinstance(value, dict):
        differs = ("seq", "last_seq", "pending", "update_seq", "instance_start_time")
        return {name: without_sequences(each) for name, each in value.items() if name not in differs}
    return value


RUN = "the answers that clients get over the embedded endpoint: feeds, documents, `_bulk_get`, lists, writes"

IDS = [{"id": doc["_id"]} for doc in TREES]
EXACT = [{"id": doc["_id"], "rev": doc["_rev"]} for doc in TREES]
NOBODYS = [{"id": "nobody's"}, {"id": "plain", "rev": "7-" + "e" * 32}]

CONVERSATION: list[tuple[str, str, Any]] = [
    ("GET", "/_changes", None),
    ("GET", "/_changes?style=all_docs&include_docs=true&conflicts=true", None),
    ("GET", "/_changes?limit=2", None),
    ("POST", "/_changes?filter=_doc_ids", {"doc_ids": ["plain", "others", "left"]}),
    ("POST", "/_bulk_get?revs=true", {"docs": [*IDS, *NOBODYS]}),
    ("POST", "/_bulk_get?revs=true", {"docs": [*EXACT, *NOBODYS]}),
    ("POST", "/_bulk_get?revs=true&latest=true", {"docs": [*EXACT, *NOBODYS]}),
    ("GET", "/_all_docs?include_docs=true", None),
    ("POST", "/_all_docs", {"keys": ["plain", "others", "deleted", "nobody's"]}),
    ("POST", "/_find", {"selector": {"n": {"$gt": 1}}}),
    ("GET", "/plain?revs=true", None),
    ("GET", "/conflict?open_revs=all&revs=true", None),
    ("GET", "/others", None),
    ("GET", "/left?open_revs=all", None),
    ("POST", "/_revs_diff", {"plain": ["2-x", TREES[0]["_rev"]], "others": [TREES[-2]["_rev"]]}),
    ("POST", "/_bulk_docs", {"new_edits": False, "docs": [pushed("plain", "da", facility="f1", n=9)]}),
    ("GET", "/plain", None),
    ("PUT", "/new", {"facility": "f1"}),
    ("PUT", "/others", {"facility": "f1"}),
    ("PUT", "/_local/checkpoint", {"at": 1}),
    ("GET", "/_local/checkpoint", None),
    ("GET", "/_changes?since=%220%22", None),
]


async def hold(site: World) -> list[Any]:
    """The conversation's answers, and what it made of the documents."""
    await grow(site)
    answers = []
    for method, path, body in CONVERSATION:
        answer = await site.ask(method, f"/clinic-phone{path}", body)
        answers.append((method, path, answer.status, without_sequences(answer.json)))
    stored = await site.at_source("GET", "/clinic/_all_docs?include_docs=true")
    return [*answers, stored.json]
