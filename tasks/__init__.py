"""What is trained on and evaluated on, imported as `flan_tasks`.

Importing this package costs nothing: each provider is imported when one of its names is asked
for. A provider module has ``tasks()`` and ``mixtures()``, which return definitions, or, where
its tasks are many, ``names()`` and ``task(name)`` instead of ``tasks()``. Its names are its prefix,
or begin with the prefix and an underscore.
"""

PROVIDERS: dict[str, str] = {
    "mini": "flan_tasks.mini",
    "cot": "flan_tasks.cot",
    "flan": "flan_tasks.muffin",
    "t0": "flan_tasks.t0_sf",
    "niv2": "flan_tasks.niv2",
    "dialog": "flan_tasks.dialog",
    "flan2022": "flan_tasks.collection",
    "flan2021": "flan_tasks.collection",
    "flaneval": "flan_tasks.flaneval",
    "mmlu": "flan_tasks.mmlu",
    "bbh": "flan_tasks.bbh",
    "tydiqa": "flan_tasks.tydiqa",
    "mgsm": "flan_tasks.mgsm",
    "gsm8k": "flan_tasks.gsm8k",
    "held_out": "flan_tasks.suites",
}
"""Prefix of names -> module."""

AGGREGATES = "flan_tasks.aggregates"
"""The module whose ``aggregates()`` defines figures over several scores."""
