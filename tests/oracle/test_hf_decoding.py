"""Option scores, greedy and beam search against transformers with the same weights.

Beam search by transformers' rules gives its tokens. By T5X's it differs in two: transformers
divides a beam's log-probability by length ** penalty, T5X by ((5 + length) / 6) ** alpha, which an
exponent of 0 makes the same; and of a step's 2 * beams best extensions transformers lets end only
those among the first `beams`, T5X all of them: where a row differs, T5X's is the likelier.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flan_t5x.checkpoint.initial import load_initial
from flan_t5x.decode.beam import BeamSearch
from flan_t5x.decode.continuations import Decoding
from flan_t5x.evaluation.generation import Generator
from flan_t5x.evaluation.ranking import Ranker
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import make_mesh
from tests.oracle.test_convert_hf import CONFIG, HF

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

LENGTH = 12
EOS_SCALE = 6.0
"""Of the end token's output weights, in both systems: sequences then end at many lengths."""


@pytest.fixture(scope="module")
def theirs(shared: Path) -> Any:
    model = transformers.T5ForConditionalGeneration.from_pretrained(shared / HF).eval()
    with torch.no_grad():
        model.lm_head.weight[1] *= EOS_SCALE
    return model


@pytest.fixture(scope="module")
def ours(shared: Path) -> tuple[Model, Params]:
    model = Model(CONFIG)
    params = load_initial(str(shared / HF), model.abstract_params, config=CONFIG)
    head = np.array(params["decoder"]["logits_dense"]["kernel"])
    head[:, 1] *= EOS_SCALE
    params["decoder"]["logits_dense"]["kernel"] = head
    return model, params


def texts(*lengths: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.append(rng.integers(2, 768, n - 1), 1).astype(np.int32) for n in lengths]


PROMPTS = texts(4, 20, 9, 31, 16, 2, 12, 25, seed=0)


def padded(prompts: list[np.ndarray]) -> dict[str, Any]:
    ids = np.zeros((len(prompts), max(map(len, prompts))), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
    ids = torch.tensor(ids)
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def until_end(sequence: Any) -> list[int]:
    """Without the start token, up to the end token."""
    tokens = [int(t) for t in sequence[1:]]
    return tokens[: tokens.index(1)] if 1 in tokens else tokens


@pytest.mark.parametrize(
    ("decoding", "settings", "most_different"),
    [
        (None, {"num_beams": 1}, 0),
        (BeamSearch(beams=4, alpha=0.0), {"num_beams": 4, "length_penalty": 0.0}, 1),
        *(
            (
                BeamSearch(beams=beams, alpha=alpha, rules="transformers"),
                {"num_beams": beams, "length_penalty": alpha},
                0,
            )
            for beams, alpha in ((4, 0.0), (4, 0.6), (3, 1.0), (4, 2.0))
        ),
    ],
    ids=["greedy", "beam", "theirs-0", "theirs-0.6", "theirs-3-beams-1", "theirs-2"],
)
def test_tokens_are_identical(
    theirs: Any,
    ours: tuple[Model, Params],
    decoding: Decoding | None,
    settings: dict[str, Any],
    most_different: int,
) -> None:
    model, params = ours
    generator = Generator(
        model,
        mesh=make_mesh({"tensor": 8}),
        batch_size=8,
        max_input_length=32,
        max_decode_length=LENGTH,
        decoding=decoding,
    )
    found = generator(params, PROMPTS)
    expected = theirs.generate(
        **padded(PROMPTS), max_new_tokens=LENGTH, do_sample=False, use_cache=True, **settings
    )
    wanted = [until_end(sequence) for sequence in expected]
    same = [tokens.tolist() == w for tokens, w in zip(found.tokens, wanted, strict=True)]
    assert same.count(False) <= most_different
    assert len({len(tokens) for tokens in wanted}) > 2, "sequences end at several lengths"
    own = [log_likelihood(theirs, p, w, LENGTH) for p, w in zip(PROMPTS, wanted, strict=True)]
    np.testing.assert_allclose(found.log_probs[same], np.array(own)[same], atol=1e-4)
    assert all(np.array(own)[np.logical_not(same)] < found.log_probs[np.logical_not(same)])


def log_likelihood(model: Any, prompt: np.ndarray, text: list[int], most: int) -> float:
    """Of a text and, where it ends before `most` tokens, its end token."""
    labels = [*text, 1][:most]
    return score(model, prompt, np.array(labels))


def score(model: Any, prompt: np.ndarray, labels: np.ndarray) -> float:
    with torch.no_grad():
        logits = model(
            **padded([prompt]), labels=torch.tensor(labels[None], dtype=torch.long)
        ).logits[0]
    log_probs = torch.log_softmax(logits.double(), -1)
    return float(log_probs[range(len(labels)), labels].sum())


def test_options_score_alike(theirs: Any, ours: tuple[Model, Params]) -> None:
    model, params = ours
    ranker = Ranker(model, mesh=make_mesh({"tensor": 8}), batch_size=8, max_input_length=32)
    options = [texts(2, 5, 3, 4, seed=10 + row) for row in range(len(PROMPTS))]
    for prompt, of_prompt, found in zip(
        PROMPTS, options, ranker(params, PROMPTS, options), strict=True
    ):
        own = np.array([score(theirs, prompt, option) for option in of_prompt])
        np.testing.assert_allclose(found.log_probs, own, atol=1e-4)
        assert found.best(normalized=False) == int(np.argmax(own))
        lengths = np.array([len(option) for option in of_prompt])
        assert found.best(normalized=True) == int(np.argmax(own / lengths))
