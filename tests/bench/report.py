"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_BEGIN, _END = "<!-- bench -->\n", "<!-- /bench -->\n"


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

    def write(self, page: Path) -> None:
        """Put the tables between the marks in `page`. Raises ValueError if it has none."""
        before, begin, rest = page.read_text().partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if not begin or not end:
            raise ValueError(f"{page} lacks the marks {_BEGIN.strip()} and {_END.strip()}")
        page.write_text(before + begin + self.text() + end + after)
