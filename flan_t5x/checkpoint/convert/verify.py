"""Both ends of a conversion asked the same questions: logits of a fixed batch, greedy answers.

A Hugging Face end answers through transformers where it is installed, every other end through
this project's model. So an import from, or an export to, Hugging Face is compared with another
implementation; T5X is no package, so its files are read back and compared in our model.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from flan_t5x.checkpoint.convert.direct import read_params
from flan_t5x.checkpoint.convert.merge import open_plan
from flan_t5x.checkpoint.convert.plan import Plan
from flan_t5x.errors import UserError

TOLERANCE = 1e-3
"""Largest difference that passes, relative to the largest logit, where the dtype is kept."""

_PROMPT_LENGTHS = (16, 12, 9, 5)
_TARGET_LENGTH = 16
_FIRST_PIECE = 3


@dataclasses.dataclass(frozen=True)
class Answers:
    """What one end says.

    Attributes:
        by: "transformers", "peft" or "flan_t5x".
        logits: [prompts, targets, vocab] float32, teacher-forced.
        tokens: [prompts, targets] of greedy decoding; 0 after the end of sequence.
    """

    by: str
    logits: Float[np.ndarray, "prompts targets vocab"]
    tokens: Int[np.ndarray, "prompts targets"]


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far two ends are apart.

    Attributes:
        before: who answered for the source.
        after: who answered for the target.
        maximum: largest absolute difference of logits.
        mean: mean absolute difference.
        scale: largest absolute logit of the source.
        agreement: share of greedy tokens that are equal.
    """

    before: str
    after: str
    maximum: float
    mean: float
    scale: float
    agreement: float

    def __str__(self) -> str:
        return (
            f"logits of the source ({self.before}) and the target ({self.after}): largest "
            f"difference {self.maximum:.2e}, mean {self.mean:.2e} (largest logit {self.scale:.1f})"
            f"; greedy tokens equal: {self.agreement:.1%}"
        )


def verify(plan: Plan, target: Path) -> Difference:
    """Compares a source with what was written from it. Holds one model at a time, as float32.

    Args:
        plan: of the source.
        target: the folder that was written.

    Raises:
        UserError: the target cannot be read back.
    """
    prompts, inputs = _batch(plan.config.vocab_size)
    before = _answers(plan, prompts, inputs)
    after = _answers(open_plan(str(target)), prompts, inputs)
    gap = np.abs(before.logits - after.logits)
    return Difference(
        before=before.by,
        after=after.by,
        maximum=float(gap.max()),
        mean=float(gap.mean()),
        scale=float(np.abs(before.logits).max()),
        agreement=float(np.mean(before.tokens == after.tokens)),
    )


def require_close(difference: Difference) -> None:
    """Raises a UserError where two ends with the same dtype are too far apart to be rounding."""
    limit = TOLERANCE * max(1.0, difference.scale)
    if not difference.maximum <= limit:  # also where it is not a number
        raise UserError(f"the conversion does not compute the same: {difference}; nothing is kept")


def _batch(
    vocab_size: int,
) -> tuple[Int[np.ndarray, "prompts inputs"], Int[np.ndarray, "prompts targets"]]:
    """Prompts padded with 0, and decoder inputs that start with 0."""
    draw = np.random.default_rng(0)
    shape = (len(_PROMPT_LENGTHS), max(_PROMPT_LENGTHS))
    prompts = draw.integers(_FIRST_PIECE, vocab_size, shape).astype(np.int32)
    prompts *= np.arange(shape[1]) < np.array(_PROMPT_LENGTHS)[:, None]
    inputs = draw.integers(_FIRST_PIECE, vocab_size, (shape[0], _TARGET_LENGTH)).astype(np.int32)
    inputs[:, 0] = 0
    return prompts, inputs


def _answers(plan: Plan, prompts: np.ndarray, inputs: np.ndarray) -> Answers:
    whole, adapter = (plan, None) if plan.base is None else (plan.base, plan.source)
    needed = ("torch", "transformers", *(("peft",) if adapter else ()))
    theirs = whole.source.layout == "hf" and (adapter is None or adapter.kind == "peft")
    if theirs and all(importlib.util.find_spec(name) for name in needed):
        over = Path(adapter.path) if adapter else None
        return transformers_answers(Path(whole.source.path), prompts, inputs, adapter=over)
    return our_answers(plan, prompts, inputs)


def our_answers(plan: Plan, prompts: np.ndarray, inputs: np.ndarray) -> Answers:
    """This project's model with a checkpoint's parameters."""
    import jax

    from flan_t5x.model.model import Model

    model = Model(plan.config)
    params = read_params(plan, model.abstract_params)
    ones = np.ones_like(inputs)

    @jax.jit
    def logits(params: Any, decoder_inputs: Any) -> Any:
        batch = {
            "encoder_input_tokens": prompts,
            "decoder_input_tokens": decoder_inputs,
            "decoder_target_tokens": ones,
            "encoder_segment_ids": (prompts > 0).astype(np.int32),
            "decoder_segment_ids": ones,
        }
        return model.logits(params, batch)

    params = jax.device_put(params)
    teacher_forced = np.asarray(logits(params, inputs))
    tokens = np.zeros_like(inputs)
    ended = np.zeros(len(inputs), bool)
    for position in range(inputs.shape[1]):
        shifted = np.pad(tokens, ((0, 0), (1, 0)))[:, :-1]
        chosen = np.asarray(logits(params, shifted))[:, position].argmax(-1)
        tokens[:, position] = np.where(ended, 0, chosen)
        ended |= chosen == 1
    return Answers("flan_t5x", teacher_forced, tokens)


def transformers_answers(
    folder: Path, prompts: np.ndarray, inputs: np.ndarray, *, adapter: Path | None = None
) -> Answers:
    """transformers' own T5 with a Hugging Face folder, in float32 on the CPU.

    Args:
        folder: config.json and weights.
        prompts: [prompts, inputs], 0 is padding.
        inputs: [prompts, targets] of the decoder.
        adapter: a PEFT folder that peft puts over the model.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.T5ForConditionalGeneration.from_pretrained(str(folder)).float().eval()
    if adapter is not None:
        import peft

        model = peft.PeftModel.from_pretrained(model, str(adapter)).eval()
    ids = torch.tensor(prompts.astype(np.int64))
    mask = (ids > 0).long()
    with torch.no_grad():
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.tensor(inputs.astype(np.int64)),
            use_cache=False,
        ).logits.numpy()
        generated = model.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=1,
            do_sample=False,
            max_new_tokens=inputs.shape[1],
            use_cache=False,  # 5.23 counts the encoder's layers for the decoder's cache
        ).numpy()[:, 1:]  # without the start token
    tokens = np.zeros_like(inputs)
    tokens[:, : generated.shape[1]] = generated
    return Answers("peft" if adapter else "transformers", logits, tokens)
