"""Adapters (LoRA) of a run: merged into their base, or in PEFT's layout, and back."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flan_t5x.checkpoint.adapter import ADAPTER, AdapterRecord
from flan_t5x.checkpoint.base import save_base
from flan_t5x.checkpoint.convert.merge import base_fingerprint, open_plan
from flan_t5x.checkpoint.convert.plan import stream
from flan_t5x.checkpoint.initial import load_initial
from flan_t5x.checkpoint.leaves import params_fingerprint
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.cli.main import main
from flan_t5x.model import lora
from flan_t5x.model.config import LoraConfig
from flan_t5x.model.model import Model

from .made import TINY, abstract, files, make_run, make_scalable, read, refused, stacked, to, values

Capture = pytest.CaptureFixture[str]

LORA = LoraConfig(rank=3, alpha=6.0, targets=("query", "value", "wo"), dropout=0.1)


def make_adapters(folder: Path, base: Path, config: LoraConfig = LORA) -> dict[str, Any]:
    """A run's folder with one step of adapters, B drawn too; returns the whole tree."""
    model = Model(dataclasses.replace(TINY, lora=config))
    draw = np.random.default_rng(7)
    _, adapters = lora.split(model.abstract_params)
    adapters = jax.tree.map(lambda x: (0.2 * draw.normal(size=x.shape)).astype(x.dtype), adapters)
    below = load_initial(str(base), abstract(TINY))
    record = AdapterRecord.of(config, base=str(base), fingerprint=params_fingerprint(below))
    state = {"step": np.int32(5), "params": adapters, "opt_state": {}}
    with Checkpoints(folder / "checkpoints") as saved:
        state = jax.tree.map(jax.numpy.asarray, state)
        saved.save(5, state, extra={ADAPTER: record.to_json()}, metric=0.5)
    return lora.join(below, adapters)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_base(tmp_path / "base.npz", stacked(values(TINY), TINY), {})
    return to(tmp_path / "base.npz", tmp_path / "base", "hf")


@pytest.fixture
def run(tmp_path: Path, base: Path) -> Path:
    make_adapters(tmp_path / "run", base)
    return tmp_path / "run"


def batch() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    tokens = draw.integers(3, TINY.vocab_size, (2, 6)).astype(np.int32)
    names = ("encoder_input_tokens", "decoder_input_tokens", "decoder_target_tokens")
    return dict.fromkeys(names, tokens)


def our_logits(model: Model, params: Any) -> np.ndarray:
    return np.asarray(jax.jit(model.logits)(params, batch()))


def torch_logits(model: Any) -> np.ndarray:
    import torch

    tokens = torch.tensor(batch()["encoder_input_tokens"].astype(np.int64))
    with torch.no_grad():
        found = model(input_ids=tokens, decoder_input_ids=tokens, use_cache=False).logits
    return np.asarray(found.numpy())


def over_base(base: Path, adapter: Path) -> Any:
    """The adapter over the base, by peft and transformers alone."""
    import peft
    import transformers

    model = transformers.T5ForConditionalGeneration.from_pretrained(str(base))
    return peft.PeftModel.from_pretrained(model, str(adapter)).eval()


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        (None, "bfloat16"),
        ("hf", None),
        ("t5x", None),
        ("flan_t5x", "bfloat16"),
        ("scalable_t5", None),
        ("adapters", None),
    ],
)
def test_merged_is_the_base_plus_a_b(tmp_path: Path, layout: str | None, dtype: str | None) -> None:
    """Whatever holds the base, even other adapters; to the bit what training computes with."""
    below = tmp_path / "base.npz"
    kept = "bfloat16" if dtype else "unchanged"
    save_base(below, stacked(values(TINY), TINY), {}, store_as=kept)  # type: ignore[arg-type]
    if layout == "scalable_t5":
        make_scalable(tmp_path / "below", values(TINY), TINY)
        below = tmp_path / "below"
    elif layout == "adapters":
        make_adapters(tmp_path / "below", below)
        below = tmp_path / "below"
    elif layout is not None:
        below = to(below, tmp_path / "below", layout)
    whole = make_adapters(tmp_path / "run", below)
    wanted = lora.merge(whole, LORA)
    found = load_initial(str(tmp_path / "run"), abstract(TINY))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), found, wanted)
    assert base_fingerprint(open_plan(str(below))) == params_fingerprint(lora.split(whole)[0])
    exported = read(to(tmp_path / "run", tmp_path / "hf", "hf"))
    assert all(array.dtype == np.float32 for array in exported.values())
    again = load_initial(str(tmp_path / "hf"), abstract(TINY))
    assert jax.tree.all(jax.tree.map(np.array_equal, again, found))


