"""From logical axes to shardings: presets, own rules, messages, and the optimizer's moments."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import RULES, batch_sharding, partition_spec, resolve_rules
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.state import TrainState, abstract_state, state_shardings

SIZES = {
    "vocab_size": 96,
    "emb_dim": 32,
    "num_heads": 4,
    "head_dim": 12,
    "mlp_dim": 64,
    "num_encoder_layers": 2,
    "num_decoder_layers": 3,
}


def test_presets_by_name() -> None:
    for name, rules in RULES.items():
        assert resolve_rules(name) is rules
    own = (("embed", "tensor"),)
    assert resolve_rules(own) is own


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("fdsp", "sharding rules 'fdsp' are not known; did you mean 'fsdp'"),
        ("zzz", "known: data_parallel, fsdp, fsdp_tensor"),
        ((("embd", "fsdp"),), "sharding rule for 'embd': no such logical axis; .*'embed'"),
    ],
)
def test_unknown_rules(rules: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve_rules(rules)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "logical", "shape", "spec"),
    [
        ("data_parallel", ("embed", "mlp"), (32, 64), (None, None)),
        ("fsdp", ("embed", "mlp"), (32, 64), ("fsdp", None)),
        ("fsdp_tensor", ("embed", "mlp"), (32, 64), ("fsdp", "tensor")),
        ("fsdp_tensor", ("vocab", "embed"), (96, 32), ("tensor", "fsdp")),
        ("fsdp_tensor", ("layers", "joined_kv", "embed"), (2, 48, 32), (None, "tensor", "fsdp")),
        ("fsdp_tensor", ("vocab", "mlp"), (96, 64), ("tensor", None)),  # each mesh axis once
        (
            (("embed", "tensor"), ("embed", "fsdp")),
            ("embed", "embed"),
            (32, 32),
            ("tensor", "fsdp"),
        ),
        ((("embed", ("fsdp", "tensor")),), ("embed",), (32,), (("fsdp", "tensor"),)),
        ((("embed", None), ("embed", "fsdp")), ("embed",), (32,), ("fsdp",)),
    ],
)
def test_first_free_rule_wins(
    rules: str, logical: tuple[str, ...], shape: tuple[int, ...], spec: tuple[object, ...]
) -> None:
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    found = partition_spec(logical, shape, rules=resolve_rules(rules), mesh=mesh)
    assert found == PartitionSpec(*spec)


def test_an_axis_of_one_device_shards_nothing() -> None:
    mesh = make_mesh({"data": 8})
    found = partition_spec(("embed", "mlp"), (7, 5), rules=RULES["fsdp_tensor"], mesh=mesh)
    assert found == PartitionSpec(None, None)


def test_a_dimension_that_cannot_be_divided() -> None:
    mesh = make_mesh({"fsdp": 8})
    with pytest.raises(UserError) as caught:
        partition_spec(("embed",), (36,), rules=RULES["fsdp"], mesh=mesh, name="encoder/scale")
    assert str(caught.value) == (
        "encoder/scale: dimension 'embed' has size 36, which mesh axis fsdp of size 8 does not "
        "divide; sizes that work: 4, 6, 9"
    )


def test_a_model_names_its_parameter() -> None:
    model = Model(T5Config(**(SIZES | {"emb_dim": 36})))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^\w+/.*: dimension 'embed' has size 36, .*fsdp"):
        state_shardings(model, adafactor(1e-3), mesh=make_mesh({"fsdp": 8}), rules=RULES["fsdp"])


@pytest.fixture(scope="module")
def state() -> TrainState:
    """Shapes and shardings of a small model with factored moments, on fsdp=4, tensor=2."""
    model = Model(T5Config(**SIZES))  # type: ignore[arg-type]
    optimizer = adafactor(1e-3, min_dim_size_to_factor=16)
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    shardings = state_shardings(model, optimizer, mesh=mesh, rules=RULES["fsdp_tensor"])
    return abstract_state(model, optimizer, shardings)


def leaves(tree: object) -> dict[str, jax.ShapeDtypeStruct]:
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in flat}


def spec_of(leaf: jax.ShapeDtypeStruct) -> tuple[object, ...]:
    spec = tuple(leaf.sharding.spec)
    return spec + (None,) * (len(leaf.shape) - len(spec))


def test_moments_keep_the_shardings_of_the_dimensions_they_keep(state: TrainState) -> None:
    params = leaves(state.params)
    rows, cols = leaves(state.opt_state.v_row), leaves(state.opt_state.v_col)
    full = leaves(state.opt_state.v)
    factored = 0
    for name, param in params.items():
        for moment in (rows[name], cols[name]):
            if moment.shape == (1,):
                assert spec_of(moment) == (None,)
                continue
            factored += 1
            gone = [
                i
                for i in range(len(param.shape))
                if param.shape[:i] + param.shape[i + 1 :] == moment.shape
            ]
            wanted = spec_of(param)
            kept = [wanted[:i] + wanted[i + 1 :] for i in gone]
            if len(gone) == 1:
                assert spec_of(moment) == kept[0], name
            else:  # a square matrix: which one was dropped cannot be told from the shape
                assert spec_of(moment) == (None,) * len(moment.shape), name
        if full[name].shape == param.shape:
            assert spec_of(full[name]) == spec_of(param), name
        else:
            assert full[name].shape == (1,)
    assert factored > 10
    assert spec_of(state.step) == ()


def test_every_large_leaf_is_divided(state: TrainState) -> None:
    """No device holds a whole matrix: eight devices hold little more than one copy together."""
    params = leaves(state.params).values()
    held = sum(int(np.prod(leaf.sharding.shard_shape(leaf.shape))) for leaf in params)
    whole = sum(int(np.prod(leaf.shape)) for leaf in params)
    assert held < whole / 8 * 1.2


def test_rows_of_a_batch_lie_on_all_batch_axes() -> None:
    sharding = batch_sharding(make_mesh({"slice": 2, "fsdp": 2, "tensor": 2}))
    assert sharding.shard_shape((16, 5)) == (4, 5)
