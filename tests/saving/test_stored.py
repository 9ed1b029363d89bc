"""The file of sparse weights: its layout as plain h5py sees it, its size, and every kind of damage."""

from __future__ import annotations

import io
import time
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.saving import stored
from keras_sparse.saving.stored import Stored


def pruned(shape: tuple[int, ...], zeros: float, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=3, size=shape)
    values[rng.random(shape) < zeros] = 0
    return values.astype(dtype)


@pytest.fixture
def variables() -> list[Stored]:
    return [
        Stored("d/kernel", pruned((26, 26), 0.9)),
        Stored("d/bias", np.arange(5, dtype=np.float32)),
        Stored("empty", np.zeros((0, 3), np.int8)),
        Stored("scalar", np.array(-0.0, np.float32)),
    ]


def same(found: list[Stored], wanted: list[Stored]) -> bool:
    def key(each: Stored) -> Any:
        return each.path, each.values.dtype, each.values.shape, each.values.tobytes()

    return [key(each) for each in found] == [key(each) for each in wanted]


def changed(data: bytes, change: Any) -> bytes:
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def test_h5py_reads_it_as_documented(variables: list[Stored]) -> None:
    with h5py.File(io.BytesIO(stored.write(variables)), "r") as file:
        assert dict(file.attrs) == {"format": b"keras_sparse weights", "version": 1, "variables": 4}
        assert sorted(file) == ["000000", "000000.mask", "000001", "000002", "000003"]
        kernel, mask = file["000000"], file["000000.mask"]
        assert (kernel.attrs["path"], kernel.attrs["dtype"]) == (b"d/kernel", b"float32")
        assert kernel.attrs["shape"].tolist() == [26, 26]
        flat = np.zeros(676, np.float32)
        kept = [i for i in range(676) if mask[i // 8] >> i % 8 & 1]
        flat[kept] = kernel[...]
        assert flat.reshape(26, 26).tobytes() == variables[0].values.tobytes()
        assert file["000001"][...].tolist() == [0, 1, 2, 3, 4]
        assert (file["000002"].shape, file["000003"].shape) == ((0, 3), ())


def test_it_is_deterministic_and_comes_back(variables: list[Stored]) -> None:
    data = stored.write(variables)
    assert data == stored.write(variables)
    assert same(stored.read(data), variables)
    assert same(stored.read(stored.write([])), [])


def test_no_clock_is_in_it(variables: list[Stored]) -> None:
    data = stored.write(variables)
    time.sleep(1.1)  # HDF5 counts seconds
    assert data == stored.write(variables)


ALL = [*stored.DTYPES]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("zeros", [0.0, 0.95])
def test_every_bit_pattern_of_every_dtype(name: str, zeros: float) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    count = 4096
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 2 if name == "bool" else 256, (count, dtype.itemsize), dtype=np.uint8)
    raw[rng.random(count) < zeros] = 0
    values = raw.reshape(-1).view(dtype).reshape(16, 16, 16)
    data = stored.write([Stored("v", values)])
    assert same(stored.read(data), [Stored("v", values)])
    with h5py.File(io.BytesIO(data), "r") as file:
        # Half of the random booleans are False.
        assert ("000000.mask" in file) == (zeros > 0 or name == "bool")


@given(st.data())
def test_any_shapes_come_back_and_are_never_larger_than_dense(data: st.DataObject) -> None:
    """At break-even too: one element more or less of a dense file is what decides."""
    made = []
    for number in range(data.draw(st.integers(0, 12))):
        shape = tuple(data.draw(st.lists(st.integers(0, 40), max_size=3)))
        zeros = data.draw(st.sampled_from([0.0, 0.05, 0.2, 0.5, 0.9, 1.0]))
        dtype = data.draw(st.sampled_from([np.float16, np.float32, np.int8]))
        made.append(Stored(f"v{number % 3}/kernel", pruned(shape, zeros, dtype, seed=number)))
    written = stored.write(made)
    assert same(stored.read(written), made)
    assert len(written) <= len(stored.write(made, sparse=False))


def test_a_mask_that_is_one_dataset_too_many_is_left_out() -> None:
    """HDF5 keeps an index of more than eight datasets, which takes more than this mask saves."""
    scalars = [Stored(f"v{number}", np.array(1.0, np.float32)) for number in range(7)]
    made = [*scalars, Stored("kernel", pruned((20, 20), 0.5))]
    assert len(stored._file(made, True)) > len(stored._file(made, False)) == len(stored.write(made))
    made = [*scalars, Stored("kernel", pruned((40, 40), 0.9))]
    assert len(stored.write(made)) == len(stored._file(made, True)) < len(stored._file(made, False))


def test_an_unknown_dtype() -> None:
    with pytest.raises(ValueError, match="Variable 'v': a dtype among"):
        stored.write([Stored("v", np.zeros(3, np.complex64))])


def test_every_flipped_byte_and_every_truncation_is_found(variables: list[Stored]) -> None:
    data = stored.write(variables)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(ValueError):
            stored.read(bytes(damaged))
    for length in range(0, len(data), 9):
        with pytest.raises(ValueError, match="whole was required"):
            stored.read(data[:length])


def test_damage_names_the_variable(variables: list[Stored]) -> None:
    data = stored.write(variables)
    at = data.index(variables[1].values.tobytes())
    with pytest.raises(ValueError, match="variable 'd/bias' is damaged: its checksum is another"):
        stored.read(data[:at] + b"\1" + data[at + 1 :])


def swap(file: Any) -> None:
    first, second = file["000001"].attrs["path"], file["000003"].attrs["path"]
    file["000001"].attrs["path"], file["000003"].attrs["path"] = second, first


def link(file: Any) -> None:
    del file["000001"]
    file["000001"] = h5py.SoftLink("/000003")


def outside(file: Any) -> None:
    del file["000001"]
    file.create_dataset("000001", shape=(5,), dtype="f4", external=[("/etc/hostname", 0, 20)])


def compressed(file: Any) -> None:
    del file["000001"]
    file.create_dataset("000001", data=np.zeros(5, "f4"), compression="gzip")


def declared(file: Any) -> None:
    """Sizes that are only said, of chunks that were never written."""
    del file["000001"]
    file.create_dataset("000001", shape=(10**12,), dtype="f4", chunks=(10**6,))


def overflowing(file: Any) -> None:
    """2^64 values: none, where sizes are computed in 64 bits."""
    del file["000001"]
    file.create_dataset("000001", shape=(2**32, 2**32), dtype="f4")


def linked(file: Any) -> None:
    """Many names of one dataset: each would be read."""
    attributes = dict(file["000001"].attrs)
    del file["000001"]
    file.create_dataset("000001", data=np.zeros(5000, "f4")).attrs.update(
        {name: np.bytes_(each) if isinstance(each, bytes) else each for name, each in attributes.items()}
    )
    file.attrs["variables"] = np.int64(20)
    for number in range(4, 20):
        file[f"{number:06d}"] = file["000001"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.__setitem__("format", np.bytes_("other")), "format='other'"),
        (lambda file: file.attrs.__setitem__("format", b"other"), "'format' must be a text of fixed length"),
        (lambda file: file.attrs.__setitem__("format", np.zeros(3)), "'format' must be a text"),
        (lambda file: file.attrs.__setitem__("version", 2), "version=2"),
        (lambda file: file.attrs.__setitem__("version", np.inf), "'version' must be an integer"),
        (lambda file: file.attrs.__setitem__("variables", np.inf), "'variables' must be an integer"),
        (lambda file: file.attrs.__setitem__("variables", 10**12), "has 1000000000000 variables"),
        (lambda file: file.attrs.__setitem__("variables", -1), "has -1 variables"),
        (lambda file: file.attrs.__setitem__("variables", [1, 2]), "'variables' must be an integer"),
        (lambda file: file["000001"].attrs.__setitem__("crc32", "text"), "'crc32' must be an integer"),
        (lambda file: file["000000"].attrs.__setitem__("shape", 676), "'shape' must be a list of integers"),
        (lambda file: file["000000"].attrs.__setitem__("shape", [-26, -26]), "does not fit its shape"),
        (lambda file: file["000000"].attrs.__setitem__("shape", np.array([26.0, 26.0])), "'shape' must be a list"),
        (lambda file: file.attrs.__delitem__("variables"), "whole was required"),
        (lambda file: file.attrs.__setitem__("variables", 5), "'000004' is missing or damaged"),
        (lambda file: file.attrs.__setitem__("variables", 3), r"belong to no variable: \['000003'\]"),
        (lambda file: file.create_group("more"), r"belong to no variable: \['more'\]"),
        (lambda file: file.__delitem__("000002"), "'000002' is missing or damaged, that of variable number 2"),
        (lambda file: file.__delitem__("000000.mask"), "'000000.mask' is missing or damaged"),
        (lambda file: file["000000"].attrs.__setitem__("shape", [676]), "'d/kernel' is damaged"),
        (lambda file: file["000000"].attrs.__setitem__("shape", [2**40, 2**20]), "does not fit its shape"),
        (lambda file: file["000000"].attrs.__delitem__("shape"), "belong to no variable: ..000000.mask"),
        (
            lambda file: file["000001"].attrs.__setitem__("dtype", np.bytes_("int8")),
            "of dtype 'int8', stored as float32",
        ),
        (lambda file: file["000001"].attrs.__setitem__("dtype", np.bytes_("str")), "of dtype 'str'"),
        (lambda file: file["000001"].attrs.__delitem__("path"), "whole was required"),
        (swap, "'scalar' is damaged"),
        (link, "'000001' is missing or damaged"),
        (outside, "'000001' is not stored as plain bytes"),
        (compressed, "'000001' is not stored as plain bytes"),
        (declared, "'000001' is not stored as plain bytes"),
        (overflowing, "'000001' is not stored as plain bytes"),
        (linked, "they lie in each other"),
    ],
)
def test_a_file_that_was_changed(variables: list[Stored], change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stored.read(changed(stored.write(variables), change))


def test_a_mask_with_a_right_checksum_and_wrong_content(variables: list[Stored]) -> None:
    def change(file: Any) -> None:
        dataset, mask = file["000000"], file["000000.mask"][...]
        mask[0] ^= 1
        file["000000.mask"][...] = mask
        dataset.attrs["crc32"] = np.uint32(stored._crc32("d/kernel", "float32", (26, 26), mask, dataset[...]))

    with pytest.raises(ValueError, match="variable 'd/kernel': The mask keeps"):
        stored.read(changed(stored.write(variables), change))


def test_what_is_not_wanted_is_not_read(variables: list[Stored]) -> None:
    """All headers are shown first: a caller that knows what it has room for need not read anything else."""

    def refuse(headers: list[stored.Header]) -> None:
        assert [each.shape for each in headers] == [(26, 26), (5,), (0, 3), ()]
        raise ValueError("too large")

    data = bytearray(stored.write(variables))
    data[data.index(variables[1].values.tobytes())] ^= 1  # its checksum is another, if it is looked at
    with pytest.raises(ValueError, match="too large"):
        stored.read(bytes(data), refuse)
