"""JMESPath for rules: parsed by the jmespath library, compiled to closures, with the library's results exactly.

One thing is added to the language: a name that the rule is given (`client`, and `old` in some places) stands for
that value wherever a path begins with it, inside conditions, functions and multi-selects too, as in
`notes[?author == client.name]`. Everywhere else (`x.client`, `@.client`) it is an ordinary field.
"""

from __future__ import annotations

from proxy.core.jmes.expression import Expression, compile_expression
from proxy.core.jmes.sharing import Sharing, sharing

__all__ = ["Expression", "Sharing", "compile_expression", "sharing"]
