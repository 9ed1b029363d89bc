"""The inputs and outputs of a file, and arrays that fit them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Port:
    """One input or output: `shape` has the batch first (`None` where any is taken), `dtype` is NumPy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def check_inputs(ports, arrays):
    """`arrays` (a list, or a dictionary by name) as contiguous arrays of the ports' types, items along the first axis.

    Raises:
        ValueError: what does not fit; says what was required.
    """
    if isinstance(arrays, dict):
        if set(arrays) != {port.name for port in ports}:
            raise ValueError(f"The inputs are {[port.name for port in ports]}. Received: {sorted(arrays)}")
        arrays = [arrays[port.name] for port in ports]
    if len(arrays) != len(ports):
        names = [port.name for port in ports]
        raise ValueError(f"The file has {len(ports)} inputs {names}. Received: {len(arrays)} arrays")
    checked = []
    for port, array in zip(ports, arrays, strict=True):
        array = np.asarray(array)
        fits = array.ndim == len(port.shape) and all(
            wanted in (None, size) for wanted, size in zip(port.shape[1:], array.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(f"Input {port.name!r} takes shape {(None, *port.shape[1:])}. Received: {array.shape}")
        if array.dtype != port.dtype and not np.can_cast(array.dtype, port.dtype, "same_kind"):
            raise ValueError(f"Input {port.name!r} takes {port.dtype}. Received: {array.dtype}")
        checked.append(np.ascontiguousarray(array, port.dtype))
    if len({len(array) for array in checked}) > 1:
        raise ValueError(f"All inputs need as many items. Received: {[len(array) for array in checked]}")
    return checked
