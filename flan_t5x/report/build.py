"""Runs and evaluations in, one page out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import Element

from flan_t5x.errors import UserError
from flan_t5x.evaluation.results import RESULTS
from flan_t5x.files import write_whole
from flan_t5x.pages.elements import markup, node
from flan_t5x.pages.shell import shared, whole_page
from flan_t5x.report.answers import collect_answers
from flan_t5x.report.benchmarks import benchmarks_section
from flan_t5x.report.curves import curves_section
from flan_t5x.report.differences import differences_section
from flan_t5x.report.eval_files import Evaluation, evaluation_folders, read_evaluation
from flan_t5x.report.failures import failures_section
from flan_t5x.report.overview import overview, time_section
from flan_t5x.report.provenance import configuration_section, mixture_section, versions_section
from flan_t5x.report.run_files import Run, read_run
from flan_t5x.report.samples import samples_data, samples_section
from flan_t5x.report.tasks import tasks_section
from flan_t5x.report.votes import votes_section

Thing = TypeVar("Thing", Run, Evaluation)


@dataclass(frozen=True)
class Report:
    """What a page was made of.

    Attributes:
        runs: those that there is something to show of.
        evaluations: likewise.
        problems: a sentence for each file or folder that is missing or damaged.
    """

    runs: tuple[Run, ...]
    evaluations: tuple[Evaluation, ...]
    problems: tuple[str, ...]


def read_report(
    model_dirs: Sequence[str], output_dirs: Sequence[str] = (), *, samples: int = 4
) -> Report:
    """Reads runs and evaluations.

    Args:
        model_dirs: folders of runs.
        output_dirs: folders of evaluations, or folders of such folders.
        samples: prompts of each task to show with their predictions.

    Raises:
        UserError: a folder does not exist, or there is nothing to report in any.
    """
    run_folders = _folders(model_dirs)
    eval_folders = _distinct(
        one for folder in _folders(output_dirs) for one in evaluation_folders(folder)
    )
    wanted: dict[str, list[str]] = {}
    labels = _labels([*run_folders, *eval_folders])
    runs = [read_run(folder, labels.pop(0)) for folder in run_folders]
    evaluations = []
    for folder, label in zip(eval_folders, labels, strict=True):
        found = read_evaluation(
            folder, label, partial(collect_answers, samples=samples, wanted=wanted)
        )
        evaluations.append(found)
        for task, answers in found.answers.tasks.items() if found and found.answers else ():
            wanted.setdefault(task, list(answers.samples))
    nothing = [
        f"{folder}: holds no file of a run"
        + ("; give it after --eval" if (folder / RESULTS).exists() else "")
        for folder, run in zip(run_folders, runs, strict=True)
        if run is None
    ]
    nothing += [
        f"{folder}: holds no file of an evaluation"
        for folder, one in zip(eval_folders, evaluations, strict=True)
        if one is None
    ]
    there, evaluated = _there(runs), _there(evaluations)
    if not there and not evaluated:
        raise UserError(
            "; ".join(nothing) or "nothing to report: give the model_dir of a run, or --eval"
        )
    problems = [p for run in there for p in run.problems]
    problems += [p for one in evaluated for p in one.problems]
    return Report(there, evaluated, tuple(nothing + problems))


def write_report(path: Path, report: Report) -> None:
    """Writes the page.

    Raises:
        UserError: it cannot be written.
    """
    write_whole(path, page(report))


def page(report: Report) -> str:
    """The page as text."""
    runs, evaluations = report.runs, report.evaluations
    first = len(runs)
    data = samples_data(evaluations, first=first)
    made = (
        overview(runs, evaluations, report.problems),
        curves_section(runs),
        benchmarks_section(runs, evaluations),
        differences_section(evaluations, first=first),
        tasks_section(runs, evaluations),
        votes_section(evaluations, first=first),
        failures_section(runs, evaluations),
        samples_section(data),
        time_section(runs),
        mixture_section(runs),
        configuration_section(runs),
        versions_section(runs),
    )
    sections = [element for element in made if element is not None]
    labels = [run.label for run in runs] + [one.label for one in evaluations]
    folder = resources.files("flan_t5x.report") / "page"
    return whole_page(
        title=f"Report: {', '.join(labels)}",
        body=markup(_header(sections), node("main", *sections)),
        style=shared("charts.css") + (folder / "report.css").read_text("utf-8"),
        script=shared("charts.js") + (folder / "report.js").read_text("utf-8"),
        data=data,
    )


def _header(sections: Sequence[Element]) -> Element:
    links = (node("a", s[0].text, href=f"#{s.get('id')}") for s in sections)
    return node("header", node("h1", "Report"), node("nav", *links, aria_label="Parts"))


def _folders(places: Iterable[str]) -> list[Path]:
    folders = _distinct(Path(place).expanduser() for place in places)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{folder} is no folder; give a model_dir, or the output_dir of an eval"
            )
    return folders


def _distinct(folders: Iterable[Path]) -> list[Path]:
    return list({folder.resolve(): folder for folder in folders}.values())


def _labels(folders: Sequence[Path]) -> list[str]:
    """As much of each path, from its end, as tells it from the others."""
    parts = [folder.resolve().parts for folder in folders]
    own = [1] * len(parts)
    while True:
        labels = ["/".join(path[-n:]) for path, n in zip(parts, own, strict=True)]
        twice = [labels.count(label) > 1 for label in labels]
        longer = [min(n + t, len(p)) for n, t, p in zip(own, twice, parts, strict=True)]
        if longer == own:  # a run and an evaluation may share their folder
            return labels
        own = longer


def _there(things: Iterable[Thing | None]) -> tuple[Thing, ...]:
    return tuple(thing for thing in things if thing is not None)
