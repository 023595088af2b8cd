"""Users: hashing, validation, passwords, sessions' salts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.core import jsonio
from proxy.endpoint.server import Server
from proxy.endpoint.users import PREFIX, Users
from proxy.errors import Conflict, Forbidden, Unauthorized


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server(None, admins={"admin": "secret"}, iterations=10)
    yield made
    await made.close()


def user_doc(name: str = "ann", **members: Any) -> dict[str, Any]:
    return {"name": name, "roles": ["nurse"], "type": "user", "password": "pw", **members}


async def add(server: Server, doc: dict[str, Any], rev: str | None = None) -> str:
    updated = await server.database("_users").put(PREFIX + "ann", doc, rev=rev)
    assert updated.rev is not None
    return updated.rev


async def test_administrators_come_from_the_configuration(server: Server) -> None:
    user = await server.authenticate("admin", "secret")
    assert (user.name, user.roles) == ("admin", ("_admin",))
    assert server.user("admin") == user
    assert len(user.salt) == 64
    with pytest.raises(Unauthorized, match=r"Name or password is incorrect\."):
        await server.authenticate("admin", "wrong")


async def test_a_user_logs_in(server: Server) -> None:
    await add(server, user_doc())
    for _ in range(2):
        user = await server.authenticate("ann", "pw")
        assert (user.name, user.roles) == ("ann", ("nurse",))
    assert server.user("ann") == user
    for name, password in (("ann", "wrong"), ("bob", "pw"), ("ann", "")):
        with pytest.raises(Unauthorized, match=r"Name or password is incorrect\."):
            await server.authenticate(name, password)
    assert server.user("bob") is None


async def test_the_password_is_replaced_with_couchdbs_members(server: Server) -> None:
    await add(server, user_doc())
    stored = jsonio.loads(server.database("_users").get(PREFIX + "ann").body)
    assert "password" not in stored
    assert stored["password_scheme"] == "pbkdf2"
    assert stored["pbkdf2_prf"] == "sha256"
    assert stored["iterations"] == 10
    key = hashlib.pbkdf2_hmac("sha256", b"pw", stored["salt"].encode(), 10).hex()
    assert stored["derived_key"] == key


async def test_a_changed_password_ends_what_the_old_one_began(server: Server) -> None:
    rev = await add(server, user_doc())
    before = await server.authenticate("ann", "pw")
    await add(server, user_doc(password="new"), rev)
    with pytest.raises(Unauthorized):
        await server.authenticate("ann", "pw")
    after = await server.authenticate("ann", "new")
    assert before.salt != after.salt


async def test_a_deleted_user_is_unknown(server: Server) -> None:
    rev = await add(server, user_doc())
    await server.authenticate("ann", "pw")
    await server.database("_users").delete(PREFIX + "ann", rev)
    with pytest.raises(Unauthorized):
        await server.authenticate("ann", "pw")
    assert server.user("ann") is None


@pytest.mark.parametrize(
    "hashed",
    [
        {
            "password_scheme": "pbkdf2",
            "iterations": 7,
            "salt": "s",
            "derived_key": hashlib.pbkdf2_hmac("sha1", b"pw", b"s", 7).hex(),
        },
        {
            "password_scheme": "pbkdf2",
            "pbkdf2_prf": "sha512",
            "iterations": 7,
            "salt": "s",
            "derived_key": hashlib.pbkdf2_hmac("sha512", b"pw", b"s", 7).hex(),
        },
        {"password_scheme": "simple", "salt": "s", "password_sha": hashlib.sha1(b"pws").hexdigest()},
    ],
)
async def test_hashes_of_other_couchdbs(server: Server, hashed: dict[str, Any]) -> None:
    doc = user_doc(**hashed)
    del doc["password"]
    await add(server, doc)
    assert (await server.authenticate("ann", "pw")).name == "ann"
    with pytest.raises(Unauthorized):
        await server.authenticate("ann", "other")


@pytest.mark.parametrize(
    "hashed",
    [
        {},
        {"password_scheme": "pbkdf2", "iterations": 10**12, "salt": "s", "derived_key": "00"},
        {"password_scheme": "pbkdf2", "iterations": "x", "salt": "s", "derived_key": "00"},
        {"password_scheme": "pbkdf2", "iterations": 1, "salt": "s", "pbkdf2_prf": "md4", "derived_key": ""},
        {"password_scheme": "simple", "salt": "s"},
    ],
)
async def test_hashes_that_nothing_matches(hashed: dict[str, Any]) -> None:
    doc = user_doc(**hashed)
    del doc["password"]
    users = Users(lambda _: doc, {}, b"key", 10)
    with pytest.raises(Unauthorized):
        await users.authenticate("ann", "pw")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"type": "x"}, "doc.type must be user"),
        ({"name": None}, "doc.name is required"),
        ({"name": []}, "Doc ID must be of the form org.couchdb.user:name"),
        ({"roles": None}, "doc.roles must exist"),
        ({"roles": ""}, "doc.roles must exist"),
        ({"roles": {}}, "doc.roles must be an array"),
        ({"roles": "nurse"}, "doc.roles must be an array"),
        ({"roles": [1]}, "doc.roles can only contain strings"),
        ({"name": "bob"}, "Doc ID must be of the form org.couchdb.user:name"),
        ({"roles": ["_admin"]}, "No system roles (starting with underscore) in users db."),
        ({"password": 5}, "Password value of '5' is invalid."),
        ({"password": True}, "Password value of 'true' is invalid."),
    ],
)
async def test_documents_that_are_no_users(server: Server, members: dict[str, Any], reason: str) -> None:
    with pytest.raises(Forbidden) as caught:
        await add(server, user_doc(**members))
    assert caught.value.reason == reason


SHA_WITHOUT_SALT = "Users with password_sha must have a salt.See /_utils/script/couch.js for example code."


@pytest.mark.parametrize(
    ("hashed", "reason"),
    [
        ({"password_sha": "00"}, SHA_WITHOUT_SALT),
        ({"password_sha": "00", "salt": 0}, SHA_WITHOUT_SALT),
        ({"password_scheme": "md5"}, "Password scheme `md5` not supported."),
        ({"password_scheme": 5}, "Password scheme `5` not supported."),
        ({"password_scheme": {}}, "Password scheme `{}` not supported."),
        ({"password_scheme": "pbkdf2", "derived_key": "00"}, "iterations must be a number."),
        ({"password_scheme": "pbkdf2", "derived_key": "00", "iterations": "9"}, "iterations must be a number."),
        ({"password_scheme": "pbkdf2", "derived_key": "00", "iterations": True}, "iterations must be a number."),
        ({"password_scheme": "pbkdf2", "iterations": 9}, "derived_key must be a string."),
        ({"password_scheme": "simple+pbkdf2"}, None),
        ({"password_scheme": None}, None),
    ],
)
async def test_hashes_that_come_along(server: Server, hashed: dict[str, Any], reason: str | None) -> None:
    doc = user_doc(**hashed)
    del doc["password"]
    if reason is None:
        await add(server, doc)
        return
    with pytest.raises(Forbidden) as caught:
        await add(server, doc)
    assert caught.value.reason == reason


async def test_a_conflict_is_told_before_what_else_is_wrong(server: Server) -> None:
    await add(server, user_doc())
    with pytest.raises(Conflict):
        await add(server, {"type": "x"}, "1-00000000000000000000000000000001")


async def test_a_tombstone_keeps_no_password(server: Server) -> None:
    rev = await add(server, user_doc())
    deleted = await add(server, user_doc(password="bye", _deleted=True), rev)
    stored = jsonio.loads(server.database("_users").get(PREFIX + "ann", deleted).body)
    assert "password" not in stored
    assert len(stored["derived_key"]) == 64
