"""A data folder with a few rows of every benchmark, written for the tests, in their layouts."""

from __future__ import annotations

import json
from pathlib import Path

from flan_t5x.data.definitions import Example, TaskDefinition
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import Rendered, render
from flan_t5x.data.vocabulary import resolve_vocabulary

NO_LIMIT = 1 << 30


def write(folder: Path) -> Path:
    """Fills the folder, and returns it."""
    _mmlu(folder / "mmlu")
    _bbh(folder / "bbh")
    _tydiqa(folder / "tydiqa_goldp")
    _mgsm(folder / "mgsm")
    (folder / "gsm8k").mkdir(parents=True)
    solved = "Two and two are <<2+2=4>>4.\n#### 1,004"
    row = {"question": "How many legs?", "answer": solved}
    (folder / "gsm8k" / "test.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def _mmlu(folder: Path) -> None:
    for split in ("dev", "val", "test"):
        (folder / split).mkdir(parents=True)
    header = "question,choice0,choice1,choice2,choice3,answer\n"
    shots = "".join(f"Which bone is number {n}?,rib,hip,toe,jaw,{n % 4}\n" for n in range(5))
    (folder / "dev" / "anatomy_dev.csv").write_text(header + shots)
    # The layout of the authors: letters, no header; and rows that cannot be used.
    rows = 'Where is the knee?,arm,leg,ear,"back, or neck",B\nNo answer?,a,b,c,d,E\nShort?,a,b\n'
    (folder / "test" / "anatomy_test.csv").write_text(rows)
    worked = "".join(
        f"\n\nQ: Bone {n}?\n(A) rib (B) hip (C) toe (D) jaw\n"
        f"A: Reason with me. Bone \f{n} is it. The answer is ({letter})."
        for n, letter in enumerate("ABCD")
    )
    prompts = {"anatomy": f"Four bones.{worked}"}
    (folder / "mmlu-cot.json").write_text(json.dumps(prompts))


def _bbh(folder: Path) -> None:
    (folder / "cot-prompts").mkdir(parents=True)
    shots = "\n\n".join(
        f"Q: Is {n} even?\nOptions:\n- yes\n- no\nA: Let us see.\nIt ends in {n}. "
        f"So the answer is {'no' if n % 2 else 'yes'}."
        for n in range(3)
    )
    (folder / "cot-prompts" / "navigate.txt").write_text(f"canary\n-----\nOdd or even.\n\n{shots}")
    rows = [{"input": f"Is {n} even?", "target": "no" if n % 2 else "yes"} for n in range(10, 14)]
    (folder / "navigate.json").write_text(json.dumps({"examples": [*rows, {"input": "?"}]}))


def _tydiqa(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, offset in (("dev", 0), ("train", 50)):
        asked = [
            {
                "id": f"finnish-{n + offset}",
                "question": f"Mikä on {n}?",
                "answers": [{"text": "Järvi"}, {"text": "Iso järvi"}] if n else [],
            }
            for n in range(3)
        ]
        content = {"data": [{"paragraphs": [{"context": "Järvi on vesi. " * 9, "qas": asked}]}]}
        (folder / f"finnish_tydiqa_{name}.json").write_text(json.dumps(content))


def _mgsm(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "mgsm_de.tsv").write_text("Wie viele Beine?\t1,004\nnur eine Spalte\n")
    found = {
        language: {
            str(n): {"q": f"{ask}: Was ist {n}?", "a": f"{reply}: Es ist {n}. Fertig."}
            for n in range(1, 9)
        }
        for language, ask, reply in (("de", "Frage", "Schrittweise"), ("en", "Task", "Steps"))
    }
    code = f"N = {list(range(1, 9))!r}\nEXEMPLAR_NUMBER_ANSWERS = {list(range(1, 9))!r}\n"
    code += f"MGSM_EXEMPLARS = {found!r}\nprint('never run')\n"
    (folder / "exemplars.py").write_text(code)


def rendered(task: TaskDefinition, split: str, row: int, budget: int = NO_LIMIT) -> Rendered:
    """One row's prompt, by the mini vocabulary."""
    (found,) = task.source.read(split, row, row + 1)
    assert isinstance(found, Example), found
    return render(
        task,
        found,
        exemplars=ExemplarPool.for_task(task),
        vocabulary=resolve_vocabulary("mini"),
        budget=budget,
    )
