"""The training step: seconds, tokens per second, utilisation, compile time, peak memory."""

from __future__ import annotations

import time
from typing import Any

import jax

from flan_t5x.bench.flops import train_flops
from flan_t5x.bench.machine import MatmulRate, peak_rss_bytes
from flan_t5x.bench.peer import Peer, peer_figures
from flan_t5x.bench.rounds import time_rounds
from flan_t5x.bench.workload import Workload, packed_batch
from flan_t5x.model.model import Model
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import batch_sharding, resolve_rules
from flan_t5x.train.state import create_state, state_shardings
from flan_t5x.train.step import MODEL_FEATURES, check_batch, compile_step


class TrainStep:
    """A compiled step that goes on from its own state.

    Attributes:
        compile_seconds: from the traced function to the program.
    """

    def __init__(self, workload: Workload) -> None:
        mesh = make_mesh(workload.mesh)
        check_batch(workload.batch, mesh=mesh, num_microbatches=workload.step.num_microbatches)
        model, optimizer = Model(workload.config), workload.optimizer
        rules = resolve_rules(workload.rules)
        shardings = state_shardings(model, optimizer, mesh=mesh, rules=rules)

        def start(key: jax.Array) -> Any:
            return create_state(model.init(key), optimizer)

        self._state = jax.jit(start, out_shardings=shardings)(jax.random.key(0))
        arrays = packed_batch(workload)
        batch = {name: arrays[name] for name in MODEL_FEATURES}
        self._batch = jax.device_put(batch, batch_sharding(mesh))
        step = compile_step(
            model, optimizer, config=workload.step, mesh=mesh, shardings=shardings, rules=rules
        )
        begin = time.perf_counter()
        self._step = step.lower(self._state, self._batch).compile()
        self.compile_seconds = time.perf_counter() - begin

    def __call__(self) -> None:
        """One step, to its end."""
        self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))


def bench_train(workload: Workload, *, rounds: int, peer: Peer | None = None) -> dict[str, Any]:
    """Measures a training step on full packed rows.

    Args:
        workload: model and shapes.
        rounds: timed rounds; with a peer, both run in every round.
        peer: another system's step on the same shapes, made after ours has shown its memory.

    Returns:
        The figures by name, as ``--json`` prints them; seconds, bytes, tokens per second.
    """
    rate = MatmulRate(dtype=workload.config.dtype)
    step = TrainStep(workload)
    step()
    peak = peak_rss_bytes()
    contestants: dict[str, Any] = {"ours": step}
    if peer is not None:
        contestants["peer"] = peer.train_step(workload)
    times = time_rounds(contestants, rounds=rounds, between=rate.sample)
    flops = train_flops(
        workload.config, batch=workload.batch, inputs=workload.inputs, targets=workload.targets
    )
    ours = times["ours"]
    figures: dict[str, Any] = {
        "workload": workload.describe(),
        "rounds": rounds,
        "tokens_per_second": workload.tokens / ours.median,
        "mfu": flops / ours.median / rate.median,
        "step_seconds_median": ours.median,
        "step_seconds_min": ours.fastest,
        "step_seconds_max": ours.slowest,
        "compile_seconds": step.compile_seconds,
        "peak_rss_bytes": peak,
        "model_flops": flops,
        "matmul_flops_per_second": rate.median,
    }
    if peer is not None:
        theirs = times["peer"]
        figures["peer"] = {
            **peer_figures(peer, ours, theirs, tokens=workload.tokens),
            "mfu": flops / theirs.median / rate.median,
            "step_seconds_median": theirs.median,
        }
    return figures
