"""The benchmarks as tasks: names, prompts, rows that cannot be used, files that are not there."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from flan_t5x.data.aggregates import tasks_in
from flan_t5x.data.definitions import BadRow
from flan_t5x.data.evaluation_only import refuse_training
from flan_t5x.data.registry import get_mixture, get_task, task_names
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.errors import UserError
from tests.tasks.toy_benchmarks import rendered

BENCHMARKS = ("mmlu", "bbh", "tydiqa", "mgsm", "gsm8k", "flaneval")


def test_mmlu_direct(toy_data: Path) -> None:
    made = rendered(get_task("mmlu_anatomy_direct_2shot"), "test", 0)
    assert made.inputs == (
        "Multiple choice questions about anatomy, each with the letter of its right answer.\n\n"
        "Q: Which bone is number 0?\n(A) rib (B) hip (C) toe (D) jaw\nA: (A)\n\n"
        "Q: Which bone is number 1?\n(A) rib (B) hip (C) toe (D) jaw\nA: (B)\n\n"
        "Q: Where is the knee?\n(A) arm (B) leg (C) ear (D) back, or neck\nA:"
    )
    assert made.targets == "(B)"
    assert made.valid_answers == ("(A)", "(B)", "(C)", "(D)")
    none = rendered(get_task("mmlu_anatomy_direct_0shot"), "test", 0)
    assert none.inputs == made.inputs.split("\n\n")[0] + "\n\n" + made.inputs.split("\n\n")[-1]


def test_mmlu_published_exemplars(toy_data: Path) -> None:
    """Four are there of the five asked for; what JSON's escapes ate is put back."""
    made = rendered(get_task("mmlu_anatomy_cot_5shot"), "test", 0)
    heading, *shots, query = made.inputs.split("\n\n")
    assert heading == "Four bones."
    assert len(shots) == 4
    assert made.left_out == 0
    assert shots[2].endswith("A: Reason with me. Bone \\f2 is it. The answer is (C).")
    assert query.endswith("(D) back, or neck\nA: Reason with me.")
    none = rendered(get_task("mmlu_anatomy_cot_0shot"), "test", 0)
    assert none.inputs.endswith("\nA: Work through it step by step, then answer.")


def test_bbh(toy_data: Path) -> None:
    cot = rendered(get_task("bbh_navigate_cot_1shot"), "published", 1)
    assert cot.inputs == (
        "Odd or even.\n\nQ: Is 0 even?\nOptions:\n- yes\n- no\nA: Let us see.\nIt ends in 0. "
        "So the answer is yes.\n\nQ: Is 11 even?\nA: Let us see."
    )
    direct = rendered(get_task("bbh_navigate_direct_3shot"), "test", 1)
    assert "- no\nA: no\n\nQ: Is 2 even?\nOptions:\n- yes\n- no\nA: yes\n\n" in direct.inputs
    assert direct.inputs.endswith("Q: Is 11 even?\nA:")
    assert direct.targets == "no"


def test_tydiqa(toy_data: Path) -> None:
    task = get_task("tydiqa_fi_direct_1shot")
    made = rendered(task, "validation", 1)
    assert made.inputs.endswith("vesi.\nQ: Mikä on 1?\nA:")
    assert made.inputs.count("\nA: Järvi\n\n") == 1
    assert made.exemplar_ids == ("finnish-51",)  # the first row of the training file has no answer
    unanswerable, row = task.source.read("validation", 0, 2)
    assert isinstance(unanswerable, BadRow)
    assert unanswerable.reason == "unanswerable"
    assert row.references == ("Iso järvi",)  # type: ignore[union-attr]


def test_mgsm_and_gsm8k(toy_data: Path) -> None:
    made = rendered(get_task("mgsm_de_cot_1shot"), "test", 0)
    assert made.inputs == (
        "Frage: Was ist 1?\nSchrittweise: Es ist 1. Fertig.\n\n"
        "Frage: Wie viele Beine?\nSchrittweise:"
    )
    assert made.targets == "1004"
    assert rendered(get_task("mgsm_de_direct_1shot"), "test", 0).inputs.startswith(
        "Frage: Was ist 1?\nSchrittweise: 1\n\n"
    )
    gsm8k = rendered(get_task("gsm8k_test_cot_8shot"), "test", 0)
    assert gsm8k.inputs.endswith("Task: How many legs?\nSteps:")
    assert (gsm8k.targets, len(gsm8k.exemplar_ids)) == ("1004", 8)


