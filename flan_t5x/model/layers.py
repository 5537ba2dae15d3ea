"""The small parts of T5: norm, gated MLP, relative position bias, dropout, parameters.

Dimension names used throughout the model: B batch, L length (Q query, K key), D emb_dim,
H heads, C head_dim, F mlp_dim, V vocab_size, N layers.

Parameters carry ``logical=(...)``, the names of their dimensions; sharding rules in
`flan_t5x.parallel` turn them into mesh axes. Activations are named in the same words where their
sharding has to be said (`constrain`). Nothing in this package knows of a mesh.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int, Key

from flan_t5x.model.config import LoraConfig, T5Config
from flan_t5x.parallel.activations import constrain

Initializer = Callable[..., jax.Array]
EXACT = jax.lax.Precision.HIGHEST

dense_init = initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
attention_init = initializers.variance_scaling(1.0, "fan_in", "normal")
embedding_init = initializers.normal(stddev=1.0)
relpos_init = initializers.variance_scaling(1.0, "fan_avg", "uniform")

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": jax.nn.gelu,  # the tanh approximation, as in flax.linen.gelu and T5X
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "linear": lambda x: x,
}


def param(
    rngs: nnx.Rngs, init: Initializer, shape: tuple[int, ...], logical: tuple[str, ...]
) -> nnx.Param[jax.Array]:
    """A float32 parameter that knows the names of its dimensions."""
    if len(shape) != len(logical):
        raise ValueError(f"shape {shape} and logical axes {logical} differ in length")
    return nnx.Param(init(rngs.params(), shape, jnp.float32), logical=logical)


class Dropout:
    """Inverted dropout whose mask is a function of (key of the row, site) alone.

    One key per batch row, so a row's mask does not depend on how the batch is divided over
    devices, processes or microbatches. Holds no state: `keys` None means evaluation.

    Args:
        rate: probability of dropping.
        keys: [batch] typed PRNG keys, or None.
    """

    def __init__(self, rate: float, keys: Key[Array, " batch"] | None) -> None:
        self.rate = rate if keys is not None else 0.0
        self.keys = keys

    def fold(self, data: int | Int[Array, ""]) -> Dropout:
        """The dropout of a sub-module or layer: its own stream."""
        if self.keys is None:
            return self
        return Dropout(self.rate, jax.vmap(jax.random.fold_in, (0, None))(self.keys, data))

    def scale(self, site: int, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array | None:
        """[batch, *shape] of 0 or 1/(1-rate), or None where nothing is dropped."""
        if self.keys is None or self.rate == 0.0:
            return None
        keep = 1.0 - self.rate

        def row(key: jax.Array) -> jax.Array:
            return jax.random.bernoulli(jax.random.fold_in(key, site), keep, shape)

        return jax.vmap(row)(self.keys).astype(dtype) / jnp.asarray(keep, dtype)

    def __call__(
        self, x: Float[Array, "batch length dim"], site: int, *, broadcast: bool = True
    ) -> Float[Array, "batch length dim"]:
        """Drops features of x [B, L, D]; with `broadcast`, one mask serves the whole length."""
        length = 1 if broadcast else x.shape[1]
        scale = self.scale(site, (length, x.shape[-1]), x.dtype)
        return x if scale is None else x * scale


NO_DROPOUT = Dropout(0.0, None)


class LayerNorm(nnx.Module):
    """T5's norm: root mean square, no mean, no bias; computed in float32."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        self.scale = param(rngs, initializers.ones, (config.emb_dim,), ("norm",))
        self.epsilon = config.layer_norm_epsilon
        self.dtype = jnp.dtype(config.dtype)

    def __call__(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return _rms_norm(x, self.scale[...], self.epsilon, self.dtype)


@functools.partial(jax.checkpoint, static_argnums=(2, 3))
def _rms_norm(
    x: Float[Array, "*batch dim"], scale: Float[Array, " dim"], epsilon: float, dtype: jnp.dtype
) -> Float[Array, "*batch dim"]:
    """Only x is kept for the gradient; what is computed from it is cheaper made again."""
    x = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    y = (x * jax.lax.rsqrt(mean_square + epsilon)).astype(dtype)
    return y * scale.astype(dtype)


class Dense(nnx.Module):
    """A matrix without bias, [in, out]; computed in `dtype`.

    With adapters (`flan_t5x.model.lora`) it also has ``lora_a`` [in, rank] and ``lora_b``
    [rank, out], and adds lora.scale * x A B.
    """

    lora: LoraConfig | None = None
    lora_a: nnx.Param[jax.Array]
    lora_b: nnx.Param[jax.Array]

    def __init__(
        self,
        shape: tuple[int, int],
        logical: tuple[str, str],
        *,
        init: Initializer,
        dtype: str,
        rngs: nnx.Rngs,
    ) -> None:
        self.kernel = param(rngs, init, shape, logical)
        self.logical = logical
        self.dtype = jnp.dtype(dtype)

    def __call__(
        self, x: Float[Array, "*batch in"], dropout: Dropout = NO_DROPOUT, site: int = 0
    ) -> Float[Array, "*batch out"]:
        """x @ kernel; dropout and site are those of the adapter's input, where there is one."""
        # Said of the kernel in the dtype of the product, and so of its gradient: what is sharded is
        # gathered in that dtype, and the gradient scattered where it is summed.
        kernel = constrain(self.kernel[...].astype(self.dtype), self.logical)
        x = x.astype(self.dtype)
        y = product(x, kernel)
        if self.lora is None:
            return y
        x = Dropout(self.lora.dropout, dropout.keys)(x, site)
        low = product(x, self.lora_a[...].astype(self.dtype))
        return y + self.lora.scale * product(low, self.lora_b[...].astype(self.dtype))


_FAR_WIDER = 8


@jax.custom_vjp
def product(
    x: Float[Array, "*batch in"], kernel: Float[Array, "in out"]
) -> Float[Array, "*batch out"]:
    """x @ kernel, with a gradient that transposes nothing it need not.

    The kernel's gradient contracts over all positions. Positions of all rows are joined to one
    dimension first: written over [batch, length], XLA's CPU backend would turn a factor in
    memory, in JAX's own rule the wide one, and compute it a second time in that order. Only where
    the output is far wider (the output layer) turning x is worth it: then both are read in order.
    """
    return jnp.dot(x, kernel)


def _product_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return jnp.dot(x, kernel), (x, kernel)


def _product_backward(
    saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    if grad.shape[-1] > _FAR_WIDER * x.shape[-1]:
        positions = tuple(range(x.ndim - 1))
        d_kernel = jnp.tensordot(x, grad, (positions, positions))
    else:
        joined = (a.reshape(-1, a.shape[-1]) for a in (x, grad))
        d_kernel = jnp.einsum("pd,pf->df", *joined)
    return jnp.dot(grad, kernel.T), d_kernel


product.defvjp(_product_forward, _product_backward)


class GatedMLP(nnx.Module):
    """wo(dropout(act_0(wi_0 x) * act_1(wi_1 x))); with one activation, the plain MLP."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        self.activations = config.mlp_activations
        d, f = config.emb_dim, config.mlp_dim
        names = ["wi"] if len(self.activations) == 1 else ["wi_0", "wi_1"]
        self.names = tuple(names)
        for name in names:
            kernel = Dense((d, f), ("embed", "mlp"), init=dense_init, dtype=config.dtype, rngs=rngs)
            setattr(self, name, kernel)
        self.wo = Dense((f, d), ("mlp", "embed"), init=dense_init, dtype=config.dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch length dim"], dropout: Dropout
    ) -> Float[Array, "batch length dim"]:
        hidden = ("batch", "length", "mlp")
        parts = [getattr(self, name)(x, dropout, 1 + i) for i, name in enumerate(self.names)]
        parts = [constrain(part, hidden) for part in parts]
        scale = dropout.scale(0, (1, parts[0].shape[-1]), parts[0].dtype)
        return self.wo(_gated(self.activations, parts, scale), dropout, 3)


@functools.partial(jax.checkpoint, static_argnums=0)
def _gated(
    activations: tuple[str, ...],
    parts: list[Float[Array, "batch length mlp"]],
    scale: Float[Array, "batch 1 mlp"] | None,
) -> Float[Array, "batch length mlp"]:
    """The product of the activated parts, dropped. Only the parts are kept for its gradient."""
    hidden = ACTIVATIONS[activations[0]](parts[0])
    for activation, part in zip(activations[1:], parts[1:], strict=True):
        hidden = hidden * ACTIVATIONS[activation](part)
    return hidden if scale is None else hidden * scale


class RelativePositionBias(nnx.Module):
    """One learned bias per head and distance bucket, shared by all layers of a stack."""

    def __init__(self, config: T5Config, *, bidirectional: bool, rngs: nnx.Rngs) -> None:
        shape = (config.num_heads, config.relpos_num_buckets)
        self.rel_embedding = param(rngs, relpos_init, shape, ("heads", "relpos_buckets"))
        self.bidirectional = bidirectional
        self.num_buckets = config.relpos_num_buckets
        self.max_distance = config.relpos_max_distance
        self.dtype = jnp.dtype(config.dtype)

    def __call__(self, queries: int, keys: int) -> Float[Array, "1 heads queries keys"]:
        """Bias for absolute positions 0..queries-1 against 0..keys-1.

        The bias depends on key - query only. So each of the queries+keys-1 distances is looked
        up once and laid out along the diagonals: the gradient is then a dense sum instead of a
        scatter of queries*keys values into `num_buckets` rows.
        """
        distance = jnp.arange(-(queries - 1), keys)
        bucket = relative_position_bucket(
            distance,
            bidirectional=self.bidirectional,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
        )
        one_hot = jax.nn.one_hot(bucket, self.num_buckets, dtype=jnp.float32)
        # Exact on every device: TPUs would round float32 factors to bfloat16.
        values = jnp.dot(self.rel_embedding[...], one_hot.T, precision=EXACT)  # [H, Q+K-1]
        bias = toeplitz(values, queries, keys)[None].astype(self.dtype)
        return constrain(bias, (None, "heads", None, None))


def toeplitz(
    values: Float[Array, "heads distances"], queries: int, keys: int
) -> Float[Array, "heads queries keys"]:
    """M[h, q, k] = values[h, k - q + queries - 1], by reshapes alone (cheap to differentiate)."""
    n = queries + keys - 1
    padded = jnp.pad(values, ((0, 0), (0, 1)))  # period n+1: each row starts one step earlier
    # A product with ones, not `jnp.tile`: its gradient is then a matrix product, too.
    ones = jnp.ones(queries, values.dtype)
    tiled = jnp.einsum("q,hn->hqn", ones, padded, precision=EXACT)
    tiled = tiled.reshape(len(values), -1)[:, : queries * n]
    return tiled.reshape(-1, queries, n)[:, :, queries - 1 :]


def relative_position_bucket(
    relative_position: Int[Array, "*shape"],
    *,
    bidirectional: bool,
    num_buckets: int,
    max_distance: int,
) -> Int[Array, "*shape"]:
    """Bucket of key position minus query position (Raffel et al. 2020, section 2.1).

    Half of the buckets are exact small distances, the others grow logarithmically up to
    `max_distance`; with `bidirectional`, one half serves keys after the query.
    """
    distance = -relative_position
    offset = jnp.zeros_like(distance)
    if bidirectional:
        num_buckets //= 2
        offset = (distance < 0).astype(jnp.int32) * num_buckets
        distance = jnp.abs(distance)
    else:
        distance = jnp.maximum(distance, 0)
    exact = num_buckets // 2
    # eps: log(0) never becomes -inf, as in T5X; those positions take the exact branch anyway.
    ratio = distance.astype(jnp.float32) / exact + jnp.finfo(jnp.float32).eps
    scaled = jnp.log(ratio) / jnp.log(max_distance / exact) * (num_buckets - exact)
    far = jnp.minimum(exact + scaled.astype(jnp.int32), num_buckets - 1)
    return offset + jnp.where(distance < exact, distance, far)


def segment_mask(
    query_segments: Int[Array, "batch queries"], key_segments: Int[Array, "batch keys"]
) -> Bool[Array, "batch queries keys"]:
    """True where query and key belong to the same example; segment 0 is padding."""
    same = query_segments[:, :, None] == key_segments[:, None, :]
    return same & (query_segments > 0)[:, :, None] & (key_segments > 0)[:, None, :]
