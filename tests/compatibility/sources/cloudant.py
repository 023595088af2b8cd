"""Cloudant: bearer tokens of IBM Cloud IAM, or sessions, for the account; 429 when it is asked too often."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from tests.compatibility.sources import Asked, Forward, Given, as_admin, given_json, refusal

API_KEY = "a key+of/the=account"
GRANT = "urn:ibm:params:oauth:grant-type:apikey"


class TokenService:
    """The script of the token service. Tokens are `token-1`, `token-2`, ..."""

    def __init__(self, seconds: int = 3600) -> None:
        self.seconds = seconds
        self.issued = 0
        self.instead: Given | None = None

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        form = parse_qs(asked.body.decode())
        assert (asked.method, asked.path, form["grant_type"]) == ("POST", "/identity/token", [GRANT])
        assert "Authorization" not in asked.headers
        await asyncio.sleep(0.05)  # long enough for others to ask as well
        if self.instead is not None:
            return self.instead
        if form["apikey"] != [API_KEY]:
            message = f"Provided API key {form['apikey'][0]} could not be found."
            return given_json(400, {"errorCode": "BXNIM0415E", "errorMessage": message})
        self.issued += 1
        token = {"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": self.seconds}
        return given_json(200, token)


class Cloudant:
    """The script of the source. `valid`: the token it takes, of those that were issued; `busy`: how many of the
    requests to come are answered 429."""

    def __init__(self, valid: str = "token-1") -> None:
        self.valid = valid
        self.busy = 0
        self.retry_after: str | None = None

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        if asked.endpoint == "_session":
            return await forward(asked)  # who the client is: by its own credentials
        if self.busy:
            self.busy -= 1
            told = {} if self.retry_after is None else {"Retry_After": self.retry_after}
            return refusal(429, "too_many_requests", "You've exceeded your rate limit.", **told)
        if asked.headers.get("Authorization") != f"Bearer {self.valid}":
            return refusal(401, "unauthorized", "Token is not valid.")
        return await forward(as_admin(asked))


class Sessions:
    """The script of a source with sessions of its own making, of which `valid` is taken."""

    def __init__(self, max_age: str = "; Max-Age=600") -> None:
        self.logins = 0
        self.valid = "session-1"
        self._max_age = max_age

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        if asked.endpoint == "_session" and asked.method == "POST":
            if parse_qs(asked.body.decode()) != {"name": ["tailor"], "password": ["p&ss=word"]}:
                return refusal(401, "unauthorized", "Name or password is incorrect.")
            self.logins += 1
            cookie = f"AuthSession=session-{self.logins}; Version=1{self._max_age}; Path=/; HttpOnly"
            return given_json(200, {"ok": True}, Set_Cookie=cookie)
        if asked.endpoint == "_session":
            return await forward(asked)
        if asked.headers.get("Cookie") != f"AuthSession={self.valid}" or "Authorization" in asked.headers:
            return refusal(401, "credentials_expired", "Your cookie has expired.")
        return await forward(as_admin(asked))