def test_peft_loads_what_is_written(tmp_path: Path, base: Path, run: Path) -> None:
    pytest.importorskip("peft")
    adapter = to(run, tmp_path / "adapter", "peft")
    written = json.loads((adapter / "adapter_config.json").read_text())
    assert written["target_modules"] == ["q", "v", "wo"]
    assert (written["r"], written["lora_alpha"], written["lora_dropout"]) == (3, 6.0, 0.1)
    assert written["base_model_name_or_path"] == str(base)
    model = Model(dataclasses.replace(TINY, lora=LORA))
    whole = make_adapters(tmp_path / "again", base)
    ours = our_logits(model, whole)
    plain = our_logits(Model(TINY), lora.split(whole)[0])
    assert np.abs(ours - plain).max() > 0.1
    theirs = over_base(base, adapter)
    np.testing.assert_allclose(torch_logits(theirs), ours, atol=1e-5 * np.abs(ours).max())
    merged = theirs.merge_and_unload()
    np.testing.assert_allclose(torch_logits(merged), ours, atol=1e-5 * np.abs(ours).max())


def test_one_kind_of_attention_is_named_in_full(tmp_path: Path, base: Path) -> None:
    pytest.importorskip("peft")
    config = LoraConfig(rank=2, targets=("encoder_decoder_attention/query", "wi_0"))
    whole = make_adapters(tmp_path / "run", base, config)
    adapter = to(tmp_path / "run", tmp_path / "adapter", "peft")
    written = json.loads((adapter / "adapter_config.json").read_text())["target_modules"]
    assert len(written) == 3 + 2 + 3
    assert "decoder.block.2.layer.1.EncDecAttention.q" in written
    ours = our_logits(Model(dataclasses.replace(TINY, lora=config)), whole)
    theirs = torch_logits(over_base(base, adapter))
    np.testing.assert_allclose(theirs, ours, atol=1e-5 * np.abs(ours).max())


def test_an_adapter_of_peft_comes_in(tmp_path: Path, base: Path) -> None:
    """Made and saved by peft: merged, written again to the bit, and used as first weights."""
    peft = pytest.importorskip("peft")
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration.from_pretrained(str(base))
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q", "o"], init_lora_weights=False,
        task_type="SEQ_2_SEQ_LM",
    )  # fmt: skip
    theirs = peft.get_peft_model(model, config).eval()
    theirs.save_pretrained(str(tmp_path / "adapter"))
    params = load_initial(str(tmp_path / "adapter"), abstract(TINY))
    wanted = torch_logits(theirs)
    ours = our_logits(Model(TINY), params)
    np.testing.assert_allclose(ours, wanted, atol=1e-5 * np.abs(wanted).max())
    again = to(tmp_path / "adapter", tmp_path / "again", "peft")
    first, second = (
        load_file(p / "adapter_model.safetensors") for p in (tmp_path / "adapter", again)
    )
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_to_peft_and_back_is_the_same_model(tmp_path: Path, run: Path) -> None:
    adapter = to(run, tmp_path / "adapter", "peft")
    assert sum(p.stat().st_size for p in files(adapter)) < 60_000
    back = read(to(adapter, tmp_path / "back", "flan_t5x"))
    wanted = {p.name: np.array(v) for p, v in stream(open_plan(str(run)).parts)}
    assert back.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_command_and_verification(tmp_path: Path, run: Path, base: Path, capsys: Capture) -> None:
    pytest.importorskip("peft")
    out = tmp_path / "adapter"
    assert main(["convert", str(run), str(out), "--to=peft", "--dry_run"]) == 0
    table = capsys.readouterr().out
    assert "base_model.model.encoder.block.1.layer.0.SelfAttention.q.lora_A.weight" in table
    assert not out.exists()
    assert main(["convert", str(run), str(out), "--to=peft", "--verify"]) == 0
    said = capsys.readouterr().out
    assert "(flan_t5x) and the target (peft)" in said
    assert "greedy tokens equal: 100.0%" in said
    card = (out / "README.md").read_text()
    assert "PeftModel" in card
    assert f"base_model: {base}" in card
    assert main(["convert", str(run), str(tmp_path / "hf"), "--verify"]) == 0
    assert "(flan_t5x) and the target (transformers)" in capsys.readouterr().out
    moved = base.rename(tmp_path / "elsewhere")
    to_hf = ["convert", str(out), str(tmp_path / "hf2"), "--to=hf", "--verify"]
    assert main([*to_hf, f"--base={moved}"]) == 0
    assert "(peft) and the target (transformers)" in capsys.readouterr().out


