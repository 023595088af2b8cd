"""Compiled JMESPath against the jmespath library: case files, random expressions, what is read, mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.contract import Client, OptionError
from proxy.core.jmes import compile_expression, compiler, reads
from tests.core.json_strategies import values

DATA = Path(__file__).parent / "data" / "jmes"
CLIENT = Client("ann", frozenset({"nurse", "facility:f7", "team:a", "team:b"}), "phone", {"model": "x"})


def outcome(run: Callable[[], Any]) -> tuple[str, str]:
    """A value as JSON, which tells 1 from true and 1.0; or that there was an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        try:
            return ("value", json.dumps(run(), sort_keys=True))
        except (ValueError, TypeError) as error:
            return ("error", "" if isinstance(error, ValueError) else type(error).__name__)


def compiled(expression: str, doc: Any) -> tuple[str, str]:
    return outcome(lambda: compile_expression(expression, option="where").search(doc))


def library(expression: str, doc: Any) -> tuple[str, str]:
    return outcome(lambda: jmespath.search(expression, doc))


def cases(directory: Path) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for path in sorted(directory.rglob("*.json")):
        groups = json.loads(path.read_text())
        for group in groups if isinstance(groups, list) else []:
            for case in group.get("cases", ()):
                if "bench" not in case:
                    yield f"{path.stem}: {case['expression']}", group["given"], case


CASES = list(cases(DATA))


