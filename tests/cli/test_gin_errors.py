"""Every mistake in a configuration gives one line with its place, the value and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from tests.cli.conftest import RECIPE, Load

BASE = ("--gin_file=recipe.gin", "--gin.MODEL_DIR=/tmp/run", "--gin.TRAIN_STEPS=5")
IMPORTS = "from __gin__ import dynamic_registration\nfrom tests.cli import engine\n"


def message(load: Load, *arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        load(*arguments).arguments()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (
            "--gin.TRAIN_STPES=5",
            "--gin.TRAIN_STPES=5: nothing in the configuration uses TRAIN_STPES: "
            "did you mean 'TRAIN_STEPS'?",
        ),
        (
            "--gin.train_steps=5",
            "--gin.train_steps=5: nothing in the configuration uses train_steps: "
            "did you mean 'TRAIN_STEPS'?",
        ),
        (
            "--gin.train.train_stpes=5",
            "--gin.train.train_stpes=5: train has no parameter 'train_stpes': "
            "did you mean 'train_steps'?",
        ),
        (
            "--gin.trian.train_steps=5",
            "--gin.trian.train_steps=5: nothing called 'trian' is configured: did you mean 'train'",
        ),
        (
            "--gin.engine.adamw.learning_rate=1",
            "--gin.engine.adamw.learning_rate=1: nothing in the configuration uses adamw: "
            "remove the flag",
        ),
        (
            "--gin.train.train_steps=7",
            "--gin.TRAIN_STEPS=5: other flags replace all that uses TRAIN_STEPS: remove one",
        ),
        (
            "--gin.OPTIMIZER=@engine.adafaktor()",
            "--gin.OPTIMIZER=@engine.adafaktor(): tests.cli.engine has no 'adafaktor': "
            "did you mean 'adafactor'?",
        ),
        (
            "--gin.train.batch_size=%BATCH",
            "--gin.train.batch_size=%BATCH: no file or flag defines %BATCH: "
            "Add the --gin_file that defines it, or --gin.BATCH=VALUE",
        ),
        (
            "--gin.LEARNING_RATE=%LERNING_RATE",
            "--gin.LEARNING_RATE=%LERNING_RATE: no file or flag defines %LERNING_RATE: "
            "did you mean 'LEARNING_RATE'?",
        ),
        (
            "--gin.LEARNING_RATE=%LEARNING_RATE",
            "%LEARNING_RATE is defined by itself",
        ),
        (
            "--gin.TASK_FEATURE_LENGTHS={'inputs': 64",
            "--gin.TASK_FEATURE_LENGTHS={'inputs': 64: ",
        ),
        (
            "--gin.TASK_FEATURE_LENGTHS={inputs: 64}",
            "--gin.TASK_FEATURE_LENGTHS={inputs: 64}: 'inputs' is no value: a string needs quotes",
        ),
        (
            "--gin.OPTIMIZER=@engine.VERSION",
            "--gin.OPTIMIZER=@engine.VERSION: 'engine.VERSION' is not a function or class",
        ),
        ("--gin.5X=5", "--gin.5X=5: "),
        ("--gin.TRAIN STEPS=5", "--gin.TRAIN STEPS=5: a gin name has letters"),
        ("--gin_bindings=import no_such_module", "--gin_bindings='import no_such_module': "),
    ],
)
def test_flags(load: Load, flag: str, expected: str) -> None:
    assert message(load, *BASE, flag).startswith(expected)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--gin.TRAIN_STEPS=abc", "train.train_steps takes int, not 'abc'"),
        ("--gin.TRAIN_STEPS=1.5", "train.train_steps takes int, not 1.5"),
        ("--gin.TRAIN_STEPS=True", "train.train_steps takes int, not True"),
        ("--gin.MODEL_DIR=10", "train.model_dir takes str, not 10"),
        ("--gin.train.initial_checkpoint_path=3", "takes str | None, not 3"),
        ("--gin.TASK_FEATURE_LENGTHS=64", "takes Mapping[str, int], not 64"),
        (
            "--gin.TASK_FEATURE_LENGTHS={'inputs': 'x'}",
            "takes Mapping[str, int], not {'inputs': 'x'}",
        ),
        ("--gin.LEARNING_RATE=fast", "adafactor.learning_rate takes float, not 'fast'"),
        ("--gin.train.model=tiny", "train.model takes Sizes, not 'tiny'"),
        (
            "--gin.train.model=@engine.Sizes",
            "train.model takes Sizes, not @engine.Sizes: write @engine.Sizes() for its result",
        ),
    ],
)
def test_wrong_types_name_the_flag_and_the_parameter(load: Load, flag: str, expected: str) -> None:
    text = message(load, *BASE, flag)
    assert text.startswith(f"{flag}: ")
    assert expected in text


def test_a_wrong_type_in_a_file_names_the_line(load: Load, folder: Path) -> None:
    (folder / "recipe.gin").write_text(RECIPE.replace("1e-3", "'fast'"))
    assert message(load, *BASE) == ("recipe.gin:7: adafactor.learning_rate takes float, not 'fast'")


def test_right_types_pass(load: Load) -> None:
    flags = (
        "--gin.LEARNING_RATE=1",
        "--gin.train.initial_checkpoint_path=None",
        "--gin.engine.Sizes.mlp_activations=['gelu']",
        "--gin.train.schedule=@engine.adamw",
        "--gin.MODEL_DIR='10'",
    )
    arguments = load(*BASE, *flags).arguments()
    assert arguments["optimizer"] == ("adafactor", 1, 0)
    assert arguments["model_dir"] == "10"


def test_missing_macros_are_listed_with_the_flags_to_add(load: Load) -> None:
    assert message(load, "--gin_file=recipe.gin") == (
        "recipe.gin:5 requires a value: add --gin.MODEL_DIR=VALUE --gin.TRAIN_STEPS=VALUE"
    )
    assert message(load, *BASE[:2]) == "recipe.gin:6 requires a value: add --gin.TRAIN_STEPS=VALUE"


def test_a_typo_is_told_before_the_value_that_it_leaves_missing(load: Load) -> None:
    assert "did you mean 'MODEL_DIR'?" in message(load, BASE[0], BASE[2], "--gin.MODLE_DIR=x")


def test_no_recipe_at_all(load: Load) -> None:
    assert message(load) == (
        "train needs model_dir, model, optimizer, train_steps, task_feature_lengths: "
        "add --gin.train.model_dir=VALUE --gin.train.model=VALUE --gin.train.optimizer=VALUE "
        "--gin.train.train_steps=VALUE --gin.train.task_feature_lengths=VALUE "
        "(or a recipe, e.g. --gin_file=smoke.gin)"
    )


def test_missing_parameter_of_a_class(load: Load, folder: Path) -> None:
    (folder / "recipe.gin").write_text(RECIPE.replace("engine.Sizes.emb_dim = 64", ""))
    assert message(load, *BASE) == "Sizes needs emb_dim: add --gin.Sizes.emb_dim=VALUE"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ["--gin.engine.Sizes.num_heads=7"],
            "Sizes: emb_dim 64 is not divisible by num_heads 7 "
            "(set in --gin.engine.Sizes.num_heads=7)",
        ),
        (
            ["--gin.EMB=65", "--gin.engine.Sizes.emb_dim=%EMB"],
            "Sizes: emb_dim 65 is not divisible by num_heads 4 (set in --gin.EMB=65)",
        ),
        (
            ["--gin.train.batch_size=@engine.refuses()", "--gin.engine.refuses.limit=9"],
            "refuses: limit 9 is too high: lower it (set in --gin.engine.refuses.limit=9)",
        ),
    ],
)
def test_what_a_class_or_function_refuses_is_told_with_its_place(
    load: Load, flags: list[str], expected: str
) -> None:
    assert message(load, *BASE, *flags) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (IMPORTS + "engin.train.batch_size = 3\n", "x.gin:3: 'engin' is not imported in this"),
        (IMPORTS + "engin.train.batch_size = 3\n", "did you mean 'engine'?"),
        (IMPORTS + "engine.trian:\n  batch_size = 3\n", "x.gin:3: tests.cli.engine has no 'trian'"),
        (
            IMPORTS + "engine.train:\n  batch_size = 3\n  bach_size = 4\n",
            "x.gin:5: train has no parameter 'bach_size': did you mean 'batch_size'?",
        ),
        (IMPORTS + "A = [1,\n  @engine.none()]\n", "x.gin:4: tests.cli.engine has no 'none'"),
        ("A = /tmp/x\n", "x.gin:1: Unable to parse value in 'A = /tmp/x'"),
        ("A = 1\nB = hello\n", "x.gin:2: 'hello' is no value: a string needs quotes"),
        ("A = 1\nB = [1, 2\n", "x.gin:"),
        ("A = 'one\n", "x.gin:1: "),
        ("A = 1\n  B 2\n", "x.gin:2: "),
        ("include 'no.gin'\n", "x.gin:1: no gin file 'no.gin' in ., "),
        ("include 'x.gin'\n", "x.gin:1: x.gin includes itself: remove this include"),
        (
            "from __gin__ import dynamic_registration\nfrom tests.cli import engin\n",
            "x.gin:2: from tests.cli import engin: No module named 'tests.cli.engin': "
            "did you mean 'engine'?",
        ),
        ("from __gin__ import magic\n", "x.gin:1: "),
        ("train.batch_sizes = 3\n", "x.gin:1: train has no parameter 'batch_sizes'"),
        ("trains.batch_size = 3\n", "x.gin:1: nothing is called 'trains': did you mean 'train'"),
        ("UNUSED = %NOT_DEFINED\n", "x.gin:1: no file or flag defines %NOT_DEFINED"),
    ],
)
def test_files(load: Load, folder: Path, text: str, expected: str) -> None:
    (folder / "x.gin").write_text(text)
    assert expected in message(load, *BASE, "--gin_file=x.gin")


def test_missing_and_unreadable_files(load: Load, folder: Path) -> None:
    text = message(load, "--gin_file=smoky.gin")
    assert text.startswith("--gin_file=smoky.gin: no gin file 'smoky.gin' in ., ")
    assert "did you mean 'smoke.gin'" in text
    assert message(load, "--gin_file=/no/such.gin").endswith("no gin file /no/such.gin")
    assert "did you mean 'recipe.gin'?" in message(load, "--gin_file=recipes.gin")
    (folder / "binary.gin").write_bytes(b"\xff\xfe\x00A = 1")
    assert "binary.gin cannot be read as text" in message(load, "--gin_file=binary.gin")
    assert "no gin file" in message(load, f"--gin_file={folder}")  # a folder is no file
