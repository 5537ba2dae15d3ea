"""Names, caps and rates of the mixtures of downloaded data, in one place.

A cap bounds a task's weight, not its data: every row stays reachable (Longpre et al. 2023).
Inside a submixture a task weighs as many rows as it has, at most its cap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flan_t5x.data.definitions import FORMATS, MixtureDefinition, MixturePart

MUFFIN_CAP = 30_000
T0_SF_CAP = 20_000
COT_CAP = 100_000
NIV2_CAP = 5_000
DIALOG_CAP = 200_000
"""Flan-T5's caps (Chung et al. 2022, table 23); for dialogue those of Flan's public code."""

FLAN_2021_CAP = 3_000
"""Wei et al. 2022, section 2.1."""

PROPORTION_A = {"muffin": 52.0, "t0_sf": 15.0, "cot": 3.0, "niv2": 30.0}
"""Of the ablations and scaling runs (Chung et al. 2022, table 23)."""

PROPORTION_B = {"muffin": 46.0, "t0_sf": 27.9, "cot": 1.8, "niv2": 24.2}
"""Flan-T5's. As published they sum to 99.9."""

COLLECTION = {"flan2021": 40.0, "t0_sf": 32.0, "niv2": 20.0, "cot": 5.0, "dialog": 3.0}
"""The Flan Collection's (Longpre et al. 2023, flan/v2/run_example.py)."""

INVERTED_RATE = 0.3
"""What tasks that are turned round weigh beside the same tasks forward: Flan's public code for
dialogue and chain of thought; here for Muffin as well, whose inversions Flan hides in some of its
templates."""

COT_ROWS = {
    "aqua": 2_728,
    "creak": 6_915,
    "ecqa": 7_112,
    "esnli": 36_174,
    "gsm8k": 7_473,
    "qasc": 1_084,
    "qed": 5_154,
    "sensemaking": 6_070,
    "strategyqa": 2_061,
}
"""Rows of the chain-of-thought files, for shares where the files are missing."""

WITHOUT_IN_SEVEN = ("esnli", "qed")
"""What `cot_seven` leaves out: their files are over 4 MB, and many copies lack them."""

HELD_OUT_TOGETHER = {
    "entailment": ("paraphrase",),
    "paraphrase": ("entailment",),
    "reading_comprehension": ("read_comp_and_common_sense",),
    "common_sense": ("read_comp_and_common_sense",),
    "read_comp_and_common_sense": ("reading_comprehension", "common_sense"),
}
"""Clusters too alike for one to be held out while the other is trained on: the special cases of
``generate_inter_cluster_splits`` in flan/task_splits.py of google-research/FLAN."""

_FOUR = ("zsopt", "fsopt", "zsnoopt", "fsnoopt")
_TWO = ("zsopt", "fsopt")
_SUBMIXTURES = {"muffin": "flan2022_muffin_and_dialog", "t0_sf": "flan2022_t0_sf"} | {
    name: f"flan2022_{name}" for name in ("cot", "niv2")
}
_LADDER = ("cot", "muffin", "t0_sf", "niv2")


def muffin(
    clusters: Mapping[str, Sequence[str]], inverted: Sequence[str]
) -> Iterator[MixtureDefinition]:
    """The four submixtures of Flan 2021's data sets as Flan 2022 has them.

    Args:
        clusters: the keys of each cluster.
        inverted: keys that also have a task turned round.
    """
    keys = [key for cluster in clusters.values() for key in cluster]
    for kind in _FOUR:
        forward = [f"flan_{key}_{kind}" for key in keys]
        about = f"Muffin, {_KIND_IN_WORDS[kind]}"
        if kind in _TWO and inverted:
            yield _capped(f"flan_{kind}_forward", forward, MUFFIN_CAP, f"{about}, forward")
            yield _turned_round("flan", kind, inverted, MUFFIN_CAP)
            yield _with_inverted("flan", kind, about)
        else:
            yield _capped(f"flan_{kind}", forward, MUFFIN_CAP, about)