def test_rows_that_cannot_be_used_are_told(toy_data: Path) -> None:
    for name, split, reasons in (
        ("mmlu_anatomy_direct_0shot", "test", ["", "answer is no option", "not an MMLU row"]),
        ("bbh_navigate_direct_0shot", "test", ["", "", "", "", "not a BBH row"]),
        ("mgsm_de_cot_0shot", "test", ["", "not an MGSM row"]),
        ("tydiqa_fi_direct_0shot", "validation", ["unanswerable", "", ""]),
    ):
        source = get_task(name).source
        rows = list(source.read(split, 0, source.num_examples(split)))
        assert [row.reason if isinstance(row, BadRow) else "" for row in rows] == reasons


@pytest.mark.parametrize(
    ("name", "split", "words"),
    [
        ("mmlu_anatomy_direct_0shot", "validation", ("val/anatomy_val.csv", "mmlu_validation")),
        ("mmlu_virology_direct_0shot", "test", ("test/virology_test.csv", "--only=mmlu ")),
        ("bbh_snarks_cot_3shot", "exemplars", ("cot-prompts/snarks.txt", "bbh_prompts")),
        ("tydiqa_ko_direct_1shot", "exemplars", ("korean_tydiqa_train.json", "tydiqa_train")),
    ],
)
def test_a_missing_file_is_named(
    toy_data: Path, name: str, split: str, words: tuple[str, ...]
) -> None:
    source = get_task(name).source
    assert split in source.splits
    for read in (lambda: source.num_examples(split), lambda: list(source.read(split, 0, 1))):
        with pytest.raises(MissingDataError) as caught:
            read()
        assert all(word in str(caught.value) for word in ("flan-t5x data fetch", *words))
    source.fingerprint()  # the splits that are there can still be cached


def test_a_damaged_file_is_named(toy_data: Path) -> None:
    (toy_data / "bbh" / "navigate.json").write_text('{"examples": 3}')
    with pytest.raises(UserError, match=r"navigate\.json' is not what it should be"):
        get_task("bbh_navigate_direct_0shot").source.num_examples("test")


def test_sources_travel_to_workers(toy_data: Path) -> None:
    task = get_task("bbh_navigate_cot_3shot")
    copy = pickle.loads(pickle.dumps(task))
    assert copy.source.fingerprint() == task.source.fingerprint()
    assert list(copy.source.read("test", 0, 2)) == list(task.source.read("test", 0, 2))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mmlu_anatomi_direct_5shot", "did you mean 'mmlu_anatomy_direct_5shot'"),
        ("bbh_snarks_direct_9shot", "did you mean 'bbh_snarks_direct_"),
        ("tydiqa_fi_cot_1shot", "did you mean"),
    ],
)
def test_unknown_names(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        get_task(name)


def test_mixtures_have_the_published_tasks() -> None:
    for name, count in (
        ("mmlu_direct", 57),
        ("mmlu_cot", 57),
        ("bbh_direct", 27),
        ("bbh_nlp_cot", 12),
        ("bbh_algorithmic_cot", 15),
        ("tydiqa", 8),
        ("mgsm", 10),
        ("gsm8k", 1),
        ("held_out_six", 57 + 57 + 27 + 27 + 8 + 10),
    ):
        assert len(list(tasks_in(get_mixture(name)))) == count
    languages = ["ar", "bn", "fi", "id", "ko", "ru", "sw", "te"]
    assert [name.split("_")[1] for name in tasks_in(get_mixture("tydiqa"))] == languages


def test_no_benchmark_is_trained_on() -> None:
    names = [name for name in task_names() if name.split("_")[0] in BENCHMARKS]
    assert len(names) > 1_500
    for name in (
        *names[::50],
        "mmlu_cot_2shot",
        "flaneval_suite",
        "held_out_six",
        "mini_heldout",
        "cot_gsm8k_test_zs_cot",
    ):
        with pytest.raises(UserError, match=f"'{name}' is for evaluation only and is never"):
            refuse_training(name)
    for name in ("flan2022_b", "mini_flan", "mini_opposite_zs", "cot_gsm8k_zs_cot"):
        refuse_training(name)
