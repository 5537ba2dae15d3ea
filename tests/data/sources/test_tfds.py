"""Prepared TFDS data sets: real files made here, TFDS's mocked rows, messages."""

from __future__ import annotations

import importlib
import json
import linecache
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.data.definitions import BadRow, Example, RowError, Source
from flan_t5x.data.sources import location, tfds
from flan_t5x.data.sources.tfds import TfdsSource, plain
from flan_t5x.errors import UserError

from .tfds_mock import mocked_tfds

ROWS = 23


def fruit(id: str, row: dict[str, Any]) -> Example:
    if row["count"] == 4:
        raise RowError("four is not liked", f"count {row['count']}")
    return Example(
        id, {"name": row["name"], "colours": "/".join(row["colours"])}, str(row["count"])
    )


def names_no_such_column(id: str, row: dict[str, Any]) -> Example:
    return Example(id, {}, row["weight"])


def even(row: dict[str, Any]) -> bool:
    return row["count"] % 2 == 0


def make(folder: Path, file_format: str) -> None:
    """Files of a data set "toy_fruit/plain:1.2.0": train in two shards, test in one."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter

    features = tfds.features.FeaturesDict(
        {
            "name": tfds.features.Text(),
            "count": tfds.features.Scalar(np.int64),
            "colours": tfds.features.Sequence(tfds.features.Text()),
        }
    )
    folder = folder / "toy_fruit" / "plain" / "1.2.0"
    folder.mkdir(parents=True)
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name="toy_fruit", filetype_suffix=file_format
    )
    splits = []
    for split, shards in (("train", [range(15), range(15, ROWS)]), ("test", [range(3)])):
        lengths = [len(shard) for shard in shards]
        for number, shard in enumerate(shards):
            path = folder / f"toy_fruit-{split}.{file_format}-{number:05}-of-{len(shards):05}"
            writer = (
                ArrayRecordWriter(str(path), "group_size:1")
                if file_format == "array_record"
                else tf.io.TFRecordWriter(str(path))
            )
            for i in shard:
                row = {"name": f"{split} früit {i}", "count": i}
                row["colours"] = ["red", "green"][: i % 3]
                writer.write(features.serialize_example(row))
            writer.close()
        info = tfds.core.SplitInfo(
            name=split, shard_lengths=lengths, num_bytes=0, filename_template=template
        )
        splits.append(info)
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=splits,
        filename_template=template,
        check_data=False,
    )


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def prepared(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    make(folder, request.param)
    return folder


@pytest.fixture
def source(prepared, monkeypatch) -> TfdsSource:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    return TfdsSource("toy_fruit/plain:1.2.0", fruit, splits=SPLITS, published={"train": 30})


SPLITS = {"train": "train[:-3]", "validation": "train[-3:]", "test": "test"}


def all_rows(source: TfdsSource, split: str) -> list[Example | BadRow]:
    return list(source.read(split, 0, source.num_examples(split)))


def test_counts_and_rows(source):
    assert isinstance(source, Source)
    assert source.splits == ("train", "validation", "test")
    assert [source.num_examples(s) for s in source.splits] == [20, 3, 3]
    found = all_rows(source, "train")
    assert [row.id for row in found] == [f"train/{i}" for i in range(20)]
    assert found[5] == Example("train/5", {"name": "train früit 5", "colours": "red/green"}, "5")
    assert found[6].fields["colours"] == ""
    assert found[4] == BadRow(
        "train/4", "four is not liked", "toy_fruit/plain:1.2.0 train/4: count 4"
    )
    assert [row.id for row in all_rows(source, "validation")] == [
        "train/20",
        "train/21",
        "train/22",
    ]
    assert [row.fields["name"] for row in all_rows(source, "test")] == [
        f"test früit {i}" for i in range(3)
    ]


def test_any_range_is_the_same_rows(source):
    everything = all_rows(source, "train")
    for start, stop in ((0, 1), (7, 13), (18, 20), (5, 5)):
        assert list(source.read("train", start, stop)) == everything[start:stop]


def test_a_copy_in_another_process_finds_the_files(source, monkeypatch):
    untouched, opened = pickle.dumps(source), None
    source.num_examples("train")
    opened = pickle.dumps(source)
    monkeypatch.delenv("TFDS_DATA_DIR")
    for data in (untouched, opened):
        copy = pickle.loads(data)
        assert copy.num_examples("train") == 20
        assert copy.fingerprint() == source.fingerprint()


def test_a_filter_counts_by_reading(source):
    kept = TfdsSource(source.builder, fruit, splits=SPLITS, keep=even, published={"train": 15})
    assert kept.num_examples("train") == 10
    assert [row.id for row in kept.read("train", 3, 6)] == ["train/6", "train/8", "train/10"]
    assert [row.id for row in kept.read("validation", 0, 9)] == ["train/20", "train/22"]
    assert list(kept.read("train", 10, 12)) == []
    assert kept.expected_examples("train") == 12
    assert kept.fingerprint() != source.fingerprint()


def test_fingerprints_change_with_slices_parser_and_data(source, prepared, tmp_path, monkeypatch):
    other_slices = TfdsSource(source.builder, fruit, splits={"train": "train"})
    other_parser = TfdsSource(source.builder, names_no_such_column, splits=SPLITS)
    same = TfdsSource(source.builder, fruit, splits=SPLITS)
    assert source.fingerprint() == same.fingerprint()
    info = (prepared / "toy_fruit/plain/1.2.0/dataset_info.json").read_text()
    moved = tmp_path / "toy_fruit/plain/1.2.0"
    moved.mkdir(parents=True)
    (moved / "dataset_info.json").write_text(info.replace('"15"', '"16"'))
    prints = {source.fingerprint(), other_slices.fingerprint(), other_parser.fingerprint()}
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    prints.add(TfdsSource(source.builder, fruit, splits=SPLITS).fingerprint())
    assert len(prints) == 4


def test_fingerprints_change_with_the_parsers_code(source, tmp_path, monkeypatch):
    """Its own module's, and that of a helper in the same package."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = tmp_path / "toy_parsers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    prints = []
    for own, helper in (("1", "1"), ("2", "1"), ("1", "22"), ("1", "1")):
        (package / "common.py").write_text(f"def helper(): return {helper}\n")
        (package / "rows.py").write_text(
            f"from .common import helper\ndef parse(id, row): return {own}, helper()\n"
        )
        for name in [name for name in sys.modules if name.startswith("toy_parsers")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        linecache.clearcache()
        tfds._module_digest.cache_clear()
        rows = importlib.import_module("toy_parsers.rows")
        prints.append(TfdsSource(source.builder, rows.parse, splits=SPLITS).settings())
    assert len(set(prints)) == 3
    assert prints[0] == prints[3]


def test_a_column_that_is_not_there(source):
    wrong = TfdsSource(source.builder, names_no_such_column, splits=SPLITS)
    assert {row.reason for row in all_rows(wrong, "train")} == {"missing field"}
    assert "'weight'; the row has" in all_rows(wrong, "train")[0].detail


def test_published_counts_need_no_data(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    source = TfdsSource("toy:1.0.0", fruit, splits=SPLITS, published={"train": 30, "test": 7})
    assert [source.expected_examples(s) for s in SPLITS] == [27, 3, 7]
    assert TfdsSource("toy:1.0.0", fruit, splits=SPLITS).expected_examples("train") is None


def test_the_folder_below_our_data_dir(prepared, tmp_path, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    (tmp_path / "tfds").symlink_to(prepared)
    monkeypatch.setattr(location, "_chosen", tmp_path)
    # A builder with one config is found by its name alone.
    assert TfdsSource("toy_fruit:1.2.0", fruit, splits=SPLITS).num_examples("train") == 20


def test_missing_data(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    monkeypatch.setattr(location, "_chosen", tmp_path)
    old = TfdsSource("toy_fruit/plain:1.0.0", fruit, splits=SPLITS)
    with pytest.raises(UserError) as caught:
        old.num_examples("train")
    assert str(caught.value) == (
        f"the TFDS data set 'toy_fruit/plain:1.0.0' is not in '{prepared}' and "
        f"'{tmp_path}/tfds' (there are versions 1.2.0). `flan-t5x data fetch` prepares it, and so "
        "does `tfds build toy_fruit/plain:1.0.0 --data_dir=...`; the folder is TFDS_DATA_DIR, or "
        "'tfds' below FLAN_T5X_DATA_DIR."
    )
    by_hand = TfdsSource("x:1.0.0", fruit, splits=SPLITS, manual="ask the authors")
    with pytest.raises(UserError, match="cannot be downloaded by a program: ask the authors"):
        by_hand.num_examples("train")
    with pytest.raises(UserError, match=r"name it as name\[/config\]:version"):
        TfdsSource("glue", fruit, splits=SPLITS).num_examples("train")
    with pytest.raises(UserError, match="no split 'dev' here; it has train, validation, test"):
        old.num_examples("dev")


@pytest.mark.parametrize("content", ["{", "[]", '{"splits": [{}]}', '{"splits": []}'])
def test_a_damaged_description(tmp_path, monkeypatch, content):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    folder = tmp_path / "toy" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset_info.json' (is damaged|names no splits)"):
        TfdsSource("toy:1.0.0", fruit, splits=SPLITS).num_examples("train")


@pytest.mark.parametrize("damage", ["cut", "gone", "description"])
def test_damaged_files(prepared, tmp_path, monkeypatch, damage):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    shard = min(tmp_path.glob("*/*/*/*-train.*"))
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:100])
    elif damage == "gone":
        shard.unlink()
    else:
        (shard.parent / "features.json").write_text("{")
    source = TfdsSource("toy_fruit/plain:1.2.0", fruit, splits=SPLITS)
    with pytest.raises(UserError, match=r"1.2.0' cannot be read \(.+\)\. Delete its folder") as e:
        all_rows(source, "train")
    assert "\n" not in str(e.value)


def test_counting_imports_no_tensorflow(source):
    import subprocess

    code = (
        "import sys; from tests.data.sources.test_tfds import *;"
        "print(TfdsSource('toy_fruit/plain:1.2.0', fruit, splits=SPLITS).num_examples('train'));"
        "assert 'tensorflow_datasets' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr


def mrpc(id: str, row: dict[str, Any]) -> Example:
    return Example(id, {k: row[k] for k in ("sentence1", "sentence2")}, str(row["label"]))


def test_mocked_builders():
    source = TfdsSource("glue/mrpc:2.0.0", mrpc, splits=SPLITS)
    with mocked_tfds(num_examples=4):
        assert source.num_examples("train") == 4
        rows = all_rows(source, "train")
    assert len(rows) == 4
    assert {row.answer for row in rows} <= {"0", "1"}
    assert all(isinstance(row.fields["sentence1"], str) for row in rows)


def test_plain_values():
    import numpy as np

    nested = {
        "a": np.array([b"x", b"y"], object),
        "b": (np.int32(3), True),
        "c": iter([{"d": b"z"}]),
    }
    assert plain(nested) == {"a": ["x", "y"], "b": [3, True], "c": [{"d": "z"}]}
    with pytest.raises(UnicodeDecodeError):
        plain([b"\xff"])
    assert json.dumps(plain(np.float64(0.5))) == "0.5"
