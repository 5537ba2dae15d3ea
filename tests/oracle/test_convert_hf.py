"""Conversion of a checkpoint that transformers wrote, and of ours into one that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from flan_t5x.checkpoint.convert.run import Conversion, convert, prepare
from flan_t5x.checkpoint.initial import load_initial
from flan_t5x.decode.beam import beam_search
from flan_t5x.decode.sampling import decode
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model

HF = "oracle/hf"
CONFIG = T5Config(
    vocab_size=768, emb_dim=64, num_heads=4, head_dim=16, mlp_dim=128,
    num_encoder_layers=2, num_decoder_layers=2,
)  # fmt: skip


def to(source: Path | str, target: Path, layout: str) -> Path:
    conversion = Conversion(source=str(source), target=target, to=layout)  # type: ignore[arg-type]
    convert(conversion, *prepare(conversion))
    return target


@pytest.fixture(scope="module")
def imported(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to(shared / HF, tmp_path_factory.mktemp("hf") / "ours", "flan_t5x")


def load(path: Path) -> dict[str, Any]:
    return load_initial(str(path), Model(CONFIG).abstract_params, config=CONFIG)


def batch(data: Any, decoder_inputs: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "encoder_input_tokens": data["input_ids"],
        "decoder_input_tokens": decoder_inputs,
        "decoder_target_tokens": weights,
        "encoder_segment_ids": data["attention_mask"],
        "decoder_segment_ids": np.ones_like(decoder_inputs),
    }


def test_logits_and_greedy_tokens_equal_transformers(shared: Path, imported: Path) -> None:
    data = np.load(shared / HF / "data.npz")
    model, params = Model(CONFIG), load(imported)
    inputs = data["decoder_input_ids"]
    logits = jax.jit(model.logits)(params, batch(data, inputs, np.ones_like(inputs)))
    np.testing.assert_allclose(logits, data["logits"], atol=1e-5, rtol=1e-5)
    expected = data["greedy"][:, 1:]  # without the start token
    found = decode(model, params, data["input_ids"], max_length=expected.shape[1])
    np.testing.assert_array_equal(found.tokens, expected)


def test_beam_scores_of_transformers_are_ours(shared: Path, imported: Path) -> None:
    """Their best sequences, scored by our logits under their length penalty."""
    data = np.load(shared / HF / "data.npz")
    sequences = data["beam4_sequences"]
    inputs, targets = sequences[:, :-1], sequences[:, 1:]
    rows = len(sequences) // len(data["input_ids"])
    repeated = {n: np.repeat(data[n], rows, axis=0) for n in ("input_ids", "attention_mask")}
    logits = jax.jit(Model(CONFIG).logits)(
        load(imported), batch(repeated, inputs, np.ones_like(inputs))
    )
    log_probs = np.asarray(jax.nn.log_softmax(logits))
    chosen = np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    # Up to and with the end of sequence; transformers pads behind it.
    real = np.cumsum(targets == 1, axis=1) - (targets == 1) == 0
    length = real.sum(axis=1)
    scores = (chosen * real).sum(axis=1) / length**0.6
    np.testing.assert_allclose(scores, data["beam4_scores"].reshape(-1), rtol=1e-5)


def test_beam_search_equals_transformers(shared: Path, imported: Path) -> None:
    """All four beams of both rows, to the letter."""
    data = np.load(shared / HF / "data.npz")
    prompts, expected = data["input_ids"], data["beam4_sequences"][:, 1:]  # without the start
    found = jax.jit(
        lambda params, x: beam_search(
            Model(CONFIG), params, x, max_length=16, beams=4, alpha=0.6, rules="transformers"
        )
    )(load(imported), prompts)
    np.testing.assert_array_equal(found.tokens, expected.reshape(len(prompts), 4, -1))
    scores = data["beam4_scores"].reshape(len(prompts), 4)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)


def test_direct_start_equals_import(shared: Path, imported: Path) -> None:
    ours, theirs = load(imported), load(shared / HF)
    assert jax.tree.all(jax.tree.map(lambda x, y: np.array_equal(x, y), ours, theirs))


@pytest.mark.parametrize("way", [["hf"], ["flan_t5x", "hf"], ["t5x", "flan_t5x", "hf"]])
def test_round_trips_are_bitwise(shared: Path, tmp_path: Path, way: list[str]) -> None:
    path = shared / HF
    for number, layout in enumerate(way):
        path = to(path, tmp_path / f"{number}", layout)
    ours = load_file(path / "model.safetensors")
    theirs = load_file(shared / HF / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        assert ours[name].dtype == values.dtype
        np.testing.assert_array_equal(ours[name], values, err_msg=name)
