from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flan_t5x.data.sources import counts
from flan_t5x.data.sources.location import set_data_dir
from tests.tasks import toy_benchmarks


@pytest.fixture
def toy_data(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A data folder with a few rows of every benchmark, and a cache folder of its own."""
    monkeypatch.setenv("FLAN_T5X_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    counts.forget()
    folder = toy_benchmarks.write(tmp_path_factory.mktemp("data"))
    set_data_dir(folder)
    yield folder
    set_data_dir(None)
    counts.forget()
