"""PouchDB 9 on devices: a Node process that holds many of them, and a Python face for each."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

CLIENTS = Path(__file__).parents[1] / "clients"
PATIENCE = 30_000
"""Milliseconds after which waiting for something that does not come fails the test."""

Doc = dict[str, Any]


class DeviceError(Exception):
    """PouchDB's own error. `status`, `name` and `reason` are PouchDB's, where it gave some."""

    def __init__(self, op: str, error: dict[str, Any]) -> None:
        super().__init__(f"{op}: {error}")
        self.status = error.get("status")
        self.name = error.get("name")
        self.reason = error.get("reason")


class DeviceHost:
    """The Node process. Several requests may be under way: `submit` sends one, `result` waits for its answer."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(CLIENTS / "device.js")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CLIENTS
        )
        self._numbers = itertools.count()
        self._answers: dict[int, dict[str, Any]] = {}
        self._ops: dict[int, str] = {}
        self._names = itertools.count()

    def device(self, directory: Path | None = None) -> Device:
        """A new, empty device; with a directory it keeps its data there (LevelDB), otherwise in memory."""
        name = f"device-{next(self._names)}"
        place = {"adapter": "leveldb", "directory": str(directory)} if directory else {"adapter": "memory"}
        self.call(name, "open", place)
        return Device(self, name)

    def call(self, device: str, op: str, *args: Any) -> Any:
        """Do it and wait. Raises DeviceError."""
        return self.result(self.submit(device, op, *args))

    def submit(self, device: str, op: str, *args: Any) -> int:
        number = next(self._numbers)
        line = json.dumps({"n": number, "device": device, "op": op, "args": args})
        self._ops[number] = op
        stdin = self._pipe(self._process.stdin)
        stdin.write(line.encode() + b"\n")
        stdin.flush()
        return number

    def result(self, number: int) -> Any:
        stdout = self._pipe(self._process.stdout)
        while number not in self._answers:
            line = stdout.readline()
            if not line:
                raise AssertionError("the process with the devices has ended")
            answer = json.loads(line)
            self._answers[answer["n"]] = answer
        answer = self._answers.pop(number)
        op = self._ops.pop(number)
        if "error" in answer:
            raise DeviceError(op, answer["error"])
        return answer["ok"]

    def close(self) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait()
        self._pipe(self._process.stdout).close()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                self._pipe(pipe).close()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


class Device:
    """One PouchDB database. Options are PouchDB's own, under their own names."""

    def __init__(self, host: DeviceHost, name: str) -> None:
        self._host = host
        self._name = name

    def call(self, op: str, *args: Any) -> Any:
        return self._host.call(self._name, op, *args)

    def begin(self, direction: str, url: str, auth: tuple[str, str], **options: Any) -> int:
        """Begin a one-shot replication; `DeviceHost.result` waits for what `pull`, `push` and `sync` return."""
        return self._host.submit(self._name, "replicate", direction, url, {"auth": list(auth), **options})

    def put(self, doc: Doc, **options: Any) -> str:
        """The new revision. Raises DeviceError."""
        return str(self.call("put", doc, options)["rev"])

    def get(self, doc_id: str, **options: Any) -> Doc:
        doc: Doc = self.call("get", doc_id, options)
        return doc

    def find(self, doc_id: str, **options: Any) -> Doc | None:
        """As `get`, but None for a document that is missing or deleted."""
        try:
            return self.get(doc_id, **options)
        except DeviceError as error:
            if error.status != 404:
                raise
            return None

    def edit(self, doc_id: str, **fields: Any) -> str:
        """Set fields of a document. The new revision."""
        return self.put({**self.get(doc_id), **fields})

    def remove(self, doc_id: str) -> str:
        return str(self.call("remove", doc_id)["rev"])

    def bulk_docs(self, docs: Sequence[Doc], **options: Any) -> list[Doc]:
        rows: list[Doc] = self.call("bulkDocs", docs, options)
        return rows

    def all_docs(self, **options: Any) -> dict[str, Doc]:
        """The documents by id."""
        rows = self.call("allDocs", {"include_docs": True, **options})["rows"]
        return {row["id"]: row["doc"] for row in rows if row.get("doc")}

    def ids(self) -> list[str]:
        return [row["id"] for row in self.call("allDocs", {})["rows"]]

    def put_attachment(self, doc_id: str, name: str, data: bytes, content_type: str) -> str:
        rev = self.get(doc_id)["_rev"]
        return str(self.call("putAttachment", doc_id, name, rev, b64encode(data).decode(), content_type)["rev"])

    def get_attachment(self, doc_id: str, name: str, **options: Any) -> bytes:
        return b64decode(self.call("getAttachment", doc_id, name, options))

    def remove_attachment(self, doc_id: str, name: str) -> str:
        return str(self.call("removeAttachment", doc_id, name, self.get(doc_id)["_rev"])["rev"])

    def conflicts(self, doc_id: str) -> list[str]:
        """The losing live leaves."""
        revs: list[str] = self.get(doc_id, conflicts=True).get("_conflicts", [])
        return revs

    def pull(self, url: str, auth: tuple[str, str], **options: Any) -> Doc:
        """A one-shot pull, whatever comes of it: PouchDB's counts, `denied`, `error` (None: none), `requests`."""
        return self._replicate("pull", url, auth, options)

    def push(self, url: str, auth: tuple[str, str], **options: Any) -> Doc:
        return self._replicate("push", url, auth, options)

    def sync(self, url: str, auth: tuple[str, str], **options: Any) -> Doc:
        """Both; the counts are under `pull` and `push`."""
        return self._replicate("sync", url, auth, options)

    def _replicate(self, direction: str, url: str, auth: tuple[str, str], options: Doc) -> Doc:
        result: Doc = self.call("replicate", direction, url, {"auth": list(auth), **options})
        return result

    def live(self, url: str, auth: tuple[str, str], direction: str = "sync", **options: Any) -> Live:
        """A live replication that comes back after errors, until it is stopped."""
        name = f"live-{direction}"
        self.call("liveStart", name, direction, url, {"auth": list(auth), **options})
        return Live(self, name)

    def until(self, doc_id: str, **fields: Any) -> Doc:
        """The document once it is there with these fields."""
        doc: Doc = self.call("untilDoc", doc_id, fields, PATIENCE)
        return doc

    def until_gone(self, doc_id: str) -> None:
        self.call("untilGone", doc_id, PATIENCE)

    def received(self, *texts: str) -> list[str]:
        """Which of these texts came to this device over the wire, in whatever reply."""
        found: list[str] = self.call("received", texts)
        return found

    def requests(self) -> list[Doc]:
        """All requests since the start or `forget`: `method`, `path`, `query`, `body`, `status`."""
        requests: list[Doc] = self.call("requests")
        return requests

    def forget(self) -> None:
        self.call("forget")

    def close(self) -> None:
        """The data stay, if they are in a directory."""
        self.call("close")


class Live:
    """A live replication of a device."""

    def __init__(self, device: Device, name: str) -> None:
        self._device = device
        self._name = name

    def until_idle(self) -> None:
        self._device.call("untilIdle", self._name, PATIENCE)

    def until_denied(self) -> list[Doc]:
        self._device.call("untilDenied", self._name, PATIENCE)
        denied: list[Doc] = self.state()["denied"]
        return denied

    def state(self) -> Doc:
        state: Doc = self._device.call("liveState", self._name)
        return state

    def stop(self) -> Doc:
        state: Doc = self._device.call("liveStop", self._name)
        return state