def t0_sf(subsets: Sequence[str]) -> Iterator[MixtureDefinition]:
    """The four submixtures of P3's kept subsets."""
    for kind in _FOUR:
        names = [f"t0_{subset}_{kind}" for subset in subsets]
        yield _capped(f"t0_{kind}", names, T0_SF_CAP, f"T0-SF, {_KIND_IN_WORDS[kind]}")


def niv2(tasks: Sequence[str]) -> Iterator[MixtureDefinition]:
    """The two submixtures of Natural Instructions: a cap for each of its tasks."""
    for kind in _TWO:
        names = [f"niv2_{task}_{kind}" for task in tasks]
        yield _capped(f"niv2_{kind}", names, NIV2_CAP, f"NIv2, {_KIND_IN_WORDS[kind]}")


def dialog(names: Sequence[str]) -> Iterator[MixtureDefinition]:
    """The two submixtures of conversations."""
    for kind in _TWO:
        about = f"conversations, {_KIND_IN_WORDS[kind]}"
        forward = [f"dialog_{name}_{kind}" for name in names]
        yield _capped(f"dialog_{kind}_forward", forward, DIALOG_CAP, f"{about}, forward")
        yield _turned_round("dialog", kind, names, DIALOG_CAP)
        yield _with_inverted("dialog", kind, about)


def cot(datasets: Sequence[str], inverted: Sequence[str] = ()) -> Iterator[MixtureDefinition]:
    """Mixtures over the chain-of-thought data sets: formats equal, data sets by their size.

    Args:
        datasets: names of all nine.
        inverted: those that also have tasks turned round.
    """
    seven = [name for name in datasets if name not in WITHOUT_IN_SEVEN]
    yield from _four_formats("cot", datasets, "all nine chain-of-thought data sets")
    left_out = " and ".join(WITHOUT_IN_SEVEN)
    yield from _four_formats("cot_seven", seven, f"chain-of-thought data sets but {left_out}")
    for kind in _TWO:
        about = f"chain of thought, {_KIND_IN_WORDS[kind]}"
        forward = [f"cot_{name}_{kind[:2]}_cot" for name in datasets]
        if inverted:
            yield _capped(f"cot_{kind}_forward", forward, COT_CAP, f"{about}, forward")
            yield _turned_round("cot", kind, inverted, COT_CAP)
            yield _with_inverted("cot", kind, about)
        else:
            yield _capped(f"cot_{kind}", forward, COT_CAP, about)
    yield MixtureDefinition(
        "cot_gsm8k_test",
        tuple(MixturePart(f"cot_gsm8k_test_{format}") for format in ("zs_cot", "fs_cot")),
        about="GSM8K test set, never trained on",
        evaluation_only=True,
    )


def flan2022() -> Iterator[MixtureDefinition]:
    """The whole collection by published proportions, the ladder of task numbers, the ablation."""
    for name, prefix, kinds in (
        ("muffin", "flan", _FOUR),
        ("t0_sf", "t0", _FOUR),
        ("cot", "cot", _TWO),
        ("niv2", "niv2", _TWO),
        ("dialog", "dialog", _TWO),
    ):
        formats = {f"{prefix}_{kind}": 1.0 for kind in kinds}
        yield _rated(f"flan2022_{name}", formats, f"{name}, its formats in equal parts")
    yield _rated(
        _SUBMIXTURES["muffin"],
        {"flan2022_muffin": COLLECTION["flan2021"], "flan2022_dialog": COLLECTION["dialog"]},
        "what Chung et al. call Muffin: conversations included, as 3 to 40",
    )
    yield _rated("flan2022_a", _proportion(PROPORTION_A), "Flan 2022, proportion A")
    yield _rated("flan2022_b", _proportion(PROPORTION_B), "Flan 2022, proportion B: Flan-T5's")
    parts = {
        "flan2022_muffin" if n == "flan2021" else f"flan2022_{n}": r for n, r in COLLECTION.items()
    }
    yield _rated("flan2022_collection", parts, "Flan 2022, the Flan Collection's proportions")
    for count, name in enumerate(_LADDER, start=1):
        rates = {n: PROPORTION_A[n] for n in _LADDER[:count]}
        about = f"task scaling, step {count}: {', '.join(_LADDER[:count])}"
        yield _rated(f"flan2022_ladder_{name}", _proportion(rates), about)
    yield _rated("flan2022_all", _proportion(PROPORTION_A), "ablation: everything")
    without = {n: r for n, r in PROPORTION_A.items() if n != "cot"}
    yield _rated("flan2022_without_cot", _proportion(without), "ablation: no chain of thought")
    yield _rated("flan2022_cot_only", {"flan2022_cot": 1.0}, "ablation: chain of thought alone")


