"""A compiled expression, what it reads, and the mistakes that can be told before it is used."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.lexer import Lexer
from jmespath.parser import Parser

from proxy.contract import Client, OptionError
from proxy.core import jsonio
from proxy.core.jmes.compiler import Names, Node, Run, Uncovered, compile_tree, is_false
from proxy.core.jmes.functions import ARITY, takes_reference
from proxy.core.jmes.reads import Path, Reads

_NO_NAMES: Names = {"client": None}


class Expression:
    """A JMESPath expression, compiled. Immutable; made by `compile_expression`.

    Evaluation raises what the library raises: JMESPathError (a ValueError) where a function is given a value of the
    wrong type, TypeError where a number is ordered against a string.
    """

    def __init__(self, text: str, tree: Node, run: Run, names: frozenset[str]) -> None:
        reads = Reads(tree, names)
        self.text = text
        self.tree = tree
        """The library's syntax tree; read only."""
        self.fields: frozenset[str] | None = reads.fields
        """The top-level fields of the document that it can read; None if it can read all."""
        self.client_paths: Sequence[Path] = sorted((p[1:] for p in reads.paths if p[0] == "client"), key=str)
        """What it reads below `client`, by the ways from there."""
        self.uses_client = bool(self.client_paths)
        """Whether the result may depend on the client; if not, it is the same for all."""
        self._run = run
        self._judges = {in_doubt: _judge(run, _NO_NAMES, in_doubt) for in_doubt in (False, True)}
        if tree["type"] == "field" and tree["value"] not in names:
            self._judges = dict.fromkeys(self._judges, _judge_member(tree["value"]))
        self._last: tuple[Client, tuple[Path, ...]] | None = None

    def __repr__(self) -> str:
        return f"<Expression {self.text}>"

    def search(self, doc: Any, client: Client | None = None, names: Mapping[str, Any] | None = None) -> Any:
        """The value of the expression. `client` and `names` give the values of the names that it may use."""
        given = {"client": client.scope} if self.uses_client and client is not None else _NO_NAMES
        return self._run(doc, given if names is None else {**given, **names})

    def truthy(self, doc: Any, client: Client | None = None, names: Mapping[str, Any] | None = None) -> bool:
        """Whether the value is true by JMESPath's rules: not false, null, or an empty string, array or object."""
        found = self.search(doc, client, names)
        return found if found is True or found is False else not is_false(found)

    def judge(self, client: Client | None, in_doubt: bool) -> Callable[[Any], bool]:
        """A function that says whether the expression is true for a value, for one client.

        It gives `in_doubt` where that cannot be judged: the evaluation fails, or the client lacks what is named. An
        expression that does not use the client needs none.
        """
        if client is None or not self.uses_client:
            return self._judges[in_doubt]
        if self.lacks(client) is not None:
            return lambda value: in_doubt
        return _judge(self._run, {"client": client.scope}, in_doubt)

    def lacks(self, client: Client, optional: Collection[str] = ()) -> str | None:
        """The first path below `client` that the expression names and that is null for this client; None if it has all.

        Rules that decide on visibility must ask: null equals null, so a client without a facility would be given the
        documents without one. Attributes in `optional` may be null.
        """
        if not self.uses_client:
            return None
        last = self._last
        if last is None or last[0] is not client:  # a feed asks for one client many times
            self._last = last = (client, tuple(p for p in self.client_paths if _at(client.scope, p) is None))
        lacking = last[1]
        if lacking and optional:
            lacking = tuple(path for path in lacking if path[0] not in optional)
        return _dotted(lacking[0]) if lacking else None


def _judge(run: Run, names: Names, in_doubt: bool) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        try:
            found = run(value, names)
            return found if found is True or found is False else not is_false(found)
        except (ValueError, ArithmeticError, TypeError, RecursionError):  # JMESPathError is a ValueError
            return in_doubt

    return holds


def _judge_member(name: str) -> Callable[[Any], bool]:
    """The same for a member of an object, which most conditions on elements are: that can always be judged."""

    def holds(value: Any) -> bool:
        found = value.get(name) if isinstance(value, dict) else None
        return found if found is True or found is False else not is_false(found)

    return holds


