"""TensorStore, as the readers and writers here need it: small files, and zarr arrays.

A store is a local folder or a URL that TensorStore knows (``gs://bucket/path``).
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from flan_t5x.checkpoint.convert.source import Leaf
from flan_t5x.errors import UserError

Spec = dict[str, Any]

# TensorStore's own 32 retries keep a machine without a network waiting for many minutes.
_CONTEXT = ts.Context(
    {"gcs_request_retries": {"max_retries": 5, "initial_delay": "1s", "max_delay": "8s"}}
)


def store_spec(location: str | os.PathLike[str]) -> Spec | str:
    """TensorStore's name of a folder."""
    text = os.fspath(location)
    if "://" in text:
        return text if text.endswith("/") else text + "/"
    return {"driver": "file", "path": f"{Path(text).expanduser().absolute()}/"}


def ocdbt_spec(base: Spec | str) -> Spec:
    """The key-value store inside Orbax's OCDBT database."""
    return {"driver": "ocdbt", "base": base}


def below(base: Spec | str, path: str) -> Spec | str:
    """A folder of a store."""
    if isinstance(base, str):
        return f"{base}{path}/"
    return {**base, "path": f"{base.get('path', '')}{path}/"}


def read_file(base: Spec | str, name: str, *, source: str) -> bytes | None:
    """A small file's bytes; None where it is not there.

    Raises:
        UserError: it cannot be read; `source` is what the message calls the store.
    """
    try:
        found = ts.KvStore.open(base, context=_CONTEXT).result().read(name).result()
    except ValueError as error:
        raise UserError(f"{source}: cannot read {name}: {reason(error)}") from error
    return bytes(found.value) if found.state == "value" else None


class Listing:
    """Names of all files of a store, read once and only when asked for.

    Args:
        base: the store.
        source: what messages call it.
    """

    def __init__(self, base: Spec | str, *, source: str) -> None:
        self._base, self._source = base, source
        self._names: frozenset[str] | None = None

    def __contains__(self, name: str) -> bool:
        if self._names is None:
            try:
                found = ts.KvStore.open(self._base, context=_CONTEXT).result().list().result()
            except ValueError as error:
                raise UserError(f"{self._source}: cannot list it: {reason(error)}") from error
            self._names = frozenset(key.decode() for key in found)
        return name in self._names


def open_leaf(
    base: Spec | str,
    path: str,
    *,
    name: str,
    source: str,
    files: Listing | None,
    driver: str = "zarr",
) -> Leaf:
    """A zarr array of a store; its values are read on demand.

    Args:
        base: the store.
        path: the array's folder in it.
        name: what the leaf is called.
        source: what messages call the store.
        files: names of the store's files, to find missing chunks (TensorStore reads them as
            zeros); None where chunks of zeros are left out on purpose.
        driver: "zarr" or "zarr3".

    Raises:
        UserError: no such array, or its metadata is damaged.
    """
    spec: Spec = {"driver": driver, "kvstore": below(base, path)}
    try:
        array = ts.open(spec, read=True, context=_CONTEXT).result()
    except ValueError as error:
        raise UserError(f"{source}: {path} cannot be opened: {reason(error)}") from error

    def read(index: Any) -> np.ndarray:
        if files is not None and driver == "zarr":
            _require_chunks(array, path, source=source, files=files)
        try:
            return np.asarray(array[index].read().result())
        except ValueError as error:
            raise UserError(
                f"{source}: {path} is damaged: {reason(error)}; copy it again"
            ) from error

    chunk = array.chunk_layout.read_chunk.shape or ()  # None for a scalar
    by_layer = len(chunk) > 1 and chunk[0] == 1
    return Leaf(
        name,
        tuple(array.shape),
        array.dtype.name,
        load=lambda: read(...),
        load_layer=read if by_layer else None,
    )


def _require_chunks(array: Any, path: str, *, source: str, files: Listing) -> None:
    chunk = array.chunk_layout.read_chunk.shape or ()  # None for a scalar
    separator = array.spec().to_json()["metadata"].get("dimension_separator", ".")
    counts = [math.ceil(n / c) for n, c in zip(array.shape, chunk, strict=True)]
    for index in itertools.product(*map(range, counts)):
        name = f"{path}/{separator.join(map(str, index)) or '0'}"
        if name not in files:
            raise UserError(f"{source}: the chunk {name} is missing; copy the checkpoint again")


def create_array(
    folder: Path,
    *,
    shape: Sequence[int],
    dtype: str,
    chunks: Sequence[int],
    compressor: Spec,
) -> Any:
    """A new zarr (format 2) array, to be written to by slices.

    Raises:
        UserError: the folder cannot be written.
    """
    zarr_dtype = dtype if dtype == "bfloat16" else np.dtype(dtype).str
    spec: Spec = {
        "driver": "zarr",
        # Folders are renamed when they are whole, and their sums tell after a power cut: a flush
        # to disk for each of a thousand chunks would take most of the time.
        "kvstore": {"driver": "file", "path": f"{folder}/", "file_io_sync": False},
        "metadata": {
            "shape": list(shape),
            "chunks": list(chunks),
            "dtype": zarr_dtype,
            "compressor": compressor,
            "dimension_separator": ".",
        },
    }
    try:
        return ts.open(spec, create=True, open=True).result()
    except ValueError as error:
        raise UserError(f"cannot write {folder}: {reason(error)}") from error


def write_array(array: Any, values: np.ndarray, index: Any = ...) -> None:
    """Writes values, or a slice of an array made by `create_array`, and waits.

    Raises:
        UserError: disk full and the like.
    """
    try:
        array[index].write(np.asarray(values, order="C")).result()
    except ValueError as error:
        raise UserError(f"cannot write {_path(array)}: {reason(error)}") from error


def _path(array: Any) -> str:
    return str(array.kvstore.path)


def reason(error: BaseException) -> str:
    """The words of a TensorStore error, without its appended source locations."""
    text = str(error).splitlines()[0] if str(error) else repr(error)
    return text.split(" [tensorstore_spec=")[0].split(" [source locations=")[0][:300]
