"""What differs between processes is named, with values and processes."""

from __future__ import annotations

import doctest
from pathlib import Path

from flan_t5x.parallel import agreement
from flan_t5x.parallel.agreement import code_facts, differences


def test_no_difference() -> None:
    assert differences({0: {"A": "1"}, 1: {"A": "1"}}) is None


def test_values_and_processes() -> None:
    text = differences({0: {"A": "1", "B": "x"}, 1: {"A": "2", "B": "x"}, 2: {"B": "x"}})
    assert text is not None
    assert "A is 1 on process 0 and 2 on process 1 and not set on process 2" in text
    assert "B" not in text.split(";")[0]


def test_a_file_is_named_without_its_digest() -> None:
    text = differences({i: {"flan_t5x/a.py": "12" if i < 2 else "34"} for i in range(4)})
    assert text is not None
    assert "the file flan_t5x/a.py of processes 0, 1 from processes 2, 3 differs" in text
    assert "34" not in text


def test_many_differences_stay_one_line() -> None:
    facts = dict.fromkeys("abcdefgh", "x" * 500)
    text = differences({0: facts, 1: {}})
    assert text is not None
    assert "(and 5 more)" in text
    assert len(text) < 700
    assert "\n" not in text


def test_configuration_comes_before_files() -> None:
    text = differences({0: {"p/a.py": "1", "SEED": "0"}, 1: {"p/a.py": "2", "SEED": "1"}})
    assert text is not None
    assert text.index("SEED") < text.index("p/a.py")


def test_code_facts(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "one.py").write_text("a = 1\n")
    (tmp_path / "notes.txt").write_text("not code")
    before = code_facts({"p": tmp_path})
    assert {"Python", "jax", "numpy", "p/inner/one.py"} <= before.keys()
    assert len([name for name in before if name.startswith("p/")]) == 1
    (tmp_path / "inner" / "one.py").write_text("a = 2\n")
    after = code_facts({"p": tmp_path})
    assert [name for name in before if before[name] != after[name]] == ["p/inner/one.py"]


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(agreement).failed == 0
