"""Writes ``tasks/COLLECTION.md``: what is registered against what is published.

``python -m flan_tasks.collection.table > tasks/COLLECTION.md``. All numbers of ours are counted
from the definitions, with published row counts: no data is needed, and none changes the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flan_t5x.data.definitions import TaskDefinition
from flan_t5x.data.mixture_rates import expected_examples
from flan_t5x.data.registry import describe_mixture, get_mixture, get_task

from .. import cot, dialog, mixtures, muffin, niv2, t0_sf
from . import flan_2021_clusters

_COMMAND = "python -m flan_tasks.collection.table > tasks/COLLECTION.md"

# Published numbers: [C] Chung et al. 2022 (arXiv 2210.11416v5), [L] Longpre et al. 2023
# (2301.13688v2), [W] Wei et al. 2022 (2109.01652), [F] google-research/FLAN at e9e4ec6.
_METADATA_KEYS, _NIV2_IN_PAPER, _NIV2_IN_LIST = 1_654, 1_554, 1_556
_MUFFIN_IN_PAPER, _FLAN_2021_IN_PAPER = 80, 62
_LADDER = (("cot", 9), ("muffin", 89), ("t0_sf", 282), ("niv2", 1_836))


def page() -> str:
    """The whole page as Markdown."""
    sections = (
        _introduction(),
        *_counts(),
        *_ladder(),
        *_shares(),
        *_weights(),
    )
    return "\n".join(sections) + "\n"


def _introduction() -> str:
    return (
        "# The Flan 2022 collection as registered here\n\n"
        f"Written by `{_COMMAND}`; a test compares it with the definitions. Do not edit it.\n"
        "A *data set* below is one source of rows: a key of Flan, a subset of P3, a task of "
        "Natural Instructions, a chain-of-thought file. Each is registered in several formats, "
        "every one a task by name.\n\n"
        "[C] Chung et al. 2022, [L] Longpre et al. 2023, [W] Wei et al. 2022, [F] the public "
        "code google-research/FLAN at e9e4ec6.\n"
    )


def _counts() -> Iterator[str]:
    yield "## Data sets and tasks\n"
    muffin_about = (
        f"[F] has the same 71 keys. [C] counts {_MUFFIN_IN_PAPER} tasks with conversations and "
        "program synthesis, of which DrRepair (4), CodeContests and TaskMaster are not in [F]; "
        "WikiDialog and QReCC are the row Dialogue here. The inverted tasks are "
        f"{len(muffin.INVERTED)} keys turned round; [F] has them as single templates."
    )
    dropped = sum(why.by_default for why in niv2.exclusions().values())
    spelled_twice = _METADATA_KEYS - dropped - len(niv2.entries())
    niv2_about = (
        f"[F] has {_METADATA_KEYS:,} keys in its metadata. {dropped} are MMLU's questions and are "
        f"excluded (tasks/niv2/data/exclusions.tsv), as in [F]; {spelled_twice} are second "
        "spellings of a name (`-` or `.` for `_`) and would train on the same rows twice. That "
        f"leaves the {_NIV2_IN_LIST:,} of [F]'s list. [C] says {_NIV2_IN_PAPER:,}. Five task "
        "numbers belong to two tasks each, so there are 1,551 numbers. [F] runs them as one "
        "task, which defeats the cap of 5,000; here each has its own."
    )
    cot_about = (
        "[C] and [F] have the same nine. [F]'s list has 36 lines: nine data sets, each forward "
        "and turned round in three ways. Here each has four formats, and two inverted tasks that "
        "hold all ways to turn it round."
    )
    yield from _table(
        ("submixture", "data sets", "published", "tasks", "difference explained"),
        (
            ("Muffin", len(muffin.KEYS), "71 [F], 80 [C]", _len(muffin.names()), muffin_about),
            (
                "T0-SF",
                len(t0_sf.subsets()),
                "193 [C, F]",
                _len(t0_sf.names()),
                "None. [F] lists 660 subsets of P3 and marks 467 of them as left out, among these "
                "all 116 that score one option at a time.",
            ),
            (
                "NIv2",
                len(niv2.entries()),
                "1,554 [C], 1,556 [F]",
                _len(niv2.names()),
                niv2_about,
            ),
            (
                "CoT",
                len(cot.DATASETS),
                "9 [C, F]",
                sum(1 for task in cot.tasks() if task.group == "cot"),
                cot_about,
            ),
            (
                "Dialogue",
                len(dialog.NAMES),
                "2 [F]",
                _len(dialog.names()),
                "[C] counts them into Muffin. [F]'s list has six lines: WikiDialog, QReCC and "
                "TaskMaster, which [F] does not have, each forward and inverted.",
            ),
            (
                "Program synthesis",
                0,
                "10 [F]'s list",
                0,
                "Not in [F], for legal reasons: DrRepair (four) and CodeContests, each forward and "
                "inverted.",
            ),
        ),
    )
    old = sum(map(len, flan_2021_clusters().values()))
    yield (
        f"Flan 2021 (`flan2021`): {old} of the keys; [W] speaks of {_FLAN_2021_IN_PAPER} data "
        "sets: the keys of ANLI (three), MNLI, SQuAD and ARC (two each) count once, and so do the "
        "three made from one text (true_case, fix_punct, word_segment). [F]'s own list of keys to "
        "collapse (flan/task_splits.py) has the first four, and the two of opinion_abstracts, "
        "which [W] counts as two. "
        f"`flan2021_without_{{cluster}}` exists for each of its {len(flan_2021_clusters())} "
        "clusters; clusters that are alike go together, as in [F] (`HELD_OUT_TOGETHER` in "
        "tasks/mixtures.py).\n"
    )


def _ladder() -> Iterator[str]:
    yield "## Task scaling\n"
    lines = []
    for name, published in _LADDER:
        mixture = f"flan2022_ladder_{name}"
        lines.append((f"`{mixture}`", _len(_sources(mixture)), published))
    yield from _table(("mixture", "data sets", "[C]"), lines)
    yield ("The second step lacks what is not public of Muffin; later steps carry that along.\n")


def _shares() -> Iterator[str]:
    yield "## Shares\n"
    lines = []
    for title, mixture, published in (
        ("proportion A [C]", "flan2022_a", mixtures.PROPORTION_A),
        ("proportion B [C], Flan-T5's", "flan2022_b", mixtures.PROPORTION_B),
        ("Flan Collection [L]", "flan2022_collection", mixtures.COLLECTION),
    ):
        found = _part_shares(mixture)
        for (name, rate), share in zip(published.items(), found, strict=True):
            lines.append((f"{title}: `{mixture}`", name, f"{rate:.1f} %", f"{share:.2%}"))
    yield from _table(("mixture", "submixture", "published", "computed"), lines)
    yield (
        "B's published numbers sum to 99.9 %. What [C] calls Muffin holds conversations: here "
        "they stand to the rest as 3 to 40, the Flan Collection's ratio.\n"
    )


def _weights() -> Iterator[str]:
    yield "## Weights by caps\n"
    lines = []
    for name, tasks, cap, published in (
        ("Muffin", [f"flan_{key}_zsopt" for key in muffin.KEYS], mixtures.MUFFIN_CAP, "1,495,430"),
        ("T0-SF", [f"t0_{key}_zsopt" for key in t0_sf.subsets()], mixtures.T0_SF_CAP, "2,724,840"),
        ("CoT", [f"cot_{name}_zs_cot" for name in cot.DATASETS], mixtures.COT_CAP, "74,730"),
        ("NIv2", [f"niv2_{key}_zsopt" for key in niv2.entries()], mixtures.NIV2_CAP, "4,340,288"),
    ):
        rows = [expected_examples(get_task(task).source) or 0 for task in tasks]
        weight = sum(min(count, cap) for count in rows)
        capped = sum(count > cap for count in rows)
        lines.append((name, f"{cap:,}", f"{sum(rows):,}", f"{weight:,}", f"{capped:,}", published))
    yield from _table(
        ("submixture", "cap", "rows", "weight", "capped", "weight by [F]'s counts"), lines
    )
    yield (
        "Rows are those of the training split, less what is kept back for validation. [F] drops "
        "the last few rows of each task (it renders them in batches of ten) and counts NIv2's "
        "second spellings, which is the difference there; 2 % of the chain-of-thought rows are "
        "held back here."
    )


def _part_shares(mixture: str) -> list[float]:
    rows = describe_mixture(mixture, published_counts=True)
    return [
        sum(row.share for row in rows if row.part == part.name)
        for part in get_mixture(mixture).parts
    ]


def _sources(mixture: str) -> set[int]:
    tasks: Iterable[TaskDefinition] = (
        get_task(row.task) for row in describe_mixture(mixture, published_counts=True)
    )
    return {id(task.source) for task in tasks}


def _len(items: Iterable[object]) -> int:
    return sum(1 for _ in items)


def _table(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for line in lines:
        cells = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line)
        yield f"| {' | '.join(cells)} |"
    yield ""


if __name__ == "__main__":
    print(page(), end="")
