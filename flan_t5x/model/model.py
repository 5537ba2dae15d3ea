"""The model as functions of a parameter tree: what training, decoding and checkpoints use."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from flan_t5x.model.config import T5Config
from flan_t5x.model.encoder_decoder import EncoderDecoder
from flan_t5x.model.lora import add_adapters

Params: TypeAlias = dict[str, Any]
"""Nested dict of arrays, e.g. ``params["encoder"]["layers"]["mlp"]["wo"]["kernel"]``."""
LogicalAxes: TypeAlias = dict[str, Any]
"""The same tree with a tuple of axis names for every array."""


class Model:
    """A T5 whose parameters live outside of it.

    Attributes:
        config: the sizes.
        abstract_params: tree of `jax.ShapeDtypeStruct`; building XXL costs no memory.
        logical_axes: tree of names of dimensions, ("layers", ...) first for stacked layers.
    """

    def __init__(self, config: T5Config) -> None:
        self.config = config
        abstract = nnx.eval_shape(lambda: _build(config, nnx.Rngs(0)))
        self._graphdef, self._state = nnx.split(abstract)
        self.abstract_params: Params = nnx.to_pure_dict(self._state)
        self.logical_axes: LogicalAxes = jax.tree_util.tree_map_with_path(
            _logical, self._state, is_leaf=lambda x: isinstance(x, nnx.Variable)
        ).raw_mapping

    def init(self, key: Key[Array, ""]) -> Params:
        """Freshly drawn float32 parameters; jit it with `out_shardings` to build in place."""
        return nnx.to_pure_dict(nnx.split(_build(self.config, nnx.Rngs(params=key)))[1])

    def bind(self, params: Params) -> EncoderDecoder:
        """The Flax module holding `params`; cheap, meant to be called inside jit."""
        state = jax.tree.map(lambda x: x, self._state)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(self._graphdef, state)

    def logits(
        self,
        params: Params,
        batch: dict[str, Int[Array, "batch length"]],
        *,
        dropout_keys: Key[Array, " batch"] | None = None,
    ) -> Float[Array, "batch length vocab"]:
        """Teacher-forced logits of a batch with T5X's feature names (segment ids optional)."""
        return self.bind(params)(
            batch["encoder_input_tokens"],
            batch["decoder_input_tokens"],
            batch["decoder_target_tokens"],
            encoder_segment_ids=batch.get("encoder_segment_ids"),
            decoder_segment_ids=batch.get("decoder_segment_ids"),
            dropout_keys=dropout_keys,
        )


def _build(config: T5Config, rngs: nnx.Rngs) -> EncoderDecoder:
    model = EncoderDecoder(config, rngs=rngs)
    if config.lora is not None:
        add_adapters(model, config.lora, rngs=rngs)
    return model


def _logical(path: tuple[Any, ...], variable: nnx.Variable[Any]) -> tuple[str, ...]:
    names: tuple[str, ...] = variable.get_metadata()["logical"]
    stacked = any(getattr(part, "key", None) == "layers" for part in path)
    return ("layers", *names) if stacked else names
