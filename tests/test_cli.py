"""The command as people run it: a process, its output and its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = """\
[server]
secret = "0123456789abcdef"
[sources.main]
url = "http://127.0.0.1:9"
[databases.clinic]
[databases.stock]
[profiles.phone]
databases = ["clinic", "stock"]
roles = ["nurse"]
users = ["ann"]
header = "X-Device: phone"
device = { model = "X-Model" }
filters = [
  { use = "rules:Own" },
  { use = "rules:Without", fields = ["ssn"], key = "do not print" },
]
[profiles.plain]
databases = ["clinic"]
write = false
[profiles.lenient]
databases = ["clinic"]
on_surplus = "discard"
design_docs = true
filters = [{ use = "rules:Without", fields = ["ssn", "photo"] }]
"""
RULES = """\
from proxy.contract import Filter, Refused

class Own(Filter):
    def shape(self, doc, client):
        if "explode" in doc:
            raise RuntimeError("boom")
        return doc if doc.get("owner") in (client.name, client.device.get("model")) else None

class Without(Filter):
    passes_all = True
    def __init__(self, fields, key=""):
        self.fields = frozenset(fields)
    def shape(self, doc, client):
        return {name: value for name, value in doc.items() if name not in self.fields}
    def restore(self, edited, original, client):
        if edited.get("locked"):
            raise Refused("it is locked", "locked")
        hidden = {name: value for name, value in (original or {}).items() if name in self.fields}
        return {**self.shape(edited, client), **hidden}
"""
DOC = {"_id": "a", "_rev": "1-x", "owner": "ann", "name": "Zoë", "ssn": "123", "_revisions": {"start": 1, "ids": ["x"]}}


class Command:
    """Runs couch-tailor in a directory with the configuration above."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("clinic.toml", CONFIG)
        self.write("rules.py", RULES)
        self.write("doc.json", DOC)

    def write(self, name: str, content: Any) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (self.directory / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "proxy.cli", *arguments],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    def shape(
        self, *arguments: str, profile: str = "phone", user: str = "ann", stdin: str = ""
    ) -> tuple[int, str, str]:
        return self.run("shape", "-c", "clinic.toml", "-p", profile, "-u", user, *arguments, stdin=stdin)


