"""Two processes with four devices each save one state; any number of devices reads it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from flan_t5x.checkpoint.manager import Checkpoints
from tests.checkpoint.states import abstract_state, assert_bitwise_equal, host_state

PROGRAM = """
import sys
from pathlib import Path
import jax
import numpy as np

process, port, directory = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)

from jax.experimental import multihost_utils
from flan_t5x.checkpoint.manager import Checkpoints, read_params
from flan_t5x.train.signals import StopRequest
from tests.checkpoint.states import abstract_state, assert_bitwise_equal, host_state
from tests.checkpoint.test_manager import sharded

wanted = sharded(jax.make_mesh((2, 4), ("data", "tensor")), abstract_state())

def place(value, spec):
    if isinstance(value, int):
        return value
    return jax.make_array_from_callback(value.shape, spec.sharding, lambda at: value[at])

def check(state, step):
    for leaf, whole in zip(jax.tree.leaves(state), jax.tree.leaves(host_state(step)), strict=True):
        if isinstance(whole, int):
            assert leaf == whole
            continue
        for shard in leaf.addressable_shards:
            assert np.asarray(shard.data).tobytes() == whole[shard.index].tobytes()

with Checkpoints(directory) as checkpoints:
    for step, metric in ((1, 0.9), (2, 0.2), (3, None)):
        checkpoints.save(step, jax.tree.map(place, host_state(step), wanted), metric=metric)
    assert not checkpoints.save(3, None, metric=0.3)
    assert (checkpoints.steps(), checkpoints.best()) == ([1, 3], 1)
    checkpoints.wait()
    assert_bitwise_equal(read_params(directory), host_state(1)["params"])
if process == 0:
    (directory / "3/state/manifest.ocdbt").unlink()
multihost_utils.sync_global_devices("damaged")
notices = []
with Checkpoints(directory, say=notices.append) as checkpoints:
    assert len(notices) == (process == 0)
    state, _ = checkpoints.restore(wanted)
    check(state, 1)
    checkpoints.save(4, jax.tree.map(place, host_state(4), wanted), extra={"rows": 7})

with StopRequest() as stop:
    assert not stop.agreed(0)
    if process == 1:
        stop._note(15, None)
    assert stop.agreed(1)
    assert stop.requested == (process == 1)
"""


def test_two_processes_save_and_one_restores(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number), port, str(tmp_path)],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.steps(), checkpoints.best()) == ([1, 4], 1)
        state, extra = checkpoints.restore(abstract_state())
    assert_bitwise_equal(state, host_state(4))
    assert extra == {"rows": 7}
    assert (tmp_path / "3.damaged").is_dir()
