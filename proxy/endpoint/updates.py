"""What a write does to documents: CouchDB's couch_db:update_docs, for edits and for replication.

An edit (`new_edits=true`) must name a leaf, gets a new revision id, and is a conflict otherwise. Replication
(`new_edits=false`) grafts revisions as they are. These were checked against CouchDB 3.5:

- an edit without `_rev` of a deleted document extends its winning tombstone; a tombstone's own `_rev` is a conflict,
  unless another leaf lives;
- an edit that names a revision of a document that does not exist is stored, with that revision as its ancestor;
- leaves count as they were before the request: a second edit of the same leaf in one request is a conflict, edits of
  two leaves are not;
- a replicated revision that is known, even as a mere ancestor, is accepted and its body ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.core import jsonio, revisions
from proxy.core.revid import new_hash
from proxy.core.revisions import Merged, Rev, Revisions, Tree
from proxy.endpoint.attachments import Attachment, pack, unpack
from proxy.endpoint.documents import Edit, Incoming, Updated
from proxy.endpoint.repository import LocalDoc, Record, StoredBody, Transaction
from proxy.errors import BadRequest, Conflict, PreconditionFailed


def edit_all(transaction: Transaction, edits: Sequence[Edit], revs_limit: int) -> list[Updated]:
    """Apply a client's edits in order: one result for each. Raises if the request as a whole cannot be served."""
    return _apply(transaction, edits, revs_limit, _Document.edit)


def graft_all(transaction: Transaction, edits: Sequence[Edit], revs_limit: int) -> list[Updated]:
    """Store replicated revisions as they are: one result for each. Raises BadRequest, missing_stub."""
    return _apply(transaction, edits, revs_limit, _Document.graft)


def _apply(
    transaction: Transaction, edits: Sequence[Edit], revs_limit: int, apply: Callable[[_Document, Edit], Rev]
) -> list[Updated]:
    documents: dict[str, _Document] = {}
    results = []
    for edit in edits:
        if edit.is_local:
            results.append(write_local(transaction, edit))
            continue
        if edit.revisions is not None and edit.revisions.start < 1:
            raise BadRequest("Invalid rev format")
        document = documents.get(edit.id)
        if document is None:
            document = documents[edit.id] = _Document(transaction, edit.id)
        try:
            results.append(Updated(edit.id, str(apply(document, edit))))
        except Conflict as conflict:
            results.append(Updated(edit.id, None, conflict))
    for document in documents.values():
        document.save(revs_limit)
    return results


