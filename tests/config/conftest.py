from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.model import Config
from tests.config.sample_filters import REGISTERED

Loader = Callable[..., Config]


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """Loads configuration text as `clinic.toml` in a directory of its own, which is the working directory."""
    monkeypatch.chdir(tmp_path)

    def load_it(text: str, env: Mapping[str, str] | None = None) -> Config:
        Path("clinic.toml").write_text(text, encoding="utf-8")
        return load("clinic.toml", env or {}, registered=REGISTERED)

    return load_it
