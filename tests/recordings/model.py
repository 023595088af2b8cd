"""The recorded database as far as the recordings tell of it: every revision with a body, its place in the tree, the
feed, the attachments. What it says, it says in CouchDB's bytes.

Bodies of inner revisions were not recorded; the model gives them their leaf's body, marked, so that trees are complete.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from tests.recordings.exchanges import Exchange, load, names, segments

Doc = dict[str, Any]
Json = Any

PROTOCOL = ("_revisions", "_revs_info", "_conflicts", "_deleted_conflicts", "_local_seq")
READS = 181
"""The exchanges of couchdb35-surface before this one leave the database as it is."""


def dumps(value: Json) -> bytes:
    """JSON as CouchDB writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Model:
    """The database `clinic`, with the feed of one recording: sequences differ from one to the next."""

    def __init__(self, feed: list[Doc], last_seq: str) -> None:
        self.feed = feed
        self.last_seq = last_seq
        self.bodies: dict[tuple[str, str], Doc] = {}
        self.paths: dict[str, dict[str, list[str]]] = {}
        """By id and leaf: the path's revisions, the leaf first."""
        self.encodings: dict[tuple[str, str], Doc] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        """The bytes of attachments by id and name."""
        self.stored: dict[tuple[str, str], bytes] = {}
        """Of those that are stored gzipped, as stored."""

    def leaves(self, doc_id: str) -> list[str]:
        """The winner first."""
        return sorted(self.paths.get(doc_id, ()), key=lambda rev: self._rank(doc_id, rev), reverse=True)

    def _rank(self, doc_id: str, rev: str) -> tuple[bool, int, str]:
        generation, _, digest = rev.partition("-")
        return (not self.bodies[doc_id, rev].get("_deleted"), int(generation), digest)

    def path(self, doc_id: str, rev: str) -> list[str] | None:
        """`rev` and its ancestors, None if the revision is unknown."""
        for path in self.paths.get(doc_id, {}).values():
            if rev in path:
                return path[path.index(rev) :]
        return None

    def document(self, doc_id: str, rev: str, options: set[str]) -> Doc | None:
        """A revision with the protocol members that `options` name, in CouchDB's order; None if it is unknown."""
        body, path = self.bodies.get((doc_id, rev)), self.path(doc_id, rev)
        if body is None or path is None:
            return None
        doc = dict(body)
        attachments = doc.pop("_attachments", None)
        if "revs" in options:
            doc["_revisions"] = {"start": int(rev.partition("-")[0]), "ids": [r.partition("-")[2] for r in path]}
        if "revs_info" in options:
            doc["_revs_info"] = [{"rev": known, "status": "available"} for known in path]
        for name, deleted in (("conflicts", False), ("deleted_conflicts", True)):
            others = [r for r in self.leaves(doc_id)[1:] if (self.bodies[doc_id, r].get("_deleted") is True) == deleted]
            if name in options and others:
                doc[f"_{name}"] = others
        if attachments:
            encoded = "att_encoding_info" in options
            doc["_attachments"] = {
                name: {**about, **(self.encodings.get((doc_id, name), {}) if encoded else {})}
                for name, about in attachments.items()
            }
        return doc

    def missing(self, asked: dict[str, list[str]]) -> Doc:
        """What `_revs_diff` answers."""
        found: Doc = {}
        for doc_id, revs in asked.items():
            lacking = [rev for rev in revs if self.path(doc_id, rev) is None]
            if lacking:
                below = max(int(rev.partition("-")[0]) for rev in lacking)
                ancestors = [rev for rev in self.leaves(doc_id) if int(rev.partition("-")[0]) < below]
                found[doc_id] = {"missing": lacking, **({"possible_ancestors": ancestors} if ancestors else {})}
        return found

    def live(self) -> list[str]:
        """The ids of the documents that are not deleted, in the order of `_all_docs`."""
        return sorted(doc_id for doc_id in self.paths if not self.winner(doc_id).get("_deleted"))

    def winner(self, doc_id: str) -> Doc:
        return self.bodies[doc_id, self.leaves(doc_id)[0]]


