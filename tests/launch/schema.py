"""Checks a manifest against a JSON schema: the few keywords that Kubernetes' schemas use.

Fields that a schema does not name are errors, as for `kubectl apply --validate=strict`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

OURS = Path(__file__).parent / "jobset_schema.json"
_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def problems(value: Any, schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """All that is wrong with a value, with its place."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if schema.get("x-kubernetes-int-or-string"):
        if type(value) not in (int, str):
            yield f"{where}: {value!r} is neither a number nor a string"
        return
    kind = schema.get("type")
    if kind is not None:
        right = isinstance(value, _TYPES[kind]) and (kind == "boolean" or type(value) is not bool)
        if not right:
            yield f"{where}: {value!r} is no {kind}"
            return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} does not match {schema['pattern']}"
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield f"{where}: longer than {schema['maxLength']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{where}: {value!r} is below {schema['minimum']}"
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from problems(item, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict):
        yield from _object_problems(value, schema, where)


def _object_problems(
    value: Mapping[str, Any], schema: Mapping[str, Any], where: str
) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    if not known and others is None:
        return  # free, such as metadata in a custom resource's schema
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}: {name} is missing"
    for name, item in value.items():
        below = known.get(name, others)
        if isinstance(below, Mapping):
            yield from problems(item, below, f"{where}.{name}")
        else:
            yield f"{where}: there is no field {name}"


def ours() -> dict[str, Any]:
    """Our schema of the fields that we use, as Kubernetes and JobSet document them."""
    read: dict[str, Any] = json.loads(OURS.read_text())
    return read


def of_crd(path: Path) -> dict[str, Any]:
    """The schema of v1alpha2 in JobSet's CustomResourceDefinition."""
    import yaml

    crd = yaml.safe_load(path.read_text())
    (version,) = [v for v in crd["spec"]["versions"] if v["name"] == "v1alpha2"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema
