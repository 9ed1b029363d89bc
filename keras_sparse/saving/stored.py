"""Named arrays in an HDF5 file, sparse where that is smaller: bytes that are read whole, checked, or refused."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Sequence
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

MOST_ATTRIBUTE = 1 << 16
"""Bytes of an attribute: what HDF5 stores beside its object."""

DAMAGE = (OSError, LookupError, RuntimeError, TypeError, UnicodeDecodeError, ArithmeticError, MemoryError)
"""What h5py raises for a file whose parts do not go together."""

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


@dataclass(frozen=True)
class Header:
    """What a file says of a variable, before its values are read."""

    path: str
    dtype: str
    shape: tuple[int, ...]


def read(data: bytes, accept: Callable[[list[Header]], object] = lambda headers: None) -> list[Stored]:
    """The variables of a file, each of which is whole.

    What is read is checked before: no more bytes than the file has, and a variable with a mask is at most 64 times as
    large as that.

    Args:
        accept: is given all headers before any values are read, and raises ValueError for those that it does not want.

    Raises:
        ValueError: the bytes are no such file, or damaged; the variable is named where it is known.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            sources = _sources(file, len(data))
            accept([source.header for source in sources])
            return [_read(source) for source in sources]
    except DAMAGE as error:
        raise ValueError(f"an HDF5 file that is whole was required: {error}") from error


@dataclass(frozen=True, eq=False)
class _Source:
    """A variable whose bytes are there, and not read."""

    header: Header
    values: h5py.Dataset
    mask: h5py.Dataset | None
    crc32: int


def _sources(file: h5py.File, size: int) -> list[_Source]:
    found, version = _text(file, "format", b""), _number(file, "version", 0)
    if found != FORMAT or version != VERSION:
        raise ValueError(
            f"the attributes format={FORMAT!r} and version={VERSION} were required. Received: format={found!r}, "
            f"version={version}"
        )
    count, there = _number(file, "variables"), len(file)
    if not 0 <= count <= there:
        raise ValueError(f"it says that it has {count} variables, and dataset {there:06d} is missing or damaged")
    names = [f"{number:06d}" for number in range(count)]
    sources = [_source(file, name) for name in names]
    masks = [f"{name}.mask" for name, source in zip(names, sources, strict=True) if source.mask is not None]
    if extra := set(file) - {*names, *masks}:
        raise ValueError(f"it has datasets that belong to no variable: {sorted(extra)}")
    stored = sum(_bytes(each) for source in sources for each in (source.values, source.mask) if each is not None)
    if stored > size:
        raise ValueError(f"its variables take {stored} bytes, and it has {size}: they lie in each other")
    return sources


def _source(file: h5py.File, name: str) -> _Source:
    dataset = _dataset(file, name)
    path, kind, mask = _text(dataset, "path"), _text(dataset, "dtype"), None
    shape = tuple(map(int, dataset.shape))
    if kind not in DTYPES or dataset.dtype != np.dtype(DTYPES[kind]):
        raise ValueError(f"variable {path!r} is of dtype {kind!r}, stored as {dataset.dtype}")
    if "shape" in dataset.attrs:
        shape = tuple(int(each) for each in _attribute(dataset, "shape", "iu", 1))
        mask = _dataset(file, f"{name}.mask")
        if min(shape, default=0) < 0 or mask.dtype != np.uint8 or mask.shape != (-(-math.prod(shape) // 8),):
            raise ValueError(f"variable {path!r} has a mask that does not fit its shape {shape}")
    return _Source(Header(path, kind, shape), dataset, mask, _number(dataset, "crc32"))


def _read(source: _Source) -> Stored:
    path, kind, shape = source.header.path, source.header.dtype, source.header.shape
    mask = None if source.mask is None else source.mask[...]
    stored = np.asarray(source.values[...])
    if source.crc32 != _crc32(path, kind, shape, mask, stored):
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
    plain = found.id.get_create_plist().get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if not plain or found.external or found.shape is None or found.id.get_storage_size() != _bytes(found):
        raise ValueError(f"dataset {name!r} is not stored as plain bytes in it")
    return found


def _bytes(dataset: h5py.Dataset) -> int:
    return int(math.prod(map(int, dataset.shape)) * dataset.dtype.itemsize)


def _attribute(owner: Any, name: str, kinds: str, rank: int) -> Any:
    """An attribute of one of NumPy's kinds of types, once its size is known to be small."""
    described = owner.attrs.get_id(name)  # KeyError where there is none
    kind, shape = described.dtype, described.shape
    if kind.kind not in kinds or len(shape or ()) != rank or math.prod(shape or ()) * kind.itemsize > MOST_ATTRIBUTE:
        wanted = {"S": "a text of fixed length", "iu": "an integer"}[kinds] if rank == 0 else "a list of integers"
        raise ValueError(f"its attribute {name!r} must be {wanted}. Received: {kind}, shape {shape}")
    return owner.attrs[name]


def _number(owner: Any, name: str, default: int | None = None) -> int:
    return default if default is not None and name not in owner.attrs else int(_attribute(owner, name, "iu", 0))


def _text(owner: Any, name: str, default: bytes | None = None) -> str:
    if default is not None and name not in owner.attrs:
        return default.decode()
    return bytes(_attribute(owner, name, "S", 0)).decode()
