"""The table of endpoints: CouchDB's reading of a path, and nothing that is not in the table."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.endpoints import Kind, Target, document_path, has_dot_segments, route
from proxy.errors import BadRequest, CouchError, Forbidden, MethodNotAllowed, NotFound

SPELLINGS = [
    ("GET", "/", Kind.ROOT),
    ("GET", "//", Kind.ROOT),
    ("GET", "/_up", Kind.UP),
    ("GET", "/db", Kind.DATABASE),
    ("GET", "/db/", Kind.DATABASE),
    ("GET", "//db//_all_docs", Kind.ALL_DOCS),
    ("GET", "/db/%5Fall_docs", Kind.ALL_DOCS),
    ("GET", "/db/%5fchanges/anything", Kind.CHANGES),
    ("GET", "http://host:1/db/_changes?x=1", Kind.CHANGES),
    ("POST", "/db/_all_docs/queries", Kind.ALL_DOCS_QUERIES),
    ("GET", "/db/a%2Fb", Kind.DOCUMENT),
    ("GET", "/db/a/b/c", Kind.ATTACHMENT),
    ("GET", "/db/_design/x", Kind.DESIGN),
    ("GET", "/db/_design%2Fx", Kind.DESIGN),
    ("PUT", "/db/_design%2fx", Kind.DESIGN),
    ("GET", "/db/_design/x/logo.png", Kind.DESIGN_ATTACHMENT),
    ("GET", "/db/_design/x/_view/y", Kind.TRUSTED),
    ("GET", "/db/_design%2Fx/_view/y", Kind.TRUSTED),
    ("GET", "/db/_design/x/_show/y/secret", Kind.TRUSTED),
    ("POST", "/db/_explain", Kind.TRUSTED),
    ("GET", "/db/_partition/p/_all_docs", Kind.TRUSTED),
    ("GET", "/db/_local/x", Kind.LOCAL),
    ("GET", "/db/_local%2Fx", Kind.LOCAL),
    ("COPY", "/db/a", Kind.DOCUMENT),
]


@pytest.mark.parametrize(("method", "target", "kind"), SPELLINGS)
def test_paths_are_read_as_couchdb_reads_them(method: str, target: str, kind: Kind) -> None:
    assert route(method, target).kind is kind


@pytest.mark.parametrize(
    ("target", "doc_id", "attachment"),
    [
        ("/db/a%2Fb", "a/b", ""),
        ("/db/%2Bplus", "+plus", ""),
        ("/db/+plus", " plus", ""),
        ("/db/%2525", "%25", ""),
        ("/db/%C3%BCn%C3%AF%20%E2%98%83", "ünï ☃", ""),
        ("/db/photo/sub/dir.txt", "photo", "sub/dir.txt"),
        ("/db/photo/sub%2Fdir.txt", "photo", "sub/dir.txt"),
        ("/db/_design/app", "_design/app", ""),
        ("/db/_local/a%2Fb", "_local/a/b", ""),
    ],
)
def test_ids_and_names_are_decoded_once(target: str, doc_id: str, attachment: str) -> None:
    routed = route("GET", target)
    assert (routed.doc_id, routed.attachment) == (doc_id, attachment)


@pytest.mark.parametrize(
    "target",
    [
        "/_replicate",
        "/_node/_local/_config",
        "/_users/x",
        "/_utils/",
        "/_db_updates",
        "/_session/x",
        "/%5Freplicate",
        "/db/_purge",
        "/db/_compact",
        "/db/_shards",
        "/db/_temp_view",
        "/db/_nosuch",
        "/db/_All_docs",
        "/db/_design/x/_rewrite/y",
    ],
)
def test_what_is_not_in_the_table_is_denied(target: str) -> None:
    with pytest.raises(Forbidden):
        route("POST", target)


@pytest.mark.parametrize(
    "target", ["/db/../x", "/db/%2e%2e/x", "/./db", "/db/%zz", "/db/%", "db", "ftp://x/y", "/db/%00", "/db/%ff"]
)
def test_dot_segments_and_bad_escapes_are_refused(target: str) -> None:
    with pytest.raises(BadRequest):
        route("GET", target)


@pytest.mark.parametrize("target", ["/db/_local/x/photo.jpg", "/db/_local%2Fx/photo.jpg", "/db/_local/x/a/b"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_local_documents_have_no_attachments(method: str, target: str) -> None:
    with pytest.raises(BadRequest, match=r"_local documents do not accept attachments\."):
        route(method, target)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_names_that_are_empty(method: str) -> None:
    for target in ("/db/_design%2F", "/db/_design/", "/db/_design%2F/photo.jpg"):
        with pytest.raises(NotFound, match="missing"):
            route(method, target)
    with pytest.raises(BadRequest, match="Invalid _local document id"):
        route(method, "/db/_local%2F")
    assert route("PUT", "/db/_design%2F").kind is Kind.DESIGN  # refused in other words


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PUT", "/db/_changes", "GET,POST,HEAD"),
        ("GET", "/db/_bulk_get", "POST"),
        ("PATCH", "/db/w1", "DELETE,GET,HEAD,POST,PUT,COPY"),
        ("get", "/db/w1", "DELETE,GET,HEAD,POST,PUT,COPY"),
    ],
)
def test_other_methods_are_refused_in_couchdbs_words(method: str, target: str, allowed: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        route(method, target)
    assert caught.value.reason == f"Only {allowed} allowed"


def test_the_method_override_counts_on_post_and_in_upper_case_only() -> None:
    assert route("POST", "/db/a", "DELETE").method == "DELETE"
    assert route("GET", "/db/a", "DELETE").method == "GET"
    assert route("POST", "/db/a", "delete").method == "POST"


pieces = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


@given(pieces.filter(lambda text: not has_dot_segments(text) and not text.startswith("_")))
def test_the_canonical_path_of_an_id_routes_back_to_it(doc_id: str) -> None:
    assert route("GET", document_path("db", doc_id)) == Target(Kind.DOCUMENT, "GET", "db", doc_id, rest=(doc_id,))


names = st.one_of(pieces, st.text("ab/.", min_size=1, max_size=6))


@given(names)
@example("/")
@example("a/")
@example("a//b")
@example("/a")
def test_the_canonical_path_of_an_attachment_leads_to_it_and_nothing_else(name: str) -> None:
    """CouchDB splits a path at its slashes, drops what is empty, undoes the encoding, and joins the rest."""
    sent = document_path("db", "doc", name)
    assert [unquote(piece) for piece in sent.split("/") if piece][:2] == ["db", "doc"]
    assert "/".join(unquote(piece) for piece in sent.split("/")[3:] if piece) == name
    assert not any(piece in (".", "..") for piece in sent.split("/"))


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40), st.sampled_from(["GET", "POST", "PUT"])
)
def test_any_target_is_routed_or_refused(text: str, method: str) -> None:
    try:
        routed = route(method, "/" + text)
    except CouchError:
        return
    assert routed.method == method


@given(st.lists(pieces, min_size=1, max_size=4), st.sampled_from(["GET", "PUT", "DELETE", "POST"]))
def test_spelling_makes_no_difference(parts: list[str], method: str) -> None:
    def outcome(target: str) -> object:
        try:
            routed = route(method, target)
        except (NotFound, Forbidden, MethodNotAllowed, BadRequest) as error:
            return type(error)
        return routed

    plain = "/" + "/".join(quote(part, safe="") for part in parts)
    odd = "//" + "//".join("".join(f"%{byte:02x}" for byte in part.encode()) for part in parts) + "/"
    assert outcome(plain) == outcome(odd)
