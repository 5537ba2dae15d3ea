"""TFDS data sets whose rows TFDS makes up, for tests of sources and parsers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any
from unittest import mock

from flan_t5x.data.sources import tfds as tfds_source
from flan_t5x.data.sources.slices import Piece


class MockPrepared:
    """Rows made up by `tfds.testing.mock_data` from the builder's declared features."""

    digest = "mocked"

    def __init__(self, builder: str) -> None:
        import tensorflow_datasets as tfds

        self.builder = tfds.builder(builder)
        self.sizes: dict[str, int] = {}  # TFDS mocks no split names

    def rows(self, piece: Piece) -> Iterator[dict[str, Any]]:
        import tensorflow_datasets as tfds

        rows = self.builder.as_dataset(split=piece.split, shuffle_files=False)
        yield from itertools.islice(tfds.as_numpy(rows), piece.start, piece.stop)


@contextlib.contextmanager
def mocked_tfds(num_examples: int = 5, **more: Any) -> Iterator[None]:
    """Inside, `TfdsSource` reads mocked rows of any builder that TFDS ships.

    Every slice is as long, "train[:-200]" too: TFDS makes up rows, no splits.

    Args:
        num_examples: rows of every slice.
        more: further arguments of `tfds.testing.mock_data`.
    """
    import tensorflow_datasets as tfds

    def whole(spec: str, sizes: object, *, of: str) -> tuple[Piece, ...]:
        names = (text.partition("[")[0] for text in spec.split("+"))
        return tuple(Piece(name, 0, num_examples) for name in names)

    policy = tfds.testing.MockPolicy.USE_CODE
    with (
        tfds.testing.mock_data(num_examples=num_examples, policy=policy, **more),
        mock.patch.object(
            tfds_source,
            "open_prepared",
            lambda builder, **_: MockPrepared(builder),
        ),
        mock.patch.object(tfds_source, "resolve_slices", whole),
    ):
        yield
