"""The table of names: one to one in every layout, and complete for the published sizes."""

from __future__ import annotations

import dataclasses
import math

import pytest

from flan_t5x.checkpoint.convert.table import ROWS, expected, find, layers
from flan_t5x.checkpoint.leaves import leaf_specs
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model
from tests.model.sizes import PARAMETERS, published

from .made import T5_1_0, TINY


@pytest.mark.parametrize("size", PARAMETERS)
def test_the_table_holds_every_parameter_of_the_published_sizes(size: str) -> None:
    config, count = published(size), PARAMETERS[size]
    rows = list(expected(config))
    assert sum(math.prod(r.shape(config)) * len(layers(r, config)) for r in rows) == count
    model = leaf_specs(Model(config).abstract_params)
    in_table = {
        row.name: ((len(layers(row, config)),) if row.stack else ()) + row.shape(config)
        for row in rows
    }
    assert in_table == {name: spec.shape for name, spec in model.items()}
    assert sum(math.prod(spec.shape) for spec in model.values()) == count


@pytest.mark.parametrize("config", [TINY, T5_1_0])
def test_names_are_one_to_one(config: T5Config) -> None:
    for layout, name in (("t5x", "t5x"), ("hf", "in_hf")):
        seen = set()
        for row in expected(config):
            for layer in layers(row, config):
                written = getattr(row, name)(layer)
                assert written not in seen
                seen.add(written)
                place = find(written, layout)  # type: ignore[arg-type]
                assert place is not None
                assert (place.row, place.layer, place.axis) == (row, layer, None)


def test_stacked_layouts_find_their_rows() -> None:
    for row in ROWS:
        ours = find(row.name, "flan_t5x")
        assert ours is not None
        assert (ours.row, ours.axis) == (row, 0 if row.stack else None)
        if row.stack:
            stack, rest = row.name.split("/layers/")
            theirs = find(f"{stack}/{stack}/{rest}", "scalable_t5")
            assert theirs is not None
            assert (theirs.row, theirs.axis) == (row, 1)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("encoder/layers_0/attention/query/bias", "t5x"),
        ("encoder/layers_00/attention/query/kernel", "t5x"),
        ("encoder/layers/attention/query/kernel", "t5x"),
        ("encoder/layers_0/attention/query/kernel", "flan_t5x"),
        ("encoder/relpos_bias/rel_embedding", "scalable_t5"),
        ("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight", "hf"),
        ("encoder.block.{layer}.layer.0.layer_norm.weight", "hf"),
        ("lm_head.bias", "hf"),
    ],
)
def test_other_names_are_nobodys(name: str, layout: str) -> None:
    assert find(name, layout) is None  # type: ignore[arg-type]


def test_tied_and_plain_models_lack_what_they_should() -> None:
    full = {row.name for row in expected(TINY)}
    tied = {row.name for row in expected(dataclasses.replace(TINY, logits_via_embedding=True))}
    assert full - tied == {"decoder/logits_dense/kernel"}
    plain = {row.name for row in expected(T5_1_0)}
    assert {n for n in plain if "/wi" in n} == {
        "encoder/layers/mlp/wi/kernel",
        "decoder/layers/mlp/wi/kernel",
    }
