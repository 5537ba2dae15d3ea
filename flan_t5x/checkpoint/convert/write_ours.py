"""Writes this project's own layout: a folder with one step, and a gin file with the sizes.

``DST/<step>/state`` is an Orbax item (one zarr array per leaf, a chunk per layer, so that
layers can be written as they come), beside it the record and the manifest that
`flan_t5x.checkpoint.completeness` checks. DST serves as INITIAL_CHECKPOINT_PATH and as
CHECKPOINT_PATH of eval and infer. It is no model_dir: nothing can be resumed in it.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from flan_t5x.checkpoint import completeness
from flan_t5x.checkpoint.convert.plan import Plan, stream
from flan_t5x.checkpoint.convert.source import MODEL, VOCABULARY, spiece_fingerprint
from flan_t5x.checkpoint.convert.stores import create_array, write_array
from flan_t5x.checkpoint.convert.target import Dtype, cast, goal, model_record, target_dtype
from flan_t5x.checkpoint.leaves import LeafSpec

MODEL_GIN = "model.gin"
SPIECE = "spiece.model"

_ZSTD = {"id": "zstd", "level": 1}
_DICT_KEY = 2  # Orbax's KeyType.DICT
_STATE_HANDLER = "flan_t5x.checkpoint.completeness.StateHandler"
_JSON_HANDLER = "orbax.checkpoint._src.handlers.json_checkpoint_handler.JsonCheckpointHandler"


def write_ours(
    folder: Path,
    plan: Plan,
    *,
    dtype: Dtype | None,
    spiece: Path | None,
    final: Path,
) -> None:
    """Writes a folder that training, evaluation and inference start from.

    Adafactor's second moments and its step are kept where the source has them.

    Args:
        folder: an empty folder.
        plan: what to write.
        dtype: of parameters; None keeps the source's.
        spiece: SentencePiece model to put beside the weights.
        final: the name that `folder` will get, for the gin file.

    Raises:
        UserError: the disk is full, or the source is damaged.
    """
    step = folder / str(plan.source.step or 0)
    state = step / "state"
    state.mkdir(parents=True)
    leaves = _write_arrays(state, plan, dtype)
    metadata = {
        "tree_metadata": {str(tuple(n.split("/"))): _tree_entry(n) for n in leaves},
        "use_ocdbt": False,
        "use_zarr3": False,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }
    (state / "_METADATA").write_text(json.dumps(metadata))
    if spiece is not None:
        shutil.copyfile(spiece, folder / SPIECE)
    _write_records(step, plan, spiece)
    (folder / MODEL_GIN).write_text(model_gin(plan, final, with_vocabulary=spiece is not None))
    completeness.write_manifest(state, leaves)


def _write_arrays(state: Path, plan: Plan, dtype: Dtype | None) -> dict[str, LeafSpec]:
    """Leaf name -> spec of what was written."""
    arrays: dict[str, Any] = {}
    leaves: dict[str, LeafSpec] = {}
    for part, values in stream([*plan.parts, *plan.moments]):
        to = goal(part, plan, "flan_t5x")
        stacked = to.shape != part.shape
        kept = target_dtype(part, dtype)
        if to.name not in arrays:
            arrays[to.name] = _create(state, to.name, to.shape, kept, stacked=stacked)
            leaves[to.name] = LeafSpec(to.shape, kept)
        index = part.layer if stacked else ...
        write_array(arrays[to.name], cast(values, kept), index)
    if plan.moments:
        name = "opt_state/step"
        write_array(
            _create(state, name, (), "int32", stacked=False),
            np.asarray(plan.source.moments_step, np.int32),
        )
        leaves[name] = LeafSpec((), "int32")
    return leaves


def _create(state: Path, name: str, shape: tuple[int, ...], dtype: str, *, stacked: bool) -> Any:
    return create_array(
        state / name.replace("/", "."),
        shape=shape,
        dtype=dtype,
        chunks=(1, *shape[1:]) if stacked else shape,
        compressor=_ZSTD,
    )


def _tree_entry(name: str) -> dict[str, Any]:
    return {
        "key_metadata": [{"key": key, "key_type": _DICT_KEY} for key in name.split("/")],
        # Without a recorded sharding: whoever restores says where arrays go.
        "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
    }


def _write_records(step: Path, plan: Plan, spiece: Path | None) -> None:
    source = plan.source
    record: dict[str, Any] = {
        MODEL: model_record(plan),
        "converted_from": {"kind": source.kind, "path": source.path, "notes": list(plan.notes)},
    }
    vocabulary = spiece_fingerprint(spiece) if spiece is not None else source.vocabulary
    if vocabulary is not None:
        record[VOCABULARY] = vocabulary
    (step / completeness.EXTRA_FILE).parent.mkdir()
    (step / completeness.EXTRA_FILE).write_text(json.dumps(record))
    if source.metric is not None:
        completeness.write_metric(step, source.metric)
    now = time.time_ns()
    metadata = {
        "item_handlers": {"extra": _JSON_HANDLER, "state": _STATE_HANDLER},
        "metrics": {},
        "performance_metrics": {},
        "init_timestamp_nsecs": now,
        "commit_timestamp_nsecs": now,
        "custom_metadata": {},
    }
    (step / "_CHECKPOINT_METADATA").write_text(json.dumps(metadata))


def model_gin(plan: Plan, final: Path, *, with_vocabulary: bool) -> str:
    """A file for ``--gin_file``, of the kind of gin/models."""
    count = plan.config.num_parameters()
    vocabulary = f"'{final / SPIECE}'" if with_vocabulary else "%gin.REQUIRED"
    record = model_record(plan)
    del record["dropout_rate"]  # of the next run's choosing
    sizes = "\n".join(f"  {n} = {_literal(v)}" for n, v in record.items())
    return f"""# The model of this converted checkpoint: {count:,} parameters.
#
# Use:      --gin_file={final / MODEL_GIN}, before a file of gin/runs that defines DROPOUT_RATE,
#           with --gin.INITIAL_CHECKPOINT_PATH={final} (train) or --gin.CHECKPOINT_PATH={final}
from __gin__ import dynamic_registration

from flan_t5x.model import config

VOCABULARY = {vocabulary}
MODEL = @config.T5Config()

config.T5Config:
{sizes}
  dropout_rate = %DROPOUT_RATE
  dtype = 'bfloat16'
  remat_policy = 'minimal'
  unroll_layers = 1
"""


def _literal(value: Any) -> str:
    return repr(tuple(value) if isinstance(value, list) else value)
