"""Figures over several tasks: halves of BBH, means and bests of templates, the six-way average.

Any other mixture's name is a figure as well: the unweighted mean of its tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from flan_t5x.data.definitions import AggregateDefinition, AggregatePart

from . import bbh, flaneval, gsm8k, mgsm, mmlu, tables, tydiqa
from .collection import flan_2021_clusters

MMLU_CHANCE = 0.25
"""Four options."""


def published() -> Mapping[str, Mapping[str, float]]:
    """Model -> figure or task -> score, as Chung et al. 2022 print them; shares, not per cent."""
    found: dict[str, dict[str, float]] = {}
    for model, name, per_cent in tables.rows("flan_tasks", "published.tsv"):
        found.setdefault(model, {})[name] = float(per_cent) / 100
    return found


def aggregates() -> Iterator[AggregateDefinition]:
    """All definitions. An evaluation shows those that it has at least one of the tasks of."""
    yield from _means()
    yield from _normalized()
    yield from _over_templates()


def _means() -> Iterator[AggregateDefinition]:
    """Of each benchmark's mixtures; of two with the same tasks that with the shorter name."""
    seen: set[tuple[AggregatePart, ...]] = set()
    found = [
        mixture for module in (mmlu, bbh, tydiqa, mgsm, gsm8k) for mixture in module.mixtures()
    ]
    for mixture in sorted(found, key=lambda m: len(m.name)):
        parts = tuple(AggregatePart(part.name) for part in mixture.parts)
        if parts not in seen:
            seen.add(parts)
            yield AggregateDefinition(mixture.name, parts, about=mixture.about)


def _normalized() -> Iterator[AggregateDefinition]:
    """Chung et al. 2022, footnote 5: the mean of six scores, each task's scaled so that guessing
    is 0 and perfection 1."""
    parts: dict[str, list[AggregatePart]] = {}
    for mode in ("direct", "cot"):
        parts[f"mmlu_{mode}"] = [
            AggregatePart(f"mmlu_{subject}_{mode}_{mmlu.SHOTS}shot", chance=MMLU_CHANCE)
            for subject in mmlu.SUBJECTS
        ]
        parts[f"bbh_{mode}"] = [
            AggregatePart(f"bbh_{subtask}_{mode}_{bbh.SHOTS}shot", chance=chance)
            for subtask, chance in bbh.CHANCE.items()
        ]
    parts["tydiqa"] = [
        AggregatePart(f"tydiqa_{code}_direct_{tydiqa.SHOTS}shot", chance=0.0)
        for code in tydiqa.PUBLISHED
    ]
    parts["mgsm"] = [
        AggregatePart(f"mgsm_{code}_cot_{mgsm.SHOTS}shot", chance=0.0) for code in mgsm.PUBLISHED
    ]
    for name, tasks in parts.items():
        about = f"{name}, guessing at 0"
        yield AggregateDefinition(f"{name}_normalized", tuple(tasks), about=about)
    six = tuple(AggregatePart(f"{name}_normalized") for name in parts)
    yield AggregateDefinition("normalized_average", six, about="MMLU, BBH, TyDiQA, MGSM, six ways")


def _over_templates() -> Iterator[AggregateDefinition]:
    """Of each FLAN data set the mean and the best of its templates; of each cluster their means."""
    for cluster, keys in flan_2021_clusters().items():
        for key in keys:
            tasks = [AggregatePart(name) for name in flaneval.task_names_of(key)]
            about = f"{key} over its templates"
            yield _of(f"flaneval_{key}_mean", tasks, f"mean of {about}")
            yield AggregateDefinition(f"flaneval_{key}_best", tuple(tasks), "max", f"best {about}")
        for kind in ("mean", "best"):
            parts = [AggregatePart(f"flaneval_{key}_{kind}") for key in keys]
            name = f"flaneval_cluster_{cluster}_{kind}"
            yield _of(name, parts, f"{cluster}: mean over data sets of the {kind} over templates")
    for kind in ("mean", "best"):
        parts = [
            AggregatePart(f"flaneval_cluster_{cluster}_{kind}") for cluster in flan_2021_clusters()
        ]
        yield _of(f"flaneval_{kind}", parts, f"mean over clusters of the {kind} over templates")


def _of(name: str, parts: Iterable[AggregatePart], about: str) -> AggregateDefinition:
    return AggregateDefinition(name, tuple(parts), about=about)
