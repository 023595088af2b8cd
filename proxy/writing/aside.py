"""Plans, in turn with what others do; what may take long aside, in a thread.

Where many elements of an array were changed, what has become of which is found by comparing them with each other, and
whether a write depends on what is hidden by looking at each value: of a large document that takes seconds, and the
event loop would serve nobody meanwhile. So a large one is planned in a thread, if all filters of its profile may be
called there (`Filter.thread_safe`). There is one for all: two would leave the event loop less of the processor, and
whoever writes large documents waits for others who do.

Python lets one thread run at a time, for as long as it is told: the event loop has to wait that long whenever
something comes. So it is told to change more often than by default.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from proxy.core import jsonio
from proxy.turns import Turn
from proxy.writing.plan import plan
from proxy.writing.pushed import Pushed
from proxy.writing.rules import Outcome, Rules
from proxy.writing.stored import Stored

LARGE = 16 * 1024
"""Bytes of JSON, sent and stored together, from which on planning may take longer than a turn."""
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
    for pushed, stored in asked:
        if _is_thread_safe(rules) and _is_large(pushed, stored):
            done.append(await _in_thread(pushed, stored, rules))
        else:
            done.append(plan(pushed, stored, rules))
        if turn.is_over():
            await turn.pass_on()
    return done


async def _in_thread(pushed: Pushed, stored: Stored, rules: Rules) -> Outcome:
    return await asyncio.get_running_loop().run_in_executor(_thread(), plan, pushed, stored, rules)


def _is_thread_safe(rules: Rules) -> bool:
    """Whether that goes for all filters: an edit may be read by former rules, too."""
    return rules.chain.thread_safe and all(cut.chain.thread_safe and cut.before.thread_safe for cut in rules.former)


def _is_large(pushed: Pushed, stored: Stored) -> bool:
    size = 0
    for doc in (pushed.body, *stored.leaves, *stored.bodies.values()):
        try:
            size += len(jsonio.dumps(doc))
        except ValueError:  # nested too deeply to be looked at for long
            return False
        if size >= LARGE:
            return True
    return False


@cache
def _thread() -> ThreadPoolExecutor:
    """The thread, begun when it is first needed."""
    sys.setswitchinterval(min(_SWITCH, sys.getswitchinterval()))
    before = threading.stack_size(_STACK)
    try:
        pool = ThreadPoolExecutor(1, "plans")
        pool.submit(int).result()
    finally:
        threading.stack_size(before)
    return pool
