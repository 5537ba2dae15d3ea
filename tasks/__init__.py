"""What is trained on and evaluated on, imported as `flan_tasks`.

Importing this package costs nothing: each provider is imported when one of its names is asked
for. A provider module has ``tasks()`` and ``mixtures()``, which return definitions; its names
are its prefix, or begin with the prefix and an underscore.
"""

PROVIDERS: dict[str, str] = {
    "mini": "flan_tasks.mini",
    "cot": "flan_tasks.cot",
}
"""Prefix of names -> module."""
