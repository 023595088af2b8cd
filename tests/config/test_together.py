"""Mistakes that take two keys or two profiles, all mistakes at once, files that cannot be parsed, and warnings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from proxy.config import ConfigError, load
from tests.config.conftest import Loader
from tests.config.test_mistakes import GOOD, mistakes

HEAD = """\
[server]
secret = "0123456789abcdef"
[sources.main]
url = "http://127.0.0.1:5984"
[databases.clinic]
[databases.stock]
"""  # six lines


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ('databases = ["clinic"]\nsuffix = "x"', 'databases = ["clinic"]\nsuffix = "x"',
         'profiles.b.suffix: the name "clinic-x" belongs to profiles.a already; choose another suffix'),
        ('databases = ["clinic"]\nheader = "X-D: p"', 'databases = ["clinic", "stock"]\nheader = "x-d:p"',
         'profiles.b.header: the header "x-d: p" for "clinic" belongs to profiles.a already; choose another value'),
        ('databases = ["clinic"]\nroles = ["n", "d"]\nby_role = true',
         'databases = ["clinic"]\nroles = ["d"]\nby_role = true',
         'profiles.b.by_role: the role "d" for "clinic" belongs to profiles.a already; '
         "take it out of one of them, or set by_role = false in one"),
        ('databases = ["stock"]\nusers = ["ann"]\nby_role = true',
         'databases = ["stock"]\nusers = ["ann", "bob"]\nby_role = true',
         'profiles.b.by_role: the user "ann" for "stock" belongs to profiles.a already; '
         "take it out of one of them, or set by_role = false in one"),
    ],
)  # fmt: skip
def test_two_profiles_for_one_request(load_text: Loader, first: str, second: str, message: str) -> None:
    text = f"{HEAD}[profiles.a]\n{first}\n[profiles.b]\n{second}\n"
    [found] = mistakes(load_text, text)
    assert found.partition(": ")[2] == message
    assert found.startswith(f"clinic.toml:{text.count(chr(10))}: ")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('databases = ["clinic"]\nsuffix = "x"', 'databases = ["stock"]\nsuffix = "x"'),
        ('databases = ["clinic"]\nheader = "X-D: p"', 'databases = ["clinic"]\nheader = "X-D: P"'),
        ('databases = ["clinic"]\nheader = "X-D: p"', 'databases = ["stock"]\nheader = "X-D: p"'),
        ('databases = ["clinic"]\nroles = ["d"]\nby_role = true', 'databases = ["clinic"]\nroles = ["d"]'),
    ],
)
def test_profiles_beside_each_other(load_text: Loader, first: str, second: str) -> None:
    assert list(load_text(f"{HEAD}[profiles.a]\n{first}\n[profiles.b]\n{second}\n").profiles) == ["a", "b"]


def test_a_virtual_name_that_is_a_database(load_text: Loader) -> None:
    text = f'{HEAD}[databases.clinic-phone]\n[profiles.phone]\ndatabases = ["clinic"]\n'
    assert mistakes(load_text, text) == [
        'clinic.toml:8: profiles.phone.suffix: the name "clinic-phone" belongs to databases.clinic-phone already; '
        "choose another suffix"
    ]


def test_virtual_names_that_are_put_together_differently(load_text: Loader) -> None:
    text = f'{HEAD}[databases.clinic-a]\n[profiles.b]\ndatabases = ["clinic-a"]\n'
    text += '[profiles.c]\ndatabases = ["clinic"]\nsuffix = "a-b"\n'
    assert mistakes(load_text, text) == [
        'clinic.toml:12: profiles.c.suffix: the name "clinic-a-b" belongs to profiles.b already; choose another suffix'
    ]


def test_all_mistakes_at_once(load_text: Loader) -> None:
    text = """\
