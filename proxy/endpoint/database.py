"""One database of the endpoint: what CouchDB does with documents, on top of a repository.

Reads are plain calls: they take microseconds and see the last commit. Writes are coroutines and return when the change
is durable. Revisions are strings (`"3-abc"`) at this door. Errors are `proxy.errors` with CouchDB's words.

Sequences are integers here. On the wire they are `seq_text(n)`: `N-` and a tag of this very database, so that a since
of a database that was deleted and created again starts from the beginning instead of skipping documents.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, cast
from uuid import uuid4

from proxy.core import jsonio, revisions
from proxy.core.revisions import Rev, Revisions, Tree, parse_rev
from proxy.endpoint import updates
from proxy.endpoint.attachments import Attachment, Upload, gunzip, unpack
from proxy.endpoint.documents import (
    Change,
    Document,
    Edit,
    Incoming,
    MissingRev,
    Row,
    Updated,
    check_attachment_name,
    check_id,
    read,
)
from proxy.endpoint.repository import Entry, Range, Record, Repository, StoredBody
from proxy.errors import BadRequest, NotFound

__all__ = ["Attachment", "Change", "Database", "Document", "MissingRev", "Row", "Updated", "Upload"]

PAGE = 500
"""Rows that a scan reads at once."""

_FRESH_SECURITY = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}
_REVS_LIMIT = 1000
_SEQ = re.compile(r'"?([0-9]{1,18})(?:-([0-9a-z]*))?"?')
_END = 2**63 - 1


class Database:
    """Created, opened and deleted by `Server`. After deletion every call raises NotFound, every waiter wakes.

    `prepare` may change or refuse an edit before it is stored (passwords of users are hashed there).
    """

    def __init__(
        self, name: str, repository: Repository, prepare: Callable[[Edit], Awaitable[Edit]] | None = None
    ) -> None:
        self.name = name
        self._repository = repository
        self._prepare = prepare
        self._waiters: set[asyncio.Future[None]] = set()
        repository.on_commit = self._wake
        self._security: dict[str, Any] = _setting(repository, "security", _FRESH_SECURITY)
        self._revs_limit: int = _setting(repository, "revs_limit", _REVS_LIMIT)
        self._tag: str = _setting(repository, "tag", "")
        self.instance_start_time: str = _setting(repository, "instance_start_time", "0")
        """Seconds since 1970, as text; stays the same as long as the database exists."""

    @staticmethod
    def found(repository: Repository) -> None:
        """Give a new database its identity."""
        born = {"tag": secrets.token_hex(8), "instance_start_time": str(int(time.time()))}
        repository.found({name: jsonio.dumps(value) for name, value in born.items()})

    # ---- the database itself

    @property
    def update_seq(self) -> int:
        """The sequence of the last change."""
        return self._repository.counts.seq

    @property
    def doc_count(self) -> int:
        """How many documents are not deleted: `total_rows` of `_all_docs`."""
        return self._repository.counts.live

    def info(self) -> dict[str, Any]:
        """The object that `GET /{db}` answers with."""
        counts = self._repository.counts
        return {
            "instance_start_time": self.instance_start_time,
            "db_name": self.name,
            "purge_seq": self.seq_text(0),
            "update_seq": self.seq_text(counts.seq),
            "sizes": {
                "file": self._repository.file_size(),
                "external": counts.external,
                "active": counts.external,
            },
            "props": {},
            "doc_del_count": counts.deleted,
            "doc_count": counts.live,
            "disk_format_version": 8,
            "compact_running": False,
            "cluster": {"q": 1, "n": 1, "w": 1, "r": 1},
        }

    def seq_text(self, seq: int) -> str:
        """A sequence as the wire shows it: `12-<tag>`."""
        return f"{seq}-{self._tag}"

    def parse_seq(self, text: str) -> int:
        """The sequence that a client's `since` means: 0 if it is from a previous database of this name.

        `now` is the present update_seq; quotes around it (CouchDB 2.x replicators) are ignored. Raises BadRequest
        "Malformed sequence supplied in 'since' parameter." for what is no sequence.
        """
        if text == "now":
            return self.update_seq
        match = _SEQ.fullmatch(text)
        if match is None:
            raise BadRequest("Malformed sequence supplied in 'since' parameter.")
        return int(match[1]) if match[2] in (None, self._tag) else 0

    def security(self) -> dict[str, Any]:
        """The `_security` object; only administrators may use a new database, as in CouchDB 3."""
        return self._security

    async def set_security(self, value: Any) -> None:
        """Raises BadRequest if `value` is not a security object."""
        _check_security(value)
        await self._set("security", value)
        self._security = value

    def revs_limit(self) -> int:
        """How many revisions of each path are kept."""
        return self._revs_limit

    async def set_revs_limit(self, value: Any) -> None:
        """Raises BadRequest if `value` is not a positive integer."""
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequest("`_revs_limit` must be a positive integer.")
        await self._set("revs_limit", value)
        self._revs_limit = value

    async def _set(self, name: str, value: Any) -> None:
        text = jsonio.dumps(value)
        await self._repository.write(lambda transaction: transaction.set(name, text))

    async def close(self) -> None:
        """Wait for pending writes and close the files; only the server does this."""
        await self._leave().close()

    async def destroy(self) -> None:
        """Remove everything; only the server does this."""
        await self._leave().destroy()

    def _leave(self) -> Repository:
        repository, self._repository = self._repository, cast(Repository, _Gone())
        self._wake()
        return repository

    # ---- documents

    def get(
        self,
        doc_id: str,
        rev: str | None = None,
        *,
        latest: bool = False,
        revs: bool = False,
        revs_info: bool = False,
        conflicts: bool = False,
        deleted_conflicts: bool = False,
        local_seq: bool = False,
    ) -> Document:
        """The winner, or revision `rev` (deleted ones too), or with `latest` the best leaf that descends from `rev`.

        `_local/` ids too. Raises NotFound "missing" or "deleted" (winner only), BadRequest "Invalid rev format".
        """
        if doc_id.startswith("_local/"):
            local = self._local(doc_id, rev)
            return replace(local, revisions=Revisions(0, (local.rev[2:],))) if revs else local
        if rev is None and not (revs or revs_info or conflicts or deleted_conflicts or local_seq):
            return self._winner(doc_id)
        with self._repository.snapshot():
            record = self._repository.record(doc_id)
            if record is None:
                raise NotFound("missing")
            if rev is None and record.deleted:
                raise NotFound("deleted")
            tree = _tree(record.tree)
            found = self._find(tree, rev, latest) if rev is not None else parse_rev(record.rev)
            body = self._body(record, found) if found is not None else None
        if found is None or body is None:
            raise NotFound("missing")
        meta: dict[str, Any] = {}
        if revs_info:
            meta["_revs_info"] = _revs_info(tree, found)
        if local_seq:
            meta["_local_seq"] = record.seq
        if conflicts and (live := revisions.conflicts(tree)):
            meta["_conflicts"] = [str(one) for one in live]
        if deleted_conflicts and (dead := revisions.deleted_conflicts(tree)):
            meta["_deleted_conflicts"] = [str(one) for one in dead]
        return _document(doc_id, body, self._path(tree, found) if revs else None, meta)

    def open_revs(
        self, doc_id: str, wanted: Sequence[str] | None, *, latest: bool = False, revs: bool = False
    ) -> list[Document | MissingRev]:
        """The revisions `wanted`, or all leaves (None); with `latest` the leaves that descend from each.

        Each once, found ones first, then by generation and hash, as CouchDB has them. An unknown id gives `[]` for all
        leaves and only MissingRev otherwise. Raises BadRequest for a malformed rev.
        """
        parsed = None if wanted is None else [_parse(one) for one in wanted]
        with self._repository.snapshot():
            record = self._repository.record(doc_id)
            if record is None:
                return [MissingRev(str(rev)) for rev in revisions.ascending(set(parsed or ()))]
            tree = _tree(record.tree)
            chosen = set(revisions.leaves(tree) if parsed is None else parsed)
            if latest:
                chosen = {one for rev in chosen for one in revisions.descendant_leaves(tree, rev) or [rev]}
            found = [self._open(record, tree, rev, revs) for rev in revisions.ascending(chosen)]
        return sorted(found, key=lambda one: isinstance(one, MissingRev))

    def all_docs(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        inclusive_end: bool = True,
        descending: bool = False,
        skip: int = 0,
        limit: int | None = None,
        include_docs: bool = False,
        conflicts: bool = False,
    ) -> Iterator[Row]:
        """Live documents from `start` to `end` in the order of their ids' UTF-8 bytes (CouchDB's), lazily in pages.

        With `descending`, `start` is the greater one. Between two rows other writes may come in.
        """
        wanted = Range(start, end, True, inclusive_end, descending)
        left = _END if limit is None else limit
        while skip > 0:
            page = self._repository.by_id(wanted, min(skip, PAGE), bodies=False)
            if not page:
                return
            skip -= len(page)
            wanted = wanted._replace(start=page[-1].id, inclusive_start=False)
        while left > 0:
            page = self._repository.by_id(wanted, min(left, PAGE), bodies=include_docs)
            for entry in page:
                yield Row(entry.id, entry.rev, False, _entry_document(entry, conflicts))
            if len(page) < PAGE:
                return
            left -= len(page)
            wanted = wanted._replace(start=page[-1].id, inclusive_start=False)

    def all_docs_keys(
        self, keys: Iterable[str], *, include_docs: bool = False, conflicts: bool = False
    ) -> Iterator[Row | None]:
        """One row for each key, deleted documents included, None for unknown ids."""
        for key in keys:
            body = self._repository.winner(key)
            if body is None:
                yield None
                continue
            document = None
            if include_docs and not body.deleted:
                document = self._conflicting(key) if conflicts else _document(key, body)
            yield Row(key, body.rev, body.deleted, document)

    def all_docs_offset(self, start: str | None, *, descending: bool = False) -> int:
        """How many live documents come before `start`."""
        if start is None:
            return 0
        return self._repository.count_by_id(Range(end=start, inclusive_end=False, descending=descending))

    def local_docs(self, *, include_docs: bool = False) -> Iterator[Row]:
        """The `_local/` documents in the order of their ids."""
        for doc_id, number, body in self._repository.locals():
            document = Document(doc_id, f"0-{number}", False, body)
            yield Row(doc_id, document.rev, False, document if include_docs else None)

    def _winner(self, doc_id: str) -> Document:
        body = self._repository.winner(doc_id)
        if body is None:
            raise NotFound("missing")
        rev, deleted, atts, text = body
        if deleted:
            raise NotFound("deleted")
        return Document(doc_id, rev, False, text, unpack(atts) if atts is not None else ())

    def _conflicting(self, doc_id: str) -> Document | None:
        try:
            return self.get(doc_id, conflicts=True)
        except NotFound:
            return None  # deleted a moment ago

    def _local(self, doc_id: str, rev: str | None) -> Document:
        found = self._repository.local(doc_id)
        if found is None or rev not in (None, f"0-{found.rev}"):
            raise NotFound("missing")
        return Document(doc_id, f"0-{found.rev}", False, found.body)

    def _find(self, tree: Tree, text: str, latest: bool) -> Rev | None:
        rev = _parse(text)
        if rev not in tree:
            return None
        return revisions.descendant_leaves(tree, rev)[0] if latest else rev

    def _body(self, record: Record, rev: Rev) -> StoredBody | None:
        text = str(rev)
        return record.stored_body if text == record.rev else self._repository.body(record.id, text)

    def _open(self, record: Record, tree: Tree, rev: Rev, revs: bool) -> Document | MissingRev:
        body = self._body(record, rev) if rev in tree else None
        if body is None:
            return MissingRev(str(rev))
        return _document(record.id, body, self._path(tree, rev) if revs else None)

    def _path(self, tree: Tree, rev: Rev) -> Revisions:
        """At most `revs_limit` of its ancestors: a neighbouring leaf may keep more of them in the tree."""
        path = revisions.path_of(tree, rev)
        return path._replace(ids=path.ids[: self._revs_limit])

    # ---- changes

    def changes(
        self,
        since: int = 0,
        *,
        limit: int | None = None,
        descending: bool = False,
        include_docs: bool = False,
        conflicts: bool = False,
    ) -> Iterator[Change]:
        """The changes after `since`, oldest first, lazily in pages, until there are no more at that moment.

        With `descending`: all changes newest first (CouchDB ignores since there).
        """
        at = _END if descending else since
        left = _END if limit is None else limit
        while left > 0:
            page = self._repository.by_seq(at, min(left, PAGE), descending=descending, bodies=include_docs)
            for entry in page:
                yield _change(entry, conflicts)
            if len(page) < PAGE:
                return
            left -= len(page)
            at = page[-1].seq

    def changes_pending(self, since: int) -> int:
        """How many changes there are after `since`."""
        counts = self._repository.counts
        if since >= counts.seq:
            return 0
        return self._repository.count_by_seq(since) if since > 0 else counts.live + counts.deleted

    async def wait_for_change(self, since: int, timeout: float | None = None) -> bool:
        """Wait until `update_seq > since`; at most `timeout` seconds. False if there is still no change.

        Raises NotFound if the database is deleted meanwhile.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self.update_seq <= since:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait((waiter,), timeout=left)
            finally:
                self._waiters.discard(waiter)
        return True

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def revs_diff(self, revs_by_id: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
        """`{id: {"missing": [...], "possible_ancestors": [...]}}`: only ids that miss something, no empty lists."""
        answer: dict[str, dict[str, list[str]]] = {}
        for doc_id, texts in revs_by_id.items():
            absent, ancestors = self._missing(doc_id, [_parse(text) for text in texts])
            if absent:
                answer[doc_id] = {"missing": [str(rev) for rev in absent]}
                if ancestors:
                    answer[doc_id]["possible_ancestors"] = [str(rev) for rev in ancestors]
        return answer

    def missing_revs(self, revs_by_id: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """`{id: [rev, ...]}`: only ids that miss something."""
        return {doc_id: found["missing"] for doc_id, found in self.revs_diff(revs_by_id).items()}

    def _missing(self, doc_id: str, wanted: list[Rev]) -> tuple[list[Rev], list[Rev]]:
        stored = self._repository.tree(doc_id)
        if stored is None:
            return wanted, []
        tree = _tree(stored)
        absent = revisions.missing(tree, wanted)
        return absent, revisions.possible_ancestors(tree, absent)

    # ---- writes

    async def put(
        self,
        doc_id: str,
        doc: Any,
        *,
        rev: str | None = None,
        new_edits: bool = True,
        uploads: Mapping[str, Upload] | None = None,
    ) -> Updated:
        """Store one JSON document (`PUT /{db}/{id}`, `_local/` too); `rev` is that of the query or If-Match.

        `uploads` has the bytes of the attachments marked `follows`. Raises what CouchDB answers: Conflict, BadRequest
        (illegal_docid, doc_validation, ...), PreconditionFailed missing_stub. The result's `error` is None.
        """
        for upload in (uploads or {}).values():
            await upload.finish()
        edit = read(doc, doc_id, uploads)
        if rev is not None:
            given = _revisions(rev)
            if edit.revisions is not None and edit.revisions.newest != given.newest:
                raise BadRequest("Document rev from request body and query string have different values")
            edit.revisions = edit.revisions or given
        result = await self._store_one(edit, new_edits=new_edits)
        for upload in (uploads or {}).values():
            await upload.discard()
        return result

    async def delete(self, doc_id: str, rev: str | None) -> Updated:
        """Delete a document; its tombstone has no body. Raises Conflict, also without `rev`; NotFound if unknown."""
        self.get(doc_id)
        edit = Edit(doc_id, {}, b"{}", True, None if rev is None else _revisions(rev))
        return await self._store_one(edit)

    async def bulk_docs(self, docs: Sequence[Any], *, new_edits: bool = True) -> list[Updated]:
        """Store many documents in one transaction; one result for each, in order, failed rows with `error`.

        Documents without `_id` get one. What is wrong with the request as a whole raises, and nothing is stored:
        illegal ids, unknown `_x` members, malformed revisions, missing stubs, with `new_edits=False` also a document
        without `_rev` and `_revisions`.
        """
        edits = []
        for number, doc in enumerate(docs):
            edit = read(doc)
            edit.id = edit.id or uuid4().hex
            edits.append(edit)
            if number % PAGE == PAGE - 1:
                await asyncio.sleep(0)  # a large request keeps no other waiting
        return await self._store(edits, new_edits=new_edits)

    async def copy(self, source_id: str, source_rev: str | None, target_id: str, target_rev: str | None) -> Updated:
        """`COPY`: the source's body and attachments become a new revision of the target."""
        source = self.get(source_id, source_rev)
        check_id(target_id)
        target = None if target_rev is None else _revisions(target_rev)
        generation = target.start + 1 if target is not None else 1
        attachments = tuple(replace(one, revpos=min(one.revpos, generation)) for one in source.attachments)
        body = jsonio.loads(source.body)
        return await self._store_one(Edit(target_id, body, source.body, False, target, attachments))

    async def _store_one(self, edit: Edit, *, new_edits: bool = True) -> Updated:
        [result] = await self._store([edit], new_edits=new_edits)
        if result.error is not None:
            raise result.error
        return result

    async def _store(self, edits: list[Edit], *, new_edits: bool) -> list[Updated]:
        if self._prepare is not None:
            edits = [await self._prepare(edit) for edit in edits]
        apply = updates.edit_all if new_edits else updates.graft_all
        return await self._repository.write(partial(apply, edits=edits, revs_limit=self._revs_limit))

    # ---- attachments

    def new_upload(self) -> Upload:
        """For the bytes of one attachment of this database."""
        return self._repository.new_upload()

    async def put_attachment(
        self,
        doc_id: str,
        name: str,
        upload: Upload,
        *,
        rev: str | None,
        content_type: str,
        encoding: str | None = None,
    ) -> Updated:
        """Add or replace one attachment of revision `rev` (None: a new document). Raises as `put`.

        Raises NotFound "missing_rev" if there is no such revision.
        """
        check_id(doc_id)
        check_attachment_name(name)
        await upload.finish()
        edit = Edit(doc_id, {}, b"{}") if rev is None else self._revision(doc_id, rev)
        others = (one for one in edit.attachments if one.name != name)
        edit.attachments = (Incoming(name, content_type, None, upload, encoding=encoding), *others)
        result = await self._store_one(edit)
        await upload.discard()
        return result

    async def delete_attachment(self, doc_id: str, name: str, *, rev: str | None) -> Updated:
        """Raises NotFound "Document is missing attachment", "missing_rev"; Conflict without `rev`."""
        attachments = self.get(doc_id).attachments if rev is None else self._revision(doc_id, rev).attachments
        if all(one.name != name for one in attachments):
            raise NotFound("Document is missing attachment")
        edit = Edit(doc_id, {}, b"{}") if rev is None else self._revision(doc_id, rev)
        edit.attachments = tuple(one for one in edit.attachments if one.name != name)
        return await self._store_one(edit)

    def _revision(self, doc_id: str, rev: str) -> Edit:
        """An edit of a stored revision that changes nothing yet."""
        [document] = self.open_revs(doc_id, [rev])
        if isinstance(document, MissingRev):
            raise NotFound("missing_rev")
        body = jsonio.loads(document.body)
        return Edit(doc_id, body, document.body, document.deleted, _revisions(rev), document.attachments)

    async def read_attachment(
        self, attachment: Attachment, *, start: int = 0, end: int | None = None, decode: bool = False
    ) -> AsyncIterator[bytes]:
        """The stored bytes from `start` to before `end`, in chunks; with `decode` un-gzipped (then no range)."""
        stop = attachment.stored_length if end is None else min(end, attachment.stored_length)
        chunks = self._repository.read_blob(attachment.key, start, stop)
        async for chunk in gunzip(chunks) if decode and attachment.encoding == "gzip" else chunks:
            yield chunk

    async def attachment_data(self, attachment: Attachment) -> bytes:
        """The whole plain bytes: what JSON shows as base64."""
        return b"".join([chunk async for chunk in self.read_attachment(attachment, decode=True)])


class _Gone:
    """What a deleted database's repository turns into: everything raises NotFound."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NotFound("Database does not exist.")


def _setting(repository: Repository, name: str, default: Any) -> Any:
    stored = repository.setting(name)
    return default if stored is None else jsonio.loads(stored)


def _check_security(value: Any) -> None:
    """CouchDB's own rules (couch_db:validate_security_object)."""
    if not isinstance(value, dict):
        raise BadRequest("Request body must be a JSON object")
    for group in ("admins", "members"):
        members = value.get(group, {})
        if not isinstance(members, dict):
            raise BadRequest(f"{group} must be a JSON object with lists of names and roles")
        for kind in ("names", "roles"):
            listed = members.get(kind, [])
            if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
                raise BadRequest(f"{kind} must be a JSON list of strings")


def _parse(text: str) -> Rev:
    try:
        return parse_rev(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _revisions(text: str) -> Revisions:
    """A revision alone as the path that it stands for."""
    rev = _parse(text)
    return Revisions(rev.generation, (rev.hash,))


def _tree(stored: bytes) -> Tree:
    return revisions.from_json(jsonio.loads(stored))


def _revs_info(tree: Tree, rev: Rev) -> list[dict[str, str]]:
    info = []
    for step in revisions.path_of(tree, rev).revs():
        node = tree[step]
        status = "missing" if not node.stored else "deleted" if node.deleted else "available"
        info.append({"rev": str(step), "status": status})
    return info


def _document(
    doc_id: str, body: StoredBody, path: Revisions | None = None, meta: Mapping[str, Any] | None = None
) -> Document:
    return Document(doc_id, body.rev, bool(body.deleted), body.body, unpack(body.atts), path, meta or {})


def _entry_document(entry: Entry, conflicts: bool) -> Document | None:
    if entry.body is None:
        return None
    live = [rev for rev, deleted in jsonio.loads(entry.others) if not deleted] if conflicts and entry.others else []
    meta = {"_conflicts": live} if live else {}
    return Document(entry.id, entry.rev, bool(entry.deleted), entry.body, unpack(entry.atts), None, meta)


def _change(entry: Entry, conflicts: bool) -> Change:
    others = () if entry.others is None else (rev for rev, _ in jsonio.loads(entry.others))
    leaves = (entry.rev, *others)
    return Change(entry.seq, entry.id, entry.rev, bool(entry.deleted), leaves, _entry_document(entry, conflicts))