def read_model(recording: str) -> Model:
    """The database, with the sequences of `recording`."""
    model = Model(*_feed(recording))
    for doc in _documents():
        _learn(model, doc)
    for doc in list(model.bodies.values()):
        _invent_ancestors(model, doc)
    for exchange in load("couchdb35-surface")[:READS]:
        _learn_file(model, exchange)
    return model


def _feed(recording: str) -> tuple[list[Doc], str]:
    """The longest plain feed in a recording; the surface's if it has none."""
    best: Doc = {"results": []}
    for exchange in load(recording):
        page = parsed(exchange) if "/_changes" in exchange.target and "filter=" not in exchange.target else None
        if page and len(page.get("results", ())) > len(best["results"]) and all(r["seq"] for r in page["results"]):
            best = page
    if not best["results"]:
        return _feed("couchdb35-surface")
    leaves = {row["id"]: row["changes"] for row in _surface_leaves()}
    rows = [{**{k: v for k, v in row.items() if k != "doc"}, "changes": leaves[row["id"]]} for row in best["results"]]
    return rows, best["last_seq"]


def _surface_leaves() -> list[Doc]:
    for exchange in load("couchdb35-surface"):
        if exchange.target == "/clinic/_changes?style=all_docs":
            rows: list[Doc] = parsed(exchange)["results"]
            return rows
    raise LookupError("the surface has no feed with all leaves")


def parsed(exchange: Exchange) -> Any:
    """The JSON of a reply, None if it is something else."""
    try:
        return json.loads(exchange.reply_body)
    except ValueError:
        return None


def _documents() -> Iterator[Doc]:
    """Every document in a reply that was read from `clinic`, those with `_revisions` first."""
    found = []
    for name in ["couchdb35-surface", *names("*-pull")]:
        for exchange in load(name)[: READS if name == "couchdb35-surface" else None]:
            if segments(exchange.path)[:1] == ("clinic",) and exchange.status == 200:
                found += list(_walk(parsed(exchange)))
    yield from sorted(found, key=lambda doc: "_revisions" not in doc)


def _walk(value: Json) -> Iterator[Doc]:
    if isinstance(value, dict):
        if "_rev" in value and not value["_id"].startswith("_local/"):
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _walk(item)


def _learn(model: Model, doc: Doc) -> None:
    doc_id, rev = doc["_id"], doc["_rev"]
    body = {name: value for name, value in doc.items() if name not in PROTOCOL}
    for name, about in body.get("_attachments", {}).items():
        encoding = {key: about[key] for key in ("encoding", "encoded_length") if key in about}
        if encoding:
            model.encodings[doc_id, name] = encoding
    if "_attachments" in body:
        if any("stub" not in about for about in body["_attachments"].values()):
            return
        body["_attachments"] = {
            name: {key: value for key, value in about.items() if key not in ("encoding", "encoded_length")}
            for name, about in body["_attachments"].items()
        }
    model.bodies.setdefault((doc_id, rev), body)
    if "_revisions" in doc:
        start, ids = doc["_revisions"]["start"], doc["_revisions"]["ids"]
        path = [f"{start - index}-{digest}" for index, digest in enumerate(ids)]
        model.paths.setdefault(doc_id, {})[rev] = path


def _invent_ancestors(model: Model, leaf: Doc) -> None:
    for rev in (model.path(leaf["_id"], leaf["_rev"]) or [])[1:]:
        body = {name: value for name, value in leaf.items() if name not in ("_attachments", "_deleted")}
        model.bodies.setdefault((leaf["_id"], rev), {**body, "_rev": rev, "invented": True})


def _learn_file(model: Model, exchange: Exchange) -> None:
    pieces = segments(exchange.path)
    if len(pieces) > 2 and pieces[1] == "photo:1" and (exchange.method, exchange.status) == ("GET", 200):
        plain = exchange.reply_body
        if exchange.reply_header("Content-Encoding") == "gzip":
            model.stored["photo:1", "/".join(pieces[2:])] = plain
            plain = gzip.decompress(plain)
        model.files["photo:1", "/".join(pieces[2:])] = plain