def flan2021(clusters: Mapping[str, Sequence[str]]) -> Iterator[MixtureDefinition]:
    """Flan 2021: its data sets zero-shot, and the same with a cluster held out.

    Args:
        clusters: the keys of each cluster, without those that came in 2022.
    """

    def without(*left_out: str) -> list[str]:
        kept = [key for name, keys in clusters.items() if name not in left_out for key in keys]
        return [f"flan_{key}_zsopt" for key in kept]

    yield _capped("flan2021", without(), FLAN_2021_CAP, "Flan 2021, zero-shot")
    for cluster in clusters:
        gone = (cluster, *(c for c in HELD_OUT_TOGETHER.get(cluster, ()) if c in clusters))
        yield _capped(
            f"flan2021_without_{cluster}",
            without(*gone),
            FLAN_2021_CAP,
            f"Flan 2021 without {' and '.join(gone)}",
        )


_KIND_IN_WORDS = {
    "zsopt": "zero-shot with answer options",
    "fsopt": "few-shot with answer options",
    "zsnoopt": "zero-shot without answer options",
    "fsnoopt": "few-shot without answer options",
}


def _capped(name: str, tasks: Sequence[str], cap: int, about: str) -> MixtureDefinition:
    """Tasks by their size, at most `cap`."""
    return MixtureDefinition(name, tuple(MixturePart(t, cap=cap) for t in tasks), about)


def _rated(name: str, parts: Mapping[str, float], about: str) -> MixtureDefinition:
    return MixtureDefinition(name, tuple(MixturePart(p, rate=r) for p, r in parts.items()), about)


def _proportion(rates: Mapping[str, float]) -> dict[str, float]:
    return {_SUBMIXTURES[name]: rate for name, rate in rates.items()}


def _turned_round(prefix: str, kind: str, names: Sequence[str], cap: int) -> MixtureDefinition:
    tasks = [f"{prefix}_{name}_inv_{kind[:2]}" for name in names]
    about = f"{prefix} tasks turned round, {_KIND_IN_WORDS[kind].partition(' ')[0]}"
    return _capped(f"{prefix}_{kind}_inverted", tasks, cap, about)


def _with_inverted(prefix: str, kind: str, about: str) -> MixtureDefinition:
    parts = {f"{prefix}_{kind}_forward": 1.0, f"{prefix}_{kind}_inverted": INVERTED_RATE}
    return _rated(f"{prefix}_{kind}", parts, about)


def _four_formats(name: str, datasets: Sequence[str], about: str) -> Iterator[MixtureDefinition]:
    for format in FORMATS:
        parts = tuple(MixturePart(f"cot_{d}_{format}", cap=COT_CAP) for d in datasets)
        yield MixtureDefinition(f"{name}_{format}", parts, about=f"{about}, format {format}")
    equal = tuple(MixturePart(f"{name}_{format}", rate=1.0) for format in FORMATS)
    yield MixtureDefinition(name, equal, about=f"{about}, four formats in equal parts")
