from __future__ import annotations

from types import SimpleNamespace

import pytest

from keras_sparse.exporting import names


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(1, ["output"]), (2, ["output_0", "output_1"]), (11, ["output_00", "output_01"])],
)
def test_output_names_sort_into_the_model_s_order(count, wanted):
    found = names.outputs(SimpleNamespace(outputs=range(count)))
    assert found[:2] == wanted
    assert found == sorted(found)
    assert len(found) == count


def test_input_names_are_keras_names():
    inputs = [SimpleNamespace(name="b"), SimpleNamespace(name="a")]
    assert names.inputs(SimpleNamespace(inputs=inputs)) == ["b", "a"]
