"""Which checkpoint is read, and which one is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from flan_t5x.checkpoint.initial import VOCABULARY
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.loaded import LoadedModel, load_model
from tests.data import cache_toys
from tests.evaluation import toys


def load(path: str, vocabulary: Vocabulary, **changes: object) -> LoadedModel:
    config = dataclasses.replace(toys.CONFIG, **changes)  # type: ignore[arg-type]
    return load_model(path, config, vocabulary=vocabulary.model_path)


def test_parameters_are_on_the_mesh(checkpoint: str, vocabulary: Vocabulary) -> None:
    loaded = load(checkpoint, vocabulary)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, toys.params())
    assert all(len(x.sharding.device_set) == 8 for x in jax.tree.leaves(loaded.params))
    assert loaded.checkpoint == checkpoint


def test_a_model_dir_stands_for_its_best_step(tmp_path: Path, vocabulary: Vocabulary) -> None:
    scores = {1: 0.2, 2: 0.7, 3: 0.5}
    extra = {VOCABULARY: vocabulary.fingerprint()}
    with Checkpoints(tmp_path / "checkpoints") as saved:
        for step, score in scores.items():
            state = {"params": jax.tree.map(lambda x, s=step: x + s, toys.params())}
            saved.save(step, state, extra=extra, metric=score)
            saved.wait()
    best = load(str(tmp_path), vocabulary)
    assert best.checkpoint == str(tmp_path / "checkpoints" / "2")
    expected = jax.tree.map(lambda x: x + 2, toys.params())
    jax.tree.map(np.testing.assert_array_equal, best.params, expected)
    last = load(str(tmp_path / "checkpoints" / "3"), vocabulary)
    assert last.fingerprint != best.fingerprint
    assert load(best.checkpoint, vocabulary).fingerprint == best.fingerprint

    with pytest.raises(UserError, match="was made with another vocabulary"):
        load(str(tmp_path), cache_toys.make_vocabulary(tmp_path))


def test_a_base_of_another_vocabulary(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = toys.save_checkpoint(tmp_path, **{VOCABULARY: "0" * 64})
    with pytest.raises(UserError, match=r"fingerprint 000000000000, this one has \w{12}"):
        load(path, vocabulary)
    path = toys.save_checkpoint(tmp_path)  # says nothing: nothing to compare
    assert load(path, vocabulary).checkpoint == path


def test_sizes_that_differ_are_named(checkpoint: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(UserError, match=r"mlp.* is float32\[.*\] in the checkpoint and float32"):
        load(checkpoint, vocabulary, mlp_dim=64)
    with pytest.raises(UserError, match=r"embedding has 128 rows; set T5Config\.vocab_size = "):
        load(checkpoint, vocabulary, vocab_size=128)
