"""What a follower asks a source, and what it makes of answers of all kinds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.errors import CouchError, Unavailable
from proxy.feeds.asking import behind, changed, incarnation
from proxy.place import Place
from tests.compatibility.sources import Asked, Forward, Given, Script, given_json, place, refusal


def answering(answers: dict[str, Given]) -> Script:
    """A source that gives these answers, by endpoint."""

    async def script(asked: Asked, forward: Forward) -> Given:
        return answers[asked.endpoint]

    return script


ROW = {"seq": 8, "id": "a", "changes": [{"rev": "1-a"}]}


@pytest.mark.parametrize(
    ("page", "info", "expected"),
    [
        ({"results": [], "last_seq": 7, "pending": 0}, {}, 0),
        ({"results": [ROW], "last_seq": 8, "pending": 4}, {}, 5),
        ({"results": [ROW], "last_seq": 8}, {"update_seq": 12}, 5),  # CouchDB 1.x
        ({"results": [ROW], "last_seq": 8}, {"db_name": "clinic"}, None),
    ],
)
async def test_how_much_there_is_to_read(page: Any, info: Any, expected: int | None) -> None:
    asked: list[Asked] = []
    async with place(answering({"_changes": given_json(200, page), "clinic": given_json(200, info)}), asked) as at:
        assert await behind(at, 7) == expected
    assert asked[0].query == {"style": "all_docs", "since": "7", "limit": "1"}


@pytest.mark.parametrize("rows", [[], [ROW]])
async def test_a_change_ends_the_waiting(rows: list[Any]) -> None:
    asked: list[Asked] = []
    async with place(answering({"_changes": given_json(200, {"results": rows, "last_seq": 8})}), asked) as at:
        assert await changed(at, ["7", "x"]) is bool(rows)
    assert asked[0].query["since"] == '["7","x"]'
    assert asked[0].query["feed"] == "longpoll"


@pytest.mark.parametrize("ask", [behind, changed])
@pytest.mark.parametrize("page", [None, [], {}, {"results": {}}, {"results": None}, "results"])
async def test_what_is_no_page_is_no_news(ask: Callable[[Place, Any], Awaitable[Any]], page: Any) -> None:
    async with place(answering({"_changes": given_json(200, page)})) as at:
        with pytest.raises(Unavailable, match="not of CouchDB's form"):
            await ask(at, 0)


@pytest.mark.parametrize("ask", [behind, changed])
async def test_a_refusal_is_told(ask: Callable[[Place, Any], Awaitable[Any]]) -> None:
    async with place(answering({"_changes": refusal(404, "not_found", "no_db_file")})) as at:
        with pytest.raises(CouchError) as caught:
            await ask(at, 0)
    assert caught.value.status == 404


def test_what_tells_one_database_from_another() -> None:
    assert incarnation({"instance_start_time": "1700000000"}) != incarnation({"instance_start_time": "0"})
    assert incarnation({}) == "0"
