"""The T5 1.1 configuration. Sizes are written out in ``gin/models``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, get_args

from flan_t5x.errors import UserError, nearest, require_count

if TYPE_CHECKING:
    from jax.sharding import Mesh

RematPolicy = Literal["none", "minimal", "save_dot_except_mlp", "save_qkv_proj", "full"]

KERNELS = ("query", "key", "value", "out", "wi", "wi_0", "wi_1", "wo")
"""Names of the matrices of a layer; with two activations ``wi_0`` and ``wi_1`` replace ``wi``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (Hu et al. 2021): x W becomes x W + alpha / rank * x A B.

    A is drawn and B starts at zero, so the first step computes what the base does. Only A and B
    are trained, and only they are in the run's checkpoints.

    Attributes:
        rank: columns of A and rows of B.
        alpha: the delta is scaled by alpha / rank.
        targets: matrices that get an adapter in every layer: names of `KERNELS`, or more of a
            path to choose one kind of attention, e.g. "encoder_decoder_attention/query".
        dropout: probability of dropping features of x before A, one mask for the whole length.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("query", "value")
    dropout: float = 0.0

    def __post_init__(self) -> None:
        targets = (self.targets,) if isinstance(self.targets, str) else tuple(self.targets)
        object.__setattr__(self, "targets", targets)
        require_count("LoraConfig.rank", self.rank)
        if not isinstance(self.alpha, int | float) or not self.alpha > 0:
            raise UserError(f"LoraConfig.alpha = {self.alpha!r}: a number > 0 is needed")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise UserError(f"LoraConfig.dropout = {self.dropout!r}: needs 0 <= rate < 1")
        if not targets:
            raise UserError(f"LoraConfig.targets is empty; it names some of {', '.join(KERNELS)}")
        for target in targets:
            if (name := str(target).rsplit("/", 1)[-1]) not in KERNELS:
                hint = nearest(name, KERNELS) or f"known: {', '.join(KERNELS)}"
                raise UserError(f"LoraConfig.targets has {target!r}, no matrix of a layer; {hint}")

    @property
    def scale(self) -> float:
        """What x A B is multiplied by."""
        return self.alpha / self.rank


