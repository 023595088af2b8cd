"""A good request of each kind and method of the endpoint table: what bad ones are made from.

    REQUESTS[Kind.DOCUMENT, "PUT"]     its requests, the usual form first

They go to the database `clinic` behind the profile `phone`, as ann; a write leaves the database so that it can be sent
again and refers to documents of `DOCS` only. `test_requests` holds the table to the endpoint table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from filters.attachments import Attachments
from filters.drop import Drop
from filters.select import Select
from proxy.core.endpoints import Kind
from tests.support.inprocess import profile

SECRET = "417-23-9050"
HIDDEN_ID = "patient-of-f2-whom-nobody-knows"
FILES = {
    "note.txt": {"content_type": "text/plain", "data": "cGxhaW4gYW5kIHZpc2libGU="},
    "scan.png": {"content_type": "image/png", "data": "NDE3LTIzLTkwNTA="},
}
DOCS: list[dict[str, Any]] = [
    {"_id": "mine", "facility": "f1", "n": 1, "ssn": SECRET, "_attachments": FILES},
    {"_id": "kept", "facility": "f1", "n": 2, "ssn": SECRET},
    {"_id": HIDDEN_ID, "facility": "f2", "n": 3, "ssn": SECRET},
    {"_id": "_design/app", "views": {}, "_attachments": {"note.txt": FILES["note.txt"]}},
]
PHONE = profile(
    "phone",
    Select(where="facility == client.facility"),
    Drop(paths=["ssn"]),
    Attachments(deny=["image/*"]),
    design_docs=True,
)

REV = "1-" + "a" * 32
JSON = {"Content-Type": "application/json"}
BOUNDARY = "a-boundary"


@dataclass(frozen=True)
class Request:
    """`target` with its query; `{db}` stands for the database."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def at(self, db: str) -> Request:
        return replace(self, target=self.target.replace("{db}", db))

    def with_query(self, query: str) -> Request:
        """The request with another query string."""
        return replace(self, target=f"{self.target.partition('?')[0]}?{query}")

    def with_body(self, body: bytes, **headers: str) -> Request:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, body=body, headers={**self.headers, **more})

    def bytes(self, **headers: str) -> bytes:
        """As it goes over the wire. `headers`: underscores in their names stand for hyphens."""
        sent = {"Host": "proxy.test", "Accept": "application/json", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.body is not None and "Transfer-Encoding" not in sent:
            sent.setdefault("Content-Length", str(len(self.body)))
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (self.body or b"")


def _json(method: str, target: str, value: Any) -> Request:
    return Request(method, target, JSON, json.dumps(value).encode())


def related(doc: Any, *bodies: bytes) -> bytes:
    """A multipart/related body."""
    parts = [b"Content-Type: application/json\r\n\r\n" + json.dumps(doc).encode(), *(b"\r\n" + each for each in bodies)]
    dashes = b"--" + BOUNDARY.encode()
    return b"".join(dashes + b"\r\n" + part + b"\r\n" for part in parts) + dashes + b"--"


def form(**fields: str) -> bytes:
    """A multipart/form-data body, with a file in it."""
    dashes = b"--" + BOUNDARY.encode() + b"\r\n"
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}' for name, text in fields.items()]
    parts.append(
        'Content-Disposition: form-data; name="_attachments"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\nabc'
    )
    return b"".join(dashes + part.encode() + b"\r\n" for part in parts) + dashes[:-2] + b"--\r\n"