[server]
bind = "nowhere"
secret = "short"
[sources.main]
url = "couch"
auth = "service"
[databases.clinic]
nam = "clinic"
[profiles.phone]
databases = ["clinc"]
[[profiles.phone.filters]]
use = "drop"
path = ["ssn"]
[[profiles.phone.filters]]
use = "select"
where = "type == [x"
[profile.tablet]
"""
    assert mistakes(load_text, text, {"COUCH_TAILOR_SOURCE_AUTH": "basic"}) == [
        'clinic.toml:2: server.bind: "nowhere" is not an address to listen on; '
        'write host:port, as "127.0.0.1:5984" or "[::]:5984"',
        "clinic.toml:3: server.secret: has 5 characters and needs at least 16; make one with `openssl rand -hex 32`",
        'clinic.toml:5: sources.main.url: "couch" is not an http or https URL; write one such as '
        '"http://127.0.0.1:5984" or "https://couch.example.org/prefix"',
        'clinic.toml:8: databases.clinic.nam: unknown key; did you mean "name"?',
        'clinic.toml:10: profiles.phone.databases[0]: there is no database "clinc"; did you mean "clinic"?',
        "clinic.toml:11: profiles.phone.filters[0].paths: is missing; this filter needs it",
        'clinic.toml:13: profiles.phone.filters[0].path: unknown option; did you mean "paths"?',
        "clinic.toml:16: profiles.phone.filters[1].where: a bracket is not closed\n    type == [x\n            ^",
        'clinic.toml:17: profile: unknown section; did you mean "profiles"?',
        'COUCH_TAILOR_SOURCE_AUTH: sources.main.auth: expected "client" or "service" or "cookie" or "iam" or "proxy", '
        'not the string "basic"',
    ]


def test_an_empty_file(load_text: Loader) -> None:
    assert [message.partition(";")[0] for message in mistakes(load_text, "")] == [
        "clinic.toml: server.secret: is missing",
        "clinic.toml: sources: there is none",
        "clinic.toml: databases: there is none",
        "clinic.toml: profiles: there is none",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nbind = = 1\n", "clinic.toml:2:8: not TOML: Invalid value"),
        ('[server]\nbind = "a\n', "clinic.toml:2:10: not TOML: Illegal character '\\n'"),
        ("[server]\nbind", "clinic.toml:2:5: not TOML: Expected '=' after a key in a key/value pair"),
        ("[server]\n[server]\n", "clinic.toml:2:8: not TOML: Cannot declare ('server',) twice"),
    ],
)
def test_what_is_not_toml(load_text: Loader, text: str, message: str) -> None:
    [found] = mistakes(load_text, text)
    assert found.startswith(message)


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 50_000])
def test_what_python_cannot_parse(load_text: Loader, text: str) -> None:
    [message] = mistakes(load_text, text)
    assert message.startswith("clinic.toml: cannot be parsed: ")


def test_a_mark_at_the_beginning_is_no_mistake(load_text: Loader) -> None:
    assert mistakes(load_text, "\ufeff[server]\nbind = = 1\n") == ["clinic.toml:2:8: not TOML: Invalid value"]


def test_what_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"[server]\nbind = '\xff'\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert caught.value.problems == (f"{file}:2: is not UTF-8 text; save the file in that encoding",)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml", {})
    assert caught.value.problems == (f"{tmp_path / 'none.toml'}: cannot be read: {os.strerror(2)}",)


FILTERS = '\n[[profiles.phone.filters]]\nuse = "drop"\npaths = ["a"]\n'


@pytest.mark.parametrize(
    ("old", "new", "warnings"),
    [
        ("[sources", "anonymous = true\n[sources", [
            "clinic.toml:8: profiles.phone: shows whole documents to everybody: "
            "it has no filters, and server.anonymous is true"]),
        ("[databases.clinic]", 'auth = "service"\nusername = "a"\npassword = "b"\n[databases.clinic]', [
            "clinic.toml:10: profiles.phone: shows whole documents to every user: it has no filters, "
            'and the source has auth = "service"; restrict it with roles or users']),
        ("[databases.clinic]", 'password = "b"\n[databases.clinic]', [
            "clinic.toml:5: sources.main.password: serves `couch-tailor shape --id` only: "
            'auth = "client" passes on what each client sends']),
        ("[databases.clinic]", 'api_key = "a"\n[databases.clinic]', [
            'clinic.toml:5: sources.main.api_key: has no effect with auth = "client"; it is for auth = "iam"']),
        ("[databases.clinic]", f'auth = "iam"\napi_key = "a"\nusername = "b"\n{FILTERS}\n[databases.clinic]', [
            "clinic.toml:4: sources.main.url: sends tokens of IBM Cloud without TLS; "
            "Cloudant's address begins with https",
            'clinic.toml:7: sources.main.username: has no effect with auth = "iam", which logs in with api_key']),
        ('"stock"]', '"stock"]\ntrusted = true', [
            "clinic.toml:9: profiles.phone.trusted: everybody reaches the source's views and search, unfiltered; "
            "add roles or users"]),
        ('"stock"]', f'"stock"]\nroles = ["a"]\ntrusted = true{FILTERS}', [
            "clinic.toml:10: profiles.phone.trusted: views and search of the source are passed on unfiltered"]),
        ('"stock"]', '"stock"]\nroles = ["a"]\nby_role = true\nheader = "X-D: p"', [
            "clinic.toml:10: profiles.phone.by_role: has no effect: "
            "for the plain database name the header alone decides"]),
        (', "stock"]', "]", [
            "clinic.toml:6: databases.stock: no profile shows this database: nobody can reach it"]),
        ("[databases.clinic]", '[sources.b]\nurl = "http://b"\n[databases.clinic]\nsource = "main"', [
            "clinic.toml:5: sources.b: no database comes from this source"]),
        ('"stock"]', f'"stock"]{FILTERS}', []),
        ("[sources", 'data = "data"\n[sources', [
            "clinic.toml:3: server.data: has no effect, as no database has a feed index: "
            'it needs a source with an account, as auth = "service"']),
    ],
)  # fmt: skip
def test_warnings(load_text: Loader, old: str, new: str, warnings: list[str]) -> None:
    text = GOOD.replace(old, new, 1)
    if "[sources.b]" in new:
        text = text.replace("[databases.stock]", '[databases.stock]\nsource = "main"')
    assert list(load_text(text).warnings) == warnings


@pytest.mark.parametrize(
    ("account", "whose"),
    [
        ('auth = "service"\nusername = "a"\npassword = "b"', "service account"),
        ('auth = "cookie"\nusername = "a"\npassword = "b"', "service account"),
        ('auth = "proxy"\nusername = "a"\nproxy_secret = "b"', '"a"'),
    ],
)
def test_anonymous_writers_with_the_rights_of_an_account(load_text: Loader, account: str, whose: str) -> None:
    text = GOOD.replace("[sources", "anonymous = true\n[sources") + FILTERS
    text = text.replace("[databases.clinic]", f"{account}\n[databases.clinic]")
    assert list(load_text(text).warnings) == [
        "clinic.toml:11: profiles.phone: lets clients without an account write, "
        f"with the rights of the source's {whose}"
    ]
    assert load_text(text.replace("[[profiles", "write = false\n[[profiles")).warnings == ()


def test_anonymous_writers_with_no_rights_but_their_own(load_text: Loader) -> None:
    text = GOOD.replace("[sources", "anonymous = true\n[sources") + FILTERS
    text = text.replace("[databases.clinic]", 'auth = "proxy"\nproxy_secret = "b"\n[databases.clinic]')
    assert load_text(text).warnings == ()


@pytest.mark.parametrize(
    ("auth", "keys"),
    [("service", ["username", "password"]), ("cookie", ["username", "password"]), ("iam", ["api_key"])],
)
def test_what_an_account_needs(load_text: Loader, auth: str, keys: list[str]) -> None:
    text = GOOD.replace("[databases.clinic]", f'auth = "{auth}"\n[databases.clinic]')
    assert [message.partition(": ")[2] for message in mistakes(load_text, text)] == [
        f'sources.main.{key}: is missing; auth = "{auth}" logs in with it (or set COUCH_TAILOR_SOURCE_{key.upper()})'
        for key in keys
    ]


def test_a_stamp_behind_a_computed_field_of_its_name(tmp_path: Path) -> None:
    rules = [{"use": "compute", "fields": {"by": "a"}}, {"use": "stamp", "fields": {"at": "b", "by": "client.name"}}]

    def load_rules(rules: list[dict[str, Any]]) -> None:
        tables = [f'{{ use = "{rule["use"]}", fields = {_inline(rule["fields"])} }}' for rule in rules]
        (tmp_path / "clinic.toml").write_text(f"{GOOD}filters = [{', '.join(tables)}]\n")
        load(tmp_path / "clinic.toml", {})

    with pytest.raises(ConfigError) as caught:
        load_rules(rules)
    assert caught.value.problems == (
        f"{tmp_path / 'clinic.toml'}:9: profiles.phone.filters[1].fields.by: could never be stored: "
        "profiles.phone.filters[0] computes this field; put the stamp before it, or leave it out",
    )
    load_rules(rules[::-1])


def _inline(table: dict[str, str]) -> str:
    return "{ " + ", ".join(f'{name} = "{value}"' for name, value in table.items()) + " }"
