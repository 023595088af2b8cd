"""The OpenAPI document. OpenAPI 3.1 knows no COPY: it stands under `x-copy`, as an operation like the others."""

from __future__ import annotations

import re
from typing import Any

from proxy import __version__
from proxy.core.endpoints import ALLOWED, Kind
from proxy.openapi.operations import OPERATIONS, PATHS, Content, Operation
from proxy.openapi.parameters import HEADER, PATH, QUERY, Parameter
from proxy.openapi.schemas import SCHEMAS, ref

Json = dict[str, Any]

_PLACE = re.compile(r"{(\w+)}")
_ERROR = {"description": "An error, in CouchDB's form.", "content": {"application/json": {"schema": ref("Error")}}}


def describe(url: str = "/") -> Json:
    """All that is served, as an OpenAPI 3.1 document. `url`: where."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "couch-tailor",
            "version": __version__,
            "summary": "CouchDB's replication protocol, documents cut to fit each client.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "security": [{"basic": []}, {"cookie": []}],
        "paths": {PATHS[kind]: _path(kind) for kind in ALLOWED},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "AuthSession"},
            },
        },
    }


def methods(kind: Kind) -> list[str]:
    """The methods of a kind."""
    return ALLOWED[kind].split(",")


def operation(kind: Kind, method: str) -> Operation:
    """What there is to say about a method; HEAD is GET."""
    return OPERATIONS[kind]["GET" if method == "HEAD" else method]


def _path(kind: Kind) -> Json:
    item: Json = {"parameters": [_parameter("path", name, PATH[name]) for name in _PLACE.findall(PATHS[kind])]}
    for method in methods(kind):
        item["x-copy" if method == "COPY" else method.lower()] = _operation(kind, method)
    return item


def _operation(kind: Kind, method: str) -> Json:
    said = operation(kind, method)
    described: Json = {
        "operationId": f"{method.lower()}_{kind.name.lower()}",
        "summary": said.summary,
        "parameters": [
            *(_parameter("query", name, QUERY[name]) for name in said.query),
            *(_parameter("header", name, HEADER[name]) for name in said.headers if name in HEADER),
        ],
        "responses": {
            **{str(status): _answer(content, method) for status, content in said.answers.items()},
            "default": {"description": _ERROR["description"]} if method == "HEAD" else _ERROR,
        },
    }
    if said.body:
        described["requestBody"] = {"required": True, "content": _content(said.body)}
    return described


def _parameter(place: str, name: str, parameter: Parameter) -> Json:
    form: Json = {"content": {"application/json": {"schema": parameter.schema}}} if parameter.json else {}
    return {
        "name": name,
        "in": place,
        "description": parameter.meaning,
        **({"required": True} if place == "path" else {}),
        **(form or {"schema": parameter.schema}),
    }


def _answer(content: Content | None, method: str) -> Json:
    if content is None:
        return {"description": "The client has it already."}
    return {"description": "Done.", **({} if method == "HEAD" else {"content": _content(content)})}


def _content(content: Content) -> Json:
    return {media: {"schema": schema} if schema else {} for media, schema in content.items()}
