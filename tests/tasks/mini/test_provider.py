"""What the registry sees: tasks, mixtures, formats, and nothing heavy at import."""

from __future__ import annotations

import subprocess
import sys
import time

from flan_tasks.mini import SHARES, mixtures, studies, tasks
from flan_tasks.mini.catalog import SUBMIXTURES, families, trained

from flan_t5x.data.registry import get_mixture, get_task, resolve


def test_names_formats_and_groups() -> None:
    found = {task.name: task for task in tasks()}
    for family in families().values():
        for format in family.formats:
            task = found[f"mini_{family.name}_{format}"]
            assert (task.format, task.group) == (format, family.submixture)
            assert task.extract == ("cot_answer" if format.endswith("_cot") else "text")
    for family in trained():
        four = family.submixture == "mini_cot"
        assert family.formats == (("zs", "fs", "zs_cot", "fs_cot") if four else ("zs", "fs"))
    assert get_task("mini_count_animals_zs").group == "mini_cot"


def test_mixtures_hold_every_task_once() -> None:
    found = {mixture.name: mixture for mixture in mixtures()}
    copying = found.pop("mini_pretrain_copying")
    assert {part.name for part in copying.parts} < {p.name for p in found["mini_pretrain"].parts}
    assert {*SUBMIXTURES, "mini_flan", "mini_heldout", "mini_pretrain"} < set(found)
    others = {task.name for task in studies.tasks()}
    parts = [
        part.name
        for name in (*SUBMIXTURES, "mini_heldout", "mini_pretrain")
        for part in found[name].parts
    ]
    assert sorted(parts) == sorted(task.name for task in tasks() if task.name not in others)
    assert found["mini_heldout"].evaluation_only
    assert get_mixture("mini_flan").parts == found["mini_flan"].parts


def test_shares_of_mini_flan() -> None:
    resolved = resolve("mini_flan")
    total = sum(SHARES.values())
    for name, share in SHARES.items():
        rates = [w.rate for w in resolved if w.task.group == name]
        assert abs(sum(rates) - share / total) < 1e-12
    groups = {weighted.task.group for weighted in resolved}
    assert groups == set(SUBMIXTURES)


def test_definitions_are_cheap_and_import_nothing_heavy() -> None:
    start = time.process_time()
    list(tasks())
    assert time.process_time() - start < 0.5
    code = (
        "import sys, flan_tasks.mini as m; list(m.tasks()); list(m.mixtures());"
        "print([n for n in ('jax', 'tensorflow', 'seqio', 'grain') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
