"""Revisions in query strings, headers and bodies."""

from __future__ import annotations

from proxy.core import jsonio
from proxy.core.revisions import parse_rev
from proxy.endpoint.http.call import INVALID_JSON, Call
from proxy.errors import BadRequest


def revs_list(text: str | None) -> list[str]:
    """A JSON array of revisions (`open_revs`, `atts_since`). Raises BadRequest."""
    try:
        revs = jsonio.loads((text or "").encode())
    except ValueError:
        raise BadRequest(INVALID_JSON) from None
    if not isinstance(revs, list):
        raise BadRequest("Invalid rev list")
    for rev in revs:
        check_rev(rev)
    return revs


def check_rev(rev: object) -> None:
    """Raises BadRequest unless it is the text of a revision."""
    try:
        parse_rev(rev)
    except ValueError:
        raise BadRequest("Invalid rev format") from None


def claimed_rev(call: Call, body_rev: object = None) -> str | None:
    """The revision that a write says it replaces: of the body, the query or If-Match, which must agree.

    Raises BadRequest if they do not, or are no revisions.
    """
    in_query = call.query.first("rev")
    for rev in (body_rev, in_query):
        if rev is not None:
            check_rev(rev)
    if body_rev is not None and in_query is not None and body_rev != in_query:
        raise BadRequest("Document rev from request body and query string have different values")
    return matching_rev(call, body_rev if isinstance(body_rev, str) else in_query)


def matching_rev(call: Call, named: str | None) -> str | None:
    """The revision of If-Match, with which `named`, if it is not None, must agree. Raises BadRequest."""
    header = call.headers.get("If-Match")
    match = None if header is None else header.strip('"')
    for rev in (named, match):
        if rev is not None:
            check_rev(rev)
    if named is not None and match is not None and match != named:
        raise BadRequest("Document rev and etag have different values")
    return named if match is None else match
