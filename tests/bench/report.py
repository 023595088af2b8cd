"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Report:
    """The tables of one run."""

    machine: str
    arguments: str
    source: str = ""
    tables: list[str] = field(default_factory=list)

    def add_table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        self.tables.append("\n".join(lines))
        print(self.tables[-1], end="\n\n", flush=True)

    @property
    def introduction(self) -> str:
        """What was measured, where."""
        arguments = f" ARGS={self.arguments!r}" if self.arguments else ""
        return f"`make bench{arguments}`, {self.machine}, {self.source}."

    def text(self) -> str:
        return "\n\n".join([self.introduction, *self.tables]) + "\n"

    def write(self, page: Path, mark: str) -> None:
        """Put the tables between the marks in `page`. Raises ValueError if it has none."""
        opening, closing = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
        before, begin, rest = page.read_text().partition(opening)
        _, end, after = rest.partition(closing)
        if not begin or not end:
            raise ValueError(f"{page} lacks the marks {opening.strip()} and {closing.strip()}")
        page.write_text(before + begin + self.text() + end + after)
