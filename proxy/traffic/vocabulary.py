"""The words of CouchDB's HTTP interface, which say nothing of its users (CouchDB's documentation, API)."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PATHS = _words(
    """
    _up _uuids _session _all_dbs _dbs_info _all_docs _design_docs _local_docs _changes _bulk_docs _bulk_get
    _revs_diff _missing_revs _find _explain _index _ensure_full_commit _security _revs_limit _purge _compact
    _users _replicator _replicate _design _local _view _show _list _update _info _rewrite _utils _active_tasks
    _node _config _membership _global_changes _db_updates _scheduler _search _partition _shards
    _purged_infos_limit _view_cleanup
    """
)
PARAMETERS = _words(
    """
    attachments att_encoding_info atts_since conflicts deleted_conflicts latest local_seq meta open_revs rev
    revs revs_info new_edits batch since limit style feed filter view heartbeat timeout include_docs
    descending seq_interval doc_ids key keys startkey endkey start_key end_key startkey_docid endkey_docid
    skip inclusive_end update_seq reduce group group_level stable update sorted count q n partitioned
    last-event-id
    """
)
WORDS = _words(
    """
    true false now all all_docs main_only normal longpoll continuous eventsource _doc_ids _selector _view
    _design ok lazy
    """
)
MEMBERS = _words(
    """
    password total_rows offset rows id key value rev revs doc docs ok error reason seq last_seq pending changes results
    deleted missing possible_ancestors queries keys limit skip include_docs descending new_edits selector
    fields sort bookmark warning execution_stats total_keys_examined total_docs_examined
    total_quorum_docs_examined results_returned execution_time_ms use_index conflicts deleted_conflicts
    update_seq purge_seq doc_count doc_del_count db_name sizes file external active props instance_start_time
    disk_format_version compact_running cluster q n w r couchdb version git_sha features vendor name uuid
    uuids userCtx roles info authenticated authentication_handlers authentication_db status seeds admins
    members names doc_ids atts_since stub follows length digest revpos content_type data encoding
    encoded_length start ids startkey endkey start_key end_key instance doc_write_failures docs_read
    docs_written
    """
)
"""Members of what wraps documents."""
FORM_FIELDS = _words("name username password token _doc _rev next")

DOC_MEMBERS = _words(
    """
    _id _rev _deleted _attachments _revisions _revs_info _conflicts _deleted_conflicts _local_seq _removed
    """
)
KEPT = _words(
    """
    couchdb version git_sha features vendor status instance_start_time authenticated authentication_handlers
    sizes cluster props uuid encoding content_type
    """
)
"""Members whose values are the server's own."""
SEQUENCES = _words(
    """
    seq last_seq update_seq purge_seq source_last_seq start_last_seq end_last_seq recorded_seq since
    """
)
CHECKPOINT = SEQUENCES | _words(
    """
    session_id history replication_id_version version replicator start_time end_time missing_checked
    missing_found docs_read docs_written doc_write_failures bulk_get_docs bulk_get_attempts target_last_seq
    """
)
OPERATORS = _words(
    """
    $and $or $not $nor $all $elemMatch $allMatch $keyMapMatch $lt $lte $eq $ne $gte $gt $exists $type $in $nin
    $size $mod $regex $beginsWith $text
    """
)
HEADERS = _words(
    """
    accept accept-encoding accept-language accept-ranges allow cache-control connection content-encoding
    content-length content-range content-security-policy content-type date expect keep-alive range server
    transfer-encoding user-agent vary x-couch-request-id x-couchdb-body-time x-couch-full-commit
    www-authenticate error
    """
)
"""Headers whose values stay."""
ERRORS = frozenset(
    (
        "not_found",
        "conflict",
        "unauthorized",
        "forbidden",
        "bad_request",
        "method_not_allowed",
        "file_exists",
        "illegal_database_name",
        "doc_validation",
        "illegal_docid",
        "missing_stub",
        "bad_content_type",
        "not_acceptable",
        "too_large",
        "document_too_large",
        "requested_range_not_satisfiable",
        "query_parse_error",
        "undefined",
        "not_implemented",
        "internal_server_error",
        "missing",
        "deleted",
        "no_db_file",
        "Document update conflict.",
        "Database does not exist.",
        "Name or password is incorrect.",
        "Account is temporarily locked due to multiple authentication failures",
        "Authentication required.",
        "You are not authorized to access this db.",
        "You are not a server admin.",
        "The database could not be created, the file already exists.",
        "Document is missing attachment",
        "invalid UTF-8 JSON",
        "Content-Type must be application/json",
    )
)
"""Values of `error`, and reasons that name nothing."""
