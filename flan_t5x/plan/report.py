"""A plan in words, as one JSON object, and as a gin file."""

from __future__ import annotations

from typing import Any

from flan_t5x.parallel.mesh import MESH_AXES
from flan_t5x.plan.job import PlanJob
from flan_t5x.plan.plan import Plan
from flan_t5x.plan.roofline import assumptions

GIB = 2**30


def as_json(job: PlanJob, plan: Plan) -> dict[str, Any]:
    """The figures by name: bytes, FLOPs and cycles of one chip and step; seconds."""
    used = plan.bytes
    seconds = plan.seconds
    return {
        "tpu": job.tpu.name,
        "topology": job.tpu.topology_name,
        "slices": job.slices,
        "chips": job.chips,
        "mesh": dict(zip(MESH_AXES, job.shape(), strict=True)),
        "rules": job.rules if isinstance(job.rules, str) else [list(rule) for rule in job.rules],
        "remat_policy": job.config.remat_policy,
        "num_microbatches": job.step.num_microbatches,
        "source": plan.source,
        "versions": dict(plan.versions),
        "hbm_bytes_per_chip": used.total,
        "hbm_bytes_by_kind": {
            "parameters": used.parameters,
            "optimizer": used.optimizer,
            "activations": used.activations,
            "temporaries": used.temporaries,
        },
        "hbm_bytes_of_chip": job.tpu.generation.hbm_bytes,
        "fits": fits(job, plan),
        "flops_per_chip": plan.flops,
        "collective_bytes_per_chip": sum(c.bytes for c in plan.collectives),
        "collectives": [
            {"kind": c.kind, "axes": c.axes, "group": c.group, "bytes": c.bytes, "count": c.count}
            for c in plan.collectives
        ],
        "compiler_cycles": plan.cycles,
        "compiler_cycles_by_kind": dict(plan.cycles_by_kind),
        "estimated_step_seconds": seconds.step,
        "seconds_by_kind": {
            "flops": seconds.flops,
            "cycles": seconds.cycles,
            "hbm": seconds.hbm,
            "hidden_collectives": seconds.hidden,
            "exposed_collectives": seconds.exposed,
        },
        "limit": limit(job, plan),
        "tokens_per_second": job.tokens / seconds.step,
        "recipe_hours": job.train_steps * seconds.step / 3600,
        "recipe_chip_hours": job.chips * job.train_steps * seconds.step / 3600,
        "assumptions": assumptions(job.tpu, job.slices),
        "compile_seconds": plan.compile_seconds,
    }


def fits(job: PlanJob, plan: Plan) -> bool:
    """Whether the step's bytes are within the chip's memory."""
    return plan.bytes.total <= job.tpu.generation.hbm_bytes


def limit(job: PlanJob, plan: Plan) -> str:
    """What binds: memory where the step does not fit, else what takes longest."""
    return plan.seconds.limit if fits(job, plan) else "memory: the step does not fit"


def as_text(job: PlanJob, plan: Plan) -> str:
    """The same in lines."""
    used, seconds = plan.bytes, plan.seconds
    mesh = ", ".join(f"{a}={n}" for a, n in zip(MESH_AXES, job.shape(), strict=True) if n > 1)
    rules = job.rules if isinstance(job.rules, str) else "own"
    versions = ", ".join(f"{name} {version}" for name, version in plan.versions.items())
    hbm = job.tpu.generation.hbm_bytes
    lines = [
        f"{job.slices} x {job.tpu.name} ({job.tpu.topology_name}, {job.chips} chips in all): mesh "
        f"{mesh or '1'}; rules {rules}; remat {job.config.remat_policy}; "
        f"{job.step.num_microbatches} microbatches",
        f"{job.batch} rows of {job.inputs}/{job.targets} tokens; {job.train_steps} steps; by "
        f"{plan.source} ({versions})",
        "",
        "a chip's memory",
        *(
            f"  {kind:<14}{size / GIB:10.3f} GiB"
            for kind, size in (
                ("parameters", used.parameters),
                ("optimizer", used.optimizer),
                ("activations", used.activations),
                ("temporaries", used.temporaries),
            )
        ),
        f"  {'in all':<14}{used.total / GIB:10.3f} GiB of {hbm / GIB:g} ({used.total / hbm:.0%})",
        "",
        "a chip's step",
        f"  products      {plan.flops / 1e12:10.2f} TFLOP {seconds.flops:10.4f} s",
        f"  memory traffic{seconds.hbm:27.4f} s",
    ]
    if plan.cycles is not None:
        time = "" if seconds.cycles is None else f" {seconds.cycles:10.4f} s"
        lines.append(f"  compiler      {plan.cycles / 1e6:10.1f} M cycles{time}")
        lines += [
            f"    {count / plan.cycles:4.0%} {kind}" for kind, count in plan.cycles_by_kind.items()
        ]
    lines += ["  collectives"]
    for c in plan.collectives:
        if c.bytes >= 1e6:
            lines.append(f"    {c.bytes / 1e9:8.2f} GB {c.kind} over {c.axes} ({c.count} a step)")
    lines += [
        f"  hidden {seconds.hidden:.4f} s, exposed {seconds.exposed:.4f} s",
        "",
        f"step {seconds.step:.4f} s; {job.tokens / seconds.step:,.0f} tokens/s; recipe "
        f"{job.train_steps * seconds.step / 3600:.2f} h, "
        f"{job.chips * job.train_steps * seconds.step / 3600:,.0f} chip-hours; limit: "
        f"{limit(job, plan)}",
        f"compiled in {plan.compile_seconds:.0f} s" if plan.compile_seconds else "",
        "",
        "assumptions",
        *(f"  {line}" for line in assumptions(job.tpu, job.slices)),
    ]
    return "\n".join(line for line in lines)


def as_gin(job: PlanJob, plan: Plan, *, name: str) -> str:
    """A gin file to give after the recipe's."""
    mesh = {a: n for a, n in zip(MESH_AXES, job.shape(), strict=True) if n > 1}
    return f"""# Found by `flan-t5x plan --search` for {job.slices} x {job.tpu.name}, recipe {name}.
#
# Use: --gin_file=RECIPE --gin_file=this file. Estimate ({plan.source}): {plan.seconds.step:.3f} s
# a step, {plan.bytes.total / GIB:.1f} GiB of {job.tpu.generation.hbm_bytes / GIB:g} a chip.
from __gin__ import dynamic_registration

from flan_t5x.model import config
from flan_t5x.train import loop
from flan_t5x.train import step

config.T5Config.remat_policy = {job.config.remat_policy!r}
step.StepConfig.num_microbatches = {job.step.num_microbatches}
loop.train.mesh = {mesh!r}
loop.train.rules = {job.rules!r}
"""