class _Document:
    """One document during a request."""

    def __init__(self, transaction: Transaction, doc_id: str) -> None:
        self._transaction = transaction
        self._id = doc_id
        self._before = transaction.record(doc_id)
        self._tree: Tree = revisions.from_json(jsonio.loads(self._before.tree)) if self._before else {}
        self._leaves_before = set(revisions.leaves(self._tree))
        self._bodies: dict[Rev, StoredBody] = {}

    # ---- edits

    def edit(self, edit: Edit) -> Rev:
        """Raises Conflict; PreconditionFailed for a stub that stands for nothing."""
        parent, ancestors = self._edited(edit)
        generation = 1 if parent is None else parent.generation + 1
        kept = self._stored_attachments(parent if parent in self._tree else None)
        attachments = self._attachments(edit, generation, kept, keep_revpos=False)
        parts = [attachment.hash_part() for attachment in attachments]
        hash_ = new_hash(edit.body, parent, deleted=edit.deleted, attachments=parts)
        tree, outcome = revisions.merge(self._tree, Revisions(generation, (hash_, *ancestors)), deleted=edit.deleted)
        if outcome is not Merged.NEW_LEAF:
            raise Conflict
        self._tree = tree
        return self._keep(Rev(generation, hash_), edit, attachments)

    def _edited(self, edit: Edit) -> tuple[Rev | None, tuple[str, ...]]:
        """The revision to extend and the hashes of the path from it. Raises Conflict."""
        if edit.revisions is not None:
            rev = edit.revisions.newest
            if self._tree and not self._may_extend(rev):
                raise Conflict
            return rev, edit.revisions.ids
        if not self._tree:
            return None, ()
        was_deleted = self._before is not None and self._before.deleted
        if not was_deleted or not revisions.is_deleted(self._tree) or edit.deleted:
            raise Conflict
        tombstone = revisions.winner(self._tree)
        return tombstone, (tombstone.hash,)

    def _may_extend(self, rev: Rev) -> bool:
        """Whether it was a leaf before the request and still is one, of a document that is not deleted."""
        leaves = revisions.leaves(self._tree)
        return rev in leaves and rev in self._leaves_before and not self._tree[leaves[0]].deleted

    # ---- replication

    def graft(self, edit: Edit) -> Rev:
        """Raises PreconditionFailed for a stub that stands for nothing."""
        path = edit.revisions
        if path is None:
            raise BadRequest("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")
        rev = path.newest
        if rev in self._tree:
            return rev
        ancestors = Revisions(path.start - 1, path.ids[1:])
        kept = self._stored_attachments(revisions.newest_stored(self._tree, ancestors))
        attachments = self._attachments(edit, rev.generation, kept, keep_revpos=True)
        self._tree, _ = revisions.merge(self._tree, path, deleted=edit.deleted)
        return self._keep(rev, edit, attachments)

    # ---- attachments

    def _stored_attachments(self, rev: Rev | None) -> dict[str, Attachment]:
        """Those of a revision that is held, by name."""
        body = None if rev is None else self._body(rev)
        return {} if body is None else {attachment.name: attachment for attachment in unpack(body.atts)}

    def _attachments(
        self, edit: Edit, generation: int, kept: dict[str, Attachment], *, keep_revpos: bool
    ) -> tuple[Attachment, ...]:
        found = []
        for incoming in edit.attachments:
            if isinstance(incoming, Attachment):
                found.append(incoming)
            elif incoming.upload is None:
                found.append(self._unstub(incoming, kept))
            else:
                revpos = incoming.revpos if keep_revpos and incoming.revpos else generation
                found.append(self._adopt(incoming, revpos))
        return tuple(found)

    def _unstub(self, stub: Incoming, kept: dict[str, Attachment]) -> Attachment:
        attachment = kept.get(stub.name)
        if attachment is None or stub.revpos not in (None, attachment.revpos):
            raise PreconditionFailed(f"Invalid attachment stub in {self._id} for {stub.name}", error="missing_stub")
        return attachment

    def _adopt(self, incoming: Incoming, revpos: int) -> Attachment:
        upload = incoming.upload
        assert upload is not None
        stored, encoded = upload.length, incoming.encoding is not None
        said = incoming.encoded_length if encoded and incoming.encoded_length is not None else incoming.length
        if said is not None and said != stored:
            raise BadRequest(f"attachment {'longer' if stored > said else 'shorter'} than expected")
        if incoming.digest is not None and incoming.digest.startswith("md5-") and incoming.digest != upload.digest:
            raise BadRequest("Possible message corruption.", error="content_md5_mismatch")
        self._transaction.adopt(upload)
        return Attachment(
            incoming.name,
            incoming.content_type,
            revpos,
            upload.digest,
            incoming.length if encoded and incoming.length is not None else stored,
            upload.key,
            incoming.encoding,
            stored if encoded else None,
        )

    # ---- storing

    def _keep(self, rev: Rev, edit: Edit, attachments: tuple[Attachment, ...]) -> Rev:
        self._bodies[rev] = StoredBody(str(rev), edit.deleted, pack(attachments), edit.text)
        return rev

    def _body(self, rev: Rev) -> StoredBody | None:
        if rev in self._bodies:
            return self._bodies[rev]
        if self._before is not None and self._before.rev == str(rev):
            return self._before.stored_body
        return self._transaction.body(self._id, str(rev))

    def save(self, revs_limit: int) -> None:
        """Write the document under a new sequence, if anything was added."""
        if not self._bodies:
            return
        transaction, before = self._transaction, self._before
        tree = revisions.stem(self._tree, revs_limit)
        best, *others = revisions.leaves(tree)
        winner = self._body(best)
        assert winner is not None  # leaves always have a body
        self._keep_losers(str(best))
        for rev in self._tree.keys() - tree.keys():
            transaction.drop_body(self._id, str(rev))
        record = Record(
            transaction.counts.seq + 1,
            self._id,
            winner.rev,
            winner.deleted,
            jsonio.dumps([[str(rev), tree[rev].deleted] for rev in others]) if others else None,
            jsonio.dumps(revisions.to_json(tree)),
            winner.atts,
            winner.body,
        )
        transaction.put(record, before)

    def _keep_losers(self, best: str) -> None:
        """The winner's body is in the document's row, all others are beside it."""
        transaction, before = self._transaction, self._before
        for body in self._bodies.values():
            if body.rev != best:
                transaction.put_body(self._id, body)
        if before is not None and before.rev != best:
            transaction.put_body(self._id, before.stored_body)
            transaction.drop_body(self._id, best)


def write_local(transaction: Transaction, edit: Edit) -> Updated:
    """Write or delete a `_local` document. There are no conflicts (3.x): `_rev` only says how to count on."""
    if edit.deleted:
        transaction.drop_local(edit.id)
        return Updated(edit.id, "0-0")
    number = 1
    if edit.revisions is not None:
        generation, hash_ = edit.revisions.newest
        if generation != 0 or not hash_.isdecimal() or not hash_.isascii():
            raise BadRequest("Invalid rev format")
        number = int(hash_[:18]) + 1
    transaction.put_local(LocalDoc(edit.id, number, edit.text))
    return Updated(edit.id, f"0-{number}")
