"""Who a client is, and as whom the proxy asks the source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compatibility.table import every_source
from tests.conftest import POOL
from tests.support.clinic import PASSWORD, body, patient, seen
from tests.support.devices import DeviceHost
from tests.support.http import Http
from tests.support.site import Site, clinic_proxy
from tests.support.sources import Source


@pytest.fixture
def service_site(
    source: Source, unused: Iterator[str], device_host: DeviceHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A database that only the proxy's service account may read."""
    name, password = source.admin
    account = {"auth": "service", "username": name, "password": password}
    proxy = clinic_proxy(tmp_path_factory.mktemp("service"), source.url, POOL, source_options=account)
    proxy.start()
    database = source.create_database(next(unused))
    nobody = {"names": ["nobody"], "roles": []}
    database.json("PUT", "_security", {"admins": nobody, "members": nobody})
    site = Site(source, proxy, database, device_host)
    yield site
    site.close()
    proxy.process.kill()
    source.http.request("DELETE", f"/{database.name}")


@every_source("service account")
def test_a_service_account_reads_and_writes_for_the_clients(service_site: Site) -> None:
    site = service_site
    site.database.put(patient(1))
    ann = site.person("ann")
    direct = Http(f"{site.source.url}/{site.database.name}", ann.http.headers)
    assert direct.request("GET", "/patient:1").status in (401, 403)
    ann.pull()
    assert body(ann.device.get("patient:1")) == seen(patient(1), "phone")
    ann.device.edit("patient:1", name="edited")
    ann.push()
    assert body(site.database.get("patient:1")) == patient(1, name="edited")
    mallory = site.person("mallory")
    assert mallory.device.pull(mallory.url, mallory.auth)["error"]["status"] == 403


@every_source("sign-in by session")
def test_a_session_by_cookie(site: Site) -> None:
    site.database.put(patient(1))
    anonymous = Http(site.proxy.url, {})
    path = f"/{site.database.name}-phone/patient:1"
    assert anonymous.request("GET", path).status == 401

    login = anonymous.request("POST", "/_session", json_body={"name": "ann", "password": PASSWORD})
    assert login.status == 200
    cookie = str(login.headers["Set-Cookie"]).partition(";")[0]
    ann = Http(site.proxy.url, {"Cookie": cookie})
    assert ann.json("GET", "/_session")["userCtx"]["name"] == "ann"
    assert ann.json("GET", path)["name"] == "Name 1"
    assert "ssn" not in ann.json("GET", path)

    wrong = anonymous.request("POST", "/_session", json_body={"name": "ann", "password": "wrong"})
    assert wrong.status == 401
    assert Http(site.proxy.url, {"Cookie": cookie + "x"}).request("GET", path).status in (400, 401)


def test_headers_that_claim_an_identity_are_not_believed(site: Site) -> None:
    site.database.put(patient(1))
    claims = {
        "X-Auth-CouchDB-UserName": "ann",
        "X-Auth-CouchDB-Roles": "nurse,facility:f1,_admin",
        "X-Forwarded-For": "127.0.0.1",
    }
    path = f"/{site.database.name}-phone/patient:1"
    assert Http(site.proxy.url, claims).request("GET", path).status == 401
    bob = site.person("bob")
    assert bob.http.request("GET", "/patient:1", headers=claims).status == 404
