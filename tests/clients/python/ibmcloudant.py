"""IBM's SDK for Cloudant: operations by their names, gzipped bodies, a session by cookie, followers and pages."""

from __future__ import annotations

import io
from base64 import b64decode
from typing import Any

from ibmcloudant import ChangesFollower, CouchDbSessionAuthenticator
from ibmcloudant.cloudant_v1 import CloudantV1
from ibmcloudant.features.pagination import PagerType, Pagination

from tests.clients.python.lines import Rows, serve

service: CloudantV1
rows: Rows


def open(url: str, user: str, password: str) -> None:
    global service
    service = CloudantV1(authenticator=CouchDbSessionAuthenticator(user, password, disable_ssl_verification=True))
    service.set_service_url(url)
    service.set_enable_gzip_compression(True)


def ask(operation: str, **options: Any) -> Any:
    return getattr(service, operation)(**options).get_result()


def attachment(**options: Any) -> bytes:
    data: bytes = service.get_attachment(**options).get_result().content
    return data


def attach(data: str, **options: Any) -> Any:
    return service.put_attachment(attachment=io.BytesIO(b64decode(data)), **options).get_result()


def pages(kind: str, **options: Any) -> list[Any]:
    pagination = Pagination.new_pagination(service, PagerType[kind], **options)
    return [[row.to_dict() for row in page] for page in pagination.pages()]


def changes(db: str) -> list[Any]:
    return [row.to_dict() for row in ChangesFollower(service=service, db=db, include_docs=True).start_one_off()]


def follow(db: str) -> None:
    global rows
    follower = ChangesFollower(service=service, db=db, include_docs=True, since="0")
    rows = Rows(row.to_dict() for row in follower.start())


def until_row(doc_id: str, name: str) -> Any:
    return rows.until(doc_id, name)


if __name__ == "__main__":
    serve(open, ask, attachment, attach, pages, changes, follow, until_row)
