"""Writing documents and attachments: what comes in is read and checked here, and applied by `updates`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from proxy.core import jsonio
from proxy.core.revisions import Revisions
from proxy.endpoint import updates
from proxy.endpoint.attachments import Attachment, Upload, gunzip
from proxy.endpoint.documents import MissingRev, Updated
from proxy.endpoint.incoming import Edit, Incoming, check_attachment_name, check_id, read
from proxy.endpoint.reading import PAGE, Reading, parse
from proxy.errors import BadRequest, NotFound


class Writing(Reading):
    """The part of a database that writes. `_prepare` may change or refuse an edit before it is stored."""

    _prepare: Callable[[Edit], Awaitable[Edit]] | None

    async def put(
        self,
        doc_id: str,
        doc: Any,
        *,
        rev: str | None = None,
        match: str | None = None,
        new_edits: bool = True,
        uploads: Mapping[str, Upload] | None = None,
    ) -> Updated:
        """Store one JSON document (`PUT /{db}/{id}`, `_local/` too).

        `rev` is that of the query, `match` that of If-Match: they must agree with each other and with the document's,
        which is that of `_revisions` if there is one. `uploads` has the bytes of the attachments marked `follows`.
        Raises what CouchDB answers: Conflict, BadRequest (illegal_docid, doc_validation, ...), PreconditionFailed
        missing_stub. The result's `error` is None.
        """
        for upload in (uploads or {}).values():
            await upload.finish()
        edit = read(doc, doc_id, uploads)
        edit.revisions = _agreed(edit.revisions, rev, "Document rev from request body and query string")
        edit.revisions = _agreed(edit.revisions, match, "Document rev and etag")
        result = await self._store_one(edit, new_edits=new_edits)
        for upload in (uploads or {}).values():
            await upload.discard()
        return result

    async def post(self, doc: Any, new_id: str) -> Updated:
        """Store one JSON document under its own id, or as a new one under `new_id` (`POST /{db}`). Raises as `put`."""
        edit = read(doc)
        if not edit.id:
            edit.id, edit.revisions = new_id, None
        return await self._store_one(edit)

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
        """`COPY`: the source's body and attachments become a new revision of the target; a tombstone's, a tombstone."""
        source = self.get(source_id, source_rev)
        check_id(target_id)
        target = None if target_rev is None else _revisions(target_rev)
        generation = target.start + 1 if target is not None else 1
        attachments = tuple(replace(one, revpos=min(one.revpos, generation)) for one in source.attachments)
        body = jsonio.loads(source.body)
        return await self._store_one(Edit(target_id, body, source.body, source.deleted, target, attachments))

    async def _store_one(self, edit: Edit, *, new_edits: bool = True) -> Updated:
        [result] = await self._store([edit], new_edits=new_edits)
        if result.error is not None:
            raise copy(result.error)  # another one: an error refers to this frame, which refers to the result
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

        Raises NotFound "missing_rev" (409) if there is no such revision.
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
        """Raises NotFound "Document is missing attachment", "missing_rev" (409); Conflict without `rev`."""
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
            raise NotFound("missing_rev", status=409)
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


def _agreed(given: Revisions | None, rev: str | None, both: str) -> Revisions | None:
    """What is given, or `rev`. Raises BadRequest if these are two revisions."""
    if rev is None:
        return given
    path = _revisions(rev)
    if given is not None and given.newest != path.newest:
        raise BadRequest(f"{both} have different values")
    return given or path


def _revisions(text: str) -> Revisions:
    """A revision alone as the path that it stands for."""
    rev = parse(text)
    return Revisions(rev.generation, (rev.hash,))