def test_what_to_do_where_transformers_cannot_read_the_base(
    tmp_path: Path, run: Path, capsys: Capture
) -> None:
    assert main(["convert", str(run), str(tmp_path / "of_hf"), "--to=peft"]) == 0
    assert "note: transformers cannot" not in capsys.readouterr().out
    below = tmp_path / "base.npz"
    make_adapters(tmp_path / "other", below)
    out = tmp_path / "adapter"
    assert main(["convert", str(tmp_path / "other"), str(out), "--to=peft"]) == 0
    said = capsys.readouterr().out
    assert f"flan-t5x convert {below} BASE --to=hf" in said


class TestRefused:
    def test_the_base_is_gone(self, tmp_path: Path, run: Path, base: Path, capsys: Capture) -> None:
        shutil.rmtree(base)
        error = refused([str(run)], tmp_path / "out", capsys)
        assert "no checkpoint at" in error
        assert "--base" in error

    def test_the_base_is_another(
        self, tmp_path: Path, run: Path, base: Path, capsys: Capture
    ) -> None:
        shutil.rmtree(base)
        save_base(tmp_path / "b.npz", stacked(values(TINY, seed=1), TINY), {})
        to(tmp_path / "b.npz", base, "hf")
        error = refused([str(run)], tmp_path / "out", capsys)
        assert "adapters of another checkpoint" in error

    def test_the_base_has_other_sizes(self, tmp_path: Path, run: Path, capsys: Capture) -> None:
        adapter = to(run, tmp_path / "adapter", "peft")
        other = dataclasses.replace(TINY, emb_dim=16, num_decoder_layers=2)
        save_base(tmp_path / "o.npz", stacked(values(other), other), {})
        error = refused([str(adapter), f"--base={tmp_path}/o.npz"], tmp_path / "out", capsys)
        assert "unknown: decoder.block.2" in error
        assert "lora_A.weight is [3, 12] instead of [3, 16]" in error

    def test_leaves(self, tmp_path: Path, run: Path, capsys: Capture) -> None:
        adapter = to(run, tmp_path / "adapter", "peft")
        weights = adapter / "adapter_model.safetensors"
        arrays = dict(load_file(weights))
        prefix = "base_model.model.encoder.block.0.layer."
        arrays[f"{prefix}0.layer_norm.lora_A.weight"] = np.zeros((3, 12), np.float32)
        del arrays[f"{prefix}0.SelfAttention.v.lora_B.weight"]
        save_file(arrays, weights)
        error = refused([str(adapter)], tmp_path / "out", capsys)
        assert "unknown: encoder.block.0.layer.0.layer_norm.lora_A.weight" in error
        assert "missing: half of the adapter of encoder/layers_0/attention/value/kernel" in error

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("use_dora", True, "use_dora = True is not supported"),
            ("modules_to_save", ["lm_head"], "modules_to_save"),
            ("rank_pattern", {"q": 8}, "rank_pattern"),
            ("peft_type", "IA3", "peft_type 'IA3' is not supported"),
            ("r", "three", "is damaged"),
            ("base_model_name_or_path", None, "a base that it does not name"),
        ],
    )
    def test_configuration(
        self, tmp_path: Path, run: Path, capsys: Capture, field: str, value: object, words: str
    ) -> None:
        adapter = to(run, tmp_path / "adapter", "peft")
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
        assert words in refused([str(adapter)], tmp_path / "out", capsys)

    def test_what_has_no_adapters(self, tmp_path: Path, base: Path, capsys: Capture) -> None:
        make_run(tmp_path / "plain", TINY)
        error = refused([str(tmp_path / "plain"), "--to=peft"], tmp_path / "out", capsys)
        assert "has no adapters to write" in error
        error = refused([str(base), f"--base={base}"], tmp_path / "out", capsys)
        assert "leave --base out" in error


def test_a_card_of_a_base_is_not_one_of_adapters(tmp_path: Path, run: Path) -> None:
    hf = to(run, tmp_path / "hf", "hf")
    card = (hf / "README.md").read_text()
    assert "| LoRA | rank 3, alpha 6, on query, value, wo |" in card
    assert "peft" not in card
