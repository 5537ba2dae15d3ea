"""Other systems on the same shapes, in the same process."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, Protocol

from flan_t5x.bench.rounds import Times, ratios
from flan_t5x.bench.workload import Workload, packed_batch, prompts
from flan_t5x.errors import UserError


class Peer(Protocol):
    """A system to be measured beside ours."""

    @property
    def name(self) -> str:
        """With its version."""
        ...

    def train_step(self, workload: Workload) -> Callable[[], object]:
        """One training step: forward, backward, Adafactor."""
        ...

    def generators(
        self, workload: Workload, *, max_length: int, beams: int, temperature: float
    ) -> dict[str, Callable[[], object]]:
        """Calls that decode; names as ours."""
        ...


def peer_figures(peer: Peer, ours: Times, theirs: Times, *, tokens: int) -> dict[str, Any]:
    """What a report says of a peer, the ratios being its times over ours, round by round.

    Args:
        peer: gives the name.
        ours: times of our runs.
        theirs: of its runs, in the same rounds.
        tokens: of one run.
    """
    faster = ratios(ours, theirs)
    return {
        "name": peer.name,
        "tokens_per_second": tokens / theirs.median,
        "ratio_median": faster.median,
        "ratio_min": faster.fastest,
        "ratio_max": faster.slowest,
    }


class HuggingFace:
    """`transformers` on torch: ``T5ForConditionalGeneration`` and ``torch.optim.Adafactor``.

    Its rows hold the same tokens; it has no packing, so its attention mask is all ones.

    Raises:
        UserError: where they are not installed.
    """

    def __init__(self) -> None:
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                raise UserError(
                    f"--peer hf needs {package!r}, which is not installed; "
                    "pip install torch transformers"
                )

    @property
    def name(self) -> str:
        """Both versions."""
        import torch
        import transformers

        return f"transformers {transformers.__version__} + torch {torch.__version__}"

    def train_step(self, workload: Workload) -> Callable[[], object]:
        """A step in train mode on `packed_batch`'s tokens."""
        import torch

        model = self._model(workload).train()
        optimizer = torch.optim.Adafactor(model.parameters(), lr=1e-3)
        arrays = packed_batch(workload)
        batch = {
            "input_ids": torch.from_numpy(arrays["encoder_input_tokens"]).long(),
            "decoder_input_ids": torch.from_numpy(arrays["decoder_input_tokens"]).long(),
            "labels": torch.from_numpy(arrays["decoder_target_tokens"]).long(),
        }

        def step() -> float:
            optimizer.zero_grad(set_to_none=True)
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return step

    def generators(
        self, workload: Workload, *, max_length: int, beams: int, temperature: float
    ) -> dict[str, Callable[[], object]]:
        """``generate`` with as many new tokens as ours."""
        import torch

        model = self._model(workload).eval()
        tokens = torch.from_numpy(prompts(workload)).long()
        length = {"max_new_tokens": max_length, "min_new_tokens": max_length}

        def generate(**how: Any) -> Callable[[], object]:
            def run() -> object:
                with torch.inference_mode():
                    return model.generate(input_ids=tokens, **length, **how)

            return run

        return {
            "greedy": generate(do_sample=False, num_beams=1),
            "sample": generate(do_sample=True, temperature=temperature, top_k=0, num_beams=1),
            "beam4": generate(do_sample=False, num_beams=beams),
        }

    def _model(self, workload: Workload) -> Any:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.manual_seed(0)
        c = workload.config
        if c.dtype != "float32" or c.mlp_activations != ("gelu", "linear"):
            raise UserError("--peer hf compares float32 models with gated GELU only")
        config: Any = transformers.T5Config(
            vocab_size=c.vocab_size,
            d_model=c.emb_dim,
            d_kv=c.head_dim,
            d_ff=c.mlp_dim,
            num_layers=c.num_encoder_layers,
            num_decoder_layers=c.num_decoder_layers,
            num_heads=c.num_heads,
            dropout_rate=c.dropout_rate,
            feed_forward_proj="gated-gelu",
        )
        config.decoder_start_token_id = 0
        config.tie_word_embeddings = c.logits_via_embedding  # its constructor ties always
        return transformers.T5ForConditionalGeneration(config)
