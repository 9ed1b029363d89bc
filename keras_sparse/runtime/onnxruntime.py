"""ONNX Runtime on the CPU, with its default graph optimizations."""

import onnxruntime
from keras_sparse_edge.provider import NAME, session_options

from keras_sparse.runtime.port import Port, check_inputs

DTYPES = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(int64)": "int64",
          "tensor(int32)": "int32", "tensor(float16)": "float16", "tensor(bool)": "bool"}  # fmt: skip


class Session:
    """A `.onnx` file, loaded; `run` takes any number of items."""

    def __init__(self, path, threads=1, delegates=True, optimized=None, native=False, exact=False, content=None):
        """A session on the CPU.

        Args:
            exact: whether sums of two products of bytes must not be cut off at 16 bits, as processors without VNNI do.
            optimized: where to write the graph that ONNX Runtime made of the file's for this processor, or `None`.
            content: the bytes to load in place of the file's.
            native: whether with `ks.session_options()`.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if optimized is not None:
            options.optimized_model_filepath = str(optimized)
        if exact:
            options.add_session_config_entry("session.x64quantprecision", "1")
        if native:
            self._session = onnxruntime.InferenceSession(str(path), session_options(options), enable_fallback=0)
            if NAME not in self._session.get_providers():
                raise RuntimeError(f"ONNX Runtime does not run {path} with the native kernels.")
        else:
            self._session = onnxruntime.InferenceSession(
                content or str(path), options, providers=["CPUExecutionProvider"]
            )
        self.inputs = [_port(each) for each in self._session.get_inputs()]
        self.outputs = [_port(each) for each in self._session.get_outputs()]

    def run(self, arrays):
        """One array per input, items along the first axis, as a list or by name -> one array per output."""
        arrays = self.checked(arrays)
        return self._session.run(None, {port.name: array for port, array in zip(self.inputs, arrays, strict=True)})

    def checked(self, arrays):
        """The same arrays as `run` takes, one for each input, of its type."""
        return check_inputs(self.inputs, arrays)


def _port(each):
    shape = tuple(n if isinstance(n, int) else None for n in each.shape)
    return Port(each.name, shape, DTYPES[each.type])
