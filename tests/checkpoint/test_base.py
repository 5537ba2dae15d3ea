"""Base checkpoints: exact, reproducible bytes, clear errors."""

from __future__ import annotations

from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest

from flan_t5x.checkpoint.base import load_base, save_base
from flan_t5x.errors import UserError
from tests.checkpoint.states import assert_bitwise_equal, host_state

PARAMS = host_state(1)["params"] | {"steps": np.arange(3, dtype=np.int64)}
CARD = {"command": "flan-t5x train --gin_file=runs/x.gin", "seed": 0, "sizes": {"width": 64}}


def test_round_trip_is_exact(tmp_path: Path) -> None:
    save_base(tmp_path / "base.npz", PARAMS, CARD)
    params, card = load_base(tmp_path / "base.npz")
    assert_bitwise_equal(params, PARAMS)
    assert card == CARD
    assert [p.name for p in tmp_path.iterdir()] == ["base.npz"]


def test_the_same_parameters_give_the_same_bytes(tmp_path: Path) -> None:
    save_base(tmp_path / "a", PARAMS, CARD)
    on_device = jax.tree.map(jax.numpy.asarray, host_state(1)["params"])
    save_base(tmp_path / "b", on_device | {"steps": PARAMS["steps"]}, dict(reversed(CARD.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bfloat16_halves_the_file_and_rounds_to_nearest(tmp_path: Path) -> None:
    save_base(tmp_path / "wide", PARAMS, CARD, store_as="float32")
    save_base(tmp_path / "small", PARAMS, CARD, store_as="bfloat16")
    assert (tmp_path / "small").stat().st_size < 0.6 * (tmp_path / "wide").stat().st_size
    params, _ = load_base(tmp_path / "small")
    rounded = jax.tree.map(
        lambda x: x if x.dtype == np.int64 else x.astype(ml_dtypes.bfloat16), PARAMS
    )
    assert_bitwise_equal(params, rounded)
    wide, _ = load_base(tmp_path / "wide")
    assert wide["head"].dtype == np.float32
    np.testing.assert_array_equal(wide["head"], PARAMS["head"].astype(np.float32))


@pytest.mark.parametrize("place", ["head", "middle", "late", "end"])
def test_a_damaged_file_is_refused(tmp_path: Path, place: str) -> None:
    """One wrong byte in the archive's head, in two arrays, in the directory at its end."""
    file = tmp_path / "base.npz"
    save_base(file, PARAMS, CARD)
    data = bytearray(file.read_bytes())
    at = {"head": 0, "middle": len(data) // 2, "late": len(data) * 9 // 10, "end": len(data) - 8}
    data[at[place]] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(UserError, match="damaged or not a base checkpoint") as caught:
        load_base(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_an_absent_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "base.npz"
    save_base(file, PARAMS, CARD)
    whole = file.read_bytes()
    for length in (0, 1, 1000, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match="damaged or not a base checkpoint"):
            load_base(file)
    np.savez(file, weights=np.zeros(3))
    with pytest.raises(UserError, match="damaged or not a base checkpoint"):
        load_base(file)
    with pytest.raises(UserError, match="no base checkpoint at"):
        load_base(tmp_path / "absent.npz")
    with pytest.raises(UserError, match="cannot write the base checkpoint"):
        save_base(tmp_path / "no" / "folder.npz", PARAMS, CARD)
