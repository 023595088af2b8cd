"""`/_session`: who am I, log in, log out."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

from proxy.core import jsonio
from proxy.endpoint.http import cookies
from proxy.endpoint.http.call import INVALID_JSON, Call
from proxy.endpoint.http.reply import Reply, json_reply, line
from proxy.errors import BadContentType, BadRequest, Unauthorized

_FORM = "application/x-www-form-urlencoded"


async def who(call: Call) -> Reply:
    """`basic=true` refuses who is nobody: browsers then ask for a name and a password."""
    identity = call.identity
    if identity.user.name is None and call.query.first("basic") == "true":
        raise Unauthorized("Please login.")
    info: dict[str, object] = {"authentication_handlers": call.endpoint.authenticator.handlers}
    if identity.handler is not None:
        info["authenticated"] = identity.handler
    context = {"name": identity.user.name, "roles": list(identity.user.roles)}
    return json_reply({"ok": True, "userCtx": context, "info": info})


async def log_in(call: Call) -> Reply:
    """Name and password, as a form or JSON. A wrong pair clears the cookie; `next` and `fail` redirect."""
    name, password = await _credentials(call)
    authenticator = call.endpoint.authenticator
    now = time.time()
    try:
        user = await call.endpoint.server.authenticate(name, password)
    except Unauthorized as error:
        return _answer(call, "fail", {"error": error.error, "reason": error.reason}, 401, _cleared(call, now))
    context = {"ok": True, "name": user.name, "roles": list(user.roles)}
    return _answer(call, "next", context, 200, authenticator.cookie_for(user, now))


async def log_out(call: Call) -> Reply:
    return _answer(call, "next", {"ok": True}, 200, _cleared(call, time.time()))


def _cleared(call: Call, now: float) -> bytes:
    return cookies.set_cookie("", now, call.endpoint.authenticator.session_seconds)


def _answer(call: Call, redirect: str, value: object, status: int, cookie: bytes) -> Reply:
    """A path of this server in the parameter `redirect` turns the answer into a redirection there."""
    target = call.query.first(redirect)
    if target is None:
        return json_reply(value, status, cookie)
    if not target.startswith("/") or target.startswith("//"):
        raise BadRequest("redirection must be to a path of this server")
    return json_reply(value, 302, cookie + line("Location", call.location() + target.lstrip("/")))


async def _credentials(call: Call) -> tuple[str, str]:
    kind = call.headers.get("Content-Type", "").partition(";")[0].strip()
    text = await call.body()
    if kind == "application/json":
        try:
            fields = jsonio.loads(text)
        except ValueError:
            raise BadRequest(INVALID_JSON) from None
        if not isinstance(fields, dict):
            raise BadRequest("Request body must be a JSON object")
    elif kind == _FORM:
        fields = dict(parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True))
    else:
        raise BadContentType(f"Content-Type must be '{_FORM}' or 'application/json'")
    name = fields.get("name", fields.get("username"))
    if name is None:
        raise BadRequest("request body must contain a username")
    password = fields.get("password", "")
    if not isinstance(name, str) or not isinstance(password, str):
        raise BadRequest("name and password must be strings")
    return name, password
