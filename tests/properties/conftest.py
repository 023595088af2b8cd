"""A lab for all properties: an event loop with endpoint and proxy that lasts as long as a module's tests.

PROPERTY_EXAMPLES sets the number of examples for each property; with it, they are other ones each time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from proxy.feeds import follower
from proxy.writing import settle
from tests.properties.script import Script, play
from tests.properties.world import Lab, World, lab

_EXAMPLES = os.environ.get("PROPERTY_EXAMPLES")


def examples(usual: int) -> settings:
    """Settings for a property of which each example takes a while."""
    return settings(
        max_examples=int(_EXAMPLES or usual),
        derandomize=_EXAMPLES is None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


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


@contextmanager
def _stage(**options: Any) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        context = lab(**options)
        yield Stage(runner, runner.run(context.__aenter__()))
        runner.run(context.__aexit__(None, None, None))


@pytest.fixture(scope="module", params=["direct", "indexed"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Its feeds are read from the source, or from an index."""
    indexed = tmp_path_factory.mktemp("index") if request.param == "indexed" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follower, "_PAUSES", (0.01,))
        with _stage(indexed=indexed) as stage:
            yield stage


@pytest.fixture(scope="module")
def frail_stage() -> Iterator[Stage]:
    """Its source can be lost to the proxy."""
    with _stage(tapped=True) as stage:
        yield stage


@pytest.fixture(scope="module")
def without_pauses() -> Iterator[None]:
    """The proxy asks a source that it has lost again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle, "_PAUSES", (0.0, 0.0, 0.0))
        yield
