"""The comparison with SeqIO's caching script runs, and both sides write the same examples."""

from __future__ import annotations

import pytest

pytest.importorskip("apache_beam", reason="the extra 'beam' is not installed")
pytest.importorskip("google_crc32c", reason="Beam writes no TFRecord without it")

from flan_t5x.data.cache_figures import measure


def test_both_sides_write_every_example() -> None:
    ours, theirs = measure(["mini_opposite_zs"], vocabulary="mini", data_dir="")
    assert ours.examples == theirs.examples > 0
    assert ours.processor > 0
    assert ours.rate > 1.5 * theirs.rate
