"""A large document is planned while others are served, if its filters may be called in a thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from filters.drop import Drop
from proxy.contract import Client, Doc, Filter
from proxy.core import jsonio
from proxy.core.cut import Cut
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Link
from proxy.writing import aside
from proxy.writing.aside import LARGE, MOST, TOO_MUCH, plan_in_turns, planned
from proxy.writing.plan import plan
from proxy.writing.pushed import Pushed, read_pushed
from proxy.writing.rules import Refuse, Rules, Send
from proxy.writing.stored import Stored
from tests.support.inprocess import Site, profile, site

LONG = "x" * LARGE


class Noting(Filter):
    """Notes in which thread it is asked, and waits in another than the main one until it may go on."""

    pure = True
    thread_safe = True

    def __init__(self) -> None:
        self.in_main: list[bool] = []
        self.working = self.most = 0
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def shape(self, doc: Doc, client: Client) -> Doc:
        is_main = threading.current_thread() is threading.main_thread()
        self.in_main.append(is_main)
        if not is_main:
            self.working += 1
            self.most = max(self.most, self.working)
            self.asked.set()
            self.go.wait()
            self.working -= 1
        return {name: value for name, value in doc.items() if name != "ssn"}


class Careful(Noting):
    """As it was written for one thread."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        return super().shape(doc, client)


def rules_of(*filters: Filter) -> Rules:
    chain = Chain([Link(f"filters[{number}]", filter_) for number, filter_ in enumerate(filters)])
    return Rules(chain, Client("ann"), Grafts(b"0" * 32))


def edit(doc_id: str, **body: Any) -> tuple[Pushed, Stored]:
    """An edit of a document that has a hidden field besides."""
    leaf = {"_id": doc_id, "_rev": "1-a", "_revisions": {"start": 1, "ids": ["a"]}, **body, "ssn": "123"}
    return read_pushed({"_id": doc_id, "_rev": "1-a", **body, "done": True}, True), Stored([leaf])


async def test_what_is_large_is_planned_in_a_thread() -> None:
    noting = Noting()
    pushed, stored = edit("d", text=LONG)
    outcome = await planned(pushed, stored, rules_of(noting))
    assert isinstance(outcome, Send)
    assert (outcome.doc["ssn"], outcome.doc["done"]) == ("123", True)
    assert noting.in_main
    assert not any(noting.in_main)


@pytest.mark.parametrize(
    ("filters", "text"),
    [([Noting()], "short"), ([Careful()], LONG), ([Noting(), Careful()], LONG)],
    ids=["small", "promising nothing", "one promising nothing"],
)
async def test_all_else_is_planned_at_once(filters: list[Noting], text: str) -> None:
    pushed, stored = edit("d", text=text)
    await planned(pushed, stored, rules_of(*filters))
    for filter_ in filters:
        assert filter_.in_main
        assert all(filter_.in_main)


