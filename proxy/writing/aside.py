"""Plans, in turn with what others do; what may take long aside, in a thread.

Where many elements of an array were changed, what has become of which is found by comparing them with each other, and
whether a write depends on what is hidden by looking at each value: of a large document that takes seconds, and the
event loop would serve nobody meanwhile. So a large one is planned in a thread, if all filters of its profile may be
called there (`Filter.thread_safe`). There is one for all: two would leave the event loop less of the processor, and
whoever writes large documents waits for others who do. Who gives up while it waits is not planned for; a plan that has
begun goes on to its end, and so does the request that it is for, since what is planned is held as long.

To judge a document takes some ten times the memory that it is decoded to, and seconds for each megabyte of small
values. So what would take more than MOST is refused before: hardly a document of those that CouchDB takes.

Python lets one thread run at a time, for as long as it is told: the event loop has to wait that long whenever
something comes. So it is told to change more often than by default.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from functools import cache
from queue import SimpleQueue
from weakref import WeakKeyDictionary

from proxy.core import jsonio
from proxy.errors import Forbidden
from proxy.turns import Turn
from proxy.writing.plan import plan
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Outcome, Refuse, Rules
from proxy.writing.stored import Stored

LARGE = 4 * 1024
"""Bytes of JSON, sent and stored together, from which on planning may take longer than a turn."""
MOST = 128 * 1024 * 1024
"""Bytes of memory that a document that is sent may take, decoded, without its attachments."""
_SURELY_LESS = 1024 * 1024
"""Bytes of JSON that never take as much."""
TOO_MUCH = "the document is too large: decoded, it would take too much memory"
_TOGETHER = 256 * 1024
"""Bytes that are planned in the thread by one errand: each costs a tenth of a millisecond."""
_SWITCH = 0.0005
"""Seconds that a thread may run while others are waiting. The event loop answers ten times as many requests beside a
plan as by Python's default of ten times as long; without a plan nobody waits, and it makes no difference."""
_STACK = 64 * 1024 * 1024
"""Bytes, taken as they are used: what is nested deeply needs as much as on the process's own stack, or more."""


async def planned(pushed: Pushed, stored: Stored, rules: Rules) -> Outcome:
    """`plan`, while others are served if it may take long."""
    [outcome] = await plan_in_turns([(pushed, stored)], rules)
    return outcome


async def plan_in_turns(
    asked: Iterable[tuple[Pushed, Stored]], rules: Rules, turn: Turn | None = None
) -> list[Outcome]:
    """`planned` for each, in order, with others in between if it takes long. `turn`: one that has begun."""
    turn = turn or Turn()
    done: list[Outcome] = []
    aside, size = [], 0
    may_be_aside = _is_thread_safe(rules)
    for pushed, stored in asked:
        own = _size(pushed, stored)
        refused = own >= _SURELY_LESS and _is_too_much(pushed)
        if own >= LARGE and may_be_aside and not refused:
            aside.append((pushed, stored))
            size += own
            if size < _TOGETHER:
                continue
        if aside:
            done += await _in_thread(aside, rules)
            aside, size = [], 0
        if refused:
            done.append(Refuse(Forbidden(TOO_MUCH)))
        elif own < LARGE or not may_be_aside:
            done.append(plan(pushed, stored, rules))
        if turn.is_over():
            await turn.pass_on()
    return done + await _in_thread(aside, rules) if aside else done


async def _in_thread(asked: Sequence[tuple[Pushed, Stored]], rules: Rules) -> list[Outcome]:
    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        planning = asyncio.wrap_future(_planner().plan(asked, rules))
        try:
            return await asyncio.shield(planning)
        except asyncio.CancelledError:
            if not planning.done():
                await asyncio.wait([planning])
            raise
        finally:
            planning.cancel()  # without effect but at the process's end, which waits for nobody
            if not planning.cancelled():
                planning.exception()  # whoever asked may be gone


def _is_thread_safe(rules: Rules) -> bool:
    """Whether that goes for all filters: an edit may be read by former rules, too."""
    return rules.chain.thread_safe and all(cut.chain.thread_safe and cut.before.thread_safe for cut in rules.former)


def _is_too_much(pushed: Pushed) -> bool:
    body = {name: value for name, value in pushed.body.items() if name != "_attachments"}
    return jsonio.weight(jsonio.dumps(body)) > MOST


def _size(pushed: Pushed, stored: Stored) -> int:
    """Bytes of JSON, sent and stored; 0 for what is nested too deeply to be looked at for long."""
    try:
        return sum([len(jsonio.dumps(doc)) for doc in (pushed.body, *stored.leaves, *stored.bodies.values())])
    except ValueError:
        return 0


class _Planner:
    """The thread, begun when it is first needed. A process that ends does not wait for it."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Future[list[Outcome]], Sequence[tuple[Pushed, Stored]], Rules]] = SimpleQueue()
        sys.setswitchinterval(min(_SWITCH, sys.getswitchinterval()))
        before = threading.stack_size(_STACK)
        try:
            threading.Thread(target=self._work, name="plans", daemon=True).start()
        finally:
            threading.stack_size(before)

    def plan(self, asked: Sequence[tuple[Pushed, Stored]], rules: Rules) -> Future[list[Outcome]]:
        """The plans, once they are made."""
        planned: Future[list[Outcome]] = Future()
        planned.set_running_or_notify_cancel()
        self._asked.put((planned, asked, rules))
        return planned

    def _work(self) -> None:
        while True:
            self._plan_next()  # apart, so that nothing is held while there is nothing to do

    def _plan_next(self) -> None:
        planned, asked, rules = self._asked.get()
        try:
            planned.set_result([plan(pushed, stored, rules) for pushed, stored in asked])
        except BaseException as error:
            planned.set_exception(error)


_planner = cache(_Planner)
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
