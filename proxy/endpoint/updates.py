"""What a write does to documents: CouchDB's couch_db:update_docs, for edits and for replication.

An edit (`new_edits=true`) must extend a leaf, gets a new revision id, and is a conflict otherwise. Replication
(`new_edits=false`) grafts revisions as they are. As CouchDB 3.5 does it (random requests were compared with one):

- an edit without `_rev` of a deleted document extends its winning tombstone; a tombstone's own `_rev` is a conflict,
  unless another leaf lives;
- an edit that names a revision of a document that does not exist is a conflict (CouchDB stores it, with that revision
  as its ancestor, in each shard that has found out that there are no validation functions: what a client is told then
  depends on what was written before, and to which ids. The answer that it gets with them is the safe one);
- a revision of generation 0, of which there is none, is a conflict for an edit as any that is no leaf;
- a replicated revision that is known is accepted and its body ignored, unless it was known without a body;
- a request with attachments or design documents is strict: the leaves that edits may extend are those from before the
  request, of documents that exist, and replicated revisions that were known before it are passed over, with what they
  say of their history, unless by that history a branch is part of another and its conflict is none. What else comes
  in the request makes no difference to that. (To CouchDB any request is strict that comes to a shard which has yet to
  find out, as after each write of a design document, that there are no validation functions.)

Other than in CouchDB, a replicated revision of generation 0 is refused (no server gives one out), a strict request may
bring a revision together with one that descends from it (CouchDB keeps the body of the latter only), an attachment that
is replicated without `revpos` gets its revision's generation, not 0, and an attachment's revision position is also
fresh when a deleted document is created again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.core import jsonio, revisions
from proxy.core.revid import new_hash
from proxy.core.revisions import Merged, Rev, Revisions, Tree
from proxy.endpoint.attachments import Attachment, Upload, pack, unpack
from proxy.endpoint.documents import Updated
from proxy.endpoint.incoming import Edit, Incoming
from proxy.endpoint.repository import LocalDoc, Record, StoredBody, Transaction
from proxy.errors import BadRequest, Conflict, Forbidden, PreconditionFailed


def edit_all(transaction: Transaction, edits: Sequence[Edit], revs_limit: int) -> list[Updated]:
    """Apply a client's edits in order: one result for each. Raises if the request as a whole cannot be served."""
    return _apply(transaction, edits, revs_limit, _Document.edit)


def graft_all(transaction: Transaction, edits: Sequence[Edit], revs_limit: int) -> list[Updated]:
    """Store replicated revisions as they are: one result for each. Raises BadRequest, missing_stub."""
    if any(edit.revisions is None for edit in edits):
        raise BadRequest("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")
    return _apply(transaction, edits, revs_limit, _Document.graft)


def _apply(
    transaction: Transaction, edits: Sequence[Edit], revs_limit: int, apply: Callable[[_Document, Edit], Rev]
) -> list[Updated]:
    documents: dict[str, _Document] = {}
    results = []
    strict = any(edit.attachments or edit.id.startswith("_design/") for edit in edits)
    for edit in edits:
        if edit.is_local:
            results.append(write_local(transaction, edit))
            continue
        document = documents.get(edit.id)
        if document is None:
            document = documents[edit.id] = _Document(transaction, edit.id, strict)
        try:
            results.append(Updated(edit.id, str(apply(document, edit))))
        except (Conflict, Forbidden) as error:
            rev = None if edit.revisions is None else str(edit.revisions.newest)
            results.append(Updated(edit.id, rev, error.with_traceback(None)))  # which would refer to the results
    for document in documents.values():
        document.save(revs_limit)
    return results


