"""Tasks whose names, templates and rows try to break a page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flan_t5x.data import registry
from flan_t5x.data.definitions import (
    BadRow,
    Example,
    MixtureDefinition,
    MixturePart,
    TaskDefinition,
    Template,
)
from flan_t5x.data.sources.location import MissingDataError
from tests.data.rows import ListSource

EVIL = "</script><script>document.title='evil'</script><!-- <b>bold</b> & \u2028 'quoted' \"too\""


class Missing(ListSource):
    """A source whose data is not there; it has 7 rows, as published."""

    def expected_examples(self, split: str) -> int | None:
        return 7

    def num_examples(self, split: str) -> int:
        raise MissingDataError("the file 'x.tsv' does not exist.", raw="toy files")


def tasks() -> Iterator[TaskDefinition]:
    animals = [Example(str(i), {"word": w}, w.upper()) for i, w in enumerate(("dog", "cat", "owl"))]
    fruits = [Example(str(i), {"word": w}, w) for i, w in enumerate(("pear", "plum"))]
    rows = ListSource({"train": [*animals, BadRow("3", "missing column", "line 4 has 1 column")]})
    yield TaskDefinition(
        "toy_animals_zs", rows, (Template("Shout: {word}"), Template("{word}?")), group="animals"
    )
    yield TaskDefinition(
        "toy_animals_fs", rows, (Template("Shout: {word}"),), format="fs", group="few animals"
    )
    yield TaskDefinition(
        "toy_fruits_zs",
        ListSource({"train": fruits}),
        (Template("Repeat: {word}"),),
        group="fruits",
        option_styles=(),
    )
    yield TaskDefinition(
        "toy_evil_zs",
        ListSource({"train": [Example(EVIL, {"word": EVIL}, EVIL)]}),
        (Template("</script> {word}"),),
        group="<i>evil</i>",
    )
    missing = Missing({"train": []})
    yield TaskDefinition("toy_missing_zs", missing, (Template("{word}"),), group="fruits")


def mixtures() -> Iterator[MixtureDefinition]:
    yield MixtureDefinition(
        "toy_animals",
        (MixturePart("toy_animals_zs", cap=2), MixturePart("toy_animals_fs")),
        about="two of animals",
    )
    yield MixtureDefinition(
        "toy_all",
        (
            MixturePart("toy_animals", rate=3.0),
            MixturePart("toy_fruits_zs", rate=2.0),
            MixturePart("toy_missing_zs", rate=2.0),
            MixturePart("toy_evil_zs", rate=1.0),
        ),
        about="everything",
    )


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with these tasks."""
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    registry.register_module(__name__)
