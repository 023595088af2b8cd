"""Functions made from source text: what would be a loop over what a rule names is written out, name by name.

A rule runs for each document of a feed, and half of what a loop over its names takes is the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Scope = dict[str, Any]
"""What the names in a source text stand for."""
_STEP = "    "


def define(head: str, body: Iterable[str], scope: Scope) -> Any:
    """The function of which the text is `head` (`def name(...)`) and `body`, line by line.

    Of what others have written only literals (`repr` of a string) may get into the text.
    """
    name = head.partition(" ")[2].partition("(")[0]
    text = "\n".join([f"{head}:", *indented(body)])
    exec(compile(text, f"<{name} of a rule>", "exec"), scope)
    return scope[name]


def indented(lines: Iterable[str], steps: int = 1) -> list[str]:
    """The lines, so many steps further to the right."""
    return [_STEP * steps + line for line in lines]
