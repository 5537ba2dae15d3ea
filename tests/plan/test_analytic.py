"""Arithmetic against the true step: parameter bytes and FLOPs within 2 %; search by arithmetic."""

from __future__ import annotations

import math
from typing import get_args

import jax
import numpy as np
import pytest

from flan_t5x.bench.flops import train_flops
from flan_t5x.errors import UserError
from flan_t5x.model.config import RematPolicy
from flan_t5x.parallel.tpu import parse_slice
from flan_t5x.plan import analytic
from flan_t5x.plan.flops import traced_flops
from flan_t5x.plan.hlo import Collective
from flan_t5x.plan.plan import analytic_plan
from flan_t5x.plan.report import as_json, as_text
from flan_t5x.plan.roofline import collective_seconds
from flan_t5x.plan.scaling import weak_scaling
from flan_t5x.plan.search import search
from tests.plan.jobs import small_job


def held(tree: object) -> int:
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree)
    )


@pytest.mark.parametrize(
    ("mesh", "rules"),
    [({"fsdp": 8}, "fsdp"), ({"fsdp": 4, "tensor": 2}, "fsdp_tensor"), ({"data": 8}, "P1A1")],
)
def test_state_bytes_are_those_of_the_placed_state(mesh: dict[str, int], rules: str) -> None:
    job = small_job(mesh=mesh, rules=rules)
    network, _, _ = job.place(jax.devices())
    parameters, optimizer = analytic.state_bytes(job)
    assert parameters == held(network.abstract.params)
    # A square matrix's moments may be whole where the arithmetic divides them.
    assert optimizer == pytest.approx(held(network.abstract.opt_state), rel=0.5)


def test_parameter_bytes_are_the_count_over_the_shards() -> None:
    job = small_job()
    parameters, _ = analytic.state_bytes(job)
    assert parameters == pytest.approx(4 * job.config.num_parameters() / 8, rel=0.02)


@pytest.mark.parametrize(
    ("remat", "micro"), [("none", 1), ("none", 2), *((p, 1) for p in get_args(RematPolicy)[1:])]
)
def test_flops_of_the_traced_step(remat: str, micro: int) -> None:
    step = small_job().step
    step = type(step)(num_microbatches=micro)
    # Long enough that what the count leaves out (the position bias) is small, as in real use.
    job = small_job(
        config={"remat_policy": remat, "emb_dim": 512, "num_encoder_layers": 4},
        mesh={"data": 8},
        rules="data_parallel",
        batch=128,
        step=step,
    )
    network, step, batch = job.place(jax.devices())
    traced = traced_flops(step.trace(network.abstract, batch))
    assert traced / job.chips == pytest.approx(analytic.step_flops(job), rel=0.02)
    if remat == "none":
        model = train_flops(job.config, batch=job.batch, inputs=job.inputs, targets=job.targets)
        assert traced == pytest.approx(model, rel=0.02)


def test_ring_times() -> None:
    """n-1 of n parts through each chip; an all-reduce twice; rings both ways."""
    tpu = parse_slice("v5p-256")
    gather = Collective("all-gather", "fsdp", 128, 128_000_000, 1)
    one = collective_seconds(gather, tpu, ici_axes={"fsdp": 3}, slices=1)
    assert one == pytest.approx(127e6 / (3 * 2 * 100e9 * 0.9))
    reduce = Collective("all-reduce", "fsdp", 128, 128_000_000, 1)
    twice = collective_seconds(reduce, tpu, ici_axes={"fsdp": 3}, slices=1)
    assert twice == pytest.approx(2 * one)
    between = Collective("all-reduce", "slice", 2, 1_000_000, 1)
    seconds = collective_seconds(between, tpu, ici_axes={"fsdp": 3}, slices=2)
    assert seconds == pytest.approx(1e6 / 6.25e9)


def test_report_adds_up() -> None:
    job = small_job()
    plan = analytic_plan(job)
    figures = as_json(job, plan)
    assert figures["hbm_bytes_per_chip"] == sum(figures["hbm_bytes_by_kind"].values())
    assert figures["collective_bytes_per_chip"] == sum(c["bytes"] for c in figures["collectives"])
    assert figures["recipe_chip_hours"] == pytest.approx(8 * figures["recipe_hours"])
    assert np.isfinite(figures["estimated_step_seconds"])
    text = as_text(job, plan)
    assert "assumptions" in text
    assert "v5e-8" in text


def test_search_finds_a_plan_that_fits_and_is_no_slower(tmp_path) -> None:  # type: ignore[no-untyped-def]
    given = small_job(
        config={"remat_policy": "full"}, mesh={"fsdp": 2, "tensor": 4}, rules="fsdp_tensor"
    )
    said: list[str] = []
    job, plan = search(given, finalists=0, cache_dir=tmp_path, say=said.append)
    assert plan.seconds.step <= analytic_plan(given).seconds.step
    assert plan.bytes.total < job.tpu.generation.hbm_bytes
    assert "candidates fit" in said[0]


def test_search_says_when_nothing_fits(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="nothing fits: 3 rows"):
        search(small_job(batch=3), finalists=0, cache_dir=tmp_path, say=print)


def test_weak_scaling_keeps_the_rows_a_chip() -> None:
    points = weak_scaling(small_job(tpu="v5p-16", config={"emb_dim": 256}), largest=1024)
    assert [point.job.chips for point in points] == [8, 16, 32, 64, 128, 256, 512, 1024]
    assert all(point.job.batch == point.job.chips for point in points)
    assert points[0].efficiency == 1.0
    rates = [p.job.tokens / p.job.chips / p.plan.seconds.step for p in points]
    for point, rate in zip(points, rates, strict=True):
        assert point.efficiency == pytest.approx(rate / rates[0])
