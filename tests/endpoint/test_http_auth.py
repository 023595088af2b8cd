"""Who may do what: Basic, session cookies, proxy authentication headers, `_security`."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoint.http import cookies
from proxy.errors import BadRequest
from tests.endpoint.http_client import Wire, serving

SECRET = "between proxies"
USERS = {"ann": ("ann's", ("doctor",)), "bob": ("bob's", ())}


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving(users=USERS, proxy_secret=SECRET) as wire:
        await wire("PUT", "/db")
        yield wire


def cookie_of(answer_headers: dict[str, str]) -> dict[str, str]:
    return {"Cookie": answer_headers["set-cookie"].partition(";")[0]}


async def test_anonymous_sees_the_greeting_only(wire: Wire) -> None:
    anonymous = wire.anonymous()
    assert (await anonymous("GET", "/")).status == 200
    assert (await anonymous("GET", "/_up")).status == 200
    for method, target in [("GET", "/_all_dbs"), ("PUT", "/new"), ("DELETE", "/db"), ("GET", "/_dbs_info")]:
        answer = await anonymous(method, target)
        assert (answer.status, answer.json["reason"]) == (401, "You are not a server admin.")
    answer = await anonymous("GET", "/db/x")
    assert (answer.status, answer.json["reason"]) == (401, "You are not authorized to access this db.")


async def test_wrong_credentials_are_an_error_everywhere(wire: Wire) -> None:
    for name, password in [("ann", "bob's"), ("admin", "x"), ("nobody", ""), ("", "")]:
        answer = await wire.as_user(name, password)("GET", "/")
        assert (answer.status, answer.json["reason"]) == (401, "Name or password is incorrect.")
    assert (await wire.anonymous()("GET", "/", None, {"Authorization": "Basic %%%"})).status == 400


async def test_who_names_no_password_is_nobody(wire: Wire) -> None:
    header = {"Authorization": "Basic " + base64.b64encode(b"admin").decode()}
    session = await wire.anonymous()("GET", "/_session", None, header)
    assert (session.status, session.json["userCtx"]) == (200, {"name": None, "roles": []})
    assert (await wire.anonymous()("GET", "/_all_dbs", None, header)).status == 401


async def test_who_is_nobody_may_be_asked_to_log_in(wire: Wire) -> None:
    for method in ("GET", "HEAD"):
        assert (await wire.anonymous()(method, "/_session?basic=true")).status == 401
    assert (await wire.anonymous()("GET", "/_session?basic=true")).json["reason"] == "Please login."
    for query in ("basic=false", "basic=TRUE", ""):
        assert (await wire.anonymous()("GET", f"/_session?{query}")).status == 200
    assert (await wire("GET", "/_session?basic=true")).json["userCtx"]["name"] == "admin"


async def test_basic_credentials_end_with_the_password(wire: Wire) -> None:
    """Right credentials are remembered, but not longer than they are right."""
    ann = wire.as_user("ann", "ann's")
    for _ in range(2):
        session = (await ann("GET", "/_session")).json
        assert session["userCtx"] == {"name": "ann", "roles": ["doctor"]}
        assert session["info"]["authenticated"] == "default"
    doc = (await wire("GET", "/_users/org.couchdb.user:ann")).json
    assert (await wire("PUT", "/_users/org.couchdb.user:ann", {**doc, "password": "new"})).status == 201
    assert (await ann("GET", "/_session")).status == 401
    assert (await wire.as_user("ann", "new")("GET", "/_session")).status == 200


@pytest.mark.parametrize("as_json", [True, False])
async def test_log_in_and_out(wire: Wire, as_json: bool) -> None:
    anonymous = wire.anonymous()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    fields: dict[str, object] = {"name": "ann", "password": "ann's"}
    body: dict[str, object] | str = fields if as_json else "name=ann&password=ann%27s"
    answer = await anonymous("POST", "/_session", body, None if as_json else form)
    assert (answer.status, answer.json) == (200, {"ok": True, "name": "ann", "roles": ["doctor"]})
    assert answer.headers["set-cookie"].endswith("; Max-Age=600; Path=/; HttpOnly")
    cookie = cookie_of(answer.headers)
    session = await anonymous("GET", "/_session", None, cookie)
    assert (session.json["userCtx"]["name"], session.json["info"]["authenticated"]) == ("ann", "cookie")
    assert "set-cookie" not in session.headers  # it is fresh yet
    out = await anonymous("DELETE", "/_session", None, cookie)
    assert out.headers["set-cookie"].startswith("AuthSession=;")


async def test_a_refused_log_in_clears_the_cookie(wire: Wire) -> None:
    answer = await wire.anonymous()("POST", "/_session", {"name": "ann", "password": "wrong"})
    assert answer.status == 401
    assert answer.headers["set-cookie"].startswith("AuthSession=;")
    for kind in ({"Content-Type": "text/plain"}, {"Content-Type": ""}, {}):
        answer = await wire.anonymous()("POST", "/_session", "name=ann&password=ann%27s", kind)
        assert (answer.status, answer.json["error"]) == (415, "bad_content_type")
    for fields in ({}, {"password": "x"}):
        answer = await wire.anonymous()("POST", "/_session", fields)
        assert (answer.status, answer.json["reason"]) == (400, "request body must contain a username")


async def test_redirects_stay_on_this_server(wire: Wire) -> None:
    fields: dict[str, object] = {"name": "ann", "password": "ann's"}
    answer = await wire.anonymous()("POST", "/_session?next=/db/page", fields)
    assert answer.status == 302
    assert answer.headers["location"] == f"{wire.running.url}/db/page"
    for target in ("//evil.test/", "http://evil.test/"):
        assert (await wire.anonymous()("POST", f"/_session?next={target}", fields)).status == 400


async def test_a_valid_cookie_beats_basic(wire: Wire) -> None:
    fields: dict[str, object] = {"name": "ann", "password": "ann's"}
    cookie = cookie_of((await wire.anonymous()("POST", "/_session", fields)).headers)
    assert (await wire("GET", "/_session", None, cookie)).json["userCtx"]["name"] == "ann"


async def test_cookies_that_do_not_count(wire: Wire) -> None:
    server = wire.running.server
    ann = server.user("ann")
    assert ann is not None
    key = server.secret + ann.salt.encode()

    async def name_for(value: str) -> object:
        answer = await wire.anonymous()("GET", "/_session", None, {"Cookie": f"AuthSession={value}"})
        return answer.json["userCtx"]["name"] if answer.status == 200 else answer.json["reason"]

    now = int(time.time())
    assert await name_for(cookies.sign("ann", now, key)) == "ann"
    assert await name_for(cookies.sign("ann", now - 601, key)) is None
    assert await name_for(cookies.sign("ann", now, b"another key")) is None
    assert await name_for(cookies.sign("admin", now, key)) is None
    assert await name_for(cookies.sign("nobody", now, key)) is None
    assert await name_for("") is None
    assert await name_for("xyz") == "Malformed AuthSession cookie. Please clear your cookies."


async def test_a_used_cookie_is_renewed(wire: Wire) -> None:
    server = wire.running.server
    ann = server.user("ann")
    assert ann is not None
    value = cookies.sign("ann", int(time.time()) - 120, server.secret + ann.salt.encode())
    answer = await wire.anonymous()("GET", "/_session", None, {"Cookie": f"AuthSession={value}"})
    renewed = cookie_of(answer.headers)
    assert renewed["Cookie"] != f"AuthSession={value}"
    assert (await wire.anonymous()("GET", "/_session", None, renewed)).json["userCtx"]["name"] == "ann"


@pytest.mark.parametrize("kind", ["sha256", "sha1"])
async def test_signed_proxy_headers_are_believed(wire: Wire, kind: str) -> None:
    token = hmac.new(SECRET.encode(), b"carol", kind).hexdigest()
    headers = {"X-Auth-CouchDB-UserName": "carol", "X-Auth-CouchDB-Roles": "nurse,facility:f1"}
    session = await wire.anonymous()("GET", "/_session", None, {**headers, "X-Auth-CouchDB-Token": token})
    assert session.json["userCtx"] == {"name": "carol", "roles": ["nurse", "facility:f1"]}
    assert session.json["info"]["authenticated"] == "proxy"
    assert session.json["info"]["authentication_handlers"] == ["proxy", "cookie", "default"]
    for wrong in ({}, {"X-Auth-CouchDB-Token": "0" * 64}, {"X-Auth-CouchDB-Token": "ü"}):
        session = await wire.anonymous()("GET", "/_session", None, {**headers, **wrong})
        assert session.json["userCtx"]["name"] is None


async def test_proxy_headers_mean_nothing_without_a_secret() -> None:
    async with serving() as wire:
        token = hmac.new(b"", b"admin", "sha256").hexdigest()
        headers = {"X-Auth-CouchDB-UserName": "admin", "X-Auth-CouchDB-Roles": "_admin"}
        session = await wire.anonymous()("GET", "/_session", None, {**headers, "X-Auth-CouchDB-Token": token})
        assert session.json["userCtx"] == {"name": None, "roles": []}


async def test_members_and_admins(wire: Wire) -> None:
    security = {"admins": {"names": ["bob"]}, "members": {"roles": ["doctor"]}}
    ann, bob = wire.as_user("ann", "ann's"), wire.as_user("bob", "bob's")
    answer = await bob("GET", "/db")
    assert (answer.status, answer.json["error"]) == (403, "forbidden")
    assert (await wire("PUT", "/db/_security", security)).json == {"ok": True}
    assert (await ann("PUT", "/db/x", {})).status == 201
    answer = await ann("PUT", "/db/_security", {})
    assert (answer.status, answer.json["reason"]) == (401, "You are not a db or server admin.")
    assert (await ann("PUT", "/db/_revs_limit", b"5")).status == 401
    assert (await ann("DELETE", "/db")).status == 401
    assert (await bob("PUT", "/db/_revs_limit", b"5")).status == 200
    assert (await bob("PUT", "/db/_security", {})).status == 200
    assert (await wire.anonymous()("GET", "/db/x")).status == 200  # without members, open to all


async def test_design_documents_are_for_admins(wire: Wire) -> None:
    """403 for users, as CouchDB 3.5 answers (elsewhere it tells them 401), 401 for who might be an administrator."""
    await wire("PUT", "/db/_security", {"members": {"names": ["ann"]}})
    ann = wire.as_user("ann", "ann's")
    answer = await ann("PUT", "/db/_design/d", {})
    assert (answer.status, answer.json["reason"]) == (403, "You are not a db or server admin.")
    assert (await ann("PUT", "/db/_design%2Fd", {})).status == 403
    assert (await ann("PUT", "/db/_design/d/att", b"x")).status == 403
    assert (await ann("POST", "/db", {"_id": "_design/d"})).status == 403
    await ann("PUT", "/db/x", {})
    assert (await ann("COPY", "/db/x", None, {"Destination": "_design/d"})).status == 403
    docs = [{"_id": "one"}, {"_id": "_design/d"}, {"_id": "two"}]
    rows = (await ann("POST", "/db/_bulk_docs", {"docs": docs})).json
    assert [row.get("ok") for row in rows] == [True, None, True]
    assert (rows[1]["id"], rows[1]["error"]) == ("_design/d", "forbidden")
    assert (await wire("GET", "/db/_design_docs")).json["rows"] == []
    assert (await wire("PUT", "/db/_design/d", {})).status == 201
    assert (await ann("DELETE", "/db/_design/d")).status == 403
    await wire("PUT", "/db/_security", {})
    assert (await wire.anonymous()("PUT", "/db/_design/d", {})).status == 401


async def test_open_to_all() -> None:
    async with serving(admins=None, open_to_all=True) as wire:
        assert (await wire.anonymous()("PUT", "/db")).status == 201
        assert (await wire.anonymous()("GET", "/_session")).json["userCtx"] == {"name": None, "roles": ["_admin"]}


@given(
    st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"])),
    st.integers(0, 2**40),
    st.binary(min_size=1),
)
def test_signed_cookies_are_read_back(name: str, issued: int, key: bytes) -> None:
    got_name, got_issued, mac = cookies.parse(cookies.sign(name, issued, key))
    assert (got_name, got_issued) == (name, issued)
    assert cookies.genuine(name, issued, mac, key)
    assert not cookies.genuine(name, issued + 1, mac, key)


@given(st.text())
def test_any_text_is_a_cookie_or_refused(value: str) -> None:
    with suppress(BadRequest):
        name, issued, mac = cookies.parse(value)
        assert not cookies.genuine(name, issued, mac, b"a key that nobody guesses")
