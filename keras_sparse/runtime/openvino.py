"""OpenVINO on the CPU; an optional package.

In float32, which a file says: by itself it takes bfloat16 for that where the processor has it, to three digits.
"""

import openvino

from keras_sparse.runtime.port import Port, check_inputs


class Session:
    """A `.onnx` file, compiled; `run` takes any number of items."""

    def __init__(self, path, threads=1, delegates=True):
        self._model = openvino.Core().compile_model(
            str(path), "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        )
        self.inputs, self.outputs = (
            [_port(each) for each in ports] for ports in (self._model.inputs, self._model.outputs)
        )

    def run(self, arrays):
        """One array per input, items along the first axis, as a list or by name -> one array per output."""
        results = self._model(check_inputs(self.inputs, arrays))
        return [results[each] for each in self._model.outputs]


def _port(each):
    shape = tuple(size.get_length() if size.is_static else None for size in each.get_partial_shape())
    return Port(each.get_any_name(), shape, each.get_element_type().to_dtype().name)
