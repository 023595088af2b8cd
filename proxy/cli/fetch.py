"""A document from the source, for `couch-tailor shape --id`."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import aiohttp
from yarl import URL

from proxy.cli.errors import RunError
from proxy.config.model import Database, Source
from proxy.contract import Client, Doc
from proxy.core import jsonio
from proxy.core.endpoints import document_path
from proxy.core.query import encode
from proxy.errors import CouchError
from proxy.identify import proxy_token
from proxy.upstream import Upstream

_LOGIN_HINT = 'with auth = "client" there is nobody to log in as; set COUCH_TAILOR_SOURCE_USERNAME and _PASSWORD'


def fetch(database: Database, timeout: float, client: Client, doc_id: str, rev: str | None) -> Doc:
    """The document as the source has it, read with the credentials of the configuration. Raises RunError."""
    source = database.source
    what = f'"{doc_id}" cannot be read from {source.url}/{database.source_db}'
    try:
        status, body = asyncio.run(_get(database, timeout, client, doc_id, rev))
        reply: Any = jsonio.loads(body)
    except TimeoutError:
        raise RunError(f"{what}: no answer within {timeout:g} seconds") from None
    except (aiohttp.ClientError, OSError, CouchError) as error:
        raise RunError(f"{what}: {error}") from error
    except ValueError:
        raise RunError(f"{what}: the answer is not JSON; is that a CouchDB?") from None
    if status != 200 or not isinstance(reply, dict) or not isinstance(reply.get("_id"), str):
        raise RunError(f"{what}: {_why(status, reply, source, rev)}")
    return reply


async def _get(database: Database, timeout: float, client: Client, doc_id: str, rev: str | None) -> tuple[int, bytes]:
    query = "" if rev is None else "?" + encode([("rev", rev)])
    url = URL(f"{database.source.url}{document_path(database.source_db, doc_id)}{query}", encoded=True)
    limit = aiohttp.ClientTimeout(total=timeout)
    headers = {"Accept": "application/json", **await _credentials(database.source, timeout, client)}
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.get(url, headers=headers, allow_redirects=False) as response,
    ):
        return response.status, await response.read()


async def _credentials(source: Source, timeout: float, client: Client) -> Mapping[str, str]:
    """With auth = "client" there is no client here whose credentials could be passed on: a service account serves."""
    if source.auth == "proxy":
        return _proxy_headers(source, client)
    if source.auth in ("cookie", "iam"):
        with closing(Upstream(source, timeout)) as upstream:
            return await upstream.account_headers()
    if source.username is None or source.password is None:
        return {}
    pair = f"{source.username}:{source.password}".encode()
    return {"Authorization": f"Basic {b64encode(pair).decode()}"}


def _proxy_headers(source: Source, client: Client) -> dict[str, str]:
    user = source.username or client.name
    if user is None:
        return {}
    roles = source.roles if source.username else sorted(client.roles)
    token = proxy_token(source.proxy_secret or "", source.proxy_hash, user)
    return {
        "X-Auth-CouchDB-UserName": user,
        "X-Auth-CouchDB-Roles": ",".join(roles),
        "X-Auth-CouchDB-Token": token,
    }


def _why(status: int, reply: Any, source: Source, rev: str | None) -> str:
    if status == 200:
        return "the answer is no document; is that a CouchDB?"
    error, reason = (str(reply.get(key)) for key in ("error", "reason")) if isinstance(reply, dict) else ("?", "?")
    message = f"{status} {error}: {reason}"
    if status in (401, 403) and source.auth == "client" and source.username is None:
        return f"{message}; {_LOGIN_HINT}"
    if status == 404 and reason == "deleted" and rev is None:
        return f"{message}; name a revision with --rev"
    return message
