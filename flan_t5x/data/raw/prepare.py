"""Sources that TensorFlow Datasets downloads and prepares by itself."""

from __future__ import annotations

from pathlib import Path

from flan_t5x.data.raw.manifest import RawSource
from flan_t5x.data.raw.transfer import TransferError
from flan_t5x.data.sources.tfds import prepared_folders


def prepare_tfds(source: RawSource, root: Path) -> None:
    """Runs the builder's ``download_and_prepare`` into the data folder. Imports TensorFlow.

    TensorFlow Datasets checks downloads by its own checksums and writes a data set whole or not
    at all; proxies come from the environment.

    Raises:
        TransferError: with the reason, and the manual step where the source has one.
    """
    import tensorflow_datasets as tfds

    folder = prepared_folders(root)[0]
    try:
        builder = tfds.builder(source.builder, data_dir=str(folder))
        builder.download_and_prepare(file_format="array_record")
    except ModuleNotFoundError as error:  # what some builders need is not among its dependencies
        raise TransferError(
            f"TensorFlow Datasets needs the package {error.name!r} for {source.builder}: "
            f"`pip install {error.name}`, and run the same command again."
        ) from error
    except Exception as error:  # whatever a builder's code or its servers come up with
        step = f" By hand: {source.manual}" if source.manual else ""
        raise TransferError(
            f"TensorFlow Datasets could not prepare {source.builder}: "
            f"{' '.join(str(error).split())[:500] or type(error).__name__}.{step}"
        ) from error
