"""TensorFlow Datasets prepares a data set of ours, and its files are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.data.raw.checks import check_source
from flan_t5x.data.raw.fetch import fetch
from flan_t5x.data.raw.manifest import RawSource

MODULE = """\
import numpy as np
import tensorflow_datasets as tfds


class RawToyNumbers(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"n": np.int64}))

    def _split_generators(self, dl_manager):
        return {"train": ((i, {"n": i}) for i in range(5))}

    def _generate_examples(self):
        raise NotImplementedError
"""


def source(builder: str, **more: str) -> RawSource:
    return RawSource("toy", "a toy", "train", "none", "here", "tfds", builder=builder, **more)


def test_a_builder_is_prepared_and_its_shards_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("importlib_resources", reason="TFDS prepares nothing without it")
    package = tmp_path / "raw_toy_numbers"  # TFDS reads metadata beside the builder's module
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "raw_toy_numbers_dataset_builder.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    import raw_toy_numbers.raw_toy_numbers_dataset_builder  # noqa: F401

    root = tmp_path / "data"
    toy = source("raw_toy_numbers:1.0.0")
    assert check_source(toy, root).state == "missing"
    outcome = fetch([toy], root)
    assert (outcome.prepared, outcome.failed) == (["toy"], {})
    assert check_source(toy, root).state == "present"
    assert fetch([toy], root).kept == ["toy"]
    (shard,) = (root / "tfds/raw_toy_numbers/1.0.0").glob("*-00000-of-00001")
    shard.unlink()
    assert check_source(toy, root).state == "damaged"


def test_what_a_builder_says_is_passed_on(tmp_path: Path) -> None:
    failed = fetch([source("no_such_builder:1.0.0", manual="ask them")], tmp_path).failed["toy"]
    assert failed.startswith("TensorFlow Datasets could not prepare no_such_builder:1.0.0: ")
    assert failed.endswith("By hand: ask them")


def test_a_package_that_a_builder_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_datasets as tfds

    def builder(name: str, data_dir: str) -> None:
        raise ModuleNotFoundError("No module named 'seven_zip'", name="seven_zip")

    monkeypatch.setattr(tfds, "builder", builder)
    failed = fetch([source("toy:1.0.0")], tmp_path).failed["toy"]
    assert "`pip install seven_zip`, and run the same command again" in failed
