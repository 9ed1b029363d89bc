"""Which constants are coded: what this makes smaller, each content once."""

from __future__ import annotations

import numpy as np

from keras_sparse.exporting.spans import Span
from keras_sparse.packing.choose import choose


def spans(*parts):
    data, found = b"", []
    for i, (values, dtype) in enumerate(parts):
        found.append(Span(len(data), values.nbytes, dtype, values.shape, f"t{i}"))
        data += values.tobytes()
    return data, found


def test_each_by_its_own_merit(sparse_int8):
    rng = np.random.default_rng(0)
    data, found = spans(
        (sparse_int8, "int8"),
        (np.tile(rng.integers(-99, 99, 64, dtype=np.int8), (64, 1)), "int8"),  # rows that repeat
        (np.arange(500, dtype=np.int32), "other"),
        (sparse_int8, "int8"),
        (np.ones(5, np.int8), "int8"),  # too small
        (rng.normal(size=(70, 90)).astype(np.float32), "float32"),
    )
    choices = choose(data, found)
    assert [choice.span.name for choice in choices] == ["t0", "t1", "t2", "t3", "t5"]
    coded = {choice.span.name: choice.coded for choice in choices}
    assert coded["t1"] is None
    assert coded["t2"] is None
    assert coded["t0"] is not None
    assert coded["t3"].record.copy is coded["t0"].record
    assert len(coded["t5"].record.planes) == 4


def test_spans_that_overlap_or_are_stored_sparse(sparse_int8):
    data = sparse_int8.tobytes()
    size = len(data)
    choices = choose(data, [Span(0, size, "int8", (5, 5), "stored sparse"), Span(9, 900, "int8", (900,), "inside")])
    assert [choice.span.name for choice in choices] == ["stored sparse"]
    assert choices[0].coded.record.items == size
    (odd,) = choose(data, [Span(0, 4095, "float32", (1024,), "a part of a float")])
    assert odd.coded is None
