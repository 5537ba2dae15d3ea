"""The one table of names: this project's tree, T5X's, scalable_t5's and Hugging Face's.

A row is a kind of parameter. Its name is this project's, in which all layers of a stack are
one array under ``layers``; T5X numbers them (``layers_3``), its scalable_t5 stacks them along
dimension 1 (``encoder/encoder``), Hugging Face numbers blocks and transposes every matrix of a
linear layer. The source of the names: T5X's ``examples/{t5,scalable_t5}/network.py`` and
transformers' ``modeling_t5.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flan_t5x.model.config import T5Config

Layout = Literal["flan_t5x", "t5x", "scalable_t5", "hf"]
"""How names and layers are laid out; several kinds of files share a layout."""


@dataclass(frozen=True)
class Row:
    """A kind of parameter.

    Attributes:
        name: in this project; with ``/layers/`` where there is one per layer.
        dims: names of its dimensions, without the layer: keys of `dimension_sizes`.
        hf: name in Hugging Face, ``{layer}`` standing for the block's number.
        hf_transposed: whether the two dimensions are the other way round there.
    """

    name: str
    dims: tuple[str, ...]
    hf: str
    hf_transposed: bool

    @property
    def stack(self) -> str | None:
        """ "encoder" or "decoder" where there is one per layer, else None."""
        return self.name.split("/", 1)[0] if "/layers/" in self.name else None

    def t5x(self, layer: int | None) -> str:
        """Name in T5X, which is also the name where formats meet."""
        return self.name.replace("/layers/", f"/layers_{layer}/")

    def in_hf(self, layer: int | None) -> str:
        """Name in Hugging Face."""
        return self.hf.format(layer=layer)

    def shape(self, config: T5Config) -> tuple[int, ...]:
        """Of one layer, as T5X stores it."""
        sizes = dimension_sizes(config)
        return tuple(sizes[dim] for dim in self.dims)


@dataclass(frozen=True)
class Place:
    """Where a leaf of some file belongs.

    Attributes:
        row: its kind.
        layer: which layer it holds; None for all of them, or where there are no layers.
        axis: dimension along which all layers lie; None for a single layer.
    """

    row: Row
    layer: int | None
    axis: int | None


def _attention(name: str, hf: str) -> Iterator[Row]:
    for part, letter in (("query", "q"), ("key", "k"), ("value", "v")):
        dims = ("embed", "joined_kv")
        yield Row(f"{name}/{part}/kernel", dims, f"{hf}.{letter}.weight", True)
    yield Row(f"{name}/out/kernel", ("joined_kv", "embed"), f"{hf}.o.weight", True)


def _norm(name: str, hf: str) -> Row:
    return Row(f"{name}/scale", ("embed",), f"{hf}.weight", False)


def _mlp(name: str, hf: str) -> Iterator[Row]:
    for part in ("wi", "wi_0", "wi_1"):
        yield Row(f"{name}/{part}/kernel", ("embed", "mlp"), f"{hf}.{part}.weight", True)
    yield Row(f"{name}/wo/kernel", ("mlp", "embed"), f"{hf}.wo.weight", True)


def _relpos(stack: str) -> Row:
    hf = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return Row(f"{stack}/relpos_bias/rel_embedding", ("heads", "relpos_buckets"), hf, True)


def _rows() -> Iterator[Row]:
    yield Row("token_embedder/embedding", ("vocab", "embed"), "shared.weight", False)
    ours, hf = "encoder/layers", "encoder.block.{layer}.layer"
    yield _norm(f"{ours}/pre_attention_layer_norm", f"{hf}.0.layer_norm")
    yield from _attention(f"{ours}/attention", f"{hf}.0.SelfAttention")
    yield _norm(f"{ours}/pre_mlp_layer_norm", f"{hf}.1.layer_norm")
    yield from _mlp(f"{ours}/mlp", f"{hf}.1.DenseReluDense")
    yield _relpos("encoder")
    yield _norm("encoder/encoder_norm", "encoder.final_layer_norm")
    ours, hf = "decoder/layers", "decoder.block.{layer}.layer"
    yield _norm(f"{ours}/pre_self_attention_layer_norm", f"{hf}.0.layer_norm")
    yield from _attention(f"{ours}/self_attention", f"{hf}.0.SelfAttention")
    yield _norm(f"{ours}/pre_cross_attention_layer_norm", f"{hf}.1.layer_norm")
    yield from _attention(f"{ours}/encoder_decoder_attention", f"{hf}.1.EncDecAttention")
    yield _norm(f"{ours}/pre_mlp_layer_norm", f"{hf}.2.layer_norm")
    yield from _mlp(f"{ours}/mlp", f"{hf}.2.DenseReluDense")
    yield _relpos("decoder")
    yield _norm("decoder/decoder_norm", "decoder.final_layer_norm")
    yield Row("decoder/logits_dense/kernel", ("embed", "vocab"), "lm_head.weight", True)


ROWS = tuple(_rows())
"""Every kind of parameter of every T5; `expected` leaves out what a given model lacks."""

_BY_NAME = {row.name: row for row in ROWS}
_BY_HF = {row.hf: row for row in ROWS}
_HF_LAYER = re.compile(r"\.block\.(\d+)\.")


def dimension_sizes(config: T5Config) -> dict[str, int]:
    """Dimension name -> size."""
    return {
        "vocab": config.vocab_size,
        "embed": config.emb_dim,
        "mlp": config.mlp_dim,
        "heads": config.num_heads,
        "joined_kv": config.joined_kv,
        "relpos_buckets": config.relpos_num_buckets,
    }


def layers(row: Row, config: T5Config) -> list[int | None]:
    """The layers that have such a parameter; [None] where there are no layers."""
    if row.stack is None:
        return [None]
    count = config.num_encoder_layers if row.stack == "encoder" else config.num_decoder_layers
    return list(range(count))


def expected(config: T5Config) -> Iterator[Row]:
    """The rows that a model has: its MLP is gated or not, its head tied or not."""
    gated = len(config.mlp_activations) == 2
    for row in ROWS:
        kernel = row.name.split("/")[-2]
        if kernel in (("wi",) if gated else ("wi_0", "wi_1")):
            continue
        if kernel == "logits_dense" and config.logits_via_embedding:
            continue
        yield row


def find(name: str, layout: Layout) -> Place | None:
    """What a leaf of a checkpoint is, by its name; None where the table does not know it."""
    if layout == "hf":
        return _find_hf(name)
    if layout == "flan_t5x":
        row = _BY_NAME.get(name)
        return None if row is None else Place(row, None, 0 if row.stack else None)
    if layout == "t5x":
        match = re.match(r"(encoder|decoder)/layers_(0|[1-9]\d*)/(.*)", name)
        if match is None:
            row = _BY_NAME.get(name)
            return Place(row, None, None) if row and row.stack is None else None
        row = _BY_NAME.get(f"{match[1]}/layers/{match[3]}")
        return None if row is None else Place(row, int(match[2]), None)
    match = re.match(r"(encoder|decoder)/\1/(.*)", name)
    if match is None:
        row = _BY_NAME.get(name)
        shared_bias = row is not None and row.dims[0] == "heads"
        return Place(row, None, None) if row and row.stack is None and not shared_bias else None
    # Each layer of scalable_t5 has a bias table of its own, stacked like everything else.
    row = _BY_NAME.get(f"{match[1]}/layers/{match[2]}") or _BY_NAME.get(f"{match[1]}/{match[2]}")
    return None if row is None else Place(row, None, 1)


def _find_hf(name: str) -> Place | None:
    row = _BY_HF.get(name)
    if row is not None:
        return Place(row, None, None) if "{layer}" not in row.hf else None
    match = _HF_LAYER.search(name)
    if match is None:
        return None
    row = _BY_HF.get(_HF_LAYER.sub(".block.{layer}.", name))
    return None if row is None else Place(row, int(match[1]), None)


def layout_of(names: list[str]) -> Layout:
    """The layout that a T5X-like file has, by its names: layers numbered, or stacked."""
    stacked = any(re.match(r"(encoder|decoder)/\1/", name) for name in names)
    return "scalable_t5" if stacked else "t5x"
