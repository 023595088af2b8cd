"""Revisions in query strings, headers and bodies."""

from __future__ import annotations

from proxy.core import jsonio
from proxy.core.revisions import canonical, parse_rev
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


def claimed_rev(call: Call) -> str | None:
    """The revision that a request is about: that of the query or of If-Match, which must agree.

    Raises BadRequest if they do not, or are no revisions.
    """
    named, match = call.query.first("rev"), if_match(call)
    for rev in (named, match):
        if rev is not None:
            check_rev(rev)
    if named is not None and match is not None and canonical(named) != canonical(match):
        raise BadRequest("Document rev and etag have different values")
    return named if match is None else match


def if_match(call: Call) -> str | None:
    """The revision that the header If-Match names, as it is written there."""
    header = call.headers.get("If-Match")
    return None if header is None else header.strip('"')
