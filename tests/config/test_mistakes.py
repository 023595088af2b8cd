"""Each mistake has its message: where, what, and what to do about it. The texts are part of the interface."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ConfigError, load
from proxy.config.model import Cors
from tests.config.conftest import Loader

GOOD = """\
[server]
secret = "0123456789abcdef"
[sources.main]
url = "http://127.0.0.1:5984"
[databases.clinic]
[databases.stock]
[profiles.phone]
databases = ["clinic", "stock"]
"""
SECRET, URL, PHONE = 2, 4, 8  # lines
REMEDY = "make one with `openssl rand -hex 32`"
URL_REMEDY = 'write one such as "http://127.0.0.1:5984" or "https://couch.example.org/prefix"'
DATABASE_RULE = "CouchDB allows a-z, 0-9 and _$()+-/, beginning with a letter"


def mistakes(load_text: Loader, text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, env)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_the_good_one_is_good(load_text: Loader) -> None:
    assert load_text(GOOD).warnings == ()


SERVER = [
    ('bind = "127.0.0.1"', 'server.bind: "127.0.0.1" is not an address to listen on; '
     'write host:port, as "127.0.0.1:5984" or "[::]:5984"'),
    ('bind = ":5984"', 'server.bind: ":5984" is not an address to listen on; '
     'write host:port, as "127.0.0.1:5984" or "[::]:5984"'),
    ('bind = "x:70000"', 'server.bind: "70000" is not a port; write a number from 0 (any free port) to 65535'),
    ('bind = "x:http"', 'server.bind: "http" is not a port; write a number from 0 (any free port) to 65535'),
    ('bind = "::1:5984"', 'server.bind: write the host as "[::1]": brackets are for IPv6 addresses, and only for them'),
    ('bind = "[127.0.0.1]:1"',
     'server.bind: write the host as "127.0.0.1": brackets are for IPv6 addresses, and only for them'),
    ('bind = "1.2.3.400:1"', 'server.bind: "1.2.3.400" is neither an IP address nor a host name'),
    ('bind = "a b:1"', 'server.bind: "a b" is neither an IP address nor a host name'),
    ("bind = 5984", "server.bind: expected a string, not the number 5984"),
    ('bind = ""', "server.bind: is empty; give a value or leave the key out"),
    ('data = "\\u0000x"',
     "server.data: cannot be the name of a directory: there is a null character in it; write its path"),
    ('data = "clinic.toml"',
     'server.data: "clinic.toml" cannot be a directory: clinic.toml is a file; name one that is there or can be made'),
    ('data = "clinic.toml/a/b"',
     'server.data: "clinic.toml/a/b" cannot be a directory: clinic.toml is a file; '
     "name one that is there or can be made"),
    ('max_body = "64 megs"',
     'server.max_body: expected a size such as "64MiB", "500kB" or a number of bytes, not the string "64 megs"'),
    ("max_body = 1.5",
     'server.max_body: expected a size such as "64MiB", "500kB" or a number of bytes, not the number 1.5'),
    ("workers = 0", "server.workers: must be from 1 to 1024"),
    ("workers = 1025", "server.workers: must be from 1 to 1024"),
    ("workers = true", "server.workers: expected a whole number, not true"),
    ('workers = "2"', 'server.workers: expected a whole number, not the string "2"'),
    ("max_body = true", 'server.max_body: expected a size such as "64MiB", "500kB" or a number of bytes, not true'),
    ("max_body = 0", "server.max_body: must be more than 0 bytes"),
    ('session_ttl = "soon"',
     'server.session_ttl: expected a time such as "10s", "500ms", "2m" or a number of seconds, not the string "soon"'),
    ("session_ttl = -1",
     'server.session_ttl: expected a time such as "10s", "500ms", "2m" or a number of seconds, not the number -1'),
    ("session_ttl = inf",
     'server.session_ttl: expected a time such as "10s", "500ms", "2m" or a number of seconds, not the number inf'),
    ("session_ttl = 10:00:00",
     'server.session_ttl: expected a time such as "10s", "500ms", "2m" or a number of seconds, '
     "not the date or time 10:00:00"),
    ("timeout = 0", "server.timeout: must be more than 0 seconds"),
    ('anonymous = "false"',
     'server.anonymous: expected true or false (without quotes), not the string "false"'),
    ("anonymous = 0", "server.anonymous: expected true or false (without quotes), not the number 0"),
    ('metrics = "127.0.0.1:5984"', "server.metrics: is the address of server.bind; choose another port"),
    ('metrics = "0.0.0.0:5984"', "server.metrics: is the address of server.bind; choose another port"),
    ("max_bdy = 1", 'server.max_bdy: unknown key; did you mean "max_body"?'),
    ("zzz = 1", "server.zzz: unknown key; known: anonymous, bind, cache, client_timeout, cors, data, lost_rules, "
     "max_bodies, max_body, metrics, remember, secret, session_ttl, timeout, trust_forwarded, workers"),
]  # fmt: skip

SOURCE = [
    ('auth = "basic"', 'auth: expected "client" or "service" or "cookie" or "iam" or "proxy", not the string "basic"'),
    ("auth = []", 'auth: expected "client" or "service" or "cookie" or "iam" or "proxy", not an array'),
    ("password = 1234", "password: expected a string in quotes"),
    ("proxy_secret = [1]", "proxy_secret: expected a string in quotes"),
    ("api_key = 1", "api_key: expected a string in quotes"),
    (
        'token_url = "iam.example.org"',
        'token_url: "iam.example.org" is not an http or https URL; '
        'write one such as "https://iam.cloud.ibm.com/identity/token"',
    ),
    ('username = "a:b"', "username: must not contain a colon: HTTP Basic authentication cannot carry one"),
    ('proxy_hash = "md5"', 'proxy_hash: expected "sha256" or "sha1", not the string "md5"'),
    ('proxy_hash = "sha1"', 'proxy_hash: has no effect with auth = "client"; remove it'),
    ('roles = ["a"]', 'roles: has no effect with auth = "client"; remove it, or use auth = "proxy"'),
    ('roles = "a"', 'roles: expected an array of strings, not the string "a"; write ["a"]'),
    ('roles = ["a", 1]', "roles[1]: expected a string that is not empty, not the number 1"),
]

PROFILE = [
    ("suffix = true", "suffix: expected a string, or false for a profile that is not chosen by name, not true"),
    ('suffix = ""', "suffix: expected a string, or false for a profile that is not chosen by name, "
     'not the string ""'),
    ('suffix = "Phone"', 'suffix: "Phone" cannot end a database name: CouchDB allows a-z, 0-9 and _$()+-/'),
    (f'suffix = "{"p" * 240}"', f'suffix: "clinic-{"p" * 240}" is longer than a database name may be; '
     "shorten the suffix"),
    ("by_role = true", "by_role: needs roles or users to choose the profile by; add one of them"),
    ('header = "X-Device"', 'header: expected a header with its value, as "X-Device: phone", '
     'not the string "X-Device"'),
    ('header = "X Device: phone"', 'header: "X Device" is not the name of a header; '
     'write one such as "X-Device-Model"'),
    ('device = "X-Device"', 'device: expected a table, as { model = "X-Device-Model" }, not the string "X-Device"'),
    ('device = { model = "a b" }', 'device.model: "a b" is not the name of a header; '
     'write one such as "X-Device-Model"'),
    ('orphans = "drop"', 'orphans: expected "winner" or "refuse", not the string "drop"'),
    ('on_surplus = 1', 'on_surplus: expected "refuse" or "discard", not the number 1'),
    ('suffx = "a"', 'suffx: unknown key; did you mean "suffix"?'),
    ('filters = "drop"', "filters: expected an array of tables, not the string \"drop\"; "
     "write [[profiles.phone.filters]]"),
    ("filters = [3]", 'filters[0]: expected a table, as { use = "drop" }, not the number 3'),
    ("filters = [{}]", 'filters[0].use: is missing; name a filter, as use = "drop" or use = "module:Class"'),
    ("filters = [{ use = 1 }]", "filters[0].use: expected a string, not the number 1; "
     'name a filter, as use = "drop" or use = "module:Class"'),
    ('filters = [{ use = "drp" }]', 'filters[0].use: no filter is called "drp"; did you mean "drop"?'),
    ('filters = [{ use = "odd" }]', 'filters[0].use: "tests.config.sample_filters:NoFilter" is not a filter: '
     "it must be a class that inherits proxy.contract.Filter"),
    ('filters = [{ use = "gone" }]', 'filters[0].use: "gone" (tests.config.sample_filters:Gone) cannot be loaded: '
     "AttributeError: module 'tests.config.sample_filters' has no attribute 'Gone'"),
    ('filters = [{ use = "twice" }]', 'filters[0].use: "twice" is offered by several packages '
     "(tests.config.sample_filters:Drop, tests.config.sample_filters:Select); uninstall all but one"),
    ('filters = [{ use = "broken" }]', "filters[0]: the filter broken failed: RuntimeError: no luck"),
    ('filters = [{ use = "broken", a = 1 }]', "filters[0].a: unknown option; this filter has no options"),
    ('filters = [{ use = "drop" }]', "filters[0].paths: is missing; this filter needs it"),
    ('filters = [{ use = "drop", paths = [], dep = 1 }]', 'filters[0].dep: unknown option; did you mean "deep"?'),
    ('filters = [{ use = "drop", paths = ["a", 1] }]', "filters[0].paths[1]: must be a string, not 1"),
    ('filters = [{ use = "select", where = "a[ == b" }]',
     "filters[0].where: a bracket is not closed\n    a[ == b\n     ^"),
    ('filters = [{ use = "select", where = "a\\n\\tb[" }]',
     "filters[0].where: a bracket is not closed\n    \tb[\n    \t ^"),
    ('filters = [{ use = "sub:Keep" }]', 'filters[0].use: there is no module "sub" beside the configuration file; '
     "create {directory}/sub.py"),
    ('filters = [{ use = "json:Keep" }]', 'filters[0].use: the module "json" has the name of one of Python\'s or '
     "couch-tailor's own; give yours another name"),
    ('filters = [{ use = "filters.drop:Drop", paths = [] }]', 'filters[0].use: the module "filters" has the name of '
     "one of Python's or couch-tailor's own; give yours another name"),
    ('filters = [{ use = "" }]', 'filters[0].use: is empty; name a filter, as use = "drop" or use = "module:Class"'),
    ('filters = [{ use = "../sub:Keep" }]', 'filters[0].use: "../sub:Keep" does not name a class; '
     'write "module:Class"'),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), SERVER)
def test_server(load_text: Loader, line: str, message: str) -> None:
    text = GOOD.replace("[sources", f"{line}\n[sources")
    assert mistakes(load_text, text) == [f"clinic.toml:{SECRET + 1}: {message}"]


@pytest.mark.parametrize(("line", "message"), SOURCE)
def test_source(load_text: Loader, line: str, message: str) -> None:
    text = GOOD.replace("[databases.clinic]", f"{line}\n[databases.clinic]")
    assert mistakes(load_text, text) == [f"clinic.toml:{URL + 1}: sources.main.{message}"]


@pytest.mark.parametrize(("line", "message"), PROFILE)
def test_profile(load_text: Loader, line: str, message: str) -> None:
    message = message.replace("{directory}", str(Path.cwd()))
    assert mistakes(load_text, f"{GOOD}{line}\n") == [f"clinic.toml:{PHONE + 1}: profiles.phone.{message}"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x", f'"ftp://x" is not an http or https URL; {URL_REMEDY}'),
        ("127.0.0.1:5984", f'"127.0.0.1:5984" is not an http or https URL; {URL_REMEDY}'),
        ("http://", f'"http://" is not an http or https URL; {URL_REMEDY}'),
        ("http://a..b", f'"http://a..b" names no host: "a..b" is neither an IP address nor a host name; {URL_REMEDY}'),
        (f"http://{'a' * 64}/db", f'"http://{"a" * 64}/db" names no host: "{"a" * 64}" is neither an IP address nor a '
         f"host name; {URL_REMEDY}"),
        ("http://1.2.3.400", '"http://1.2.3.400" names no host: "1.2.3.400" is neither an IP address nor a host name; '
         f"{URL_REMEDY}"),
        ("http://zürich.ch", '"http://zürich.ch" names no host: "zürich.ch" is neither an IP address nor a host name; '
         'write it as "xn--zrich-kva.ch"'),
        ("http://a b", f'"http://a b" is not an http or https URL; {URL_REMEDY}'),
        ("http://x:y", f"\"http://x:y\" is not a URL: Port could not be cast to integer value as 'y'; {URL_REMEDY}"),
        ("http://x/?a=1", f'"http://x/?a=1" has a query or a fragment; {URL_REMEDY}'),
        ("http://x/#", f'"http://x/#" has a query or a fragment; {URL_REMEDY}'),
        ("http://u:topsecret@x", "a URL must not hold credentials; put them into username and password"),
    ],
)  # fmt: skip
def test_url(load_text: Loader, url: str, message: str) -> None:
    text = GOOD.replace("http://127.0.0.1:5984", url)
    assert mistakes(load_text, text) == [f"clinic.toml:{URL}: sources.main.url: {message}"]


@pytest.mark.parametrize(
    "url", ["http://[::1]:5984", "http://[fe80::1%25eth0]", "https://my_couch.example.org.:6984/a", "http://LOCALHOST"]
)
def test_hosts_that_are_right(load_text: Loader, url: str) -> None:
    assert load_text(GOOD.replace("http://127.0.0.1:5984", url)).sources["main"].url == url


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ('secret = "0123456789abcdef"\n', "", [
            f"clinic.toml:1: server.secret: is missing; {REMEDY} and set it here or in COUCH_TAILOR_SECRET, "
            "the same on every node"]),
        ("0123456789abcdef", "0123456789abcde", [
            f"clinic.toml:2: server.secret: has 15 characters and needs at least 16; {REMEDY}"]),
        ("0123456789abcdef", " " * 26, [
            "clinic.toml:2: server.secret: has 0 characters, but for the space around them, and needs at least 16; "
            f"{REMEDY}"]),
        ('"stock"]', '"stock", "clinic", "clinic"]', [
            'clinic.toml:8: profiles.phone.databases[2]: names "clinic" again; leave it out',
            'clinic.toml:8: profiles.phone.databases[3]: names "clinic" again; leave it out']),
        ('url = "http://127.0.0.1:5984"\n', "", [
            "clinic.toml:3: sources.main.url: is missing; write the CouchDB's address, "
            'as url = "http://127.0.0.1:5984", or set COUCH_TAILOR_SOURCE_URL']),
        ('url = "http://127.0.0.1:5984"\n[databases.clinic]', '[sources.cold-store]\nurl = "http://a"\n'
         '[databases.clinic]\nsource = "cold-store"', [
            "clinic.toml:3: sources.main.url: is missing; write the CouchDB's address, "
            'as url = "http://127.0.0.1:5984", or set COUCH_TAILOR_SOURCES_MAIN_URL',
            "clinic.toml:8: databases.stock.source: is missing; name one of the sources: cold-store, main"]),
        ("[databases.clinic]", 'auth = "service"\n[databases.clinic]', [
            'clinic.toml:3: sources.main.username: is missing; auth = "service" logs in with it '
            "(or set COUCH_TAILOR_SOURCE_USERNAME)",
            'clinic.toml:3: sources.main.password: is missing; auth = "service" logs in with it '
            "(or set COUCH_TAILOR_SOURCE_PASSWORD)"]),
        ("[databases.clinic]", 'auth = "proxy"\nroles = ["a"]\n[databases.clinic]', [
            'clinic.toml:3: sources.main.proxy_secret: is missing; auth = "proxy" signs with it: '
            "set it to the [chttpd_auth] secret of that CouchDB (or set COUCH_TAILOR_SOURCE_PROXY_SECRET)",
            "clinic.toml:3: sources.main.username: is missing; roles are sent with it. "
            "Without both, the client's own are sent"]),
        ("[databases.clinic]", '[databases.clinic]\nsource = "mian"', [
            'clinic.toml:6: databases.clinic.source: there is no source "mian"; did you mean "main"?']),
        ("[databases.clinic]", '[sources.two]\nurl = "http://b"\n[databases.clinic]\nsource = "two"', [
            "clinic.toml:9: databases.stock.source: is missing; name one of the sources: main, two"]),
        ("[databases.clinic]", '[databases.clinic]\nname = "Clinic"', [
            f'clinic.toml:6: databases.clinic.name: "Clinic" is not a database name: {DATABASE_RULE}']),
        ("[databases.clinic]", '[databases.clinic]\nname = "_users"', [
            'clinic.toml:6: databases.clinic.name: "_users" is a system database; those are not served']),
        ("[databases.clinic]", "[databases.Big]\n[databases.clinic]", [
            f'clinic.toml:5: databases.Big: "Big" is not a database name: {DATABASE_RULE}; '
            "rename it here; its name at the source goes into name"]),
        ("[databases.clinic]", f"[databases.{'a' * 239}]\n[databases.clinic]", [
            f'clinic.toml:5: databases.{"a" * 239}: "{"a" * 239}" is longer than CouchDB allows (238 characters); '
            "rename it here; its name at the source goes into name"]),
        ('databases = ["clinic", "stock"]\n', "", [
            "clinic.toml:7: profiles.phone.databases: is missing; name those that it shows, "
            'as databases = ["clinic"]']),
        ('databases = ["clinic", "stock"]', "databases = []", [
            "clinic.toml:8: profiles.phone.databases: is empty; name those that it shows, "
            'as databases = ["clinic"], or remove the profile']),
        ('"stock"]', '"stok"]', [
            'clinic.toml:8: profiles.phone.databases[1]: there is no database "stok"; did you mean "stock"?']),
        ("[profiles.phone]", '[profiles."Mobile phone"]', [
            'clinic.toml:7: profiles."Mobile phone": the profile\'s name "Mobile phone" cannot end the name of a '
            'virtual database; give it a suffix of its own, as suffix = "phone", or suffix = false']),
        ("[profiles.phone]", '[profiles."a\\u0000b"]\nsuffix = "x"', [
            'clinic.toml:7: profiles."a\\u0000b": a profile\'s name must be visible characters in one line']),
        ("[profiles.phone]", "[profiles.phone]\nsuffix = false", [
            "clinic.toml:7: profiles.phone: nothing chooses this profile; "
            "give it a suffix, a header, or by_role with roles or users"]),
        ("[server]", "[sever]\n[server]", ['clinic.toml:1: sever: unknown section; did you mean "server"?']),
        ("[server]", "sources = 3\n[server]", ["clinic.toml:1: sources: expected a table, not the number 3"]),
        ("[databases.stock]", "[databases]\nstock = 3", [
            "clinic.toml:7: databases.stock: expected a table, not the number 3"]),
    ],
)  # fmt: skip
def test_sections(load_text: Loader, old: str, new: str, messages: list[str]) -> None:
    text = GOOD.replace(old, new)
    if "sources = 3" in new:
        text = text.replace('[sources.main]\nurl = "http://127.0.0.1:5984"\n', "")
    assert mistakes(load_text, text) == messages


NOT_AN_ORIGIN = 'is not an origin; write scheme, host and port in lower case, as "https://app.example.org"'
CORS = [
    ("", 'origins: is missing; name those of your pages, as origins = ["https://app.example.org"]'),
    ("origins = []", 'origins: is empty; name the origins of your pages, as origins = ["https://app.example.org"]'),
    ('origins = "https://a"', 'origins: expected an array of strings, not the string "https://a"; write ["https://a"]'),
    ('origins = ["https://a/"]', f'origins[0]: "https://a/" {NOT_AN_ORIGIN}'),
    ('origins = ["https://a", "a.example.org"]', f'origins[1]: "a.example.org" {NOT_AN_ORIGIN}'),
    ('origins = ["https://A"]', f'origins[0]: "https://A" {NOT_AN_ORIGIN}'),
    ('origins = ["https://*.a"]', f'origins[0]: "https://*.a" {NOT_AN_ORIGIN}'),
    ('origins = ["https://u@a"]', f'origins[0]: "https://u@a" {NOT_AN_ORIGIN}'),
    ('origins = ["https://a:443"]',
     'origins[0]: "https://a:443" never matches: browsers leave the default port out; write "https://a"'),
    ('origins = ["http://[::1]:80"]',
     'origins[0]: "http://[::1]:80" never matches: browsers leave the default port out; write "http://[::1]"'),
    ('origins = ["null"]',
     'origins[0]: "null" is the origin of every sandboxed page, whoever made it; '
     "serve your page from an origin of its own"),
    ('origins = ["*", "https://a"]', 'origins: "*" stands for every origin; write it alone, or leave it out'),
    ('origins = ["*"]\ncredentials = true',
     'credentials: cannot be true with origins = ["*"]: any page could act for whoever visits it; name the origins'),
    ('origins = ["*"]\nmethods = ["get"]',
     'methods[0]: "get" is not served; choose from GET, HEAD, POST, PUT, DELETE, COPY'),
    ('origins = ["*"]\nheaders = ["X-A", "a b"]',
     'headers[1]: "a b" is not the name of a header; write one such as "X-Device-Model"'),
    ('origins = ["*"]\nmax_age = "long"',
     'max_age: expected a time such as "10s", "500ms", "2m" or a number of seconds, not the string "long"'),
    ('origin = "*"\norigins = ["*"]', 'origin: unknown key; did you mean "origins"?'),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "message"), CORS)
def test_cors(load_text: Loader, lines: str, message: str) -> None:
    text = GOOD.replace("[sources", f"[server.cors]\n{lines}\n[sources")
    [mistake] = mistakes(load_text, text)
    assert mistake.partition(": ")[2] == f"server.cors.{message}"


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("[sources", '[server.cors]\norigins = ["*", "a", "https://b", "HTTP://c"]\ncredentials = true\n[sources',
         ["server.cors.origins", "server.cors.origins[1]", "server.cors.origins[3]", "server.cors.credentials"]),
        ("[sources", '[server.cors]\norigins = ["*"]\nmethods = ["GET", "get", "put"]\nheaders = ["a b", "c d"]\n'
         "[sources", ["server.cors.methods[1]", "server.cors.methods[2]", "server.cors.headers[0]",
                      "server.cors.headers[1]"]),
        ('["clinic", "stock"]', '["clinic", 3, "stock", ""]', [
            "profiles.phone.databases[1]", "profiles.phone.databases[3]"]),
        ("[profiles.phone]", '[profiles.phone]\ndevice = { a = "b c", d = "e", f = 1 }', [
            "profiles.phone.device.a", "profiles.phone.device.f"]),
    ],
)  # fmt: skip
def test_all_of_an_array_is_told(load_text: Loader, old: str, new: str, keys: list[str]) -> None:
    found = mistakes(load_text, GOOD.replace(old, new, 1))
    assert sorted(each.split(": ")[1] for each in found) == sorted(keys)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("http://127.0.0.1:5984", r"http://a\u0000b\n",
         rf'"http://a\u0000b\n" is not an http or https URL; {URL_REMEDY}'),
        ('"stock"]', r'"st\u001b[2Jck"]', r'there is no database "st\u001b[2Jck"; did you mean "stock"?'),
        ("[databases.stock]", '[databases.stock]\n' r'index = "a\tb\r\n\u00a0\U000e0001"',
         r'expected true or false (without quotes), not the string "a\tb\r\n\u00a0\U000e0001"'),
        ("[profiles.phone]", '[profiles.phone]\n' r'filters = [{ use = "a\nb" }]',
         r'no filter is called "a\nb"; known: broken, drop, gone, odd, select, twice'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(load_text: Loader, old: str, new: str, message: str) -> None:
    [found] = mistakes(load_text, GOOD.replace(old, new, 1))
    assert found.isprintable()
    assert found.partition(": ")[2].partition(": ")[2] == message


def test_a_filters_words_are_one_line_and_an_excerpt(load_text: Loader) -> None:
    rules = r"""
