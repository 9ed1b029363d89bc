"""Named arrays in an HDF5 file, sparse where that is smaller: bytes that are read whole, checked, or refused."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from keras_sparse.encoding import bitmask

FORMAT, VERSION = "keras_sparse weights", 1
DTYPES = {
    **{name: name for name in ("float16", "float32", "float64")},
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{"bool": "uint8", "bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"},
}
"""dtype of a variable -> dtype of its dataset, of the same size; HDF5 has no type of its own for the last row."""

MASK_OVERHEAD = 512
"""Bytes that HDF5 takes for a second dataset, beside its content: a mask that saves less is not worth it."""

SMALL = 1 << 16
"""Bytes of a file up to which what HDF5 takes by itself may outweigh what masks save: of more than eight datasets it
keeps an index, of about a kilobyte."""

LIBVER = h5py.h5f.LIBVER_V18
"""The HDF5 format since 1.8: its metadata carry checksums, and it is compact."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A variable of a file."""

    path: str
    values: np.ndarray


def write(variables: Sequence[Stored], sparse: bool = True) -> bytes:
    """The bytes of an HDF5 file of `variables`, the same for the same variables.

    Args:
        sparse: whether variables may be stored with a mask.
    """
    data = _file(variables, sparse)
    return min(data, _file(variables, False), key=len) if sparse and len(data) <= SMALL else data


def _file(variables: Sequence[Stored], sparse: bool) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(_created(buffer)) as file:
        file.attrs["format"], file.attrs["version"] = np.bytes_(FORMAT), np.int64(VERSION)
        file.attrs["variables"] = np.int64(len(variables))
        for number, variable in enumerate(variables):
            _write(file, f"{number:06d}", variable, sparse)
    return buffer.getvalue()


def _created(buffer: io.BytesIO) -> h5py.h5f.FileID:
    """An empty HDF5 file without the times of its root group, which `h5py.File` has no option for."""
    creation, access = h5py.h5p.create(h5py.h5p.FILE_CREATE), h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    creation.set_obj_track_times(False)
    access.set_libver_bounds(LIBVER, LIBVER)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, buffer)
    return h5py.h5f.create(b"in memory", h5py.h5f.ACC_TRUNC, creation, access)


def _write(file: h5py.File, name: str, variable: Stored, sparse: bool) -> None:
    values = variable.values
    kind = values.dtype.name
    if kind not in DTYPES:
        raise ValueError(f"Variable {variable.path!r}: a dtype among {sorted(DTYPES)} was required. Received: {kind}")
    mask = None
    if sparse and bitmask.encoded_bytes(values) + MASK_OVERHEAD < values.nbytes:
        mask, values = bitmask.encode(values)
    stored = np.ascontiguousarray(values).reshape(values.shape).view(DTYPES[kind])
    dataset = file.create_dataset(name, data=stored.astype(stored.dtype.newbyteorder("<")))
    dataset.attrs["path"], dataset.attrs["dtype"] = np.bytes_(variable.path.encode()), np.bytes_(kind)
    if mask is not None:
        dataset.attrs["shape"] = np.array(variable.values.shape, np.int64)
        file.create_dataset(f"{name}.mask", data=mask)
    dataset.attrs["crc32"] = np.uint32(_crc32(variable.path, kind, variable.values.shape, mask, stored))


def _crc32(path: str, kind: str, shape: tuple[int, ...], mask: np.ndarray | None, stored: np.ndarray) -> int:
    """Of all that makes the variable."""
    crc = zlib.crc32(repr((path, kind, tuple(map(int, shape)), mask is not None)).encode())
    for part in (mask, stored):
        if part is not None:
            crc = zlib.crc32(np.ascontiguousarray(part).tobytes(), crc)
    return crc


def read(data: bytes) -> list[Stored]:
    """The variables of a file, each of which is whole.

    Raises:
        ValueError: the bytes are no such file, or damaged; the variable is named where it is known.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _read_all(file)
    except (OSError, KeyError, RuntimeError, TypeError, UnicodeDecodeError) as error:  # what h5py raises
        raise ValueError(f"an HDF5 file that is whole was required: {error}") from error


def _read_all(file: h5py.File) -> list[Stored]:
    found = _text(file.attrs.get("format", b""))
    if found != FORMAT or int(file.attrs.get("version", 0)) != VERSION:
        raise ValueError(
            f"the attributes format={FORMAT!r} and version={VERSION} were required. Received: format={found!r}, "
            f"version={file.attrs.get('version')}"
        )
    names = [f"{number:06d}" for number in range(int(file.attrs["variables"]))]
    masks = {f"{name}.mask" for name in names if "shape" in _dataset(file, name).attrs}
    if extra := set(file) - {*names, *masks}:
        raise ValueError(f"it has datasets that belong to no variable: {sorted(extra)}")
    return [_read(file, name) for name in names]


def _read(file: h5py.File, name: str) -> Stored:
    dataset = _dataset(file, name)
    path, kind = _text(dataset.attrs["path"]), _text(dataset.attrs["dtype"])
    shape = tuple(int(size) for size in dataset.attrs.get("shape", dataset.shape))
    if kind not in DTYPES or dataset.dtype != np.dtype(DTYPES[kind]):
        raise ValueError(f"variable {path!r} is of dtype {kind!r}, stored as {dataset.dtype}")
    mask = None
    if "shape" in dataset.attrs:
        mask = _dataset(file, f"{name}.mask")
        if mask.dtype != np.uint8 or mask.shape != (-(-math.prod(shape) // 8),):
            raise ValueError(f"variable {path!r} has a mask that does not fit its shape {shape}")
        mask = mask[...]
    stored = np.asarray(dataset[...])
    if int(dataset.attrs["crc32"]) != _crc32(path, kind, shape, mask, stored):
        raise ValueError(f"variable {path!r} is damaged: its checksum is another")
    values = stored.view(np.dtype(kind))
    try:
        return Stored(path, values if mask is None else bitmask.decode(mask, values, shape))
    except ValueError as error:
        raise ValueError(f"variable {path!r}: {error}") from error


def _dataset(file: h5py.File, name: str) -> Any:
    """A dataset whose content lies in this file as a whole: no link, no part of another file, nothing compressed."""
    found = file.get(name)  # `None` also where it is there, but its description is damaged
    if not isinstance(found, h5py.Dataset) or not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"dataset {name!r} is missing or damaged, that of variable number {int(name[:6])}")
    if found.external or found.is_virtual or found.id.get_storage_size() != found.nbytes:
        raise ValueError(f"dataset {name!r} is not stored as plain bytes in it")
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
