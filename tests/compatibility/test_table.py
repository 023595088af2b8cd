"""docs/compatibility.md says what the tests run, in the versions that are installed, and nothing else."""

from __future__ import annotations

import json
import re

from tests.compatibility.table import PAGE, Row, rendered, rows
from tests.support.devices import CLIENTS

_FROM_NPM = json.loads((CLIENTS / "package.json").read_text(encoding="utf-8"))["dependencies"]
_FROM_PYPI = (CLIENTS / "python" / "requirements.txt").read_text(encoding="utf-8")
_PACKAGE_OF = {
    "CouchDB-Python": "couchdb",
    "Hoodie store client": "@hoodie/store-client",
    "IBM Cloudant SDK": "@ibm-cloud/cloudant",
    "couchbackup": "@cloudant/couchbackup",
    "PouchDB Server": "pouchdb-server",
    "PouchDB in Chromium": "pouchdb",
    "replicate (Node)": "replicate",
}
"""Packages by the client's name in the table, where it is not the name of the package in lower case."""


def test_the_page_has_the_rows_of_the_tests() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == rendered(page), "write the rows with `python -m tests.compatibility.table`"


def test_versions_are_those_that_are_installed() -> None:
    from_npm = {name: wanted.rpartition("@")[2] for name, wanted in _FROM_NPM.items()}
    from_pypi = dict(re.findall(r"^([\w-]+)==(\S+)$", _FROM_PYPI.lower(), re.MULTILINE))
    for each in rows():
        if each.section in ("npm", "pypi") or (each.section == "sources" and _package(each) in from_npm):
            pinned = from_pypi if each.section == "pypi" else from_npm
            name, major = _package(each), each.version.partition(".")[0]
            wanted = {pinned.get(key) for key in (name, f"{name}-{major}", f"{name}-{major}-core")}
            assert each.version in wanted, each


def _package(row: Row) -> str:
    return _PACKAGE_OF.get(row.client, row.client.lower())
