"""Wrong options are told by name, with the place in an expression or path where there is one."""

from __future__ import annotations

from datetime import date, time
from typing import Any

import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.contract import OptionError
from tests.filters.test_docs import load

KEY = "sixteen characters or more"

MISTAKES: list[tuple[str, dict[str, Any], str, str]] = [
    ("attachments", {}, "allow", "is missing: give allow, deny, allow_names, deny_names or max_size"),
    ("attachments", {"allow": "image/*"}, "allow", "must be an array of strings, not 'image/*'"),
    ("attachments", {"deny": ["image/*", "video"]}, "deny[1]", 'is no content type: write "video/*"'),
    ("attachments", {"allow": ["image"]}, "allow[0]", 'is no content type: write "image/*"'),
    ("attachments", {"deny": ["mp4"]}, "deny[0]", 'write one as "image/png" or "image/*"'),
    ("attachments", {"allow": ["png"]}, "allow[0]", "for names there is allow_names"),
    ("attachments", {"deny": ["*.mp4"]}, "deny[0]", "for names there is deny_names"),
    ("attachments", {"deny": ["/"]}, "deny[0]", 'is no content type: write one as "image/png"'),
    ("attachments", {"deny": ["video/"]}, "deny[0]", 'is no content type: write "video/*"'),
    ("attachments", {"deny": ["image/png "]}, "deny[0]", 'is no content type: write "image/png"'),
    ("attachments", {"deny": ["video/mp4; codecs=x"]}, "deny[0]", 'is no content type: write "video/mp4"'),
    ("attachments", {"deny": ["image/{png,gif}"]}, "deny[0]", 'one by one, as "image/png", "image/gif"'),
    ("attachments", {"deny": ["image/png, image/gif"]}, "deny[0]", 'one by one, as "image/png", "image/gif"'),
    ("attachments", {"deny_names": ["a", 1]}, "deny_names[1]", "must be a string that is not empty, not 1"),
    ("attachments", {"max_size": -1}, "max_size", "must be a whole number of 0 or more, not -1"),
    ("attachments", {"max_size": True}, "max_size", "must be a whole number of 0 or more, not True"),
    ("audience", {"keys": "owner"}, "keys", "must be an array of strings"),
    ("audience", {"keys": ["owner", "a["]}, "keys[1]", "is not JMESPath"),
    ("audience", {"keys": {"user": "values(@)"}}, "keys.user", "must name the fields that it reads"),
    ("audience", {"keys": {}}, "keys", "must give at least one key"),
    ("audience", {"keys": ["owner"]}, "client", "is missing: say which keys a client holds"),
    ("audience", {"keys": ["owner"], "client": "name"}, "client", "must be an array of strings, not 'name'"),
    ("audience", {"keys": {"user": "owner"}, "client": ["name"]}, "client", "must be a table, as keys is one"),
    ("audience", {"keys": {"user": "owner"}, "client": {"usr": "name"}}, "client.usr", "keys has no usr"),
    ("audience", {"keys": {"user": "owner"}, "client": {"user": "name["}}, "client.user", "is not JMESPath"),
    ("compute", {"fields": {}}, "fields", "must name at least one field"),
    ("compute", {"fields": ["a"]}, "fields", "must be a table"),
    ("compute", {"fields": {"a": "b =="}}, "fields.a", "is not JMESPath"),
    ("compute", {"fields": {"_rev": "b"}}, "fields", "_rev is CouchDB's own"),
    ("compute", {"fields": {"a": "&b"}}, "fields.a", "& stands for no value"),
    ("compute", {"fields": {"a": "{b: [&c]}"}}, "fields.a", "& stands for no value"),
    ("compute", {"fields": {"a": "not_null(&b)"}}, "fields.a", "& stands for no value"),
    ("default", {"fields": {"on": date(2026, 1, 2)}}, "fields.on", 'write it as a string, "2026-01-02"'),
    ("default", {"fields": {"a": {"b": [1.5, float("inf")]}}}, "fields.a.b[1]", "must be JSON, which has no inf"),
    ("redact", {"paths": ["a"], "value": time(1, 2)}, "value", "must be JSON, which has no dates"),
    ("redact", {"paths": ["a"], "value": float("nan")}, "value", "must be JSON, which has no nan"),
    (
        "compute",
        {"fields": {"a": "b"}, "writes": "allow"},
        "writes",
        'must be one of "ignore", "refuse", not \'allow\'',
    ),
    ("default", {"fields": {"_deleted": True}}, "fields", "_deleted is CouchDB's own"),
    ("drop", {"paths": "ssn"}, "paths", "must be an array of paths"),
    ("drop", {"paths": ["a", "_id"]}, "paths[1]", "_id is CouchDB's own"),
    ("drop", {"paths": ['"_attachments"']}, "paths[0]", "CouchDB's own; use the filter `attachments`"),
    ("drop", {"paths": ["notes[?a ==]"]}, "paths[0]", "is not JMESPath"),
    ("keep", {"paths": [".a"]}, "paths[0]", "is not a path"),
    ("project", {"body": 1}, "body", "must be a JMESPath expression"),
    ("redact", {"paths": ["a"], "mode": "md5"}, "mode", "must be one of"),
    ("redact", {"paths": ["a"], "mode": "hash"}, "key", 'is missing: mode "hash" needs it'),
    ("redact", {"paths": ["a"], "mode": "hash", "key": "short"}, "key", "must have 16 to 64 bytes, not 5"),
    ("redact", {"paths": ["a"], "key": KEY}, "key", 'has no meaning in mode "constant", only in "hash"'),
    ("redact", {"paths": ["a"], "mode": "partial"}, "keep", "is missing"),
    ("redact", {"paths": ["a"], "mode": "partial", "keep": 0}, "keep", "must be a whole number of 1 or more"),
    ("redact", {"paths": ["a"], "mode": "partial", "keep": 1, "value": 7}, "value", "must be a string"),
    ("redact", {"paths": ["a"], "writable": "yes"}, "writable", "must be true or false, not 'yes'"),
    ("rename", {"fields": {"a": "x", "b": "x"}}, "fields.a", "b is already shown as x"),
    ("rename", {"fields": {"a": "_id"}}, "fields.a", "_id is CouchDB's own"),
    ("rename", {"fields": {"a": 1}}, "fields.a", "must be a string that is not empty, not 1"),
    ("select", {"where": "a &&"}, "where", "is not JMESPath"),
    ("select", {"where": "length(@) > `1`"}, "where", "may read any field"),
    ("select", {"where": "a", "optional": "name"}, "optional", "must be an array of strings"),
    ("stamp", {"fields": {"owner": 7}}, "fields.owner", "must be a JMESPath expression"),
    ("stamp", {"fields": {"owner": "client.name"}, "when": "always"}, "when", "must be one of"),
    ("stamp", {"fields": {"owner": "client.name"}, "claims": 1}, "claims", "must be one of"),
    ("truncate", {"paths": ["a"]}, "items", "is missing: give items, chars or both"),
    ("truncate", {"paths": ["a"], "items": 0}, "items", "must be a whole number of 1 or more, not 0"),
    ("truncate", {"paths": ["a"], "chars": 1, "end": "middle"}, "end", "must be one of"),
    ("validate", {"where": "lenth(a)"}, "where", "there is no function lenth()"),
    ("validate", {"where": "a", "message": ""}, "message", "must be a string that is not empty"),
]


@pytest.mark.parametrize(("name", "options", "option", "message"), MISTAKES)
def test_mistakes(name: str, options: dict[str, Any], option: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load(name)(**options)
    assert caught.value.option == option
    assert message in caught.value.message


def test_mistakes_in_expressions_have_their_place() -> None:
    with pytest.raises(OptionError) as caught:
        Select(where="a == b && c = d")
    assert (caught.value.text, caught.value.at) == ("a == b && c = d", 12)
    with pytest.raises(OptionError) as caught:
        Drop(paths=["notes[?a = b]"])
    assert (caught.value.text, caught.value.at) == ("notes[?a = b]", 9)
