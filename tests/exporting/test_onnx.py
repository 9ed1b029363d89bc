from __future__ import annotations

import onnx

from keras_sparse import target
from keras_sparse.exporting import onnx as emitting
from keras_sparse.exporting.scheme import exportable


def emit(model):
    return emitting.emit(exportable(model), target.TARGETS["onnxruntime"], "fastest").data


def test_the_file_takes_any_batch_by_the_model_s_names(parts):
    model = onnx.load_from_string(emit(parts.model))
    onnx.checker.check_model(model, full_check=True)
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("image", "output")
    assert given.type.tensor_type.shape.dim[0].dim_param == made.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [dim.dim_value for dim in given.type.tensor_type.shape.dim[1:]] == [12, 12, 3]


def test_a_float_model_has_no_quantization(trained):
    kinds = {node.op_type for node in onnx.load_from_string(emit(trained.dense)).graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}


def test_nothing_is_printed(parts, capfd):
    emit(parts.model)
    assert capfd.readouterr().out == ""
