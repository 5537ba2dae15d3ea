"""Every recipe says what it costs, its command loads, and what it resolves to is frozen.

After a change on purpose: ``REGENERATE_GOLDEN=1 pytest tests/cli/test_recipes.py``, and read
the difference before committing it.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from flan_t5x.cli.arguments import parse
from flan_t5x.cli.gin_config import Configuration, load, operative_config
from flan_t5x.cli.gin_files import packaged_gin_dir
from flan_t5x.cli.gin_flags import parse_bindings
from flan_t5x.data.aggregates import get_aggregate

GIN = packaged_gin_dir()
GOLDEN = Path(__file__).parent / "golden"
RECIPES = sorted(
    str(file.relative_to(GIN)) for file in [*GIN.glob("*.gin"), *GIN.glob("runs/*.gin")]
)
MODELS = sorted(str(file.relative_to(GIN)) for file in GIN.glob("models/*.gin"))

EVALS = sorted(str(file.relative_to(GIN)) for file in GIN.glob("evals/*.gin"))


def header(name: str) -> str:
    """The comment that a recipe opens with, without its number signs."""
    lines = (GIN / name).read_text("utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


def command(name: str) -> list[str]:
    """The command line in a recipe's header, without the program's name."""
    found = re.search(r"^Command: +(flan-t5x(?:.*\\\n)*.*)$", header(name), re.MULTILINE)
    assert found, f"{name} has no line 'Command:  flan-t5x ...'"
    return shlex.split(found.group(1).replace("\\\n", " "))[1:]


def configuration(line: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Configuration:
    monkeypatch.chdir(folder)  # recipes are found wherever the command is started
    options = parse(line)
    return load(
        line[0],
        gin_files=options.gin_file,
        bindings=parse_bindings(options.gin_bindings),
        given=["dry_run", "operative_config"],
    )


@pytest.mark.parametrize("name", RECIPES)
def test_header(name: str) -> None:
    text = header(name)
    for line in ("Command: ", "Hardware: ", "Cost: ", "Result: "):
        assert re.search(rf"^{line} *\S", text, re.MULTILINE), f"{name} does not say its {line}"
    mentioned = [word for word in command(name) if word.startswith("--gin_file=")]
    assert f"--gin_file={name}" in mentioned


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_resolves_to(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration(command(name), monkeypatch, tmp_path).arguments(dry_run=True)
    text = operative_config().rstrip() + "\n"
    golden = GOLDEN / name.replace("/", "_")
    if "REGENERATE_GOLDEN" in os.environ:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.is_file(), f"no {golden}: see the head of this file"
    assert text == golden.read_text()


@pytest.mark.parametrize("name", [name for name in RECIPES if command(name)[0] != "infer"])
def test_the_flags_of_train_and_eval_serve_cache(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = ["cache", *command(name)[1:]]
    arguments = configuration(line, monkeypatch, tmp_path).arguments()
    assert arguments["task_feature_lengths"].keys() == {"inputs", "targets"}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = [*command("runs/finetune.gin")]
    line = [line[0], f"--gin_file={name}", *line[2:]]  # the model's file comes first
    if name == "models/tiny.gin":
        line = [word for word in line if not word.startswith("--gin.VOCABULARY")]
    model = configuration(line, monkeypatch, tmp_path).arguments()["model"]
    counts = {
        "models/t5_1_1_small.gin": 76_961_152,
        "models/t5_1_1_base.gin": 247_577_856,
        "models/t5_1_1_large.gin": 783_150_080,
        "models/t5_1_1_xl.gin": 2_849_757_184,
        "models/t5_1_1_xxl.gin": 11_135_332_352,
    }
    # The public checkpoints' parameter counts.
    assert name not in counts or model.num_parameters() == counts[name]


@pytest.mark.parametrize("name", EVALS)
def test_evaluation_presets(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They come after a run, and say what they select by and on."""
    line = [word for word in command("runs/finetune.gin") if "EVAL_MIXTURE" not in word]
    line.insert(3, f"--gin_file={name}")
    found = configuration(line, monkeypatch, tmp_path).arguments()["evaluation"]
    get_aggregate(found.metric)
    assert found.selects_on_test == found.allow_test_selection
    assert found.selects_on_test == ("best.json and the run's last line say so" in header(name))


def test_golden_files_belong_to_recipes() -> None:
    assert {f.name for f in GOLDEN.glob("*")} <= {name.replace("/", "_") for name in RECIPES}
