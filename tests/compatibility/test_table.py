"""docs/compatibility.md says what the tests run, in the versions that are installed, and nothing else."""

from __future__ import annotations

import json

from tests.compatibility.table import PAGE, rendered, rows
from tests.support.devices import CLIENTS

_PACKAGES = json.loads((CLIENTS / "package.json").read_text(encoding="utf-8"))["dependencies"]
_PACKAGE_OF = {
    "Hoodie store client": "@hoodie/store-client",
    "IBM Cloudant SDK": "@ibm-cloud/cloudant",
    "couchbackup": "@cloudant/couchbackup",
    "PouchDB Server": "express-pouchdb",
}
"""Packages by the client's name in the table, where it is not the name of the package in lower case."""


def test_the_page_has_the_rows_of_the_tests() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == rendered(page), "write the rows with `python -m tests.compatibility.table`"


def test_versions_are_those_that_are_installed() -> None:
    pinned = {name: wanted.rpartition("@")[2] for name, wanted in _PACKAGES.items()}
    for each in rows():
        if each.section == "npm":
            name = _PACKAGE_OF.get(each.client, each.client.lower())
            major = each.version.partition(".")[0]
            wanted = {pinned.get(key) for key in (name, f"{name}-{major}", f"{name}-{major}-core")}
            assert each.version in wanted, each
