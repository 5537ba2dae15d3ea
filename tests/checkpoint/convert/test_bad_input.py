"""Bad checkpoints and targets: one line, exit code 2, nothing left behind, nothing executed."""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest
from safetensors.numpy import load_file, save_file

from flan_t5x.checkpoint.base import save_base

from .made import TINY, insert, make_run, make_scalable, refused, stacked, to, values

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_base(tmp_path / "base.npz", stacked(values(TINY), TINY), {})
    return tmp_path / "base.npz"


@pytest.fixture
def t5x(base: Path) -> Path:
    return to(base, base.parent / "checkpoint_3", "t5x")


@pytest.fixture
def hf(base: Path) -> Path:
    return to(base, base.parent / "hf", "hf")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "targets" / "out"


def edit(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


KERNEL = "target.encoder.layers_1.mlp.wo.kernel"


def test_truncated_zarr_chunk(t5x: Path, out: Path, capsys: Capture) -> None:
    chunk = t5x / KERNEL / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    line = refused([str(t5x)], out, capsys)
    assert KERNEL in line
    assert "is damaged" in line


def test_missing_zarr_chunk_is_not_read_as_zeros(t5x: Path, out: Path, capsys: Capture) -> None:
    (t5x / KERNEL / "0.0").unlink()
    assert f"the chunk {KERNEL}/0.0 is missing" in refused([str(t5x)], out, capsys)


def test_missing_zarr_array(t5x: Path, out: Path, capsys: Capture) -> None:
    (t5x / KERNEL / ".zarray").unlink()
    assert f"{KERNEL} cannot be opened: NOT_FOUND" in refused([str(t5x)], out, capsys)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY garbage", b"\x81\xa1a\x01", b"\xc1" * 50])
def test_wrong_magic(t5x: Path, out: Path, capsys: Capture, data: bytes) -> None:
    (t5x / "checkpoint").write_bytes(data)
    assert f"{t5x}/checkpoint" in refused([str(t5x)], out, capsys)


def test_tensorflow_checkpoint_is_named(t5x: Path, out: Path, capsys: Capture) -> None:
    (t5x / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1000"\n')
    assert "is a TensorFlow (Mesh TensorFlow) checkpoint" in refused([str(t5x)], out, capsys)


@pytest.mark.parametrize("damage", ["short", "header", "magic", "empty"])
def test_damaged_safetensors(hf: Path, out: Path, capsys: Capture, damage: str) -> None:
    file = hf / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(
        {
            "short": data[:-8],
            "header": data[:100] + b"x" + data[101:],
            "magic": b"\xff" * 8 + data[8:],
            "empty": b"",
        }[damage]
    )
    assert f"{file} is damaged or not safetensors" in refused([str(hf)], out, capsys)


def test_missing_shard(hf: Path, out: Path, capsys: Capture) -> None:
    names = list(load_file(hf / "model.safetensors"))
    (hf / "model.safetensors").rename(hf / "model-00001-of-00003.safetensors")
    weight_map = {n: f"model-0000{i % 3 + 1}-of-00003.safetensors" for i, n in enumerate(names)}
    (hf / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    line = refused([str(hf)], out, capsys)
    assert (
        "of 3 shards 2 are missing: model-00002-of-00003.safetensors, "
        "model-00003-of-00003.safetensors" in line
    )


def test_all_wrong_leaves_are_listed_at_once(hf: Path, out: Path, capsys: Capture) -> None:
    def change(tensors: dict[str, np.ndarray]) -> None:
        turned = "encoder.block.1.layer.1.DenseReluDense.wo.weight"
        tensors[turned] = np.ascontiguousarray(tensors[turned].T)
        tensors["encoder.block.0.layer.0.adapter.weight"] = np.zeros(3, np.float32)
        tensors["encoder.block.9.layer.0.layer_norm.weight"] = np.zeros(12, np.float32)
        del tensors["decoder.block.2.layer.1.EncDecAttention.k.weight"]
        del tensors["shared.weight"]

    edit(hf, change)
    line = refused([str(hf)], out, capsys)
    for words in (
        "unknown: encoder.block.0.layer.0.adapter.weight, "
        "encoder.block.9.layer.0.layer_norm.weight",
        "missing: shared.weight, decoder.block.2.layer.1.EncDecAttention.k.weight",
        "encoder.block.1.layer.1.DenseReluDense.wo.weight is [7, 12] instead of [12, 7] "
        "(transposed?)",
    ):
        assert words in line


def test_wrong_leaves_of_t5x(tmp_path: Path, out: Path, capsys: Capture) -> None:
    """The same for T5X's layout: one leaf too many, one transposed, one that is not there."""
    flat = values(TINY)
    turned = "decoder/layers_2/mlp/wo/kernel"
    flat[turned] = flat[turned].T
    flat["encoder/layers_0/attention/query/bias"] = np.zeros(15, np.float32)
    del flat["encoder/encoder_norm/scale"]
    tree: dict[str, Any] = {}
    for name, array in flat.items():
        insert(tree, name, array)
    with ocp.PyTreeCheckpointer() as saver:
        saver.save(tmp_path / "orbax", {"target": tree})
    line = refused([str(tmp_path / "orbax")], out, capsys)
    assert "unknown: encoder/layers_0/attention/query/bias" in line
    assert "missing: encoder/encoder_norm/scale" in line
    assert f"{turned} is [12, 7] instead of [7, 12] (transposed?)" in line


def test_wrong_head_count(hf: Path, out: Path, capsys: Capture) -> None:
    edit_config(hf, num_heads=5, d_kv=3)  # 5 * 3 == 3 * 5: the kernels do not tell
    line = refused([str(hf)], out, capsys)
    bias = "block.0.layer.0.SelfAttention.relative_attention_bias.weight is [32, 3] instead of"
    assert f"encoder.{bias} [32, 5]" in line
    assert f"decoder.{bias} [32, 5]" in line


def test_t5x_heads_that_do_not_divide(tmp_path: Path, out: Path, capsys: Capture) -> None:
    tree: dict[str, Any] = {}
    for name, array in values(TINY).items():
        bias = name.endswith("/rel_embedding")
        insert(tree, name, np.zeros((4, 32), np.float32) if bias else array)
    with ocp.PyTreeCheckpointer() as saver:
        saver.save(tmp_path / "orbax", {"target": tree})
    line = refused([str(tmp_path / "orbax")], out, capsys)
    assert "4 heads (first dimension of rel_embedding) do not divide the 15 columns" in line


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8"])
def test_other_dtypes(hf: Path, out: Path, capsys: Capture, dtype: str) -> None:
    edit(hf, lambda tensors: tensors.update({n: a.astype(dtype) for n, a in tensors.items()}))
    line = refused([str(hf)], out, capsys)
    name = {"int8": "i8"}.get(dtype, dtype)
    assert f"{name} is not accepted" in line
    assert ("T5 overflows in it" in line) == (dtype == "float16")


def test_dtype_float16_is_no_choice(hf: Path, out: Path, capsys: Capture) -> None:
    line = refused([str(hf), "--dtype=float16"], out, capsys)
    assert "invalid choice: 'float16' (choose from" in line


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def test_pickle_with_code_is_refused_and_not_executed(
    hf: Path, out: Path, capsys: Capture, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: .bin files are not read at all")
    (hf / "model.safetensors").unlink()
    marker = tmp_path / "executed"
    bad = pickle.dumps({"shared.weight": Payload(marker)}, protocol=2)
    (hf / "pytorch_model.bin").write_bytes(bad)
    assert "holds more than weights" in refused([str(hf)], out, capsys)
    # The same in PyTorch's present format, a zip file.
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", bad)
        file.writestr("archive/version", "3\n")
    (hf / "pytorch_model.bin").write_bytes(archive.getvalue())
    assert "it was not run" in refused([str(hf)], out, capsys)
    assert not marker.exists()
    pickle.loads(bad)  # the payload does work where somebody runs it
    assert marker.exists()


@pytest.mark.parametrize(
    ("model_type", "why"),
    [
        ("umt5", "every layer of it has its own relative position bias"),
        ("longt5", "its attention is local"),
        ("bart", "its architecture is another one"),
    ],
)
def test_other_models_are_refused_by_name(
    hf: Path, out: Path, capsys: Capture, model_type: str, why: str
) -> None:
    edit_config(hf, model_type=model_type)
    line = refused([str(hf)], out, capsys)
    assert f"model_type {model_type!r} is not supported: {why}" in line


def test_a_bias_in_every_layer_is_refused(hf: Path, out: Path, capsys: Capture) -> None:
    name = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
    edit(hf, lambda tensors: tensors.update({name.format(1): tensors[name.format(0)].copy()}))
    assert "(as umT5)" in refused([str(hf)], out, capsys)


def test_scalable_t5_with_tables_that_differ(tmp_path: Path, out: Path, capsys: Capture) -> None:
    make_scalable(tmp_path / "scalable", values(TINY), TINY)
    tree = ocp.PyTreeCheckpointer().restore(tmp_path / "scalable")
    tree["target"]["decoder"]["decoder"]["relpos_bias"]["rel_embedding"][:, 2] += 0.25
    with ocp.PyTreeCheckpointer() as saver:
        saver.save(tmp_path / "trained", tree)
    line = refused([str(tmp_path / "trained")], out, capsys)
    assert "those of layers 2 differ from layer 0's (by up to 0.25)" in line


def test_unknown_activation(hf: Path, out: Path, capsys: Capture) -> None:
    edit_config(hf, feed_forward_proj="gated-swish2")
    assert "feed_forward_proj 'gated-swish2' is not supported" in refused([str(hf)], out, capsys)


def test_a_tied_config_with_a_head_of_its_own(hf: Path, out: Path, capsys: Capture) -> None:
    edit_config(hf, tie_word_embeddings=True)
    assert "lm_head.weight differs from shared.weight" in refused([str(hf)], out, capsys)


def test_vocabularies_that_do_not_fit(base: Path, out: Path, capsys: Capture) -> None:
    line = refused([str(base), "--vocabulary=mini"], out, capsys)
    assert "and 100 sentinels beside them" in line
    assert "has only 40 rows" in line
    assert "is not a SentencePiece model" in refused(
        [str(base), f"--vocabulary={base}"], out, capsys
    )


def test_sources_that_are_not_there(tmp_path: Path, out: Path, capsys: Capture) -> None:
    assert "no checkpoint at" in refused([str(tmp_path / "none")], out, capsys)
    (tmp_path / "empty").mkdir()
    assert "is no checkpoint of a known kind" in refused([str(tmp_path / "empty")], out, capsys)
    (tmp_path / "empty" / "tf_model.h5").touch()
    assert "holds TensorFlow weights" in refused([str(tmp_path / "empty")], out, capsys)
    (tmp_path / "text.txt").touch()
    assert "is a file of no known kind" in refused([str(tmp_path / "text.txt")], out, capsys)
    assert "has no file 'checkpoint'" in refused(
        [str(tmp_path / "empty"), "--from=t5x"], out, capsys
    )


def test_several_t5x_steps_must_be_chosen_from(t5x: Path, out: Path, capsys: Capture) -> None:
    t5x.parent.joinpath("checkpoint_12").mkdir()
    (t5x.parent / "base.npz").unlink()
    line = refused([str(t5x.parent)], out, capsys)
    assert "holds several checkpoints (checkpoint_3, checkpoint_12)" in line


def test_a_damaged_run_is_named(tmp_path: Path, out: Path, capsys: Capture) -> None:
    make_run(tmp_path / "run", TINY)
    step = tmp_path / "run/checkpoints/70"
    largest = max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-10])
    assert "is not whole" in refused([str(step)], out, capsys)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may read everything: another user for the length of a test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_source_without_permission(
    hf: Path, out: Path, capsys: Capture, request: pytest.FixtureRequest
) -> None:
    out.parent.mkdir()
    (hf / "config.json").chmod(0)
    hf.chmod(0)
    request.getfixturevalue("nobody")
    line = refused([str(hf)], Path("/nowhere/out"), capsys)
    assert "ermission denied" in line


def test_target_without_permission(
    base: Path, tmp_path: Path, capsys: Capture, request: pytest.FixtureRequest
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    ours = tmp_path.relative_to(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents[: len(ours.parts) - 1]):  # closed to others
        folder.chmod(0o755)
    locked.chmod(0o555)
    request.getfixturevalue("nobody")
    line = refused([str(base)], locked / "out", capsys)
    assert f"{locked / 'out'} cannot be written: Permission denied" in line


def test_target_below_a_file(base: Path, capsys: Capture) -> None:
    line = refused([str(base)], base / "out", capsys)
    assert "cannot be written" in line
