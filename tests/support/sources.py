"""Servers that the proxy can have behind it: the embedded endpoint, PouchDB's, a CouchDB that is already there.

Each is started on loopback with an administrator `admin` / `secret`, keeps its data over restarts, and has the users of
`tests.support.clinic`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.devices import CLIENTS
from tests.support.http import Http, basic, segment
from tests.support.process import ServerProcess, free_port

ADMIN = ("admin", "secret")

Doc = dict[str, Any]


class Source:
    """A source with a process of its own, or without one if `process` is None."""

    def __init__(self, name: str, url: str, process: ServerProcess | None, admin: tuple[str, str] = ADMIN) -> None:
        self.name = name
        self.url = url
        self.admin = admin
        self.process = process
        self.http = Http(url, basic(*admin))

    @property
    def restartable(self) -> bool:
        return self.process is not None

    def add_users(self, users: Mapping[str, Iterable[str]], password: str) -> None:
        """Roles by name. A CouchDB that nobody has set up yet has no `_users`."""
        self.http.request("PUT", "/_users")
        for name, roles in users.items():
            self._add_user(name, password, roles)

    def _add_user(self, name: str, password: str, roles: Iterable[str]) -> None:
        user_id = f"org.couchdb.user:{name}"
        existing = self.http.request("GET", f"/_users/{segment(user_id)}")
        user = {"_id": user_id, "type": "user", "name": name, "password": password, "roles": list(roles)}
        if existing.status == 200:
            user["_rev"] = existing.json["_rev"]
        self.http.json("PUT", f"/_users/{segment(user_id)}", user)

    def create_database(self, name: str) -> SourceDatabase:
        """An empty database that every user may read and write."""
        self.http.request("DELETE", f"/{segment(name)}")
        self.http.json("PUT", f"/{segment(name)}")
        everybody: Doc = {"names": [], "roles": []}
        self.http.json("PUT", f"/{segment(name)}/_security", {"admins": everybody, "members": everybody})
        return SourceDatabase(self, name)


class SourceDatabase:
    """One database of a source, past the proxy: the whole truth."""

    def __init__(self, source: Source, name: str) -> None:
        self.source = source
        self.name = name

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """`path` comes after the database's name and a slash, with its query."""
        return self.source.http.json(method, f"/{segment(self.name)}/{path}", body)

    def put(self, doc: Doc) -> str:
        """The new revision."""
        return str(self.json("PUT", segment(doc["_id"]), doc)["rev"])

    def get(self, doc_id: str, query: str = "") -> Doc:
        doc: Doc = self.json("GET", segment(doc_id) + query)
        return doc

    def edit(self, doc_id: str, **fields: Any) -> str:
        return self.put({**self.get(doc_id), **fields})

    def remove(self, doc_id: str) -> str:
        """As DELETE does it: the tombstone is empty."""
        rev = self.get(doc_id)["_rev"]
        return str(self.json("DELETE", f"{segment(doc_id)}?rev={rev}")["rev"])

    def leaves(self, doc_id: str) -> list[Doc]:
        """All leaves with their bodies, deleted ones too."""
        path = f"/{segment(self.name)}/{segment(doc_id)}?open_revs=all"
        reply = self.source.http.request("GET", path, headers={"Accept": "application/json"})
        assert reply.status == 200, reply.body
        return [entry["ok"] for entry in reply.json]

    def put_attachment(self, doc_id: str, name: str, data: bytes, content_type: str) -> str:
        rev = self.get(doc_id)["_rev"]
        path = f"/{segment(self.name)}/{segment(doc_id)}/{segment(name)}?rev={rev}"
        reply = self.source.http.request("PUT", path, body=data, headers={"Content-Type": content_type})
        assert reply.status == 201, reply.body
        return str(reply.json["rev"])

    def get_attachment(self, doc_id: str, name: str) -> bytes:
        reply = self.source.http.request("GET", f"/{segment(self.name)}/{segment(doc_id)}/{segment(name)}")
        assert reply.status == 200, reply.body
        return reply.body


@contextmanager
def embedded_while(directory: Path) -> Iterator[Source]:
    """As `embedded`, for as long as the context lasts."""
    source = embedded(directory)
    try:
        yield source
    finally:
        assert source.process is not None
        source.process.kill()


def embedded(directory: Path) -> Source:
    """The project's own endpoint, with its databases in SQLite files below `directory`."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("couch-tailor")), "endpoint"]
    options = ["--port", str(port), "--data", str(directory / "data"), "--admin", ":".join(ADMIN)]
    process = ServerProcess([*command, *options], port, directory / "endpoint.log")
    return _started("embedded", process)


def express_pouchdb(directory: Path) -> Source:
    """express-pouchdb over PouchDB 9, with its databases in LevelDB below `directory`."""
    port = free_port()
    command = ["node", str(CLIENTS / "server.js"), str(directory), str(port)]
    return _started("express_pouchdb", ServerProcess(command, port, directory / "express-pouchdb.log"))


def pouchdb_server(directory: Path) -> Source:
    """PouchDB Server as it is installed, over a PouchDB 7 of its own, with its databases in memory."""
    port = free_port()
    config = directory / "config.json"
    config.write_text(json.dumps({"admins": dict([ADMIN]), "log": {"file": str(directory / "pouchdb.log")}}))
    command = ["node", str(CLIENTS / "node_modules/pouchdb-server/bin/pouchdb-server"), "--in-memory", "--no-color"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--config", str(config)]
    return _started("pouchdb_server", ServerProcess([*command, *options], port, directory / "pouchdb-server.log"))


def couchdb(url: str) -> Source:
    """A CouchDB that somebody runs, as `http://admin:secret@127.0.0.1:5984`."""
    parts = urlsplit(url)
    admin = (parts.username or ADMIN[0], parts.password or ADMIN[1])
    return Source("couchdb", f"http://{parts.hostname}:{parts.port or 5984}", None, admin)


def _started(name: str, process: ServerProcess) -> Source:
    process.start()
    return Source(name, process.url, process)
