"""Random edits on two databases that replicate with each other: both must end up with the same documents."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import jsonio
from proxy.endpoint.database import Database, Document
from proxy.endpoint.server import Server
from proxy.errors import Conflict, NotFound

STEPS = st.lists(
    st.sampled_from(["edit left", "edit right", "pull", "push", "compact left", "compact right"]), max_size=25
)


async def replicate(source: Database, target: Database) -> None:
    """What a replicator does, from the start."""
    leaves = {change.id: list(change.leaves) for change in source.changes()}
    docs: list[Any] = []
    for doc_id, diff in target.revs_diff(leaves).items():
        for document in source.open_revs(doc_id, diff["missing"], revs=True):
            assert isinstance(document, Document)
            docs.append(jsonio.loads(document.json()))
    results = await target.bulk_docs(docs, new_edits=False)
    assert all(result.error is None for result in results)


async def edit(database: Database, chance: random.Random) -> None:
    """Create, edit, delete or create again; sometimes on a losing leaf."""
    doc_id = chance.choice("ab")
    doc: dict[str, Any] = {"n": chance.randrange(3)}
    leaves = [one.rev for one in database.open_revs(doc_id, None) if isinstance(one, Document)]
    if leaves:
        doc["_rev"] = chance.choice(leaves)
        doc["_deleted"] = chance.random() < 0.3
        try:
            database.get(doc_id)
        except NotFound:
            doc = {"n": doc["n"]}
    try:
        await database.put(doc_id, doc)
    except Conflict:
        assert "_rev" in doc


def state(database: Database) -> dict[str, Any]:
    found = {}
    for change in database.changes(include_docs=True):
        bodies = {one.rev: one.body for one in database.open_revs(change.id, None) if isinstance(one, Document)}
        found[change.id] = (change.rev, change.deleted, change.leaves, bodies)
    return found


@settings(max_examples=100, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
async def test_replicas_converge(steps: list[str], chance: random.Random) -> None:
    server = Server(None)
    left, right = await server.create("left"), await server.create("right")
    for step in steps:
        if step.startswith("edit"):
            await edit(left if step == "edit left" else right, chance)
        elif step.startswith("compact"):
            await (left if step == "compact left" else right).compact()
        else:
            await (replicate(left, right) if step == "push" else replicate(right, left))
    await replicate(left, right)
    await replicate(right, left)
    assert state(left) == state(right)
    assert (left.doc_count, len(state(left))) == (right.doc_count, len(state(right)))
    before = left.update_seq, right.update_seq
    await replicate(left, right)
    await replicate(right, left)
    assert (left.update_seq, right.update_seq) == before
    await server.close()


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers())
async def test_memory_and_sqlite_behave_alike(tmp_path_factory: Any, steps: list[str], seed: int) -> None:
    states = []
    for directory in (None, tmp_path_factory.mktemp("data")):
        server = Server(directory)
        database, chance = await server.create("db"), random.Random(seed)
        await database.set_revs_limit(3)
        for step in steps:
            await (database.compact() if step.startswith("compact") else edit(database, chance))
        states.append((state(database), database.update_seq, database.doc_count))
        await server.close()
    assert states[0] == states[1]
