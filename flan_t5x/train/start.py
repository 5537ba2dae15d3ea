"""Where a run begins: its newest checkpoint, or first weights; see `checkpoint.initial`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from flan_t5x.checkpoint.adapter import AdapterRecord
from flan_t5x.checkpoint.initial import load_initial, load_initial_moments, place_params
from flan_t5x.checkpoint.leaves import params_fingerprint
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.data.pipeline import StreamState
from flan_t5x.errors import UserError
from flan_t5x.model import lora
from flan_t5x.model.model import Params
from flan_t5x.train.identity import Identity
from flan_t5x.train.job import Run
from flan_t5x.train.state import TrainState, create_state


@dataclasses.dataclass(frozen=True)
class Base:
    """What a run with adapters keeps frozen.

    Attributes:
        params: on the mesh.
        record: of it and the adapters, saved with every checkpoint.
    """

    params: Params
    record: AdapterRecord


def first_weights(run: Run, *, vocabulary: str) -> tuple[Params, Any] | None:
    """Parameters, and the optimizer's state or None, from `initial_checkpoint_path`.

    Args:
        run: the job; without such a path the result is None.
        vocabulary: fingerprint of the vocabulary in use.

    Raises:
        UserError: the checkpoint does not fit the model, the vocabulary or the optimizer.
    """
    path, model = run.checkpoints.initial_checkpoint_path, run.network.answering
    if path is None:
        return None
    params = load_initial(path, model.abstract_params, vocabulary=vocabulary, config=model.config)
    if run.checkpoints.initial_optimizer_state == "fresh":
        return params, None
    return params, load_initial_moments(path, run.network.abstract.opt_state)


def load_base(run: Run, *, vocabulary: str) -> Base | None:
    """The frozen parameters under a run's adapters; None where all parameters are trained.

    Read again at every start, for the run's checkpoints do not hold them.

    Raises:
        UserError: as `first_weights`.
    """
    adapters = run.network.model.config.lora
    if adapters is None:
        return None
    first = first_weights(run, vocabulary=vocabulary)
    assert first is not None  # `require_base`
    record = AdapterRecord.of(
        adapters,
        base=str(run.checkpoints.initial_checkpoint_path),
        fingerprint=params_fingerprint(first[0]),
    )
    return Base(place_params(first[0], run.network.shardings.frozen), record)


def require_base(run: Run) -> None:
    """Raises a UserError where adapters have nothing to stand on, or ask for what is not there."""
    if run.network.model.config.lora is None:
        return
    if run.checkpoints.initial_checkpoint_path is None:
        raise UserError(
            "T5Config.lora trains adapters of a base that stays as it is, and there is none: set "
            "INITIAL_CHECKPOINT_PATH"
        )
    if run.checkpoints.initial_optimizer_state == "restore":
        raise UserError(
            "CheckpointConfig.initial_optimizer_state = 'restore': no checkpoint has moments of "
            "adapters that are new; use 'fresh' with T5Config.lora"
        )


def restore_or_start(
    run: Run, saved: Checkpoints, identity: Identity, base: Base | None
) -> tuple[TrainState, StreamState, list[dict[str, Any]]]:
    """State, stream position and earlier evaluations."""
    network = run.network
    newest = saved.newest()
    if newest is None:
        return _start(run, identity, base), StreamState(), []
    if newest > run.train_steps:
        raise UserError(
            f"{run.path} is at step {newest} already, train_steps = {run.train_steps} lies "
            "before it; raise train_steps to go on, or choose another model_dir"
        )
    restored, extra = saved.restore(network.abstract.saved)
    identity.require_same(extra, model_dir=str(run.path), vocabulary=run.data.vocabulary)
    run.say(f"resuming at step {int(restored['step'])} from {saved.directory}")
    state = TrainState(**restored, frozen=base.params if base else {})
    return state, StreamState.from_json(extra["stream"]), extra["evaluations"]


def _start(run: Run, identity: Identity, base: Base | None) -> TrainState:
    """Step 0."""
    network, shardings = run.network, run.network.shardings
    path = run.checkpoints.initial_checkpoint_path
    model, key = network.model, jax.random.key(run.seed)
    moments = None
    if base is not None:
        draw = jax.jit(lambda k: lora.split(model.init(k))[1], out_shardings=shardings.params)
        params = lora.join(base.params, draw(key))
        run.say(f"starting from {path} with new adapters; it stays as it is")
    elif first := first_weights(run, vocabulary=identity.vocabulary):
        loaded, moments = first
        params = place_params(loaded, shardings.params)
        run.say(f"starting from {path}")
    else:
        params = jax.jit(model.init, out_shardings=shardings.params)(key)
    create = jax.jit(
        lambda p: create_state(p, network.optimizer), out_shardings=shardings, donate_argnums=0
    )
    state = create(params)
    if moments is not None:
        placed = place_params(moments, shardings.opt_state)
        state = dataclasses.replace(state, opt_state=placed)
        run.say(f"optimizer state of step {int(moments.step):,} from {path}")
    return state