@pytest.mark.parametrize("arguments", [[], ["--diff"]])
def test_what_a_terminal_lacks_is_written_as_json_has_it(tmp_path: Path, arguments: list[str]) -> None:
    command = Command(tmp_path)
    options = ["shape", "-c", "clinic.toml", "-p", "phone", "-u", "ann", "doc.json", *arguments]
    status, out, err = command.run(*options, env={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"})
    assert (status, err) == (0, "")
    assert '"name": "Zo\\u00eb"' in out


def test_a_name_that_a_terminal_lacks_ends_no_command(tmp_path: Path) -> None:
    command = Command(tmp_path)
    command.write("clinic.toml", CONFIG.replace('["ssn"]', '["größe"]'))
    status, out, err = command.run("check", "clinic.toml", env={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"})
    assert (status, err) == (0, "")
    assert "gr\\xf6\\xdfe" in out


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_the_installed_command_is_this_one() -> None:
    [script] = entry_points(group="console_scripts", name="couch-tailor")
    assert script.value == "proxy.cli:main"


def test_version_and_help(command: Command) -> None:
    assert command.run("--version") == (0, "couch-tailor 0.1.0\n", "")
    status, out, err = command.run("--help")
    assert (status, err) == (0, "")
    assert all(f"\n    {name} " in out for name in ("serve", "check", "shape", "index", "endpoint", "demo"))


def test_every_command_is_listed(command: Command) -> None:
    _, out, _ = command.run("--help")
    names = re.findall(r"^    (\w+) ", out, re.MULTILINE)
    assert {"serve", "touch", "demo"} <= set(names)
    listed = (ROOT / "README.md").read_text().partition("lists the [commands]")[2]
    table = (ROOT / "docs/configuration.md").read_text().partition("\n## Commands\n")[2]
    first = "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))
    for name in names:
        assert f"`{name}`" in listed
        assert f"`{name}`" in first


def test_the_options_of_check_are_documented(command: Command) -> None:
    _, out, _ = command.run("check", "--help")
    table = (ROOT / "docs/configuration.md").read_text().partition("\n## Commands\n")[2]
    options = set(re.findall(r"(--\w[\w-]*)", out)) - {"--help"}
    assert options == {option for option in options if f"`{option}`" in table}


@pytest.mark.parametrize("name", ["serve", "check", "shape", "index", "record", "replay", "endpoint"])
def test_help_of_a_command(command: Command, name: str) -> None:
    status, out, err = command.run(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: couch-tailor {name} ")


@pytest.mark.parametrize(
    "arguments",
    [[], ["sharpe"], ["shape"], ["check", "--nothing"], ["serve", "--workers", "0"], ["serve", "--workers", "x"]],
)
def test_wrong_arguments(command: Command, arguments: list[str]) -> None:
    status, out, err = command.run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: couch-tailor")


def test_check_says_what_profiles_do(command: Command) -> None:
    status, out, err = command.run("check", "clinic.toml")
    assert (status, err) == (0, "")
    lines = out.split("\n")
    assert lines[:4] == [
        "clinic.toml is right",
        "listens on 127.0.0.1:5984; clients need an account",
        "source main: http://127.0.0.1:9, asked with each client's own credentials",
        "database clinic: no feed index: it needs server.data, the directory where indexes are kept",
    ]
    assert lines[4:6] == [lines[3].replace("clinic", "stock"), ""]
    assert lines[6].startswith("profile phone (rules ")
    assert lines[7:18] == [
        "  shows      clinic as /clinic-phone and /clinic",
        "  shows      stock as /stock-phone and /stock",
        "  chosen by  name, ending in -phone; request header x-device: phone",
        "  used by    the role nurse or the user ann",
        "  reading    documents and feeds; _all_docs, _find; no design documents",
        "  feeds      every changed document is judged",
        "  writing    allowed; what a client would not read back is refused; "
        "without a known ancestor onto the winning revision",
        "  device     device.model from x-model",
        "  filters    1. rules:Own",
        '             2. rules:Without: fields = ["ssn"], key = (not shown)',
        "",
    ]
    assert "  writing    refused" in lines
    assert "  filters    none: documents are shown whole" in lines


@pytest.mark.parametrize(
    ("filters", "line"),
    [
        ([], "every change is told of, without a look at the document"),
        (['use = "drop", paths = ["a"]'], "every change is told of, without a look at the document"),
        (['use = "rules:Own"'], "every changed document is judged"),
        (['use = "select", where = "starts_with(owner, client.name)"'], "every changed document is judged"),
        (
            ['use = "select", where = "type == \'x\' && owner == client.name"'],
            "a client's documents are found by owner == client.name",
        ),
        (
            ['use = "drop", paths = ["a"]', 'use = "audience", keys = { unit = "unit" }'],
            "a client's documents are found by unit:{unit}",
        ),
        (
            ['use = "drop", paths = ["a[?b != client.name]"]', 'use = "audience", keys = { unit = "unit" }'],
            "every changed document is judged: audience comes after a filter that depends on the client",
        ),
        (['use = "rules:Mine"'], "a client's documents are found by keys that a filter gives"),
    ],
)
def test_check_says_how_documents_are_found(command: Command, filters: list[str], line: str) -> None:
    own = ", ".join(f"{{ {table} }}" for table in filters)
    command.write("clinic.toml", CONFIG.replace("write = false", f"filters = [{own}]"))
    mine = "class Mine(Own):\n    declares_audience = True\n    def shape(self, doc, client): return None\n"
    hooks = "    def audience(self, doc): return []\n    def client_keys(self, client): return []\n"
    command.write("rules.py", RULES + mine + hooks)
    out = command.run("check", "clinic.toml")[1]
    assert f"  feeds      {line}" in out.partition("profile plain")[2].split("\n\n")[0].split("\n")


@pytest.mark.parametrize(
    ("cors", "line"),
    [
        ('origins = ["https://a", "https://b"]\ncredentials = true',
         "pages from https://a, https://b are served, with cookies"),
        ('origins = ["*"]', "pages of every origin are served"),
    ],
)  # fmt: skip
def test_check_says_which_pages_are_served(command: Command, cors: str, line: str) -> None:
    command.write("clinic.toml", CONFIG.replace("[sources.main]", f"[server.cors]\n{cors}\n[sources.main]"))
    assert command.run("check", "clinic.toml")[1].split("\n")[2] == line


def test_check_says_which_databases_have_an_index(command: Command) -> None:
    account = '[sources.two]\nurl = "http://b"\nauth = "service"\nusername = "a"\npassword = "b"\n'
    databases = '[databases.clinic]\nsource = "two"\n[databases.lab]\nsource = "two"\nindex = false\n'
    text = CONFIG.replace("[databases.clinic]\n", account + databases).replace('"clinic", "stock"', '"clinic", "lab"')
    text = text.replace("[databases.stock]", '[databases.stock]\nsource = "main"')
    command.write("clinic.toml", text.replace("[sources.main]", 'data = "data"\n[sources.main]'))
    assert re.findall("^database .*", command.run("check", "clinic.toml")[1], re.MULTILINE) == [
        "database clinic: has a feed index",
        "database lab: no feed index: its index is false",
        'database stock: no feed index: it needs a source with an account, as auth = "service"',
    ]
    assert not (command.directory / "data").exists()


def test_check_quietly(command: Command) -> None:
    assert command.run("check", "-q", "clinic.toml") == (0, "", "")


def test_check_reports_all_mistakes(command: Command) -> None:
    command.write("clinic.toml", CONFIG.replace("0123456789abcdef", "x").replace("on_surplus", "on_surpls"))
    assert command.run("check", "clinic.toml") == (
        2,
        "",
        "clinic.toml:2: server.secret: has 1 characters and needs at least 16; make one with `openssl rand -hex 32`\n"
        'clinic.toml:22: profiles.lenient.on_surpls: unknown key; did you mean "on_surplus"?\n'
        "couch-tailor: 2 mistakes in the configuration\n",
    )


def test_a_variable_that_is_ignored_is_told_of_with_the_mistakes(command: Command) -> None:
    command.write("clinic.toml", CONFIG.replace('secret = "0123456789abcdef"\n', "").replace(', "stock"', ""))
    status, _, err = command.run("check", "clinic.toml", env={"COUCH_TAILOR_SECRT": "0123456789abcdef"})
    assert status == 2
    ignored, missing, count = err.splitlines()
    assert ignored == "warning: COUCH_TAILOR_SECRT: unknown variable, ignored; did you mean COUCH_TAILOR_SECRET?"
    assert missing.startswith("clinic.toml:1: server.secret: is missing")
    assert count == "couch-tailor: 1 mistake in the configuration"


def test_check_warns(command: Command) -> None:
    command.write("clinic.toml", CONFIG.replace('"clinic", "stock"', '"clinic"'))
    status, out, err = command.run("check", "-q", "clinic.toml")
    assert (status, out) == (0, "")
    assert err == "warning: clinic.toml:6: databases.stock: no profile shows this database: nobody can reach it\n"


def test_the_file_can_come_from_the_environment(command: Command) -> None:
    assert command.run("check", "-q", env={"COUCH_TAILOR_CONFIG": "clinic.toml"}) == (0, "", "")
    assert command.run("check") == (
        2,
        "",
        "couch-tailor: no configuration: name its file with --config FILE, or set COUCH_TAILOR_CONFIG\n",
    )
    assert command.run("serve", env={"COUCH_TAILOR_CONFIG": "none.toml"}) == (
        2,
        "",
        "none.toml: cannot be read: No such file or directory\ncouch-tailor: 1 mistake in the configuration\n",
    )


def test_check_needs_no_network_library(command: Command) -> None:
    program = "import sys, proxy.cli; proxy.cli.main(['check', '-q', 'clinic.toml']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=command.directory,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"aiohttp", "httptools", "uvloop", "sqlite3"} & set(done.stdout.split())


def test_shape(command: Command) -> None:
    shown = '{\n  "_id": "a",\n  "_rev": "1-x",\n  "owner": "ann",\n  "name": "Zoë",\n'
    revisions = '  "_revisions": {\n    "start": 1,\n    "ids": [\n      "x"\n    ]\n  }\n}\n'
    assert command.shape("doc.json") == (0, shown + revisions, "")
    assert command.shape("-", stdin=json.dumps(DOC)) == (0, shown + revisions, "")


def test_shape_as_a_difference(command: Command) -> None:
    command.write("doc.json", {"_id": "a", "ssn": 1, "owner": "ann"})
    assert command.shape("doc.json", "--diff") == (
        0,
        '--- source\n+++ phone\n@@ -1,5 +1,4 @@\n {\n   "_id": "a",\n-  "owner": "ann",\n-  "ssn": 1\n'
        '+  "owner": "ann"\n }\n',
        "",
    )


def test_shape_by_device(command: Command) -> None:
    command.write("doc.json", {"_id": "a", "owner": "x9"})
    assert command.shape("doc.json", "--device", "model=x9")[0] == 0


@pytest.mark.parametrize(
    ("doc", "user", "profile", "message"),
    [
        ({"_id": "a", "owner": "bob"}, "ann", "phone", "profiles.phone.filters[0] (rules:Own) withholds it"),
        ({"_id": "a", "explode": 1}, "ann", "phone",
         "it is withheld, as filter profiles.phone.filters[0] (rules:Own) raised RuntimeError: boom"),
        ({"_id": "_design/a"}, "ann", "phone", "the profile shows no design documents"),
        ({"_id": "a"}, "bob", "phone", "profile phone is for clients with the role nurse or the user name ann only"),
    ],
)  # fmt: skip
def test_what_is_not_visible(command: Command, doc: dict[str, Any], user: str, profile: str, message: str) -> None:
    command.write("doc.json", doc)
    expected = (1, "", f"couch-tailor: not visible: {message}\n")
    assert command.shape("doc.json", user=user, profile=profile) == expected


def test_nobody_in_particular(command: Command) -> None:
    assert command.run("shape", "-c", "clinic.toml", "-p", "plain", "doc.json") == (
        1,
        "",
        "couch-tailor: not visible: the client is anonymous, and server.anonymous is false; "
        "say who it is with --user\n",
    )


def test_design_documents_are_not_shaped(command: Command) -> None:
    command.write("doc.json", {"_id": "_design/a", "ssn": 1})
    assert command.shape("doc.json", profile="lenient") == (0, '{\n  "_id": "_design/a",\n  "ssn": 1\n}\n', "")


def test_restore(command: Command) -> None:
    command.write("edited.json", {"_id": "a", "_rev": "1-x", "owner": "ann", "name": "Eve", "age": 3})
    status, out, err = command.shape("doc.json", "--restore", "edited.json")
    assert (status, err) == (0, "")
    whole = {"_id": "a", "_rev": "1-x", "owner": "ann", "name": "Eve", "age": 3, "ssn": "123"}
    assert json.loads(out) == whole
    status, out, err = command.shape("doc.json", "--restore", "edited.json", "--diff")
    assert (status, err) == (0, "")
    assert '-  "name": "Zoë",\n' in out
    assert '+  "name": "Eve",\n' in out


@pytest.mark.parametrize(
    ("edited", "profile", "message"),
    [
        ({"_id": "a", "owner": "ann", "ssn": "9"}, "phone", "this client would not read back what it wrote (at ssn)"),
        ({"_id": "a", "owner": "bob"}, "phone", "the document would not be visible to the client that writes it"),
        ({"_id": "a", "owner": "ann", "locked": True}, "phone", "it is locked (at locked)"),
        ({"_id": "a", "owner": "ann"}, "plain", "This profile only reads."),
    ],
)  # fmt: skip
def test_edits_that_are_refused(command: Command, edited: dict[str, Any], profile: str, message: str) -> None:
    command.write("edited.json", edited)
    assert command.shape("doc.json", "--restore", "edited.json", profile=profile) == (
        1,
        "",
        f"couch-tailor: refused: {message}\n",
    )


def test_what_is_discarded(command: Command) -> None:
    command.write("edited.json", {"_id": "a", "_rev": "1-x", "owner": "bob", "ssn": "9", "photo": "p"})
    status, out, err = command.shape("doc.json", "--restore", "edited.json", profile="lenient")
    assert (status, json.loads(out)) == (0, {"_id": "a", "_rev": "1-x", "owner": "bob", "ssn": "123"})
    assert err == (
        "note: ssn is discarded: the client would not read it back\n"
        "note: photo is discarded: the client would not read it back\n"
    )


def test_a_filter_that_fails_on_the_way_in(command: Command) -> None:
    command.write("rules.py", RULES.replace('edited.get("locked")', 'edited["locked"]'))
    command.write("edited.json", {"_id": "a", "owner": "ann"})
    assert command.shape("doc.json", "--restore", "edited.json") == (
        1,
        "",
        "error: a write of a is refused: filter profiles.phone.filters[1] (rules:Without) raised KeyError: 'locked'\n"
        "couch-tailor: refused: A filter failed on this document, so it was not written; "
        "the proxy's log has the details.\n",
    )


def test_edits_that_no_couchdb_takes(command: Command) -> None:
    command.write("edited.json", {"_id": "a", "owner": "ann", "_odd": 1})
    assert command.shape("doc.json", "--restore", "edited.json") == (
        1,
        "",
        "couch-tailor: refused: Bad special document member: _odd\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "shape: give a file with the document, - for standard input, or --id: exactly one of them"),
        (["doc.json", "--id", "a"],
         "shape: give a file with the document, - for standard input, or --id: exactly one of them"),
        (["doc.json", "--rev", "1-x"], "shape: --rev goes with --id"),
        (["-", "--restore", "-"], "shape: only one of the two documents can come from standard input"),
        (["doc.json", "-p", "fone"], '--profile: there is no profile "fone"; did you mean "phone"?'),
        (["doc.json", "-d", "stok"], '--database: profile phone does not show "stok"; did you mean "stock"?'),
        (["--id", "a"], "--database: name one of the profile's databases: clinic, stock"),
        (["doc.json", "--device", "model"], '--device: write NAME=VALUE, not "model"'),
        (["doc.json", "--device", "modl=3"],
         '--device: profile phone reads no device attribute "modl"; did you mean "model"?'),
        (["none.json"], "none.json: cannot be read: No such file or directory"),
        (["list.json"], "list.json: is not a document: a document is a JSON object"),
        (
            ["numbered.json"],
            "numbered.json: is not a document of CouchDB: its _id must be a string that is not empty",
        ),
        (["anonymous.json"], "anonymous.json: is not a document of CouchDB: it has no _id; add one"),
        (["doc.json", "--restore", "other.json"], 'other.json: is an edit of "b", not of "a"'),
    ],
)  # fmt: skip
def test_mistakes_in_what_was_asked(command: Command, arguments: list[str], message: str) -> None:
    command.write("list.json", "[]")
    command.write("anonymous.json", "{}")
    command.write("numbered.json", {"_id": 3})
    command.write("other.json", {"_id": "b"})
    assert command.shape(*arguments) == (2, "", f"couch-tailor: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.json"], "none.json: cannot be read: No such file or directory"),
        (["."], ".: cannot be read: Is a directory"),
        (["bad.json"], "bad.json:1:1: not JSON: "),
        (["-"], "standard input: is empty"),
        (["doc.json", "--restore", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["doc.json", "--restore", "other.json"], 'other.json: is an edit of "b", not of "a"'),
        (["--id", "a", "-d", "clinic", "--restore", "other.json"], 'other.json: is an edit of "b", not of "a"'),
    ],
)
def test_mistakes_are_told_whoever_asks(command: Command, arguments: list[str], message: str) -> None:
    command.write("bad.json", "x")
    command.write("other.json", {"_id": "b"})
    status, out, err = command.shape(*arguments, user="bob")
    assert (status, out) == (2, "")
    assert err.startswith(f"couch-tailor: {message}")


def test_a_mistake_is_one_line(command: Command) -> None:
    assert command.shape("doc.json", profile="pho\nne") == (
        2,
        "",
        'couch-tailor: --profile: there is no profile "pho\\nne"; did you mean "phone"?\n',
    )


def test_what_is_not_json_is_placed(command: Command) -> None:
    command.write("bad.json", '{"_id": "a",\n"b": x}')
    status, out, err = command.shape("bad.json")
    assert (status, out) == (2, "")
    assert err.startswith("couch-tailor: bad.json:2:6: not JSON: ")


def test_output_that_nobody_reads_on(command: Command) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "proxy.cli", "check", "clinic.toml"],
        cwd=command.directory,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 1
