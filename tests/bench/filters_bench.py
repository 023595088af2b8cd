"""What each built-in filter costs per document, beside decoding the document: python -m tests.bench.filters_bench"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import jmespath
import orjson

from filters.attachments import Attachments
from filters.audience import Audience
from filters.compute import Compute
from filters.default import Default
from filters.drop import Drop
from filters.keep import Keep
from filters.project import Project
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.stamp import Stamp
from filters.truncate import Truncate
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter
from proxy.rules import compile_expression

CLIENT = Client("ann", frozenset({"nurse", "facility:f7"}), "phone")
PREDICATE = "type=='patient' && facility==client.facility"

DOC: Doc = {
    "_id": "patient:0001",
    "_rev": "3-917fa2381192822767f010b95b45325b",
    "type": "patient",
    "facility": "f7",
    "name": "Ann Smith",
    "born": "1980-01-01",
    "ssn": "123-45-6789",
    "phone": "555-0100",
    "address": {"street": "Main Street 1", "city": "Springfield", "zip": "12345"},
    "notes": [
        {"text": "came in with a cold, went home", "by": "bob"},
        {"text": "all is well", "by": "ann", "private": True},
    ],
    "owner": "ann",
    "status": "open",
    "tags": ["a", "b", "c"],
    "visits": 3,
    "score": 1.5,
    "risk": "high",
    "internal": "not for everybody to see",
}

FILTERS: list[tuple[str, Filter]] = [
    ("drop, 5 fields", Drop(paths=["ssn", "phone", "score", "risk", "internal"])),
    ("drop, 3 fields, 2 nested", Drop(paths=["ssn", "risk", "internal", "address.zip", "notes[].by"])),
    ("drop, a condition", Drop(paths=["notes[?private]"])),
    ("keep, 5 fields", Keep(paths=["type", "facility", "name", "notes", "visits"])),
    ("keep, 3 fields, 2 nested", Keep(paths=["type", "facility", "name", "address.city", "notes[].text"])),
    ("select", Select(where=PREDICATE)),
    ("rename", Rename(fields={"name": "label"})),
    ("redact, constant", Redact(paths=["ssn", "phone"])),
    ("redact, hash", Redact(paths=["ssn", "phone"], mode="hash", key="sixteen characters or more")),
    ("redact, partial", Redact(paths=["ssn", "phone"], mode="partial", keep=4)),
    ("truncate", Truncate(paths=["tags", "name"], items=2, chars=3)),
    ("default", Default(fields={"ward": "none"})),
    ("compute", Compute(fields={"mine": "owner == client.name"})),
    ("project, 5 members", Project(body="{kind: type, name: name, city: address.city, n: visits, by: notes[0].by}")),
    ("attachments, none there", Attachments(max_size=1000)),
    ("audience", Audience(keys=["owner"], client=["name"])),
    ("stamp", Stamp(fields={"owner": "client.name"})),
    ("validate", Validate(where="type == 'patient'")),
]


def microseconds(run: Callable[[], Any]) -> float:
    """The best of several rounds: what it costs when nothing else takes the processor."""
    timer = timeit.Timer(run)
    number, _ = timer.autorange()
    return min(timer.repeat(7, max(1, number // 10))) / max(1, number // 10) * 1e6


def table() -> tuple[list[str], list[list[str]]]:
    """Head and rows: the cost of each filter in microseconds, and in times of decoding the document."""
    data = orjson.dumps(DOC)
    loads = microseconds(lambda: orjson.loads(data))
    rows = [[f"orjson.loads, {len(data)} bytes", f"{loads:.2f}", "1.00", "", ""]]
    for name, filter_ in FILTERS:
        out, back = _cost(filter_)
        rows.append([name, f"{out:.2f}", f"{out / loads:.2f}", f"{back:.2f}", f"{back / loads:.2f}"])
    return ["filter", "shape µs", "× loads", "restore µs", "× loads"], rows


def _cost(filter_: Filter) -> tuple[float, float]:
    """Of shaping the document, and of restoring an edit of it."""
    shaped = filter_.shape(DOC, CLIENT)
    assert shaped is not None
    edited = {**shaped, "_rev": "4-d", **({"status": "closed"} if "status" in shaped else {})}
    out = microseconds(lambda: filter_.shape(DOC, CLIENT))
    return out, microseconds(lambda: filter_.restore(edited, DOC, CLIENT))


def predicates() -> tuple[list[str], list[list[str]]]:
    """Head and rows: the cost of a predicate, compiled and by the library's interpreter."""
    compiled, parsed = compile_expression(PREDICATE, option="where"), jmespath.compile(PREDICATE)
    scoped = {**DOC, "client": CLIENT.scope}
    if compiled.truthy(DOC, CLIENT) is not parsed.search(scoped):
        raise RuntimeError(f"{PREDICATE} is not the same for both")
    own = microseconds(lambda: compiled.truthy(DOC, CLIENT))
    library = microseconds(lambda: parsed.search(scoped))
    row = [f"`{PREDICATE}`", f"{own:.2f}", f"{library:.2f}", f"{library / own:.1f}"]
    return ["predicate", "compiled, µs", "jmespath's interpreter, µs", "times as fast"], [row]


def main() -> None:
    for head, rows in (table(), predicates()):
        widths = [max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)]
        for first, *others in [head, *rows]:
            print(first.ljust(widths[0]), *map(str.rjust, others, widths[1:]))


if __name__ == "__main__":
    main()