@pytest.mark.parametrize(("given", "case"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_cases(given: Any, case: dict[str, Any]) -> None:
    found = compiled(case["expression"], given)
    assert found == library(case["expression"], given)
    if "result" in case:
        assert found == ("value", json.dumps(case["result"], sort_keys=True))


@pytest.mark.skipif("JMESPATH_COMPLIANCE" not in os.environ, reason="JMESPATH_COMPLIANCE names no directory")
def test_compliance_files_of_a_directory() -> None:
    """The specification's own cases, if there is a checkout of them: `JMESPATH_COMPLIANCE=.../tests`."""
    found = list(cases(Path(os.environ["JMESPATH_COMPLIANCE"])))
    assert found
    for name, given_doc, case in found:
        result = compiled(case["expression"], given_doc)
        if "error" in case:
            assert result[0] == "error", name
        else:
            assert result == ("value", json.dumps(case["result"], sort_keys=True)), name


NAMES = st.sampled_from(["a", "b", "c", "id", '"x y"'])
LITERALS = st.sampled_from(
    ["`0`", "`1`", "`1.0`", "`true`", "`false`", "`null`", "''", "'a'", "'ab'", "`[]`", "`{}`", "`[1]`"]
)
LEAVES = st.one_of(NAMES, LITERALS, st.just("@"), st.sampled_from(["[0]", "[-1]", "[*]", "*", "[]", "[1:]", "[::-1]"]))


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def build(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda drawn: template.format(*drawn))

    return st.one_of(
        build("{}.{}", inner, NAMES),
        build("{}[*].{}", inner, NAMES),
        build("{}[].{}", inner, NAMES),
        build("{}.*", inner),
        build("{}[0]", inner),
        build("{}[?{}]", inner, inner),
        build("{}[?{}].{}", inner, inner, NAMES),
        build("({}) {} ({})", inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&&", "||", "|"]), inner),
        build("!({})", inner),
        build("{}.[{}, {}]", inner, inner, inner),
        build("{{p: {}, q: {}}}", inner, inner),
        build("[{}, {}]", inner, inner),
        build("{}({})", st.sampled_from(["length", "type", "to_string", "keys", "not_null", "sort", "reverse"]), inner),
        build("{}({}, {})", st.sampled_from(["contains", "starts_with", "ends_with", "merge"]), inner, inner),
        build("map(&{}, {})", inner, inner),
        build("sort_by({}, &{})", inner, inner),
    )


def _is_refused_as_null(expression: str) -> bool:
    """`!a.b`: the library evaluates it, as `(!a).b`; here it is a mistake."""
    try:
        compile_expression(expression, option="where")
    except OptionError as error:
        return "always null" in error.message
    return False


EXPRESSIONS = st.recursive(LEAVES, _larger, max_leaves=6)


@settings(deadline=None)
@given(EXPRESSIONS, values(20))
def test_random_expressions_give_what_the_library_gives(expression: str, doc: Any) -> None:
    assume(not _is_refused_as_null(expression))
    assert compiled(expression, doc) == library(expression, doc)


@settings(deadline=None)
@given(EXPRESSIONS, st.dictionaries(st.sampled_from(["a", "b", "c", "id", "x y"]), values(8), max_size=5))
def test_fields_that_are_not_said_to_be_read_do_not_matter(text: str, doc: dict[str, Any]) -> None:
    try:
        expression = compile_expression(text, option="where")
    except OptionError:
        return
    if expression.fields is not None:
        rest = {name: value for name, value in doc.items() if name in expression.fields}
        assert compiled(text, rest) == compiled(text, doc)


FIELDS = [
    ("a", {"a"}),
    ("a.b[0].c", {"a"}),
    ("a == 'x' && b == client.facility", {"a", "b"}),
    ("[a, b].c", {"a", "b"}),
    ("{x: a, y: b[?c == d]}", {"a", "b"}),
    ("a | b", {"a"}),
    ("contains(members, client.name)", {"members"}),
    ("sort_by(a, &b)", {"a"}),
    ("map(&@, a)", {"a"}),
    ("client.name == 'ann'", set()),
    ("`1`", set()),
    ("[0]", set()),
    ("[]", set()),
    ("@.a", {"a"}),
    ("@.client", {"client"}),
    ("@", None),
    ("*", None),
    ("*.a", None),
    ("keys(@)", None),
    ("@ | a", {"a"}),
    ("[@, a]", None),
    ("a || @", None),
    ("!@", None),
]


@pytest.mark.parametrize(("text", "fields"), FIELDS, ids=[text for text, _ in FIELDS])
def test_fields_that_are_read(text: str, fields: set[str] | None) -> None:
    found = compile_expression(text, option="where").fields
    assert found == (None if fields is None else frozenset(fields))


ATTRIBUTES = [
    ("client.facility", {"facility"}),
    ("a == client.grants.team[0] || b == client.name", {"grants", "name"}),
    ("notes[?by == client.name]", {"name"}),
    ("client | facility", {"facility"}),
    ("client.[name, facility]", {"name", "facility"}),
    ("contains(client.roles, 'nurse')", {"roles"}),
    ("keys(client)", set()),
    ("a.client.x", set()),
    ("@.client", set()),
]


@pytest.mark.parametrize(("text", "attributes"), ATTRIBUTES, ids=[text for text, _ in ATTRIBUTES])
def test_attributes_that_are_read(text: str, attributes: set[str]) -> None:
    paths = compile_expression(text, option="where").client_paths
    assert {path[0] for path in paths if path} == attributes


CLIENT_CASES = [
    ("client.name", "ann"),
    ("client.facility", "f7"),
    ("client.team", None),
    ("client.grants.team", ["a", "b"]),
    ("client.roles[0]", "facility:f7"),
    ("client.device.model", "x"),
    ("client.profile", "phone"),
    ("notes[?by == client.name].text", ["mine"]),
    ("notes[*].[text, client.name]", [["mine", "ann"], ["theirs", "ann"]]),
    ("map(&join('-', [text, client.name]), notes)", ["mine-ann", "theirs-ann"]),
    ("notes[0] | client.name", "ann"),
    ("x.client", 1),
    ("@.client", "a field"),
    ("notes[*].client", [2]),
    ("{client: client.name}.client", "ann"),
    ("!(client.team)", True),
    ("client.facility == facility", True),
]
CLIENT_DOC = {
    "client": "a field",
    "facility": "f7",
    "x": {"client": 1},
    "notes": [{"by": "ann", "text": "mine", "client": 2}, {"by": "bob", "text": "theirs"}],
}


@pytest.mark.parametrize(("text", "result"), CLIENT_CASES, ids=[text for text, _ in CLIENT_CASES])
def test_client_begins_a_path_anywhere(text: str, result: Any) -> None:
    assert compile_expression(text, option="where").search(CLIENT_DOC, CLIENT) == result


def test_without_a_client_its_attributes_are_null() -> None:
    assert compile_expression("client.name", option="where").search({"client": {"name": "x"}}) is None


def test_other_names_are_given_where_a_rule_has_them() -> None:
    expression = compile_expression("old.a != a && client.name", option="where", names=("client", "old"))
    assert expression.search({"a": 1}, CLIENT, {"old": {"a": 2}}) == "ann"
    assert expression.search({"a": 1}, CLIENT, {"old": {"a": 1}}) is False
    assert compile_expression("old", option="where").search({"old": 1}) == 1


def test_truth_is_jmespaths() -> None:
    expression = compile_expression("a", option="where")
    falsehoods: list[Any] = [False, None, "", [], {}]
    truths: list[Any] = [True, 0, 0.0, "a", [0], {"a": None}]
    assert [expression.truthy({"a": value}) for value in falsehoods] == [False] * 5
    assert [expression.truthy({"a": value}) for value in truths] == [True] * 6


LACKING = [
    ("facility == client.facility", CLIENT, None),
    ("facility == client.ward", CLIENT, "client.ward"),
    ("team == client.team", CLIENT, "client.team"),
    ("team == client.grants.team[1]", CLIENT, None),
    ("team == client.grants.team[2]", CLIENT, "client.grants.team[2]"),
    ("!(client.ward.['x'])", CLIENT, "client.ward"),
    ("owner == client.name", Client(None), "client.name"),
    ("public", Client(None), None),
    ("type == 'a' || ward == (client | ward)", CLIENT, "client.ward"),
]


@pytest.mark.parametrize(("text", "client", "lacking"), LACKING, ids=[text for text, _, _ in LACKING])
def test_what_a_client_lacks(text: str, client: Client, lacking: str | None) -> None:
    expression = compile_expression(text, option="where")
    assert [expression.lacks(c) for c in (client, Client("x", frozenset({"ward:1"})), client)][::2] == [lacking] * 2


def test_what_a_client_may_lack() -> None:
    expression = compile_expression("a == client.ward && b == client.name", option="where")
    assert expression.lacks(CLIENT, ("ward",)) is None
    assert expression.lacks(Client(None), ("ward",)) == "client.name"


MISTAKES = [
    ("a ==", "is not JMESPath: Invalid jmespath expression", 4),
    ("a == b ] c", "is not JMESPath: Unexpected token: ]", 7),
    ("a[", "is not JMESPath", None),
    ("", "is not JMESPath", None),
    ("a = b", "is not JMESPath: Unknown token '='; == compares", 2),
    ("a == 5", "is not JMESPath: invalid token; a number needs backticks, as `5`", 5),
    ("a.5", "a number needs backticks, as `5`", 2),
    ("hidden == `ture`", "what is in backticks must be JSON, as `true` or `1`; text goes into single quotes", 10),
    ("a[?b == `true` && c == `x\\`y`]", "what is in backticks must be JSON", 23),
    ("`text`", "what is in backticks must be JSON", 0),
    ("`NaN`", "what is in backticks must be JSON", 0),
    ("a == `'x'`", "what is in backticks must be JSON", 5),
    ("'abc", "is not JMESPath: Unclosed ' delimiter", 0),
    ("lenth(a)", "there is no function lenth()", 0),
    ("a && length(a, b)", "length() takes 1 argument, not 2", 5),
    ("not_null()", "not_null() takes at least 1 argument, not 0", 0),
    ("contains(a)", "contains() takes 2 arguments, not 1", 0),
    ("a && !b.c", "! binds closer than the dot", 5),
    ("notes[?!meta.shared]", "write !(a.b) for what is not a.b", 7),
    ("a[::0]", "a slice cannot have a step of 0", None),
    (7, "must be a JMESPath expression (a string), not int", None),
]


@pytest.mark.parametrize(("text", "message", "at"), MISTAKES, ids=[str(text) for text, _, _ in MISTAKES])
def test_mistakes_are_told_before_use(text: object, message: str, at: int | None) -> None:
    with pytest.raises(OptionError) as caught:
        compile_expression(text, option="where")
    assert caught.value.option == "where"
    assert message in caught.value.message
    assert at is None or caught.value.at == at
    assert caught.value.text == (text if isinstance(text, str) else None)


def test_backticks_in_text_are_text() -> None:
    doc = {"a": "`x`", "`x`": 1, "b": "`"}
    for text in ("a == '`x`'", '"`x`" == `1`', 'b == `"\\`"`', 'a == ` "`x`" `'.replace("`x`", "\\`x\\`")):
        assert compile_expression(text, option="where").search(doc) is True, text


@settings(deadline=None)
@given(st.text("ab.[]*?!=<>&|(){},:@'`\"0-1 ", max_size=12))
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    at = None
    try:
        compile_expression(text, option="where")
    except OptionError as error:
        at = error.at
    assert at is None or 0 <= at <= len(text)


def test_what_is_nested_too_deeply_is_a_mistake() -> None:
    with pytest.raises(OptionError, match=r"deep|RecursionError"):
        compile_expression("(" * 5000 + "a" + ")" * 5000, option="where")


def test_a_kind_of_node_that_is_not_known_is_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {kind: compile_ for kind, compile_ in compiler._COMPILE.items() if kind != "flatten"}
    monkeypatch.setattr(compiler, "_COMPILE", known)
    monkeypatch.setattr(reads, "_VISIT", {kind: visit for kind, visit in reads._VISIT.items() if kind != "flatten"})
    expression = compile_expression("a[].b", option="where")
    assert expression.search({"a": [[{"b": 1}], {"b": 2}]}) == [1, 2]
    assert expression.fields is None
    with pytest.raises(OptionError, match="cannot be used"):
        compile_expression("client.roles[]", option="where")


def test_importing_the_compiler_imports_no_event_loop() -> None:
    check = "import sys, proxy.core.jmes, proxy.core.lens; assert not {'asyncio', 'aiohttp'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("value", [{"x": found} for found in (True, False, None, 0, 1, "", "a", [], [0], {}, {"a": 1})])
@pytest.mark.parametrize("in_doubt", [True, False])
def test_a_member_is_judged_as_anything_else(value: Any, in_doubt: bool) -> None:
    plain = compile_expression("x", option="where").judge(None, in_doubt)
    assert plain(value) is compile_expression("@.x", option="where").judge(None, in_doubt)(value)
    assert not any(map(plain, ({}, [], [value], "x", None, True)))


def test_a_given_name_is_judged_by_what_it_stands_for() -> None:
    for name in ("client", "old"):
        expression = compile_expression(name, option="where", names=("client", "old"))
        assert expression.truthy({name: True}, names={"client": None, "old": None}) is False
    assert compile_expression("client", option="where").judge(Client("ann"), False)({"client": False})
