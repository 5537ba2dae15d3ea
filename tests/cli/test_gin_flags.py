"""From the command line to gin statements."""

from __future__ import annotations

import doctest

import gin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.cli import gin_flags, value_types
from flan_t5x.cli.gin_flags import gin_value, parse_bindings, short_flags_to_long
from flan_t5x.cli.value_types import fits, resolve


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("/tmp/run", "/tmp/run"),
        ("mini", "mini"),
        ("gs://bucket/a-b_c.d", "gs://bucket/a-b_c.d"),
        ("it's", "it's"),
        ("a 'b' \"c\" \\n", "a 'b' \"c\" \\n"),
        ("", ""),
        ("true", "true"),
        ("1,2", "1,2"),
        ("2024-01-01", "2024-01-01"),
        ("007", "007"),
        ("1+2j", "1+2j"),
        ("a#b", "a#b"),
        ("50%", "50%"),
        ("user@host", "user@host"),
        ('"10"', "10"),
        ("'mini'", "mini"),
        ("10", 10),
        ("-5", -5),
        ("+5", 5),
        ("1e-3", 1e-3),
        ("1_000", 1000),
        ("True", True),
        ("None", None),
        (" 3 ", 3),
        ("{'inputs': 512}", {"inputs": 512}),
        ("[1, 'a', (2, None)]", [1, "a", (2, None)]),
    ],
)
def test_values(typed: str, value: object) -> None:
    parsed = gin.config.parse_value(gin_value(typed))
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.text().filter(lambda text: not text.strip().startswith(gin_flags._GIN_SYNTAX)))
def test_any_other_text_arrives_as_it_was_typed(text: str) -> None:
    parsed = gin.config.parse_value(gin_value(text))
    assert parsed == text.strip() or not isinstance(parsed, str)


def test_flags_keep_their_order_and_how_they_were_typed() -> None:
    long = short_flags_to_long(
        ["train", "--gin.A=1", "--gin_bindings", "B = x", "--gin.s/f.p=@g()", "--other=--gin.X"]
    )
    assert long == [
        "train",
        "--gin_bindings=--gin.A=1",
        "--gin_bindings",
        "B = x",
        "--gin_bindings=--gin.s/f.p=@g()",
        "--other=--gin.X",
    ]
    bindings = parse_bindings(["--gin.A=1", "B = x", "--gin.s/f.p=@g()", "import my.module"])
    assert [binding.statement for binding in bindings] == [
        "A = 1",
        "B = 'x'",
        "s/f.p = @g()",
        "import my.module",
    ]
    assert [binding.shown for binding in bindings] == [
        "--gin.A=1",
        "--gin_bindings='B = x'",
        "--gin.s/f.p=@g()",
        "--gin_bindings='import my.module'",
    ]


class Special: ...


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, "int", True),
        (True, "int", False),
        (True, "bool", True),
        (1, "bool", False),
        (1, "float", True),
        (False, "float", False),
        ("x", "str", True),
        (None, "str | None", True),
        (3, "Optional[str]", False),
        ("a", "Literal['a', 'b']", True),
        ("c", "Literal['a', 'b']", False),
        ({"a": 1}, "dict[str, int]", True),
        ({"a": 1.5}, "Mapping[str, int]", False),
        ("ab", "Sequence[str]", False),
        (["a"], "Sequence[str]", True),
        (("a", 1), "tuple[str, ...]", False),
        ((1, 2), "tuple[int, int]", True),
        ((1, 2, 3), "tuple[int, int]", False),
        ([1], "list", True),
        (len, "Callable[..., int]", True),
        ("len", "Callable[..., int]", False),
        ("x", "Special", False),
        (Special(), "Special", True),
        ("x", "NotDefinedAnywhere", True),
        ("x", "Any", True),
        (value_types.ANYTHING, "int", True),
    ],
)
def test_fits(value: object, hint: str, expected: bool) -> None:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal, Optional

    names = {**locals(), "Special": Special}
    del names["value"], names["hint"], names["expected"]
    assert {Any, Literal, Optional, Callable, Mapping, Sequence} <= set(names.values())
    assert fits(value, resolve(hint, names)) is expected


@pytest.mark.parametrize("module", [gin_flags, value_types])
def test_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
