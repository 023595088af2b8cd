from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.lines import Path, dotted, key_lines, line_of

TEXT = """\
# a comment with [brackets] = "and quotes
top = 'a # in a string'
[server]   # trailing
bind = "x\\"]" # [no.table]
a.b."c d" = 1
many = [
  1, # one ]
  "two",
  [3,
   4],
  { x = 1, y = [
    { z = 2 }] },
]
long = \"\"\"
[not.a.table]
quotes "" inside \\\"\"\" and at the end\"\"\"\"
raw = '''
it''s = 1
'''
when = 1979-05-27 07:32:00
[[profiles.phone.filters]]
use = "drop"
[profiles.phone.filters.deep]
x = 1
[[profiles.phone.filters]]
use = "keep"
[profiles."odd name"]
"""


def test_lines_of_keys_tables_and_elements() -> None:
    lines = key_lines(TEXT)
    assert lines == {
        ("top",): 2,
        ("server",): 3,
        ("server", "bind"): 4,
        ("server", "a"): 5,
        ("server", "a", "b"): 5,
        ("server", "a", "b", "c d"): 5,
        ("server", "many"): 6,
        ("server", "many", 0): 7,
        ("server", "many", 1): 8,
        ("server", "many", 2): 9,
        ("server", "many", 2, 0): 9,
        ("server", "many", 2, 1): 10,
        ("server", "many", 3): 11,
        ("server", "many", 3, "x"): 11,
        ("server", "many", 3, "y"): 11,
        ("server", "many", 3, "y", 0): 12,
        ("server", "many", 3, "y", 0, "z"): 12,
        ("server", "long"): 14,
        ("server", "raw"): 17,
        ("server", "when"): 20,
        ("profiles",): 21,
        ("profiles", "phone"): 21,
        ("profiles", "phone", "filters"): 21,
        ("profiles", "phone", "filters", 0): 21,
        ("profiles", "phone", "filters", 0, "use"): 22,
        ("profiles", "phone", "filters", 0, "deep"): 23,
        ("profiles", "phone", "filters", 0, "deep", "x"): 24,
        ("profiles", "phone", "filters", 1): 25,
        ("profiles", "phone", "filters", 1, "use"): 26,
        ("profiles", "odd name"): 27,
    }


def test_carriage_returns_count_for_nothing() -> None:
    assert key_lines(TEXT.replace("\n", "\r\n")) == key_lines(TEXT)


def test_what_is_missing_is_placed_at_what_encloses_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(("server", "secret"), lines) == 3
    assert line_of(("profiles", "phone", "filters", 1, "paths", 0), lines) == 25
    assert line_of(("sources",), lines) is None


def test_dotted() -> None:
    assert dotted(("profiles", "phone", "filters", 2, "paths", 0)) == "profiles.phone.filters[2].paths[0]"
    assert dotted(("profiles", "a.b", 'x"y')) == 'profiles."a.b"."x\\"y"'


names = st.text(st.sampled_from("ab-_1 .#[]=\"é'\t"), min_size=1, max_size=4)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), names, st.just(1.5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


def inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + "".join(f"\n {inline(item)} , # ]" for item in value) + "\n]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(name)} = {flat(item)}" for name, item in value.items()) + "}"
    return str(value)


def flat(value: Any) -> str:
    """Inline tables must not hold line breaks outside of arrays: arrays in them are written in one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(flat, value)) + "]"
    return inline(value)


def paths(value: Any, path: Path = ()) -> set[Path]:
    found = {path} if path else set()
    if isinstance(value, dict):
        found.update(*(paths(item, (*path, name)) for name, item in value.items()))
    if isinstance(value, list):
        found.update(*(paths(item, (*path, index)) for index, item in enumerate(value)))
    return found


@given(st.dictionaries(names, st.dictionaries(names, values, max_size=3), max_size=3))
def test_every_key_that_tomllib_finds_has_a_line_and_no_other(whole: dict[str, Any]) -> None:
    text = ""
    for table, members in whole.items():
        text += f"[{quoted(table)}] # ['\n"
        text += "".join(f"{quoted(name)} = {inline(value)}\n" for name, value in members.items())
    assert tomllib.loads(text) == whole
    lines = key_lines(text)
    assert lines.keys() == paths(whole)
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert quoted(path[-1]) in text.split("\n")[line - 1]
