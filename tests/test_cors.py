"""Pages of other origins: what the policy says, and that every kind of answer says it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.drop import Drop
from filters.select import Select
from proxy.config.model import Cors
from proxy.cors import ALLOWED, EXPOSED, Policy
from proxy.endpoint.http import reply
from tests.support.inprocess import ADMIN, Answer, Site, profile, site

APP = "https://app.example.org"
CONFIG = Cors((APP, "http://localhost:8080"), credentials=True)
ALLOW = [("Access-Control-Allow-Origin", APP), ("Access-Control-Allow-Credentials", "true")]


def asked(method: str = "PUT", headers: str | None = None, origin: str | None = APP) -> dict[str, str]:
    """The headers of a preflight."""
    all_headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return {name: value for name, value in all_headers.items() if value is not None}


@pytest.mark.parametrize(
    ("config", "origin", "answer"),
    [
        (CONFIG, APP, ALLOW),
        (CONFIG, "http://localhost:8080", [("Access-Control-Allow-Origin", "http://localhost:8080"), ALLOW[1]]),
        (replace(CONFIG, credentials=False), APP, ALLOW[:1]),
        (Cors(("*",)), "http://anywhere.example", [("Access-Control-Allow-Origin", "http://anywhere.example")]),
        (Cors(("*",)), "null", [("Access-Control-Allow-Origin", "null")]),
        (Cors(("*",)), "http://caf\udcc3", []),
        (CONFIG, None, []),
        (CONFIG, "", []),
        (CONFIG, "null", []),
        (CONFIG, "*", []),
        (CONFIG, "https://app.example.org.evil.example", []),
        (CONFIG, "https://APP.example.org", []),
        (CONFIG, "http://app.example.org", []),
        (CONFIG, "https://app.example.org:8443", []),
    ],
)
def test_who_may_read_an_answer(config: Cors, origin: str | None, answer: list[tuple[str, str]]) -> None:
    headers = {} if origin is None else {"Origin": origin}
    exposed = [("Access-Control-Expose-Headers", EXPOSED)] if answer else []
    assert Policy(config).simple(headers) == answer + exposed


@pytest.mark.parametrize(
    ("method", "headers", "names"),
    [
        ("PUT", None, ""),
        ("GET", "", ""),
        ("POST", "content-type", "content-type"),
        ("DELETE", "If-Match,Content-Type", "if-match, content-type"),
        ("COPY", "destination ,  X-Couch-Full-Commit", "destination, x-couch-full-commit"),
    ],
)
def test_a_preflight(method: str, headers: str | None, names: str) -> None:
    assert Policy(CONFIG).preflight("OPTIONS", asked(method, headers)) == [
        *ALLOW,
        ("Access-Control-Max-Age", "600"),
        ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, COPY"),
        ("Access-Control-Allow-Headers", names),
    ]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", asked("TRACE")),
        ("OPTIONS", asked("put")),
        ("OPTIONS", asked("")),
        ("OPTIONS", asked("PUT", "x-anything")),
        ("OPTIONS", asked("PUT", "content-type, cookie")),
        ("OPTIONS", asked("PUT", origin="https://evil.example")),
        ("OPTIONS", asked("PUT", origin=None)),
        ("OPTIONS", {"Origin": APP}),
        ("GET", asked("PUT")),
    ],
)
def test_no_preflight(method: str, headers: dict[str, str]) -> None:
    assert Policy(CONFIG).preflight(method, headers) == []


def test_headers_that_profiles_name_are_allowed_unless_the_configuration_lists_others() -> None:
    wanted = asked("PUT", "x-device")
    assert Policy(CONFIG).preflight("OPTIONS", wanted) == []
    assert Policy(CONFIG, ["x-device"]).preflight("OPTIONS", wanted)
    listed = replace(CONFIG, headers=frozenset(["x-mine"]))
    assert Policy(listed, ["x-device"]).preflight("OPTIONS", wanted) == []
    assert Policy(listed).preflight("OPTIONS", asked("PUT", "X-Mine"))
    assert Policy(listed).preflight("OPTIONS", asked("PUT", "content-type")) == []


@given(st.text(max_size=12), st.text(max_size=12), st.lists(st.sampled_from([*sorted(ALLOWED), "x-other"]), max_size=4))
def test_only_configured_origins_ever_get_anything(origin: str, method: str, names: list[str]) -> None:
    headers = asked(method, ",".join(names), origin)
    assert Policy(CONFIG).simple(headers) == []
    assert Policy(CONFIG).preflight("OPTIONS", headers) == []


DOCS: list[dict[str, Any]] = [
    {"_id": "one", "facility": "f1", "ssn": "1"},
    {"_id": "two", "facility": "f2", "ssn": "2"},
    {
        "_id": "letter",
        "facility": "f1",
        "_attachments": {"a.txt": {"content_type": "text/plain", "data": "aGVsbG8="}},
    },
]


@pytest.fixture
async def served() -> AsyncIterator[Site]:
    phone = profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))
    device = profile("device", device_headers={"model": "x-device-model"}, trusted=True, users=frozenset(["ann"]))
    async with site(phone, device, docs=DOCS, cors=CONFIG) as made:
        yield made


def check(answer: Answer, status: int) -> None:
    """The answer has this status and is for the page to read, with its cookies, its headers, and once each."""
    assert answer.status == status, answer.body
    assert answer.headers.getall("Access-Control-Allow-Origin") == [APP]
    assert answer.headers.getall("Access-Control-Allow-Credentials") == ["true"]
    assert answer.headers.getall("Access-Control-Expose-Headers") == [EXPOSED]
    assert "Origin" in ", ".join(answer.headers.getall("Vary")).split(", ")


def silent(answer: Answer) -> bool:
    return not any(name.lower().startswith("access-control-") for name in answer.headers)


ORIGIN = {"Origin": APP}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 200),
        ("GET", "/_up", None, 200),
        ("GET", "/_session", None, 200),
        ("GET", "/_uuids?count=x", None, 400),
        ("GET", "/clinic-phone", None, 200),
        ("GET", "/clinic-phone/one", None, 200),
        ("HEAD", "/clinic-phone/one", None, 200),
        ("GET", "/clinic-phone/two", None, 404),
        ("GET", "/clinic-phone/letter/a.txt", None, 200),
        ("GET", "/clinic-phone/letter?attachments=true", None, 200),
        ("GET", "/clinic-phone/_all_docs", None, 200),
        ("GET", "/clinic-phone/_changes?include_docs=true", None, 200),
        ("GET", "/clinic-phone/_changes?feed=continuous&timeout=0", None, 200),
        ("GET", "/clinic-phone/_changes?feed=eventsource&timeout=0", None, 200),
        ("POST", "/clinic-phone/_changes?feed=longpoll", {}, 200),
        ("POST", "/clinic-phone/_bulk_get", {"docs": [{"id": "one"}]}, 200),
        ("POST", "/clinic-phone/_bulk_docs", {"docs": [{"_id": "new", "facility": "f1"}]}, 201),
        ("POST", "/clinic-phone/_bulk_docs", [], 400),
        ("PUT", "/clinic-phone/one", {"facility": "f1"}, 409),
        ("GET", "/clinic-phone/_design/x/_view/y", None, 403),
        ("GET", "/clinic-device/_security", None, 200),
        ("GET", "/clinic-device/_index", None, 200),
        ("GET", "/_node/_local/_config", None, 403),
        ("GET", "/nowhere", None, 404),
        ("DELETE", "/_session", None, 200),
        ("OPTIONS", "/clinic-phone/one", None, 405),
        ("GET", "/clinic-phone/../x", None, 404),
    ],
)
async def test_answers_of_every_kind(served: Site, method: str, path: str, body: Any, status: int) -> None:
    check(await served.ask(method, path, body, headers=ORIGIN), status)
    other = await served.ask(method, path, body, headers={"Origin": "https://evil.example"})
    assert silent(other)
    assert "Origin" in other.headers["Vary"].split(", ")


async def test_answers_to_those_who_are_not_logged_in(served: Site) -> None:
    check(await served.ask("GET", "/clinic-phone/one", user=None, headers=ORIGIN), 401)
    check(await served.ask("GET", "/clinic-phone/one", user=("ann", "wrong"), headers=ORIGIN), 401)
    check(await served.ask("POST", "/_session", {"name": "ann", "password": "wrong"}, user=None, headers=ORIGIN), 401)
    login = await served.ask("POST", "/_session", {"name": "ann", "password": "ann"}, user=None, headers=ORIGIN)
    check(login, 200)
    cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0]}
    check(await served.ask("GET", "/clinic-phone/one", user=None, headers={**ORIGIN, **cookie}), 200)


async def test_an_unchanged_document(served: Site) -> None:
    etag = (await served.ask("GET", "/clinic-phone/one")).headers["ETag"]
    check(await served.ask("GET", "/clinic-phone/one", headers={**ORIGIN, "If-None-Match": etag}), 304)


async def test_a_body_that_is_too_large() -> None:
    async with site(profile("phone"), cors=CONFIG, max_body=100) as served:
        answer = await served.ask("POST", "/clinic-phone/_bulk_docs", {"docs": ["x" * 200]}, headers=ORIGIN)
        check(answer, 413)


async def test_a_source_that_refuses() -> None:
    gone = {"auth": "service", "username": ADMIN[0], "password": "wrong"}
    async with site(profile("phone"), cors=CONFIG, source=gone) as served:
        check(await served.ask("GET", "/clinic-phone/_changes", headers=ORIGIN), 502)


@pytest.mark.parametrize(
    "path", ["/_session", "/clinic-phone/letter/a.txt", "/clinic-device/_index", "/clinic-phone/_changes"]
)
async def test_what_the_source_says_about_origins_is_not_passed_on(
    served: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    more = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: *\r\nAccess-Control-Expose-Headers: x\r\n"
    monkeypatch.setattr(reply, "_SERVER", reply._SERVER + more.encode())
    assert (await served.at_source("GET", "/_session")).headers["Access-Control-Allow-Origin"] == "*"
    check(await served.ask("GET", path, headers=ORIGIN), 200)
    assert silent(await served.ask("GET", path))
    assert silent(await served.ask("GET", path, headers={"Origin": "https://evil.example"}))


@pytest.mark.parametrize("path", ["/", "/_session", "/clinic-phone/one", "/nowhere/x", "/_config", "/clinic-phone/%00"])
async def test_preflights_come_before_everything_else(served: Site, path: str) -> None:
    answer = await served.ask("OPTIONS", path, user=None, headers=asked("PUT", "content-type, x-device-model"))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type, x-device-model"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, DELETE, COPY"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert "Content-Length" not in answer.headers
    assert "Set-Cookie" not in answer.headers


async def test_a_preflight_that_asks_for_too_much_is_an_ordinary_request(served: Site) -> None:
    check(await served.ask("OPTIONS", "/clinic-phone/one", user=None, headers=asked("PUT", "x-anything")), 405)
    evil = await served.ask("OPTIONS", "/clinic-phone/one", user=None, headers=asked(origin="https://evil.example"))
    assert evil.status == 405
    assert silent(evil)


async def test_without_configuration_nothing_of_it_exists() -> None:
    async with site(profile("phone"), docs=DOCS) as served:
        preflight = await served.ask("OPTIONS", "/clinic-phone/one", headers=asked())
        got = await served.ask("GET", "/clinic-phone/one", headers=ORIGIN)
        assert (preflight.status, got.status) == (405, 200)
        assert silent(preflight)
        assert silent(got)
        assert got.headers["Vary"] == "Authorization, Cookie"
