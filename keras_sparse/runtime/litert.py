"""LiteRT, as a user would run it: the stock interpreter with its default delegates, or with ours before them."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_sparse.runtime.port import Port, check_inputs


class Session:
    """A `.tflite` file, loaded; `run` takes any number of items and runs the file's own batch at a time."""

    def __init__(self, path, threads=1, delegates=True, native=False):
        resolver = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = Interpreter(
            model_path=str(path),
            num_threads=threads,
            experimental_op_resolver_type=resolver,
            experimental_delegates=[_native()] if native else None,
        )
        self._interpreter.allocate_tensors()
        self._inputs, self._outputs = self._details()
        self.inputs, self.outputs = (
            [_port(name, detail) for name, detail in details] for details in (self._inputs, self._outputs)
        )

    def _details(self):
        """`[(name, detail)]` of inputs and of outputs: by the file's signature, in the order of its names.

        The order in which a file lists its tensors says nothing; only the names of a signature do.
        """
        signatures = self._interpreter.get_signature_list()
        if len(signatures) == 1:
            runner = self._interpreter.get_signature_runner(next(iter(signatures)))
            return sorted(runner.get_input_details().items()), sorted(runner.get_output_details().items())
        both = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        return tuple([(detail["name"], detail) for detail in details] for details in both)

    def run(self, arrays):
        """One array per input, items along the first axis, as a list or by name -> one array per output."""
        arrays = check_inputs(self.inputs, arrays)
        batch = self.inputs[0].shape[0]
        if len(arrays[0]) % batch:
            raise ValueError(f"The file runs {batch} items at a time. Received: {len(arrays[0])} items")
        results = [self._run([array[i : i + batch] for array in arrays]) for i in range(0, len(arrays[0]), batch)]
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]

    def _run(self, arrays):
        for (_, detail), array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for _, detail in self._outputs]


def _port(name, detail):
    return Port(name, tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name)


def _native():
    from keras_sparse_edge.native import delegate  # only here: what is run on emulated AArch64 lies there alone

    return delegate()
