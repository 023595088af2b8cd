"""Tables on a page, between marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.report import Report


def test_tables_go_between_the_marks_of_their_kind(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one -->\nold\n<!-- /one -->\nb\n<!-- two -->\nkept\n<!-- /two -->\nc\n")
    report = Report("a machine", "--full", "a source")
    report.add_table("Title", ["x", "y"], [["1", "2"]])
    report.write(page, "one")
    table = "### Title\n\n| x | y |\n|---|---|\n| 1 | 2 |"
    introduction = "`make bench ARGS='--full'`, a machine, a source."
    assert page.read_text() == (
        f"a\n<!-- one -->\n{introduction}\n\n{table}\n<!-- /one -->\nb\n<!-- two -->\nkept\n<!-- /two -->\nc\n"
    )
    with pytest.raises(ValueError, match="lacks the marks <!-- three --> and <!-- /three -->"):
        report.write(page, "three")
