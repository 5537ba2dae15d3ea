"""Manifests of raw data: what ships is sound, what is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flan_t5x.data import registry
from flan_t5x.data.raw.checks import check_source
from flan_t5x.data.raw.manifest import choose, load_manifests, read_manifest
from flan_t5x.data.sources.tfds import TfdsSource
from flan_t5x.errors import UserError

TOY = """\
[[source]]
name = "toy"
about = "a toy"
use = "train"
licence = "CC0-1.0"
home = "https://example.org"
kind = "files"
folder = "toys/new"
urls = ["https://a.example.org/{file}", "https://b.example.org/x/{file}?raw=1"]
files = [
  { file = "one two.txt", size = 3, sha256 = "HEX" },
  { file = "two.txt", at = "elsewhere/2.txt" },
]
""".replace("HEX", "0" * 64)


def write(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_files_of_a_source(tmp_path: Path) -> None:
    toy = read_manifest(write(tmp_path, TOY))["toy"]
    one, two = toy.files
    assert one.path == "toys/new/one two.txt"
    assert one.urls == (
        "https://a.example.org/one%20two.txt",
        "https://b.example.org/x/one%20two.txt?raw=1",
    )
    assert (one.size, one.digest) == (3, ("sha256", "0" * 64))
    assert two.urls[0] == "https://a.example.org/elsewhere/2.txt"
    assert (two.size, two.digest, toy.size) == (None, None, None)


def test_a_list_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "files.tsv").write_text(
        f"file\tsize\tsha256\tat\na.txt\t7\t{'1' * 64}\nb.txt\t5\t{'2' * 64}\tB.txt\n"
    )
    text = re.sub(r"files = \[.*\]\n", 'list = "files.tsv"\n', TOY, flags=re.DOTALL)
    toy = read_manifest(write(tmp_path, text))["toy"]
    assert [(f.path, f.size, f.urls[0]) for f in toy.files] == [
        ("toys/new/a.txt", 7, "https://a.example.org/a.txt"),
        ("toys/new/b.txt", 5, "https://a.example.org/B.txt"),
    ]
    assert toy.size == 12


def test_a_manifest_of_ones_own_comes_last(tmp_path: Path) -> None:
    own = write(tmp_path, TOY.replace('"toy"', '"niv2"'))
    assert load_manifests()["niv2"].kind == "archive"
    assert load_manifests([own])["niv2"].folder == "toys/new"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('licence = "CC0-1.0"\n', ""), "own.toml, source 'toy': the text 'licence' is missing"),
        (('"train"', '"test"'), "use = 'test'; use train, evaluation"),
        (('"files"', '"file"'), "kind = 'file'; use files, archive, tfds, manual"),
        (('"toy"', '"toy one"'), "name = 'toy one'; use letters, digits and underscores"),
        (("folder", "foldr"), "there is no field 'foldr'; did you mean 'folder'?"),
        (('"toys/new"', '"../toys"'), "'../toys' is not a path below the data folder"),
        (('"toys/new"', '"/toys"'), "'/toys' is not a path below the data folder"),
        (('"two.txt"', '"a/../../../b"'), "file 'a/../../../b': 'toys/new/a/../../../b' is not"),
        (("https://a.", "file:///a."), "is not an http or https address"),
        (("size = 3", "size = -3"), "file 'one two.txt': size = -3; a number of bytes"),
        (("0" * 64, "0" * 63), "64 hexadecimal digits in small letters are needed"),
        (("at =", "git_blob ="), "git_blob = 'elsewhere/2.txt'; 40 hexadecimal digits"),
        (("at =", "att ="), "there is no field 'att'; did you mean 'at'"),
        (("urls", "url"), "is not an http or https address"),
        (("files = [", "filez = ["), "there is no field 'filez'; did you mean 'files'"),
        (("[[source]]", "[[sources]]"), "own.toml' has no [[source]] tables"),
        (("size = 3", "size = "), "own.toml' is not TOML: "),
    ],
)
def test_mistakes_are_named(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_manifest(write(tmp_path, TOY.replace(*change)))
    assert message in str(caught.value)


def test_two_sources_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two sources named 'toy'"):
        read_manifest(write(tmp_path, TOY + TOY))


def test_choosing() -> None:
    sources = load_manifests()
    assert [s.name for s in choose(sources, ["mmlu"])] == ["mmlu"]
    assert {s.builder.split("/")[0] for s in choose(sources, ["tfds_glue_*"])} == {"glue"}
    assert len(choose(sources, [])) == len(sources)
    with pytest.raises(UserError, match="no raw source named 'mlmu': did you mean 'mmlu'"):
        choose(sources, ["mlmu"])


def test_what_ships() -> None:
    """Counts: Longpre et al. 2023 and the benchmarks' own papers."""
    sources = load_manifests()
    assert len(sources["p3"].files) == 193
    assert len(sources["flan_cot"].files) == 9
    assert len(sources["mmlu"].files) == 2 * 57
    assert len(sources["bbh"].files) == 27
    assert len(sources["mgsm"].files) == 11
    assert len(sources["tydiqa"].files) == 9
    assert {s.name for s in sources.values() if s.use == "evaluation"} == {
        "mmlu",
        "mmlu_validation",
        "mmlu_prompts",
        "bbh",
        "bbh_prompts",
        "mgsm",
        "mgsm_prompts",
        "tydiqa",
        "tydiqa_train",
        "gsm8k",
    }
    paths = [file.path for source in sources.values() for file in source.files]
    assert len(paths) == len(set(paths))
    for source in sources.values():
        if source.kind == "tfds":
            name = re.sub(r"[^A-Za-z0-9]", "_", re.sub(r":[0-9.]+$", "", source.builder))
            assert source.name == f"tfds_{name}"


def test_every_data_set_that_a_task_reads_is_named() -> None:
    sources = [registry.get_task(name).source for name in registry.task_names()]
    used = {source.builder for source in sources if isinstance(source, TfdsSource)}
    assert len(used) > 60
    assert used == {s.builder for s in load_manifests().values() if s.kind == "tfds"}


def test_real_files_are_what_the_manifest_says(shared: Path) -> None:
    sources = load_manifests()
    for name, state, have in (
        ("mmlu", "present", 114),
        ("bbh", "present", 27),
        ("bbh_prompts", "present", 27),
        ("mmlu_prompts", "present", 1),
        ("mgsm", "present", 11),
        ("tydiqa", "present", 9),
        ("gsm8k", "present", 1),
        ("flan_cot", "partial", 7),  # two of the nine are too large for that folder
    ):
        found = check_source(sources[name], shared / "data", deep=True)
        assert (found.state, found.have) == (state, have)
        assert {p.state for p in found.problems} <= {"missing"}
