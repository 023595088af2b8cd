"""How a reading gets on, in words and in the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.feeds import progress as progress_module
from proxy.feeds.index import IndexReader, IndexWriter
from proxy.feeds.progress import Progress, Reading, progress_of


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(1000, 9000, 100.0, 0), "1,000 changes read, 100 a second, 9,000 left, about 90 s to go"),
        (Progress(1000, 90_000, 100.0, 0), "1,000 changes read, 100 a second, 90,000 left, about 15 min to go"),
        (Progress(1000, 900_000, 100.0, 0), "1,000 changes read, 100 a second, 900,000 left, about 2.5 h to go"),
        (Progress(1000, 0, 100.0, 0), "1,000 changes read, 100 a second, 0 left, about 0 s to go"),
        (Progress(1000, None, 100.0, 0), "1,000 changes read, 100 a second"),
        (Progress(0, 5, 0.0, 0), "0 changes read, 0 a second, 5 left"),
    ],
)
def test_in_words(progress: Progress, text: str) -> None:
    assert str(progress) == text


def test_it_is_noted_in_the_index_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Progress | None] = []
    path = tmp_path / "clinic.index"
    with IndexWriter(path, {"incarnation": "1"}) as writer, IndexReader(path) as reader:
        reading = Reading("clinic", writer, 10, told.append)
        reading.rows(1)
        assert told == []
        assert progress_of(reader) is None
        monkeypatch.setattr(progress_module, "KEPT_EVERY", 0)
        reading.rows(2)
        reading.left = 20  # the source has told
        reading.rows(3)
        assert [each and (each.read, each.left) for each in told] == [(3, 7), (6, 17)]
        noted = progress_of(reader)
        assert noted is not None
        assert noted == told[-1]
        assert noted.rate > 0
        reading.end()
        assert progress_of(reader) is None
        assert told[-1] is None
