"""Folders for and from transformers, with transformers itself at the other end."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from flan_t5x.checkpoint.base import save_base
from flan_t5x.checkpoint.convert import verify as verification
from flan_t5x.checkpoint.convert.plan import make_plan
from flan_t5x.checkpoint.convert.sniff import open_source
from flan_t5x.cli.main import main
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model

from .made import T5_1_0, TINY, make_run, read, refused, require_equal, stacked, to, values

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
transformers: Any = pytest.importorskip(
    "transformers", reason="transformers is not installed (pip install transformers)"
)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    save_base(tmp_path / "base.npz", stacked(values(TINY), TINY), {})
    return to(tmp_path / "base.npz", tmp_path / "exported", "hf")


def their_logits(model: Any, prompts: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        ids = torch.tensor(prompts)
        return np.asarray(
            model(
                input_ids=ids,
                attention_mask=(ids > 0).long(),
                decoder_input_ids=torch.tensor(inputs),
                use_cache=False,
            ).logits
        )


def our_logits(folder: Path, prompts: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    plan = make_plan(open_source(str(folder)))
    from flan_t5x.checkpoint.convert.direct import read_params

    model = Model(plan.config)
    batch = {
        "encoder_input_tokens": prompts,
        "decoder_input_tokens": inputs,
        "decoder_target_tokens": np.ones_like(inputs),
    }
    return np.asarray(jax.jit(model.logits)(read_params(plan, model.abstract_params), batch))


PROMPTS = np.array([[5, 9, 33, 7, 1], [17, 8, 1, 0, 0]])
INPUTS = np.array([[0, 12, 13, 2], [0, 30, 4, 21]])


def test_a_loaded_export_is_untied_and_answers_the_same(exported: Path) -> None:
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(exported).eval()
    assert type(model) is transformers.T5ForConditionalGeneration
    flat = values(TINY)
    head, shared = model.lm_head.weight.detach().numpy(), model.shared.weight.detach().numpy()
    np.testing.assert_array_equal(head, flat["decoder/logits_dense/kernel"].T)
    np.testing.assert_array_equal(shared, flat["token_embedder/embedding"])
    assert model.generation_config.decoder_start_token_id == 0
    theirs, ours = their_logits(model, PROMPTS, INPUTS), our_logits(exported, PROMPTS, INPUTS)
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_what_transformers_saves_again_comes_back_bitwise(exported: Path, tmp_path: Path) -> None:
    """transformers 5 writes tie_word_embeddings = true into it; the weights say otherwise."""
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(exported)
    model.save_pretrained(tmp_path / "again")
    require_equal(read(tmp_path / "again"), values(TINY))
    assert make_plan(open_source(str(tmp_path / "again"))).config == TINY


def hf_model(**options: Any) -> Any:
    config = transformers.T5Config(
        vocab_size=40, d_model=12, num_heads=3, d_kv=5, d_ff=7, num_layers=2,
        num_decoder_layers=3, dropout_rate=0.0, **options,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.T5ForConditionalGeneration(config).eval()


def test_t5_1_0_from_transformers(tmp_path: Path) -> None:
    """ReLU, head tied and scaled: the original T5."""
    model = hf_model(feed_forward_proj="relu")
    model.save_pretrained(tmp_path / "t5")
    assert make_plan(open_source(str(tmp_path / "t5"))).config == T5_1_0
    theirs = their_logits(model, PROMPTS, INPUTS)
    np.testing.assert_allclose(
        our_logits(tmp_path / "t5", PROMPTS, INPUTS), theirs, atol=1e-5, rtol=1e-5
    )
    back = to(to(tmp_path / "t5", tmp_path / "ours", "flan_t5x"), tmp_path / "back", "hf")
    again = transformers.AutoModelForSeq2SeqLM.from_pretrained(back).eval()
    np.testing.assert_array_equal(their_logits(again, PROMPTS, INPUTS), theirs)


def test_a_tied_head_that_is_not_scaled(tmp_path: Path) -> None:
    """transformers 5 builds T5 1.1 so when told not to tie: one matrix, no scaling."""
    model = hf_model(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "t5")
    plan = make_plan(open_source(str(tmp_path / "t5")))
    assert not plan.config.logits_via_embedding
    np.testing.assert_allclose(
        our_logits(tmp_path / "t5", PROMPTS, INPUTS),
        their_logits(model, PROMPTS, INPUTS),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pytorch_files(tmp_path: Path, exported: Path, dtype: str, legacy: bool) -> None:
    """With the copies of the embedding and the unused table that published files have."""
    from safetensors.torch import load_file

    tensors = {n: t.to(getattr(torch, dtype)) for n, t in
               load_file(exported / "model.safetensors").items()}  # fmt: skip
    expected = to(exported, tmp_path / "expected", "hf", dtype=dtype)
    for copy in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        tensors[copy] = tensors["shared.weight"]
    unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    tensors[unused] = torch.zeros(32, 3)
    (exported / "model.safetensors").unlink()
    torch.save(tensors, exported / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    require_equal(read(exported), read(expected))
    notes = make_plan(open_source(str(exported))).notes
    assert notes == (f"{unused} is left out: T5 does not use it",)


def test_a_second_embedding_is_refused(
    tmp_path: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(exported / "model.safetensors")
    tensors["decoder.embed_tokens.weight"] = tensors["shared.weight"] + 1
    save_file(tensors, exported / "model.safetensors")
    line = refused([str(exported)], tmp_path / "out" / "out", capsys)
    assert "decoder.embed_tokens.weight differs from shared.weight" in line


def test_mt5_is_the_same_architecture(exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    (exported / "config.json").write_text(json.dumps(config | {"model_type": "mt5"}))
    require_equal(read(exported), values(TINY))


TEXTS = [
    "Translate to German: How are you?",
    "which of these are animals?",
    "  two  spaces\nand a new line ",
    "3.14 {x} naïve",
    "an <extra_id_0>",
    "",
]


@pytest.mark.parametrize("vocabulary", ["mini", "t5"])
def test_the_tokenizer_files_give_our_tokens(
    tmp_path: Path, vocabulary: str, request: pytest.FixtureRequest
) -> None:
    """transformers reads spiece.model itself; text right after a sentinel is the one place
    where it splits differently, so no text here has any."""
    name = "mini"
    if vocabulary == "t5":
        name = str(request.getfixturevalue("shared") / "data/t5_vocab/spiece.model")
    found = resolve_vocabulary(name)
    config = T5Config(
        vocab_size=-(-found.size // 128) * 128, emb_dim=4, num_heads=1, head_dim=2, mlp_dim=3,
        num_encoder_layers=1, num_decoder_layers=1,
    )  # fmt: skip
    save_base(tmp_path / "base.npz", stacked(values(config), config), {})
    arguments = ["convert", str(tmp_path / "base.npz"), str(tmp_path / "hf")]
    assert main([*arguments, "--to=hf", f"--vocabulary={name}"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert len(tokenizer) == found.size
    for text in TEXTS:
        assert tokenizer(text).input_ids == [*found.encode(text), 1], text
    ids = found.encode(TEXTS[0])
    assert tokenizer.decode([*ids, 1], skip_special_tokens=True) == found.decode(ids)
    sentinels = tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_99>"])
    assert sentinels == [found.sentinel(0), found.sentinel(99)]


def test_the_card_of_a_run(tmp_path: Path) -> None:
    make_run(tmp_path / "run", TINY)
    run = tmp_path / "run"
    (run / "config.gin").write_text("SEED = 3\n")
    (run / "mixture.txt").write_text("# mixture toys: 2 tasks\n")
    best = {"step": 70, "metric": "held_out/average", "value": 0.5, "values": {"toy_a": 0.25}}
    (run / "best.json").write_text(json.dumps(best))
    task = {"score": 0.75, "baseline": 0.5, "examples": 8}
    sets = {"held_out_test": {"average": 0.75, "baseline": 0.5, "tasks": {"toy_a": task}}}
    (run / "final.json").write_text(json.dumps({"step": 70, "sets": sets}))
    card = (to(run, tmp_path / "hf", "hf") / "README.md").read_text()
    quoted = ["SEED = 3", "# mixture toys: 2 tasks", "| toy_a | 0.2500 |"]
    quoted += ["| toy_a | 0.7500 | 0.5000 | 8 |", "Average 0.7500, baseline 0.5000"]
    for words in quoted:
        assert words in card


def test_the_command_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "run", TINY)
    line = ["convert", str(tmp_path / "run"), str(tmp_path / "hf"), "--verify"]
    assert main(line) == 0
    out = capsys.readouterr().out
    assert "logits of the source (flan_t5x) and the target (transformers)" in out
    assert "greedy tokens equal: 100.0%" in out
    said = re.search(
        r"largest difference ([\d.e-]+), mean ([\d.e-]+) \(largest logit ([\d.]+)\)", out
    )
    assert said
    assert 0 < float(said[2]) < float(said[1]) < 1e-5 * float(said[3])


def test_a_conversion_that_computes_something_else_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "run", TINY)
    right = np.random.default_rng(0).normal(size=(4, 16, 40)).astype(np.float32)
    told = [right, right * 1.01]

    def answers(*_: Any) -> verification.Answers:
        return verification.Answers("somebody", told.pop(0), np.zeros((4, 16), np.int32))

    monkeypatch.setattr(verification, "_answers", answers)
    line = refused([str(tmp_path / "run"), "--verify"], tmp_path / "out" / "hf", capsys)
    assert "does not compute the same" in line
