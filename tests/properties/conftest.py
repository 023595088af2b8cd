"""A lab for all properties: an event loop with endpoint and proxy that lasts as long as a module's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.properties.script import Script, play
from tests.properties.world import Lab, World, lab


class Stage:
    """Runs coroutines beside endpoint and proxy, from tests that are not coroutines themselves."""

    def __init__(self, runner: asyncio.Runner, lab: Lab) -> None:
        self._runner = runner
        self._lab = lab

    def play(self, script: Script) -> World:
        """Carry out a script. Raises Broken, Aborted."""
        return self._runner.run(play(self._lab, script))

    def run(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        """Tell a story in an empty world."""
        self._runner.run(self._tell(story))

    async def _tell(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        await story(await self._lab.world())


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        context = lab()
        yield Stage(runner, runner.run(context.__aenter__()))
        runner.run(context.__aexit__(None, None, None))