RELATED = Request(
    "PUT",
    "/{db}/new?new_edits=false",
    {"Content-Type": f'multipart/related; boundary="{BOUNDARY}"'},
    related(
        {
            "_rev": REV,
            "facility": "f1",
            "_attachments": {"a.txt": {"follows": True, "length": 3, "content_type": "t/x"}},
        },
        b"abc",
    ),
)
FORM = Request(
    "POST",
    "/{db}/form",
    {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Referer": "http://proxy.test/page"},
    form(_doc='{"facility":"f1"}'),
)
DELETED = {"_deleted": True, "facility": "f1", "_rev": REV}


def _listed(name: str) -> dict[tuple[Kind, str], list[Request]]:
    kind = Kind[name[1:].upper()]
    return {
        (kind, "GET"): [Request("GET", f"/{{db}}/{name}?include_docs=true")],
        (kind, "HEAD"): [Request("HEAD", f"/{{db}}/{name}")],
        (kind, "POST"): [_json("POST", f"/{{db}}/{name}?include_docs=true", {"keys": ["mine", "kept"]})],
    }


def _document(kind: Kind, target: str, doc_id: str) -> dict[tuple[Kind, str], list[Request]]:
    path = "/{db}/" + target
    return {
        (kind, "GET"): [
            Request("GET", path),
            Request("GET", f"{path}?open_revs=all&revs=true"),
            Request("GET", f"{path}?attachments=true", {"Accept": "multipart/related"}),
        ],
        (kind, "HEAD"): [Request("HEAD", path)],
        (kind, "PUT"): [
            _json("PUT", f"{path}2?new_edits=false", {"_rev": REV, "facility": "f1"}),
            replace(RELATED, target=f"{path}3?new_edits=false"),
        ],
        (kind, "DELETE"): [Request("DELETE", f"{path}?rev={REV}")],
        (kind, "POST"): [replace(FORM, target=f"{path}4")],
        (kind, "COPY"): [Request("COPY", path, {"Destination": f"{doc_id}5"})],
    }


def _attachment(kind: Kind, target: str) -> dict[tuple[Kind, str], list[Request]]:
    path = "/{db}/" + target
    return {
        (kind, "GET"): [Request("GET", f"{path}/note.txt"), Request("GET", f"{path}/note.txt", {"Range": "bytes=0-3"})],
        (kind, "HEAD"): [Request("HEAD", f"{path}/note.txt")],
        (kind, "PUT"): [Request("PUT", f"{path}/new.txt?rev={REV}", {"Content-Type": "text/plain"}, b"some text")],
        (kind, "DELETE"): [Request("DELETE", f"{path}/note.txt?rev={REV}")],
    }


SORTED = _json(
    "POST",
    "/{db}/_find",
    {"selector": {"$or": [{"n": {"$gt": 0}}, {"ssn": SECRET[:3]}]}, "sort": [{"n": "desc"}], "fields": ["_id"]},
)
"""Good for the proxy, which needs no index for it."""

REQUESTS: dict[tuple[Kind, str], list[Request]] = {
    **{
        (kind, method): [Request(method, target)]
        for kind, target in (
            (Kind.ROOT, "/"),
            (Kind.UP, "/_up"),
            (Kind.UUIDS, "/_uuids?count=2"),
            (Kind.SESSION, "/_session"),
            (Kind.ALL_DBS, "/_all_dbs?limit=3"),
            (Kind.DATABASE, "/{db}"),
            (Kind.SECURITY, "/{db}/_security"),
            (Kind.REVS_LIMIT, "/{db}/_revs_limit"),
        )
        for method in ("GET", "HEAD")
    },
    (Kind.SESSION, "POST"): [
        _json("POST", "/_session", {"name": "ann", "password": "ann"}),
        Request("POST", "/_session", {"Content-Type": "application/x-www-form-urlencoded"}, b"name=ann&password=ann"),
    ],
    (Kind.SESSION, "DELETE"): [Request("DELETE", "/_session")],
    (Kind.DATABASE, "POST"): [_json("POST", "/{db}", {"_id": "posted", "facility": "f1"})],
    (Kind.DATABASE, "PUT"): [Request("PUT", "/{db}")],
    (Kind.DATABASE, "DELETE"): [Request("DELETE", "/{db}?rev=1-a")],
    **_listed("_all_docs"),
    **_listed("_design_docs"),
    **_listed("_local_docs"),
    (Kind.ALL_DOCS_QUERIES, "POST"): [
        _json("POST", "/{db}/_all_docs/queries", {"queries": [{"include_docs": True}, {"keys": ["mine"]}]})
    ],
    (Kind.CHANGES, "GET"): [
        Request("GET", "/{db}/_changes?style=all_docs&include_docs=true"),
        Request("GET", "/{db}/_changes?feed=longpoll&timeout=1&since=now"),
        Request("GET", "/{db}/_changes?feed=continuous&timeout=1"),
        Request("GET", "/{db}/_changes?feed=eventsource&timeout=1"),
    ],
    (Kind.CHANGES, "HEAD"): [Request("HEAD", "/{db}/_changes")],
    (Kind.CHANGES, "POST"): [
        _json("POST", "/{db}/_changes?filter=_selector&include_docs=true", {"selector": {"n": {"$gt": 0}}}),
        _json("POST", "/{db}/_changes?filter=_doc_ids", {"doc_ids": ["mine", "kept"]}),
    ],
    (Kind.BULK_DOCS, "POST"): [
        _json(
            "POST",
            "/{db}/_bulk_docs",
            {"new_edits": False, "docs": [{"_id": "b1", "_rev": REV, "facility": "f1"}, {"_id": "b2", **DELETED}]},
        )
    ],
    (Kind.BULK_GET, "POST"): [
        _json("POST", "/{db}/_bulk_get?revs=true", {"docs": [{"id": "mine"}, {"id": "kept", "rev": REV}]}),
        replace(
            _json("POST", "/{db}/_bulk_get", {"docs": [{"id": "mine", "atts_since": [REV]}]}),
            headers={**JSON, "Accept": "multipart/related"},
        ),
    ],
    (Kind.REVS_DIFF, "POST"): [_json("POST", "/{db}/_revs_diff", {"mine": [REV, "2-" + "b" * 32], "x": ["1-x"]})],
    (Kind.MISSING_REVS, "POST"): [_json("POST", "/{db}/_missing_revs", {"mine": [REV]})],
    (Kind.FIND, "POST"): [
        SORTED,
        _json(
            "POST",
            "/{db}/_find",
            {"selector": {"_id": {"$gt": "a"}, "ssn": SECRET[:3]}, "sort": [{"_id": "desc"}], "fields": ["_id"]},
        ),
    ],
    (Kind.ENSURE_FULL_COMMIT, "POST"): [_json("POST", "/{db}/_ensure_full_commit", {})],
    **_document(Kind.DOCUMENT, "mine", "mine"),
    **_document(Kind.DESIGN, "_design/app", "_design/app"),
    **_attachment(Kind.ATTACHMENT, "mine"),
    **_attachment(Kind.DESIGN_ATTACHMENT, "_design/app"),
    (Kind.LOCAL, "GET"): [Request("GET", "/{db}/_local/check")],
    (Kind.LOCAL, "HEAD"): [Request("HEAD", "/{db}/_local/check")],
    (Kind.LOCAL, "PUT"): [_json("PUT", "/{db}/_local/check", {"last_seq": "3-abc"})],
    (Kind.LOCAL, "DELETE"): [Request("DELETE", "/{db}/_local/check?rev=0-1")],
}

ALL = [(kind, request) for (kind, _), requests in REQUESTS.items() for request in requests]
WITH_BODY = [(kind, request) for kind, request in ALL if request.body is not None]
"""What reads its body, whatever the body is."""