async def test_conflicts_count_together() -> None:
    """None of them is large; a document beside all of them is judged by each."""
    leaves = [{"_id": "d", "_rev": f"1-{n}", "_revisions": {"start": 1, "ids": [str(n)]}, "t": "x" * 999} for n in "ab"]
    pushed = read_pushed({"_id": "d", "_rev": "1-a", "t": "y"}, True)
    for count, in_main_thread in ((2, True), (LARGE // 999 + 1, False)):
        noting = Noting()
        await planned(pushed, Stored((leaves * count)[:count]), rules_of(noting))
        assert set(noting.in_main) == {in_main_thread}


async def test_an_ancestor_that_is_edited_counts_as_well() -> None:
    """The leaf may be small: what was there before it may not."""
    path = {"_revisions": {"start": 2, "ids": ["b", "a"]}}
    leaf = {"_id": "d", "_rev": "2-b", **path}
    stored = Stored([leaf], {"1-a": {"_id": "d", "_rev": "1-a", "text": LONG}})
    sent = {"_id": "d", "_rev": "2-c", "_revisions": {"start": 2, "ids": ["c", "a"]}, "t": "y"}
    noting = Noting()
    await planned(read_pushed(sent, False), stored, rules_of(noting))
    assert set(noting.in_main) == {False}


@pytest.mark.parametrize("whole", [False, True], ids=["cut", "whole former rules"])
async def test_filters_of_former_rules_have_to_promise_it_too(whole: bool) -> None:
    """An edit is read by these as well."""
    former = Careful()
    chain = rules_of(former).chain
    cut = Cut(Chain(), Client("ann"), before=chain) if whole else Cut(chain, Client("ann"))
    noting = Noting()
    pushed, stored = edit("d", text=LONG)
    await planned(pushed, stored, replace(rules_of(noting), former=[cut]))
    assert noting.in_main
    assert all(noting.in_main + former.in_main)


async def test_there_is_one_thread_for_all() -> None:
    noting = Noting()
    rules = rules_of(noting)
    await asyncio.gather(*(planned(*edit(f"d{number}", text=LONG), rules) for number in range(8)))
    assert len(noting.in_main) >= 8
    assert noting.most == 1


@pytest.mark.parametrize("together", [1, 4 * LARGE, 1000 * LARGE])
async def test_outcomes_are_in_order(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "_TOGETHER", together)
    asked = [edit(f"d{number}", text=LONG if number % 3 or number > 5 else "") for number in range(10)]
    outcomes = await plan_in_turns(asked, rules_of(Noting()))
    assert outcomes == [plan(*each, rules_of(Noting())) for each in asked]
    assert [outcome.doc["_id"] for outcome in outcomes if isinstance(outcome, Send)] == [f"d{n}" for n in range(10)]


@pytest.mark.parametrize("careful", [False, True])
async def test_what_would_take_too_much_memory_is_refused(careful: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent, without its attachments; the others of the batch are judged."""
    monkeypatch.setattr(aside, "MOST", 60 * LARGE)
    monkeypatch.setattr(aside, "_SURELY_LESS", LARGE)
    noting = Careful() if careful else Noting()
    attachment = {"a": {"content_type": "image/png", "data": "A" * 100 * LARGE}}
    asked = [
        edit("lists", m=[[]] * LARGE),
        edit("text", text="x" * 20 * LARGE),
        edit("photo", _attachments=attachment),
        edit("small"),
    ]
    outcomes = await plan_in_turns(asked, rules_of(noting))
    assert [isinstance(outcome, Send) for outcome in outcomes] == [False, True, True, True]
    refused = outcomes[0]
    assert isinstance(refused, Refuse)
    assert (refused.error.status, refused.error.reason) == (403, TOO_MUCH)


def test_the_bound_for_looking_is_low_enough() -> None:
    lists = b"[" + b",".join([b"[]"] * (aside._SURELY_LESS // 3)) + b"]"
    objects = b"[" + b",".join([b"{}"] * (aside._SURELY_LESS // 3)) + b"]"
    assert max(jsonio.weight(lists), jsonio.weight(objects)) < MOST


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_who_gives_up_while_it_waits_is_not_planned_for() -> None:
    noting, waiting = Noting(), Noting()
    noting.go.clear()
    first = asyncio.ensure_future(planned(*edit("d1", text=LONG), rules_of(noting)))
    await until(noting.asked.is_set)
    second = asyncio.ensure_future(planned(*edit("d2", text=LONG), rules_of(waiting)))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait([second])
    noting.go.set()
    assert isinstance(await first, Send)
    assert isinstance(await planned(*edit("d3", text=LONG), rules_of(noting)), Send)
    assert second.cancelled()
    assert waiting.in_main == []


async def test_who_gives_up_while_it_is_planned_for_is_there_until_the_end() -> None:
    """So is its document, and the place that it has in memory."""
    noting = Noting()
    noting.go.clear()
    giving_up = asyncio.ensure_future(planned(*edit("d", text=LONG), rules_of(noting)))
    await until(noting.asked.is_set)
    giving_up.cancel()
    await asyncio.sleep(0.05)
    assert not giving_up.done()
    noting.go.set()
    await asyncio.wait([giving_up])
    assert giving_up.cancelled()


ENDS = """
import asyncio, sys, time
from proxy.contract import Client, Filter
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Link
from proxy.loop import run_loop
from proxy.writing.aside import planned
from proxy.writing.pushed import read_pushed
from proxy.writing.rules import Rules
from proxy.writing.stored import Stored

class Slow(Filter):
    pure = thread_safe = True

    def shape(self, doc, client):
        print("begun", flush=True)
        time.sleep(600)

async def work():
    rules = Rules(Chain([Link("slow", Slow())]), Client("ann"), Grafts(b"0" * 32))
    planning = asyncio.ensure_future(planned(read_pushed({"_id": "d", "text": "x" * 9999}, True), Stored(()), rules))
    await asyncio.sleep(0.5)
    planning.cancel()  # as the server does with what is not answered in time
    await asyncio.sleep(0.1)

run_loop(work())
"""


def test_a_process_that_ends_waits_for_no_plan() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "begun\n", "")


async def test_what_goes_wrong_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(aside, "plan", broken)
    with pytest.raises(ZeroDivisionError):
        await planned(*edit("d", text=LONG), rules_of(Noting()))


async def test_it_may_be_nested_deeply() -> None:
    """As deeply as clients may nest it: the thread's own stack has room for what is judged level by level."""
    nested: Any = LONG
    for _ in range(990):
        nested = [nested]
    outcome = await planned(*edit("d", nested=nested), rules_of(Drop(paths=["ssn"])))
    assert isinstance(outcome, Send)
    assert outcome.doc["ssn"] == "123"


async def test_what_is_too_deep_to_be_looked_at_is_planned_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    in_main: list[bool] = []
    monkeypatch.setattr(aside, "plan", lambda *_: in_main.append(threading.current_thread() is threading.main_thread()))
    nested: Any = LONG
    for _ in range(3 * sys.getrecursionlimit()):
        nested = [nested]
    stored = Stored([{"_id": "d", "_rev": "1-a", "nested": nested}])
    await planned(read_pushed({"_id": "d"}, True), stored, rules_of(Noting()))
    assert in_main == [True]


Write = Callable[[Site], Awaitable[int]]


async def _put(at: Site) -> int:
    return (await at.ask("PUT", "/clinic-p/large", {"_rev": await rev_of(at), "text": LONG, "done": True})).status


async def _bulk(at: Site) -> int:
    doc = {"_id": "large", "_rev": await rev_of(at), "text": LONG, "done": True}
    return (await at.ask("POST", "/clinic-p/_bulk_docs", {"docs": [doc, {"_id": "other"}]})).status


async def _push(at: Site) -> int:
    """As replicators do: what `_revs_diff` has found is not looked up again."""
    parent = await rev_of(at)
    digest = parent.partition("-")[2]
    await at.ask("POST", "/clinic-p/_revs_diff", {"large": ["2-b"]})
    path = {"_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", digest]}}
    doc = {"_id": "large", **path, "text": LONG, "done": True}
    return (await at.ask("POST", "/clinic-p/_bulk_docs", {"docs": [doc], "new_edits": False})).status


async def _delete(at: Site) -> int:
    return (await at.ask("DELETE", f"/clinic-p/large?rev={await rev_of(at)}")).status


async def _attach(at: Site) -> int:
    path = f"/clinic-p/large/a.txt?rev={await rev_of(at)}"
    return (await at.ask("PUT", path, data=b"hello", headers={"Content-Type": "text/plain"})).status


async def _detach(at: Site) -> int:
    return (await at.ask("DELETE", f"/clinic-p/large/photo?rev={await rev_of(at)}")).status


async def rev_of(at: Site) -> str:
    rev: str = (await at.at_source("GET", "/clinic/large")).json["_rev"]
    return rev


@asynccontextmanager
async def large(noting: Noting) -> AsyncIterator[Site]:
    async with site(profile("p", noting)) as at:
        photo = {"content_type": "image/png", "data": "AAAA"}
        await at.put({"_id": "large", "text": LONG, "ssn": "123", "_attachments": {"photo": photo}})
        await at.put({"_id": "small"})
        yield at


async def begun(noting: Noting, write: Awaitable[int]) -> asyncio.Future[int]:
    """A write that is being planned, and goes on when it may."""
    noting.asked.clear()
    noting.go.clear()
    writing = asyncio.ensure_future(write)
    while not (noting.asked.is_set() or writing.done()):
        await asyncio.sleep(0.01)
    return writing


@pytest.mark.parametrize("write", [_put, _bulk, _push, _delete, _attach, _detach])
async def test_others_are_served_meanwhile(write: Write) -> None:
    noting = Noting()
    async with large(noting) as at:
        writing = await begun(noting, write(at))
        assert not writing.done()
        assert (await at.ask("GET", "/clinic-p/_local/x")).status == 404  # of which no filter is asked
        assert not writing.done()
        noting.go.set()
        assert await writing in (200, 201)
        stored = (await at.at_source("GET", "/clinic/large")).json
        assert stored.get("ssn", "123") == "123"


async def test_who_hangs_up_leaves_the_thread_to_others() -> None:
    noting = Noting()
    async with large(noting) as at:
        writing = await begun(noting, _put(at))
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        noting.go.set()
        assert await _put(at) == 201
