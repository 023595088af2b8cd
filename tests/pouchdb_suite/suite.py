"""PouchDB's own integration suite, run by mocha from a checkout of PouchDB that somebody has made and built."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.sources import ADMIN

HERE = Path(__file__).parent
GO_ON = HERE / "go_on.js"
THROUGH_PROXY = HERE / "through_proxy.js"

_DOWN_PORT = 3010
"""Where the suite expects a server that answers 500 to everything: its own `bin/down-server.js`."""
_WITHOUT_SERVER = "test.close.js"
"""Asks no server at all; its PouchDBs race for the lock of one LevelDB, and some of its tests fail now and then."""
_TIMEOUT = 60_000
"""Milliseconds that one of its tests may take, on a busy machine; 5000 by default."""


@dataclass
class Outcome:
    """What became of each test, by its full title; `failed` says why. `ended` is False if mocha broke off."""

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    def __str__(self) -> str:
        lines = [f"{len(self.passed)} passed, {len(self.failed)} failed{'' if self.ended else ', broken off'}"]
        return "\n".join(lines + [f"{title}: {error}" for title, error in self.failed.items()])


class Suite:
    """`checkout` is PouchDB's repository after `npm install --ignore-scripts` and `npm run build-node`."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout

    def run(
        self,
        url: str,
        titles: Collection[str],
        *,
        only: bool,
        requires: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run it against the server at `url`: `only` the tests with these full titles, or all but them.

        `requires`: modules that mocha loads after PouchDB's own set-up.
        """
        host = url.replace("http://", f"http://{':'.join(ADMIN)}@")
        pattern = "^(?:" + "|".join(map(re.escape, sorted(titles))) + ")$"
        setup = [self._checkout / "tests/integration/node.setup.js", *requires]
        tests = self._checkout.glob("tests/integration/test.*.js")
        command = [
            *("node", "node_modules/.bin/mocha", "--exit", "--timeout", str(_TIMEOUT), "--reporter", "json-stream"),
            *(f"--require={path}" for path in setup),
            *("--grep", pattern, *([] if only else ["--invert"])),
            *(str(path) for path in sorted(tests) if path.name != _WITHOUT_SERVER),
        ]
        with self._down_server():
            done = subprocess.run(
                command,
                cwd=self._checkout,
                env={**os.environ, **(env or {}), "COUCH_HOST": host},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        outcome = _read(done.stdout)
        assert outcome.ended or outcome.failed, f"mocha did not run:\n{done.stdout[-8000:]}"
        return outcome

    @contextmanager
    def _down_server(self) -> Iterator[None]:
        command = ["node", "bin/down-server.js", str(_DOWN_PORT)]
        with subprocess.Popen(
            command, cwd=self._checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as server:
            try:
                assert server.stdout is not None
                first = server.stdout.readline()
                assert "listening" in first, f"{command} did not start: {first}{server.stdout.read()}"
                yield
            finally:
                server.kill()


def _read(output: str) -> Outcome:
    """What mocha's `json-stream` reporter says, a line for each event, between what tests print."""
    outcome = Outcome()
    for line in output.splitlines():
        if not line.startswith('["'):
            continue
        try:
            [event, told] = json.loads(line)
        except ValueError:
            continue
        if event == "pass":
            outcome.passed.add(told["fullTitle"])
        elif event == "fail":
            outcome.failed[told["fullTitle"]] = str(told["err"]).partition("\n")[0]
        elif event == "end":
            outcome.ended = True
    outcome.passed -= outcome.failed.keys()
    return outcome