@dataclasses.dataclass(frozen=True, kw_only=True)
class T5Config:
    """Sizes and numerics of a T5 encoder-decoder.

    Attributes:
        vocab_size: rows of the embedding (a multiple of 128 shards and tiles well).
        emb_dim: width of the residual stream.
        num_heads: attention heads.
        head_dim: width of one head.
        mlp_dim: hidden width of the gated MLP.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        mlp_activations: one or two activations; two are multiplied (T5 1.1: gelu x linear).
        dropout_rate: probability of dropping, everywhere T5 drops.
        dtype: of activations, "float32" or "bfloat16". Softmax, norms, logits stay float32.
        logits_via_embedding: tie the output layer to the embedding (T5 1.0), scaled by
            1/sqrt(emb_dim).
        relpos_num_buckets: buckets of the relative position bias.
        relpos_max_distance: distance from which one bucket serves all.
        layer_norm_epsilon: added to the mean square.
        unroll_layers: how many layers a scan step holds; 0 means all (straight-line code).
        remat_policy: what the forward pass keeps of a layer besides its input, from most to
            least: "none" (recompute nothing), "minimal" (keep the outputs of all products with
            weights, and the result of attention), "save_dot_except_mlp" (only attention's four
            products with weights), "save_qkv_proj" (only queries, keys and values), "full"
            (nothing: all is recomputed).
        attention: kind of attention function in `flan_t5x.model.attention.ATTENTION`; "auto"
            takes what suits the devices (`for_devices`).
        unroll_decode: whether decoding runs its layers as straight-line code (faster on a CPU;
            holds a second copy of the decoder's layers); None takes what suits the devices.
        lora: low-rank adapters; with them everything else is frozen. None trains everything.
    """

    vocab_size: int
    emb_dim: int
    num_heads: int
    head_dim: int
    mlp_dim: int
    num_encoder_layers: int
    num_decoder_layers: int
    mlp_activations: tuple[str, ...] = ("gelu", "linear")
    dropout_rate: float = 0.0
    dtype: str = "float32"
    logits_via_embedding: bool = False
    relpos_num_buckets: int = 32
    relpos_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    unroll_layers: int = 1
    remat_policy: RematPolicy = "none"
    attention: str = "auto"
    unroll_decode: bool | None = None
    lora: LoraConfig | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))
        positive = (
            "vocab_size", "emb_dim", "num_heads", "head_dim", "mlp_dim",
            "num_encoder_layers", "num_decoder_layers", "relpos_num_buckets", "relpos_max_distance",
        )  # fmt: skip
        for name in positive:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"T5Config.{name} = {value!r}: a positive whole number is needed")
        if not isinstance(self.dropout_rate, int | float) or not 0 <= self.dropout_rate < 1:
            raise UserError(f"T5Config.dropout_rate = {self.dropout_rate!r}: needs 0 <= rate < 1")
        if self.dtype == "float16":
            raise UserError(
                "T5Config.dtype = 'float16': T5 overflows in float16 (the MLP's output "
                "projection); use 'bfloat16' or 'float32'"
            )
        if self.dtype not in ("float32", "bfloat16"):
            raise UserError(f"T5Config.dtype = {self.dtype!r}: use 'float32' or 'bfloat16'")
        if self.remat_policy not in get_args(RematPolicy):
            policies = get_args(RematPolicy)
            hint = nearest(str(self.remat_policy), policies) or f"use one of {policies}"
            raise UserError(f"T5Config.remat_policy = {self.remat_policy!r}: {hint}")
        known = ("gelu", "relu", "silu", "linear")
        if not 1 <= len(self.mlp_activations) <= 2 or set(self.mlp_activations) - set(known):
            raise UserError(
                f"T5Config.mlp_activations = {self.mlp_activations!r}: one or two of {known}"
            )

    def for_devices(self, *, platform: str, count: int) -> T5Config:
        """This configuration with what it leaves open chosen for the devices of a mesh.

        Args:
            platform: "cpu", "tpu", "gpu".
            count: devices of the mesh.
        """
        cpu = platform == "cpu"
        attention, unroll = self.attention, self.unroll_decode
        if attention == "auto":
            attention = "head_by_head" if cpu and count == 1 else "saved_sums"
        return dataclasses.replace(
            self, attention=attention, unroll_decode=cpu if unroll is None else unroll
        )

    def for_mesh(self, mesh: Mesh) -> T5Config:
        """`for_devices` with those of a mesh."""
        return self.for_devices(platform=mesh.devices.flat[0].platform, count=mesh.size)

    def check_vocabulary(self, size: int, *, name: str) -> None:
        """Raises UserError where ids of a vocabulary would fall outside of the embedding.

        Args:
            size: number of the vocabulary's ids.
            name: what the user calls it.
        """
        if size > self.vocab_size:
            fit = -(-size // 128) * 128
            raise UserError(
                f"vocabulary {name!r} has {size} ids, but the model's embedding has "
                f"{self.vocab_size} rows; set T5Config.vocab_size = {fit}, or use the vocabulary "
                "the checkpoint was made with"
            )

    @property
    def joined_kv(self) -> int:
        """num_heads * head_dim, the width of queries, keys and values together."""
        return self.num_heads * self.head_dim

    def num_parameters(self) -> int:
        """Parameter count by arithmetic, without adapters (a test compares it with the model)."""
        d, kv, f = self.emb_dim, self.joined_kv, self.mlp_dim
        attention = 4 * d * kv
        mlp = (len(self.mlp_activations) + 1) * d * f
        encoder = self.num_encoder_layers * (attention + mlp + 2 * d)
        decoder = self.num_decoder_layers * (2 * attention + mlp + 3 * d)
        bias = 2 * self.relpos_num_buckets * self.num_heads
        head = 0 if self.logits_via_embedding else d * self.vocab_size
        return self.vocab_size * d + encoder + decoder + bias + head + 2 * d