class _Document:
    """One document during a request."""

    def __init__(self, transaction: Transaction, doc_id: str, strict: bool) -> None:
        self._transaction = transaction
        self._id = doc_id
        self._strict = strict
        self._before = transaction.record(doc_id)
        self._tree: Tree = revisions.from_json(jsonio.loads(self._before.tree)) if self._before else {}
        self._tree_before = self._tree
        self._bodies: dict[Rev, StoredBody] = {}

    # ---- edits

    def edit(self, edit: Edit) -> Rev:
        """Raises Conflict, Forbidden; PreconditionFailed for a stub that stands for nothing."""
        if self._strict:
            self._judge(edit)
        given = edit.revisions
        if given is not None and (given.start < 1 or not self._tree):
            raise Conflict
        parent = given.newest if given is not None else None
        ancestors = given.ids if given is not None else ()
        stored = self._stored_attachments(parent)
        self._check_stubs(edit, stored)
        revived = revisions.is_deleted(self._tree)
        if revived:
            if edit.revisions is not None or edit.deleted:
                raise Conflict
            parent = revisions.winner(self._tree)
            ancestors = (parent.hash,)
        generation = 1 if parent is None else parent.generation + 1
        attachments = self._attachments(edit, generation, stored, keep_revpos=False)
        parts = [None if revived else attachment.hash_part() for attachment in attachments]
        hash_ = new_hash(edit.body, parent, deleted=edit.deleted, attachments=parts)
        path = Revisions(generation, (hash_, *ancestors))
        tree, outcome = revisions.merge(self._tree, path, deleted=edit.deleted)
        if outcome is not Merged.NEW_LEAF:
            raise Conflict
        _check(edit)
        self._tree = tree
        return self._keep(path.newest, edit, attachments)

    def _judge(self, edit: Edit) -> None:
        """Raises Conflict, going by what was there before the request."""
        if edit.revisions is None:
            allowed = self._before is None or self._before.deleted
        else:
            allowed = edit.revisions.newest in revisions.leaves(self._tree_before)
        if not allowed:
            raise Conflict

    # ---- replication

    def graft(self, edit: Edit) -> Rev:
        """Raises Forbidden; PreconditionFailed for a stub that stands for nothing."""
        path = edit.revisions
        assert path is not None
        if path.start < 1:
            raise BadRequest("Invalid rev format")
        rev = path.newest
        if self._passes_over(path):
            return rev
        if rev in self._tree and self._tree[rev].stored:
            self._tree, _ = revisions.merge(self._tree, path)  # its history may be longer than what was known
            return rev
        _check(edit)
        ancestors = Revisions(path.start - 1, path.ids[1:])
        stored = self._stored_attachments(revisions.newest_stored(self._tree, ancestors))
        self._check_stubs(edit, stored)
        attachments = self._attachments(edit, rev.generation, stored, keep_revpos=True)
        self._tree, _ = revisions.merge(self._tree, path, deleted=edit.deleted)
        return self._keep(rev, edit, attachments)

    def _passes_over(self, path: Revisions) -> bool:
        """Whether a strict request says nothing new: of a revision that was known, and no leaf, only that counts by
        which a branch turns out to be part of its history.
        """
        rev, before = path.newest, self._tree_before
        if not self._strict or rev not in before:
            return False
        return not revisions.joins(before, path) or rev in revisions.leaves(before)

    # ---- attachments

    def _stored_attachments(self, rev: Rev | None) -> dict[str, Attachment]:
        """Those of a revision that is held, by name."""
        body = None if rev is None or rev not in self._tree_before else self._body(rev)
        return {} if body is None else {attachment.name: attachment for attachment in unpack(body.atts)}

    def _check_stubs(self, edit: Edit, stored: dict[str, Attachment]) -> None:
        for incoming in edit.attachments:
            if isinstance(incoming, Incoming) and incoming.upload is None:
                attachment = stored.get(incoming.name)
                if attachment is None or incoming.revpos not in (None, attachment.revpos):
                    reason = f"Invalid attachment stub in {self._id} for {incoming.name}"
                    raise PreconditionFailed(reason, error="missing_stub")

    def _attachments(
        self, edit: Edit, generation: int, stored: dict[str, Attachment], *, keep_revpos: bool
    ) -> tuple[Attachment, ...]:
        found = []
        for incoming in edit.attachments:
            if isinstance(incoming, Attachment):
                found.append(incoming)
            elif incoming.upload is None:
                found.append(stored[incoming.name])
            else:
                revpos = incoming.revpos if keep_revpos and incoming.revpos else generation
                found.append(_uploaded(incoming, incoming.upload, revpos))
        return tuple(found)

    # ---- storing

    def _keep(self, rev: Rev, edit: Edit, attachments: tuple[Attachment, ...]) -> Rev:
        for incoming in edit.attachments:
            if isinstance(incoming, Incoming) and incoming.upload is not None:
                self._transaction.adopt(incoming.upload)
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
        transaction, before = self._transaction, self._before
        tree = revisions.stem(self._tree, revs_limit)
        if tree == self._tree_before:
            return
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


def _check(edit: Edit) -> None:
    if edit.problem is not None:
        raise Forbidden(edit.problem)


def _uploaded(incoming: Incoming, upload: Upload, revpos: int) -> Attachment:
    """What came in, if it is what was announced. Raises BadRequest."""
    encoded = incoming.encoding is not None
    said = incoming.encoded_length if encoded and incoming.encoded_length is not None else incoming.length
    if said is not None and said != upload.length:
        raise BadRequest(f"attachment {'longer' if upload.length > said else 'shorter'} than expected")
    if incoming.digest is not None and incoming.digest.startswith("md5-") and incoming.digest != upload.digest:
        raise BadRequest("Possible message corruption.", error="content_md5_mismatch")
    return Attachment(
        incoming.name,
        incoming.content_type,
        revpos,
        upload.digest,
        incoming.length if encoded and incoming.length is not None else upload.length,
        upload.key,
        incoming.encoding,
        upload.length if encoded else None,
    )


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