def compile_expression(text: object, *, option: str, names: Collection[str] = ("client",)) -> Expression:
    """The expression that the option's `text` holds. `names` stand for given values in it.

    Raises OptionError, with the offset of the fault where it has one, if it is not text or not JMESPath, or calls a
    function that does not exist or with a wrong number of arguments.
    """
    if not isinstance(text, str):
        raise OptionError(option, f"must be a JMESPath expression (a string), not {type(text).__name__}")
    given = frozenset(names)
    tree = _parse(text, option)
    _check_literals(text, option)
    _check(tree, text, option)
    try:
        return Expression(text, tree, compile_tree(tree, given), given)
    except Uncovered as error:
        raise OptionError(option, f"a name such as `client` cannot be used in this: {error}", text=text) from None
    except RecursionError:
        raise OptionError(option, "is nested too deeply", text=text) from None


def _parse(text: str, option: str) -> Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's own about what _check_literals refuses
            tree: Node = Parser().parse(text).parsed
    except JMESPathError as error:
        at = getattr(error, "lex_position", None)
        message = getattr(error, "message", None) or getattr(error, "msg", None) or str(error)
        raise OptionError(option, f"is not JMESPath: {message}{_remedy(error)}", text=text, at=at) from None
    except (IndexError, RecursionError, TypeError, ValueError, AttributeError) as error:
        # how the library's parser fails on some texts that it does not judge
        raise OptionError(option, f"is not JMESPath ({type(error).__name__})", text=text) from None
    return tree


def _remedy(error: JMESPathError) -> str:
    """What to write instead of what other languages have."""
    kind = getattr(error, "token_type", None)
    if kind == "NUMBER":
        return f"; a number needs backticks, as `{getattr(error, 'token_value', 1)}`"
    return "; == compares" if kind == "UNKNOWN TOKEN '='" else ""


_LITERAL = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)


def _check_literals(text: str, option: str) -> None:
    """Raises OptionError for text in backticks that is no JSON: the library takes it for a string, as once it was.

    So a mistyped `true` would be equal to nothing, and the rule hide nothing.
    """
    for token in _tokens(text):
        literal = _LITERAL.match(text, token["start"]) if token["type"] == "literal" else None
        if literal is not None and not _is_json(literal[1].replace("\\`", "`")):
            message = "what is in backticks must be JSON, as `true` or `1`; text goes into single quotes, as 'text'"
            raise OptionError(option, message, text=text, at=token["start"])


def _is_json(text: str) -> bool:
    try:
        jsonio.loads(text.encode())
    except ValueError:
        return False
    return True


def _tokens(text: str) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(Lexer().tokenize(text))


def _check(tree: Node, text: str, option: str) -> None:
    """Raises OptionError for what is JMESPath, but can only fail or be null."""
    taken: set[int] = set()
    for node in _nodes(tree):
        if node["type"] == "function_expression":
            _check_call(node["value"], len(node["children"]), text, option)
            taken.update(id(child) for at, child in enumerate(node["children"]) if takes_reference(node["value"], at))
        elif node["type"] == "expref" and id(node) not in taken:
            message = "& stands for no value: it belongs into an argument of sort_by() and the like"
            raise OptionError(option, message, text=text, at=max(text.find("&"), 0))
        elif node["type"] == "slice" and node["children"][2] == 0:
            raise OptionError(option, "a slice cannot have a step of 0", text=text)
        elif node["type"] in _ON_VALUES and node["children"][0]["type"] == "not_expression":
            message = "! binds closer than the dot, so that this is always null; write !(a.b) for what is not a.b"
            raise OptionError(option, message, text=text, at=max(text.find("!"), 0))


_ON_VALUES = ("subexpression", "index_expression", "flatten", "projection", "value_projection", "filter_projection")


def _check_call(name: str, count: int, text: str, option: str) -> None:
    if name not in ARITY:
        raise OptionError(option, f"there is no function {name}()", text=text, at=_call(name, text))
    arity, more = ARITY[name]
    if count < arity or (count > arity and not more):
        least = "at least " if more else ""
        message = f"{name}() takes {least}{arity} argument{'' if arity == 1 else 's'}, not {count}"
        raise OptionError(option, message, text=text, at=_call(name, text))


def _nodes(node: Any) -> Iterable[Node]:
    if isinstance(node, dict):
        yield node
        for child in node.get("children", ()):
            yield from _nodes(child)


def _call(name: str, text: str) -> int | None:
    """Where the function is first called."""
    for token, following in pairwise(_tokens(text)):
        if token["value"] == name and following["type"] == "lparen":
            start: int = token["start"]
            return start
    return None


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, Mapping) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def _dotted(path: Path) -> str:
    return "client" + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in path)
