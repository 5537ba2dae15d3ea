"""Files of prompts: two formats, blank lines, and every malformed line named by its number."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from flan_t5x.errors import UserError
from flan_t5x.evaluation.prompts import PromptFile, Scan

FIELDS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=5).filter(
        lambda name: name not in ("prediction", "log_prob")
    ),
    st.one_of(st.integers(), st.booleans(), st.none(), st.text(st.characters(codec="utf-8"))),
    max_size=3,
)


def write(folder: Path, content: bytes, name: str = "p.jsonl") -> PromptFile:
    (folder / name).write_bytes(content)
    return PromptFile(str(folder / name))


@hypothesis.given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), FIELDS), min_size=1))
def test_all_fields_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, dict[str, object]]]
) -> None:
    objects = [{**fields, "inputs": text} for text, fields in rows]
    content = "\n".join(json.dumps(o, ensure_ascii=i % 2 == 0) for i, o in enumerate(objects))
    file = write(tmp_path_factory.mktemp("p"), content.encode())
    assert [prompt.fields for prompt in file] == objects
    assert [prompt.inputs for prompt in file] == [text for text, _ in rows]


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf\n{"inputs": ""}\r\n  \t\n{"inputs": "x", "id": 3}\n\n'
    file = write(tmp_path, content)
    assert file.scan() == Scan(2, 3, hashlib.sha256(content).hexdigest())
    assert [prompt.fields for prompt in file] == [{"inputs": ""}, {"inputs": "x", "id": 3}]


def test_plain_text_keeps_its_spaces(tmp_path: Path) -> None:
    file = write(tmp_path, '\n one \r\n{"inputs": 1}\n \nlast ünë'.encode(), name="p.txt")
    assert [prompt.inputs for prompt in file] == [" one ", '{"inputs": 1}', "last ünë"]
    assert next(iter(file)).fields == {"inputs": " one "}
    assert file.scan().blank == 2


def test_the_format_goes_by_the_suffix_unless_told(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text('{"inputs": "x"}')
    assert next(iter(PromptFile(str(tmp_path / "p.txt"), "jsonl"))).inputs == "x"
    (tmp_path / "p.NDJSON").write_text('{"inputs": "x"}')
    assert PromptFile(str(tmp_path / "p.NDJSON")).format == "jsonl"
    with pytest.raises(UserError, match="input_format = 'json': use"):
        PromptFile(str(tmp_path / "p.txt"), "json")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{'inputs': 1}", r"not JSON \(Expecting property name"),
        (b'{"inputs": "x"', r"not JSON \(Expecting ',' delimiter at column 15\)"),
        (b'["x"]', r'not an object; write \{"inputs"'),
        (b'{"input": "x"}', 'field "inputs" is missing'),
        (b'{"inputs": 3}', 'field "inputs" is 3; it must be a text'),
        (b'{"inputs": null}', 'field "inputs" is None'),
        (b'{"inputs": "x", "prediction": "y"}', 'field "prediction" would be overwritten'),
        (b'{"inputs": "x", "score": NaN}', "NaN is not JSON"),
        (b'{"inputs": "\\ud800"}', "not JSON that can be written again"),
        (b'{"inputs": "\xff"}', "byte 13 is not UTF-8"),
        (b"[" * 100_000, "not JSON that can be written again"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, line: bytes, message: str) -> None:
    file = write(tmp_path, b'{"inputs": "good"}\n\n' + line + b"\n")
    with pytest.raises(UserError, match=rf"p\.jsonl, line 3: .*{message}"):
        file.scan()


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file of prompts at"):
        PromptFile(str(tmp_path / "none.txt"))
    with pytest.raises(UserError, match="has no prompts"):
        write(tmp_path, b" \n\n").scan()
