"""The tables of docs/http.md, made from the OpenAPI description.

`python -m tests.openapi.page` writes them into the page; `test_page` fails while the page and the description differ.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from proxy.openapi import describe
from proxy.openapi.parameters import HEADER, QUERY

PAGE = Path(__file__).parents[2] / "docs" / "http.md"

_SECTION = re.compile(r"(<!-- (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def rendered(page: str) -> str:
    """The page with its tables as the description has them."""
    return _SECTION.sub(lambda found: found[1] + _TABLES[found[2]]() + found[4], page)


def _endpoints() -> str:
    lines = ["| path | method | what | query | headers |", "|---|---|---|---|---|"]
    for path, item in describe()["paths"].items():
        for method, operation in item.items():
            if method not in ("parameters", "head"):
                name = method.removeprefix("x-").upper()
                verb = f"{name}, HEAD" if name == "GET" else name
                query, headers = _named(operation, "query"), _named(operation, "header")
                lines.append(f"| `{path}` | {verb} | {operation['summary']} | {query} | {headers} |")
    return "\n".join(lines) + "\n"


def _named(operation: dict[str, Any], place: str) -> str:
    return ", ".join(f"`{each['name']}`" for each in operation["parameters"] if each["in"] == place)


def _query() -> str:
    return _meanings(QUERY)


def _headers() -> str:
    return _meanings(HEADER)


def _meanings(parameters: dict[str, Any]) -> str:
    lines = ["| name | meaning |", "|---|---|"]
    for name, parameter in sorted(parameters.items(), key=lambda item: item[0].lower()):
        lines.append(f"| `{name}` | {parameter.meaning}{' JSON.' if parameter.json else ''} |")
    return "\n".join(lines) + "\n"


_TABLES = {"endpoints": _endpoints, "query": _query, "headers": _headers}

if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