from proxy.contract import Filter, OptionError
class Keep(Filter):
    def __init__(self, *, where):
        raise OptionError("where", "is wrong\nin two ways", text=where, at=3)
    def shape(self, doc, client): return doc
"""
    Path("rules.py").write_text(rules)
    text = GOOD + r'filters = [{ use = "rules:Keep", where = "a\u0000bc\nd" }]'
    assert mistakes(load_text, text) == [
        r"clinic.toml:9: profiles.phone.filters[0].where: is wrong\nin two ways" "\n    a?bc\n       ^"
    ]


def test_a_file_whose_name_is_no_line() -> None:
    with pytest.raises(ConfigError, match=r"^/nowhere/a\\nb: cannot be read: [^\n]*$"):
        load("/nowhere/a\nb", {})


@pytest.mark.parametrize("lines", [
    'metrics = "127.0.0.1:5985"', 'metrics = "127.0.0.2:5984"', 'metrics = "[::]:5984"',
    'bind = "127.0.0.1:0"\nmetrics = "127.0.0.1:0"',
])  # fmt: skip
def test_addresses_that_are_not_taken(load_text: Loader, lines: str) -> None:
    assert load_text(GOOD.replace("[sources", f"{lines}\n[sources", 1)).server.metrics is not None


def test_cors_that_is_right(load_text: Loader) -> None:
    origins = ["https://a", "http://localhost:8080", "http://[::1]:8080", "capacitor://localhost", "file://"]
    lines = f'origins = {origins}\ncredentials = true\nheaders = ["X-Mine"]\nmethods = ["GET"]\nmax_age = "1h"'
    config = load_text(GOOD.replace("[sources", f"[server.cors]\n{lines}\n[sources"))
    assert config.server.cors == Cors(tuple(origins), True, frozenset(["x-mine"]), ("GET",), 3600)
    plain = load_text(GOOD.replace("[sources", '[server.cors]\norigins = ["*"]\n[sources'))
    assert plain.server.cors == Cors(("*",))
    assert load_text(GOOD).server.cors is None
