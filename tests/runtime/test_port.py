from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.runtime.port import Port, check_inputs

PORTS = [Port("b", (1, 2), "float32"), Port("a", (None, 3), "int8")]
GOOD = [np.zeros((5, 2)), np.zeros((5, 3), np.int8)]


def test_arrays_come_out_in_the_ports_order_and_types():
    for given in (GOOD, {"a": GOOD[1], "b": GOOD[0]}):
        checked = check_inputs(PORTS, given)
        assert [(a.shape, a.dtype.name) for a in checked] == [((5, 2), "float32"), ((5, 3), "int8")]
        assert all(a.flags.c_contiguous for a in checked)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (GOOD[:1], "has 2 inputs"),
        ([GOOD[0], np.zeros((5, 4), np.int8)], r"'a' takes shape \(None, 3\)"),
        ([np.zeros(2), GOOD[1]], "'b' takes shape"),
        ([GOOD[0], np.zeros((5, 3))], "'a' takes int8. Received: float64"),
        ([GOOD[0], np.zeros((4, 3), np.int8)], r"as many items. Received: \[5, 4\]"),
        ({"a": GOOD[1], "c": GOOD[0]}, r"inputs are \['b', 'a'\]. Received: \['a', 'c'\]"),
    ],
)
def test_what_does_not_fit_is_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(PORTS, arrays)
