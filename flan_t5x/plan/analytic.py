"""The step by arithmetic alone: memory, FLOPs and collectives without a compiler."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import optax

from flan_t5x.bench.flops import decoder_flops, encoder_flops, train_flops
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model
from flan_t5x.parallel.mesh import MESH_AXES
from flan_t5x.parallel.rules import Rules, partition_spec, resolve_rules
from flan_t5x.plan.hlo import Collective
from flan_t5x.plan.job import PlanJob


@dataclass(frozen=True)
class Bytes:
    """Bytes a chip by kind.

    Attributes:
        parameters: float32.
        optimizer: its state.
        activations: what the forward pass keeps for the backward pass.
        temporaries: all else: gradients, gathered weights, work space.
    """

    parameters: int
    optimizer: int
    activations: int
    temporaries: int

    @property
    def total(self) -> int:
        """All kinds together."""
        return self.parameters + self.optimizer + self.activations + self.temporaries


@dataclass(frozen=True)
class MeshSizes:
    """What `partition_spec` reads of a mesh, without devices."""

    shape: dict[str, int]


def mesh_sizes(job: PlanJob) -> MeshSizes:
    """The job's mesh by name."""
    return MeshSizes(dict(zip(MESH_AXES, job.shape(), strict=True)))


class _Parameter(NamedTuple):
    """One parameter and its moments, shapes only."""

    name: str
    value: jax.ShapeDtypeStruct
    logical: tuple[str, ...]
    moments: tuple[jax.ShapeDtypeStruct, ...]


@functools.lru_cache(maxsize=8)
def _parameters(
    config: T5Config, optimizer: optax.GradientTransformation
) -> tuple[_Parameter, ...]:
    """Kept: a search asks for the same model hundreds of times."""
    model = Model(config)
    moments: dict[tuple[str, ...], list[Any]] = {}
    abstract = jax.eval_shape(optimizer.init, model.abstract_params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(abstract):
        moments.setdefault(_keys(path), []).append(leaf)
    flat = jax.tree_util.tree_leaves_with_path(model.abstract_params)
    named = jax.tree.leaves(model.logical_axes, is_leaf=lambda x: isinstance(x, tuple))
    return tuple(
        _Parameter("/".join(_keys(path)), leaf, logical, tuple(moments.get(_keys(path), ())))
        for (path, leaf), logical in zip(flat, named, strict=True)
    )


def _keys(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(part.key) for part in path if hasattr(part, "key"))


def state_bytes(job: PlanJob) -> tuple[int, int]:
    """Bytes of parameters and of the optimizer's state on a chip, by arithmetic.

    A moment without a dimension of its parameter is divided as the rest of it.
    """
    mesh: Any = mesh_sizes(job)
    rules = resolve_rules(job.rules)
    parameters = 0
    optimizer = 0
    plain = dataclasses.replace(job.config, remat_policy="none")
    for name, leaf, logical, moments in _parameters(plain, job.optimizer):
        spec = partition_spec(logical, leaf.shape, rules=rules, mesh=mesh, name=name)
        parts = [math.prod(mesh.shape[a] for a in _tuple(entry)) for entry in spec]
        shard = [n // p for n, p in zip(leaf.shape, parts, strict=True)]
        parameters += math.prod(shard) * leaf.dtype.itemsize
        optimizer += sum(_moment(moment, leaf.shape, shard) for moment in moments)
    halves = job.tpu.devices // job.tpu.chips
    return parameters * halves, optimizer * halves


def kept_bytes(job: PlanJob) -> int:
    """Bytes a chip that the forward pass keeps for the backward pass, by remat policy.

    Of every layer its input; with "minimal" the outputs of all products with weights and the
    result of attention; with "none" also attention's weights, where the attention function keeps
    them. And the logits, float32, twice (with their gradient).
    """
    c, mesh = job.config, mesh_sizes(job).shape
    rows = job.batch / math.prod(mesh[a] for a in ("slice", "data", "fsdp"))
    rows /= job.step.num_microbatches
    width = 2 if c.dtype == "bfloat16" else 4
    tensor = mesh["tensor"]
    policy = c.remat_policy
    divided = len(c.mlp_activations) * c.mlp_dim if policy in ("minimal", "none") else 0
    attention = 3 * c.joined_kv if policy != "full" else 0
    if _saves_sums(job) and policy in ("minimal", "none"):
        attention += c.joined_kv
    joined = c.emb_dim if policy not in ("save_qkv_proj", "full") else 0
    last = c.emb_dim if policy in ("minimal", "none") else 0
    encoder = c.emb_dim + joined + last + (attention + divided) / tensor
    decoder = c.emb_dim + 2 * joined + last + (2 * attention + divided) / tensor
    kept = c.num_encoder_layers * job.inputs * encoder
    kept += c.num_decoder_layers * (job.targets * decoder)
    if policy == "none" and not _saves_sums(job):
        kept += 2 * _pairs(job) * c.num_heads / tensor
    logits = 2 * 4 * job.targets * c.vocab_size / tensor
    chip = job.tpu.devices / job.tpu.chips
    return int(rows * (kept * width + logits) * chip)


_MIXED_AGAIN = {
    "none": (0, 1),
    "minimal": (1, 1),
    "save_dot_except_mlp": (1, 3),
    "save_qkv_proj": (2, 3),
    "full": (0, 1),
}
"""Products of queries with keys, or weights with values, that are made again: where attention keeps
its weights, and where it keeps its sums and makes the weights again in the backward pass whatever
was computed again before. With "full" besides the whole forward pass."""


def step_flops(job: PlanJob) -> float:
    """FLOPs of the step on one chip, with what the remat policy computes again."""
    c = job.config
    model = train_flops(c, batch=job.batch, inputs=job.inputs, targets=job.targets)
    products = _MIXED_AGAIN[c.remat_policy][_saves_sums(job)]
    again = products * 2 * _pairs(job) * c.joined_kv * job.batch
    tokens = c.num_encoder_layers * job.inputs + c.num_decoder_layers * job.targets
    tokens *= job.batch
    if c.remat_policy == "full":
        # All but the head and each layer's last product, whose result nothing in the layer needs.
        again += encoder_flops(c, batch=job.batch, inputs=job.inputs)
        again += decoder_flops(c, batch=job.batch, inputs=job.inputs, targets=job.targets)
        again -= 2 * c.emb_dim * c.vocab_size * job.batch * job.targets
        again -= 2 * c.mlp_dim * c.emb_dim * tokens
    elif c.remat_policy in ("save_dot_except_mlp", "save_qkv_proj"):
        again += 2 * len(c.mlp_activations) * c.mlp_dim * c.emb_dim * tokens
        if c.remat_policy == "save_qkv_proj":
            joining = tokens + c.num_decoder_layers * job.targets * job.batch
            again += 2 * c.joined_kv * c.emb_dim * joining
    return (model + again) / job.chips


def _pairs(job: PlanJob) -> int:
    """Pairs of a query and a key, of all layers, in one row."""
    c = job.config
    pairs = c.num_encoder_layers * job.inputs**2
    return pairs + c.num_decoder_layers * job.targets * (job.targets + job.inputs)


def _saves_sums(job: PlanJob) -> bool:
    """Whether attention keeps its result and sums, not its weights (`model.saved_sums`)."""
    placed = job.config.for_devices(platform="tpu", count=job.devices)
    return placed.attention == "saved_sums"


def collectives(job: PlanJob) -> tuple[Collective, ...]:
    """Bytes a chip of the collectives that the rules make necessary.

    "fsdp": every weight is gathered in bfloat16 forward and backward, its gradient reduced; once
    more for every microbatch. Replicas: one float32 all-reduce of the gradients' shards.
    "tensor": an all-reduce of the residual stream behind each product that joins it, forward,
    backward and, where it is computed again, once more.
    """
    c, mesh = job.config, mesh_sizes(job).shape
    rules = resolve_rules(job.rules)
    count = c.num_parameters()
    micro = job.step.num_microbatches
    width = 2 if c.dtype == "bfloat16" else 4
    tensor = mesh["tensor"] if _shards(rules, "mlp", "tensor") else 1
    fsdp = mesh["fsdp"] if _shards(rules, "embed", "fsdp") else 1
    found = []
    if fsdp > 1:
        size = count // tensor * width * micro
        found.append(Collective("all-gather", "fsdp", fsdp, 2 * size, 2 * micro))
        found.append(Collective("reduce-scatter", "fsdp", fsdp, size, micro))
    for axis in ("slice", "data", *(("fsdp",) if fsdp == 1 else ())):
        if mesh[axis] > 1:
            size = 4 * count // (tensor * fsdp)
            found.append(Collective("all-reduce", axis, mesh[axis], size, 1))
    if tensor > 1:
        rows = job.batch / math.prod(mesh[a] for a in ("slice", "data", "fsdp"))
        passes = 3 if c.remat_policy == "full" else 2
        stream = c.num_encoder_layers * 2 * job.inputs + c.num_decoder_layers * 3 * job.targets
        size = int(rows * stream * c.emb_dim * width * passes)
        found.append(Collective("all-reduce", "tensor", tensor, size, passes))
    return tuple(found)


def memory(job: PlanJob) -> Bytes:
    """Bytes a chip by kind: exact for parameters and optimizer, an estimate for the rest."""
    parameters, optimizer = state_bytes(job)
    c = job.config
    layer = (3 * c.emb_dim * c.mlp_dim + 8 * c.emb_dim * c.joined_kv) * 2
    gathered = 2 * layer // max(mesh_sizes(job).shape["tensor"], 1)
    head = 4 * c.vocab_size * c.emb_dim // max(mesh_sizes(job).shape["tensor"], 1)
    return Bytes(parameters, optimizer, kept_bytes(job), parameters + gathered + head)


def hbm_traffic(job: PlanJob, used: Bytes) -> float:
    """Bytes to and from memory a step: the state once each way, weights three times in
    bfloat16, activations written and read; work within a layer is left out."""
    weights = 3 * 2 * job.config.num_parameters() * job.step.num_microbatches
    weights //= max(mesh_sizes(job).shape["tensor"], 1)
    kept = 2 * used.activations * job.step.num_microbatches
    return 3.0 * used.parameters + 2.0 * used.optimizer + kept + weights


def _moment(moment: Any, shape: tuple[int, ...], shard: list[int]) -> int:
    size = int(moment.dtype.itemsize)
    if moment.shape == shape:
        return size * math.prod(shard)
    fits = [
        i for i in range(len(shape)) if moment.shape == tuple(shape[:i]) + tuple(shape[i + 1 :])
    ]
    if len(fits) == 1:
        return size * math.prod(n for i, n in enumerate(shard) if i != fits[0])
    return size * math.prod(moment.shape)


def _tuple(entry: Any) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else tuple(entry or ())


def _shards(rules: Rules, axis: str, mesh_axis: str) -> bool:
    return any(name == axis and mesh_axis in _tuple(target) for name, target in rules)
