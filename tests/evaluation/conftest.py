"""Fixtures of the evaluation tests: vocabulary, cached tasks, a registry of their own."""

from __future__ import annotations

import pytest

from flan_t5x.data import registry
from flan_t5x.data.cache import CachedSplit, CacheSpec, ensure_cached
from flan_t5x.data.vocabulary import Vocabulary
from tests.data.rows import make_vocabulary
from tests.evaluation import toys


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def splits(vocabulary: Vocabulary, cache_dir: str) -> list[CachedSplit]:
    spec = CacheSpec(toys.tasks(), vocabulary, toys.LENGTHS, splits=("validation",))
    return list(ensure_cached(spec, cache_dir, num_workers=1).values())


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    return toys.save_checkpoint(folder, vocabulary_fingerprint=vocabulary.fingerprint())


@pytest.fixture
def toy_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry of `toys.toy_registry`."""
    monkeypatch.setattr(registry, "_registry", toys.toy_registry())
