"""The direction of imports (README.md, "Architecture"), read from the source by `ast`.

cli -> report, sweep -> train, evaluation -> data, model, decode, checkpoint -> parallel; tasks ->
data, evaluation. Imports inside functions count as well: they run, only later.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"flan_t5x": ROOT / "flan_t5x", "flan_tasks": ROOT / "tasks"}

# Each part may import from itself and from these, and everybody from EVERYWHERE.
EVERYWHERE = {"errors", "files", "flan_t5x"}
MAY_IMPORT = {
    "cli": {
        "bench",
        "report",
        "sweep",
        "plan",
        "train",
        "evaluation",
        "data",
        "model",
        "decode",
        "checkpoint",
        "parallel",
    },
    "report": {"train", "evaluation", "data", "pages"},
    "sweep": {"bench", "plan", "train", "evaluation", "data", "checkpoint", "parallel", "pages"},
    "bench": {"train", "data", "model", "decode", "parallel"},
    "plan": {"bench", "train", "model", "parallel"},
    "train": {"evaluation", "data", "model", "decode", "checkpoint", "parallel"},
    "evaluation": {"data", "model", "decode", "checkpoint", "parallel"},
    "data": {"parallel", "pages"},
    "model": {"parallel"},
    "decode": {"model", "parallel"},
    "checkpoint": {"model", "parallel"},
    "parallel": set(),
    "pages": set(),
    "errors": set(),
    "files": set(),
    "flan_tasks": {"data", "evaluation"},
}

# What must start fast or run in worker processes imports none of these when it is imported.
HEAVY = {"jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "seqio", "grain"}
LIGHT = (
    "flan_t5x",
    "flan_t5x.errors",
    "flan_t5x.cli.main",
    "flan_t5x.data.definitions",
    "flan_t5x.data.draws",
    "flan_t5x.data.vocabulary",
    "flan_t5x.data.formats",
    "flan_t5x.data.cache",
    "flan_t5x.data.mixing",
    "flan_t5x.data.packing",
    "flan_t5x.data.registry",
    "flan_tasks",
    "flan_tasks.mini",
    "flan_tasks.cot",
    "flan_tasks.muffin",
    "flan_tasks.niv2",
    "flan_tasks.t0_sf",
    "flan_tasks.dialog",
    "flan_tasks.collection",
    "flan_tasks.mmlu",
    "flan_tasks.bbh",
    "flan_tasks.aggregates",
    "flan_t5x.evaluation.predictions",
    "flan_t5x.evaluation.comparison",
    "flan_t5x.data.raw.fetch",
    "flan_t5x.parallel.tpu",
    "flan_t5x.data.overlap",
    "flan_t5x.data.token_stats",
    "flan_t5x.report.build",
    "flan_t5x.sweep.statistics",
    "flan_t5x.sweep.page",
    "flan_t5x.sweep.summary",
)


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join([package, *parts])] = file
    return found


MODULES = modules()


def type_checking_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def statements(node: ast.AST, *, top_only: bool) -> Iterator[ast.stmt]:
    """Import statements; those for the type checker alone never run and do not count."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif type_checking_only(child):
            yield from (s for part in child.orelse for s in statements(part, top_only=top_only))  # type: ignore[attr-defined]
        elif not (top_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from statements(child, top_only=top_only)


def imported(name: str, *, top_only: bool = False) -> set[str]:
    """Absolute names that a module imports; ``from a import b`` gives a.b if that is a module."""
    file = MODULES[name]
    found = set()
    for statement in statements(ast.parse(file.read_text("utf-8")), top_only=top_only):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert isinstance(statement, ast.ImportFrom)
        base = statement.module or ""
        if statement.level:
            own = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
            above = own[: len(own) - statement.level + 1]
            base = ".".join([*above, *filter(None, [statement.module])])
        for alias in statement.names:
            inner = f"{base}.{alias.name}"
            found.add(inner if inner in MODULES else base)
    return found


def part(name: str) -> str:
    """The folder (or the module beside the folders) that a module of ours belongs to."""
    pieces = name.split(".")
    return pieces[0] if pieces[0] == "flan_tasks" or len(pieces) == 1 else pieces[1]


def ours(name: str) -> bool:
    return name.split(".")[0] in PACKAGES


@pytest.mark.parametrize("name", MODULES)
def test_direction(name: str) -> None:
    here = part(name)
    if here == "flan_t5x":  # the bare package: a version number
        assert not {other for other in imported(name) if ours(other)}
        return
    for other in filter(ours, imported(name)):
        there = part(other)
        allowed = MAY_IMPORT[here] | EVERYWHERE | {here}
        assert there in allowed, f"{name} imports {other}: {here} may import {sorted(allowed)}"


def test_few_places_of_the_engine_name_the_tasks_package() -> None:
    # The registry imports definitions on demand; two others open files shipped beside them.
    allowed = {"flan_t5x.data.registry", "flan_t5x.data.vocabulary", "flan_t5x.checkpoint.base"}
    naming = {
        name
        for name, file in MODULES.items()
        if name.startswith("flan_t5x") and "flan_tasks" in code_strings(file)
    }
    assert naming <= allowed


def code_strings(file: Path) -> set[str]:
    """First parts of dotted names in the string constants of a module."""
    tree = ast.parse(file.read_text("utf-8"))
    constants = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return {value.split(".")[0] for value in constants if isinstance(value, str)}


def test_no_cycles() -> None:
    graph = {
        name: sorted(other for other in imported(name) if other in MODULES and other != name)
        for name in MODULES
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"import cycle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules(name: str) -> None:
    """What importing a light module imports in turn, followed through our own modules."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        for other in imported(module, top_only=True):
            assert other.split(".")[0] not in HEAVY, f"{name} -> {module} imports {other}"
            # Importing a.b.c also runs a and a.b.
            parents = [other.rsplit(".", n)[0] for n in range(other.count(".") + 1)]
            todo += [parent for parent in parents if parent in MODULES]


def test_absent_files() -> None:
    # gin/__init__.py would make the folder shadow the gin library in the repository's root.
    assert not list((ROOT / "gin").rglob("*.py"))
    for folder in ("flan_t5x", "tasks", "launch", "tests"):
        assert not list((ROOT / folder).rglob("utils.py"))


def test_setup_cfg_lists_every_package() -> None:
    import configparser

    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    there = {name for name, file in MODULES.items() if file.name == "__init__.py"}
    assert listed == there | {"flan_t5x.gin"}
