"""What the compiler made of the sharded step: nothing as large as a parameter is whole under FSDP,
and gradients of replicas are reduced once, however many microbatches there are."""

from __future__ import annotations

import functools
import math
import re

import jax
import pytest

from flan_t5x.model.config import T5Config
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import resolve_rules
from flan_t5x.train.job import build_network
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.step import MODEL_FEATURES, StepConfig, compile_step

# No activation (at most 32 x 12 x 96 numbers) has the shape of a stacked parameter.
CONFIG = T5Config(
    vocab_size=192,
    emb_dim=32,
    num_heads=4,
    head_dim=12,
    mlp_dim=96,
    num_encoder_layers=3,
    num_decoder_layers=3,
    dropout_rate=0.1,
    remat_policy="minimal",
)


@functools.cache
def program(axis: str, rules: str, micro: int) -> tuple[str, list[tuple[int, ...]]]:
    """The optimised program on eight devices, and the shapes of the parameters."""
    mesh = make_mesh({axis: 8}, jax.devices())
    network = build_network(
        CONFIG, adafactor(1e-3, min_dim_size_to_factor=16), mesh=mesh, rules=resolve_rules(rules)
    )
    step = compile_step(
        network.model,
        network.optimizer,
        config=StepConfig(num_microbatches=micro),
        mesh=mesh,
        shardings=network.shardings,
        rules=network.rules,
    )
    batch = {
        name: jax.ShapeDtypeStruct((32, 16 if name.startswith("encoder") else 12), "int32")
        for name in MODEL_FEATURES
    }
    shapes = [tuple(x.shape) for x in jax.tree.leaves(network.model.abstract_params)]
    return step.lower(network.abstract, batch).compile().as_text(), shapes


def test_no_stacked_parameter_is_whole_under_fsdp() -> None:
    """Neither the parameters nor gradients, moments or updates of a stack are on one device.

    One layer's weights are gathered while they are used; those of all layers never are.
    """
    text, shapes = program("fsdp", "fsdp", 2)
    stacked = {shape for shape in shapes if len(shape) == 3}
    assert len(stacked) >= 4
    found = {
        tuple(int(n) for n in dims.split(","))
        for dims in re.findall(r"\b(?:f32|bf16)\[(\d+(?:,\d+)+)\]", text)
    }
    assert not found & stacked
    assert {(3, 4, 96), (3, 96, 4)} <= found  # their eighths are


def test_the_whole_would_be_seen() -> None:
    """The same reading finds whole parameters where they are meant to be."""
    text, shapes = program("data", "data_parallel", 1)
    assert all(f"f32[{','.join(map(str, shape))}]" in text for shape in shapes if len(shape) == 3)


@pytest.mark.parametrize("micro", [1, 4])
def test_one_reduction_a_step(micro: int) -> None:
    """Replicas: gradients cross the mesh outside of every loop, each once."""
    text, shapes = program("data", "data_parallel", micro)
    bodies = set(re.findall(r"body=%?([\w.\-]+)", text))
    inside = reduced = 0
    current = ""
    for line in text.splitlines():
        header = re.match(r"^(?:ENTRY )?%?([\w.\-]+) \(", line)
        current = header.group(1) if header else current
        match = re.search(r"= (.*?) all-reduce(?:-start)?\(", line)
        if match:
            sizes = re.findall(r"f32\[([\d,]*)\]", match.group(1))
            count = sum(math.prod(int(n) for n in dims.split(",") if n) for dims in sizes)
            inside += count if current in bodies else 0
            reduced += count
    parameters = sum(math.prod(shape) for shape in shapes)
    assert inside == 0
    assert parameters <= reduced < 1.05 * parameters
