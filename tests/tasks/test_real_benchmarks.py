"""The benchmarks' real files, where they lie beside the checkout: each row is usable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flan_t5x.data.aggregates import tasks_in
from flan_t5x.data.definitions import Example
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.registry import get_mixture, get_task
from flan_t5x.data.sources.location import set_data_dir

FOUR_EXEMPLARS = {"college_chemistry": 4, "formal_logic": 4, "human_aging": 4}


@pytest.fixture(autouse=True)
def real(shared: Path) -> Iterator[None]:
    set_data_dir(shared / "data")
    yield
    set_data_dir(None)


@pytest.mark.parametrize(
    ("mixture", "rows"),
    [
        ("mmlu_direct_0shot", 14_042),
        ("bbh_direct_0shot", 6_511),
        ("tydiqa_0shot", 4_637),
        ("mgsm", 2_500),
        ("gsm8k", 1_319),
    ],
)
def test_rows(mixture: str, rows: int) -> None:
    """As many as the benchmarks' papers count (TyDiQA: as the files have), and none is bad."""
    found = 0
    for name in tasks_in(get_mixture(mixture)):
        source = get_task(name).source
        read = list(source.read("published_test", 0, source.num_examples("published_test")))
        assert all(isinstance(row, Example) for row in read), name
        found += len(read)
    assert found == rows


def test_exemplars() -> None:
    for mixture, shots in (("mmlu_direct", 5), ("bbh_cot", 3), ("mgsm", 8), ("gsm8k", 8)):
        for name in tasks_in(get_mixture(mixture)):
            pool = ExemplarPool.for_task(get_task(name))
            assert pool is not None
            assert len(pool) == shots, name
            assert all(row.rationale for row in pool.examples) or mixture == "mmlu_direct"
    for name in tasks_in(get_mixture("mmlu_cot")):
        pool = ExemplarPool.for_task(get_task(name))
        assert pool is not None
        subject = name.removeprefix("mmlu_").removesuffix("_cot_5shot")
        assert len(pool) == FOUR_EXEMPLARS.get(subject, 5)
        text = "".join(row.rationale for row in pool.examples)
        assert not set(text) & set("\f\r\t\b")
