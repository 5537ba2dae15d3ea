"""The command as a user meets it: exit codes, one line per mistake, nothing heavy for --help."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from flan_t5x.cli import arguments, environment, gin_config, train
from flan_t5x.cli.main import main
from flan_t5x.errors import EXIT_NON_FINITE, NonFiniteLossError, UserError
from tests.cli.conftest import RECIPE

HEAVY = ("jax", "jaxlib", "tensorflow", "seqio", "flax", "optax", "grain", "numpy", "gin", "rich")


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flan_t5x.cli.main", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )


def test_help_is_fast_and_lists_the_built_commands_only() -> None:
    fastest = float("inf")
    for _ in range(5):  # the machine may be busy: the best of five is the program's own time
        start = time.perf_counter()
        done = command("--help")
        fastest = min(fastest, time.perf_counter() - start)
        assert done.returncode == 0
        if fastest < 0.5:
            break
    assert fastest < 0.5
    listed = [
        line.split()[0]
        for line in done.stdout.splitlines()
        if line[:4] == "    " and line[4:5] > " "
    ]
    assert [name for name in listed if name != "COMMAND"] == list(arguments.COMMANDS)


def test_the_parser_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flan_t5x.cli.arguments import make_parser; make_parser(); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["trian"], "there is no command 'trian': did you mean 'train'?"),
        (
            ["quilt"],
            "there is no command 'quilt': the commands are train, eval, infer, sweep, cache, tasks",
        ),
        (["train", "--gin_fil=x"], "unknown argument '--gin_fil=x': did you mean '--gin_file'"),
        (["train", "--dryrun"], "unknown argument '--dryrun': did you mean '--dry_run'?"),
        (["train", "extra"], "unknown argument 'extra': see `flan-t5x train --help`"),
        (["train", "--gin.X"], "--gin.X has no value: write --gin.X=VALUE"),
        (["train", "--gin_file"], "argument --gin_file: expected one argument"),
        (["train", "--process_count=x"], "invalid int value: 'x'; see `flan-t5x train --help`"),
        (["tasks"], "the following arguments are required: PART; see `flan-t5x tasks --help`"),
        ([], "the following arguments are required: COMMAND; see `flan-t5x --help`"),
    ],
)
def test_bad_command_lines(
    line: Sequence[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("flan-t5x: error: ")
    assert expected in err


@pytest.fixture
def small_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine_only: None) -> Path:
    """Commands run the small engine, in an empty folder with one recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gin_config, "ENTRY_POINTS", {"cache": "tests.cli.engine.build_cache"})
    (tmp_path / "recipe.gin").write_text(RECIPE)
    return tmp_path


def test_bad_configuration_is_one_line_and_exit_code_2(
    small_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "--gin.build_cache.batch_siez=3"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "flan-t5x: error: --gin.build_cache.batch_siez=3: build_cache has no parameter "
        "'batch_siez': did you mean 'batch_size'?\n",
    )


def test_verbose_adds_the_traceback(small_engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--gin.build_cache.batch_siez=3", "--verbose"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("flan-t5x: error: --gin.build_cache.batch_siez=3: ")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no room\n  in /tmp"), 2, "flan-t5x: error: no room in /tmp\n"),
        (NonFiniteLossError("step 3"), EXIT_NON_FINITE, "flan-t5x: error: step 3\n"),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            2,
            "flan-t5x: error: /root/x: Permission denied\n",
        ),
        (KeyboardInterrupt(), 130, "flan-t5x: interrupted\n"),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(_: object) -> int:
        raise error

    monkeypatch.setattr(arguments.COMMANDS["cache"], "run", run)
    assert main(["cache"]) == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(arguments.COMMANDS["cache"], "run", run)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["cache"])


def test_train_hands_its_exit_code_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def run_configured(name: str, options: object, **keywords: object) -> SimpleNamespace:
        given.update(keywords, command=name)
        return SimpleNamespace(exit_code=75)

    monkeypatch.setattr(train, "run_configured", run_configured)
    assert main(["train", "--dry_run"]) == 75
    assert given["command"] == "train"
    assert given["dry_run"] is True
    assert callable(given["operative_config"])


def test_output_into_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)  # the reader has gone before we write
    call = "main(['tasks', 'list', '--json'])"
    code = f"import sys; from flan_t5x.cli.main import main; sys.exit({call})"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_accelerators_are_seen_by_their_device_files(tmp_path: Path) -> None:
    assert not environment.accelerator_visible(tmp_path)
    (tmp_path / "vfio").mkdir()
    (tmp_path / "vfio" / "vfio").touch()  # there on every machine with the driver, no device
    assert not environment.accelerator_visible(tmp_path)
    (tmp_path / "vfio" / "0").touch()
    assert environment.accelerator_visible(tmp_path)


@pytest.mark.parametrize(
    ("already", "visible", "expected"),
    [(None, False, "cpu"), (None, True, None), ("tpu", False, "tpu"), ("", False, "")],
)
def test_jax_is_told_cpu_only_where_nothing_else_is_there(
    already: str | None, visible: bool, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "accelerator_visible", lambda: visible)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if already is not None:
        monkeypatch.setenv("JAX_PLATFORMS", already)
    environment.prepare(verbose=True)
    assert os.environ.get("JAX_PLATFORMS") == expected


def test_tensorflow_loads_without_its_start_up_lines(tmp_path: Path) -> None:
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os\n"
        "os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called are "
        "written to STDERR\\nI0000 00:00:1795304922.6 6486 stub.cc:31] no cuda\\n')\n"
        "os.write(2, b'E0000 00:00:1795304922.6 6486 stub.cc:31] a real error\\n')\n"
        "VALUE = 3\n"
    )
    code = (
        "from flan_t5x.cli import environment; environment.prepare(verbose={verbose}); "
        "import tensorflow, importlib; print(tensorflow.VALUE, tensorflow.__spec__.origin)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    for verbose, lines in ((False, 1), (True, 3)):
        done = subprocess.run(
            [sys.executable, "-c", code.format(verbose=verbose)],
            capture_output=True,
            text=True,
            check=True,
            env=env,
        )
        assert done.stdout == f"3 {package / '__init__.py'}\n"
        assert done.stderr.count("\n") == lines
        assert "a real error" in done.stderr
