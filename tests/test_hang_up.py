"""Clients that hang up while they are answered: nothing of it is a failure of the proxy."""

from __future__ import annotations

import logging

import aiohttp
import pytest
from aiohttp import web

from proxy import app
from proxy.core.endpoints import Kind
from proxy.exchange import Exchange
from tests.support.inprocess import profile, site


@pytest.mark.parametrize("begun", [True, False])
async def test_it_is_no_error_in_the_log(
    begun: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(exchange: Exchange) -> web.StreamResponse:
        if not begun:
            exchange.abort()  # to the proxy it is the same as when the client does it
        response = await exchange.stream({})
        exchange.abort()
        await response.write(b"more")
        raise AssertionError("the connection is gone")

    monkeypatch.setitem(app.HANDLERS, (Kind.DATABASE, "GET"), answer)
    async with site(profile("phone")) as served:
        with pytest.raises(aiohttp.ClientError):
            await served.ask("GET", "/clinic-phone")
        assert (await served.ask("GET", "/clinic-phone/_all_docs")).status == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
