"""`export`: strip, convert, write, run, compare."""

import functools
import gzip
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras

from keras_sparse import target as targets
from keras_sparse.atomic import destination, write_atomically
from keras_sparse.exporting import check
from keras_sparse.exporting.artifact import Artifact, ExportReport, TensorReport
from keras_sparse.exporting.samples import drawn, fitting
from keras_sparse.exporting.scheme import QUANTIZE, exportable
from keras_sparse.runtime.isolated import RuntimeFailure
from keras_sparse.runtime.port import Port
from keras_sparse.runtime.ways import ways
from keras_sparse.train import batches, graph
from keras_sparse.train.strip import fixed_ranges
from keras_sparse.versions import versions

SAMPLES = 256
"""Samples that a file is verified on, at most."""

RANDOM = 32
"""Random inputs that a file is verified on where no samples are given."""

ENCODINGS = ("fastest", "smallest", "dense", "csr", "block")
"""What `export(encoding=)` takes: a goal, or the encoding to use wherever the runtime gets it right."""


def export(model, path, target=None, samples=None, quantize=None, encoding="fastest", reduce_range=None):
    """Writes `model` as a file for its runtime, verified: it was run there, and compared with the model.

    Nothing is written unless all holds: every int8 kernel is in the file value for value with exactly its zeros, and
    the outputs in the runtime (LiteRT with its default delegates and without, or ONNX Runtime) differ from the model's
    by no more than the rounding of the scheme explains.

    Args:
        model: a Keras model, plain or prepared: functional, Sequential, nested or subclassed.
        path: where to, ending in ".tflite" or ".onnx".
        target: "litert", "litert-x86" or "litert-arm64" for `.tflite`, "onnxruntime", "tensorrt" or "openvino" for
            `.onnx`; by default the first of them. Files are verified in LiteRT or ONNX Runtime,
            and in OpenVINO and on emulated AArch64 where those are there.
        samples: inputs as `model.predict` takes them, items along the first axis. The file is verified on the first
            256; without samples, on random inputs.
        quantize: `None` keeps what training did; "int8" calibrates a float model with `samples`; "int8-weights" stores
            int8 weights and leaves activations float, whose ranges the runtime measures; "float16" halves the weights.
        encoding: how `.tflite` stores sparse weights. "fastest" takes a sparse form where the runtime then runs a
            faster kernel, else a dense one; "smallest" takes the form of the fewest bytes, those of its descriptions
            estimated; "dense"; "csr" (compressed sparse rows, unpacked at load) or "block" (block kernels), where the
            runtime gets them right. The report gives the reason for each tensor.
        reduce_range: whether int8 weights of a `.onnx` file keep to [-64, 64], 7 bits, as `reduce_range` of
            `onnxruntime.quantization` does: ONNX Runtime and OpenVINO cut off sums of larger products on x86-64
            processors without VNNI. By default they do but for TensorRT, and one file is right on every processor.
            `False` keeps 8 bits; the file is then verified with exact sums, and the report says how wrong it is there.
            Depthwise kernels, which are summed exactly, always keep 8 bits.

    Returns:
        An `Artifact`: `.path`, `.target`, `.report` (printable, `.to_dict()`).

    Raises:
        ExportError: the file is not what the model is; names the layer.
        RuntimeFailure: the runtime does not load or run it.

    >>> import tempfile
    >>> import numpy as np
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> samples = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     artifact = ks.export(model, f"{folder}/model.tflite", samples=samples, quantize="int8")
    >>> artifact.report.scheme, artifact.report.tensors[0].bytes
    ('int8', 32)
    """
    chosen, path = targets.find(path, target), Path(path)
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model. Received: {type(model).__name__}")
    for name, value, known in (("quantize", quantize, QUANTIZE), ("encoding", encoding, ENCODINGS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}. Received: {name}={value!r}")
    if chosen.suffix == ".onnx" and encoding in ("csr", "block"):
        raise ValueError(f"Sparse weights of .onnx files are run by no runtime. Received: encoding={encoding!r}")
    if reduce_range is not None and not (chosen.suffix == ".onnx" and isinstance(reduce_range, bool)):
        raise ValueError(
            f"reduce_range is for .onnx files, True or False. Received: reduce_range={reduce_range!r} for {path.name}"
        )
    destination(path)
    if samples is not None:
        batches.check(samples)
        if graph.has_graph(model):  # the inputs of others are made after the samples
            _given(graph.functional(model), samples, "float64")  # half precision becomes float32 later
    reduced = chosen.saturates if reduce_range is None else reduce_range
    what = exportable(model, samples, quantize, reduced)
    if reduce_range and not what.reduce_range:
        raise ValueError(
            "reduce_range=True is for int8 weights whose products are added two by two, and "
            f"{model.name!r} has none. Received: {quantize=}"
        )
    return _Export(what, chosen, samples, encoding).run(path)


class _Export:
    def __init__(self, what, target, samples, encoding):
        self.what, self.target, self.encoding = what, target, encoding
        self.model, self.ways = what.model, ways(target)  # what is missing is said before the work
        self.source = "random inputs" if samples is None else "samples"
        self.inputs = self.random_inputs() if samples is None else _given(self.model, samples)

    def run(self, path):
        emit, read, not_arithmetic = _format(self.target)
        emitted = emit(self.what, self.target, self.encoding)
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, path.name)
            made.write_bytes(emitted.data)
            stored = read(made)
            order = path.suffix.removeprefix(".")
            found = check.weights(stored, emitted.tensors, order, self.what.silenced)
            optimized = self.optimized(made)
            with ThreadPoolExecutor(1) as beside:
                zipped = beside.submit(gzip.compress, emitted.data, 9, mtime=0)
                verification = self.verify(made)
            in_float = self.float_operations(stored, optimized, not_arithmetic)
        write_atomically(path, emitted.data)
        right = [way for way, each in zip(self.ways, verification, strict=True) if each.problem is None]
        causes = {way.cause: way.runtime for way in right if way.cause}  # a problem says it by itself
        report = ExportReport(
            scheme=self.what.scheme,
            bytes=len(emitted.data),
            bytes_gzip=len(zipped.result()),
            tensors=tuple(_tensor(name, each, emitted.reasons.get(name)) for name, each in found.items()),
            not_found=tuple(each.name for each in emitted.tensors if each.name not in found),
            float_operations=in_float,
            float_layers=self.what.float_layers,
            verification=tuple(verification),
            versions=versions(),
            opset=stored.opset,
            notes=self.what.notes + emitted.notes + tuple(f"In {name}, {cause}." for cause, name in causes.items()),
        )
        return Artifact(path, self.target.name, report)

    def optimized(self, made):
        """The graph that ONNX Runtime makes of a file for it, which says on which processors it has to be run."""
        if self.target.suffix != ".onnx":
            return None
        from keras_sparse.exporting import onnx_kernels

        try:
            found = onnx_kernels.optimized(made)
        except RuntimeFailure:
            self.verify(made)  # names the layer that is refused
            raise
        self.ways = ways(self.target, onnx_kernels.saturating(found), self.what.reduce_range)
        return found

    def float_operations(self, stored, optimized, not_arithmetic):
        """Operations that compute in float: in ONNX Runtime, the kernels that it really runs."""
        if optimized is None:
            return tuple(f"{each.name} ({each.output})" for each in stored.float_operations(not_arithmetic))
        from keras_sparse.exporting.onnx_kernels import float_kernels, kernels

        return tuple(f"{each.operation} ({each.output})" for each in float_kernels(kernels(optimized)))

    def verify(self, made):
        try:
            return self.compare(self.what, made)
        except (check.ExportError, RuntimeFailure) as error:
            try:
                layer = self.first_wrong(made.parent)
            except (check.ExportError, RuntimeFailure, ValueError, LookupError, StopIteration):
                raise error from None  # what was wrong with the whole is what has to be said
            raise type(error)(f"{error} The first layer that shows it is {layer!r}.") from error

    def compare(self, what, made):
        named = {tensor.name: array for tensor, array in zip(what.model.inputs, self.inputs, strict=True)}
        with ThreadPoolExecutor(1) as beside:  # Keras computes while the file runs
            runs = [beside.submit(way.run, made, way.first(named)) for way in self.ways]
            references, moved = self.reference(what), what.moved_outputs(self.inputs)
            return [
                check.outputs(run.result, way, references, moved, self.source)
                for way, run in zip(self.ways, runs, strict=True)
            ]

    def reference(self, what):
        free = {each.name: each.shape for each in what.model.inputs if None in each.shape[1:]}
        if self.source == "samples" or not free:
            return what.outputs(self.inputs)
        try:
            return what.outputs(self.inputs)
        except Exception as error:  # Keras's, TensorFlow's or the model's own: it is about the size
            raise ValueError(
                f"Inputs of size 1 are tried where {what.model.name!r} takes any size, {free}, and it does not take "
                f"them. Give samples. It said: {error}"
            ) from error

    def first_wrong(self, folder):
        """A layer whose output is wrong, or does not run, and whose inputs are right.

        Exports the model up to a layer: by halves before an output that is wrong, then back from what that finds,
        since branches stand in any order.
        """
        layers = [layer for layer in self.model.layers if isinstance(_single_output(layer), keras.KerasTensor)]

        @functools.cache
        def wrong(layer):
            part = self.what.part(layer)
            made = Path(folder, f"part{self.target.suffix}")
            made.write_bytes(_format(self.target)[0](part, self.target, self.encoding).data)
            try:
                self.compare(part, made)
            except (check.ExportError, RuntimeFailure):
                return True
            return False

        def makers(tensors):
            wanted = {id(tensor) for tensor in tensors}
            return [layer for layer in layers if id(layer.output) in wanted]

        low, high = 0, layers.index(next(filter(wrong, makers(self.model.outputs))))
        while low < high:  # the layer at `high` is wrong
            middle = (low + high) // 2
            low, high = (low, middle) if wrong(layers[middle]) else (middle + 1, high)
        found = layers[high]
        while before := next(filter(wrong, makers(keras.tree.flatten(found.input))), None):
            found = before
        return found.name

    def random_inputs(self):
        """Uniform in the first range of the model, or in [-1, 1]; integers are 0 or 1."""
        ranges = fixed_ranges(self.model)
        low, high = (ranges[0].low, ranges[0].high) if ranges else (-1.0, 1.0)
        return drawn(self.model.inputs, low, high, RANDOM)


def _given(model, samples, floating=None):
    """The samples that the file is verified on, one array for each input; those of floats in the type `floating`."""
    ports = [
        Port(each.name, tuple(each.shape), floating if floating and "float" in each.dtype else each.dtype)
        for each in model.inputs
    ]
    return fitting(ports, batches.in_order(model, samples), SAMPLES)


def _single_output(layer):
    """The layer's output where it is called once and is no input, else `None`."""
    return None if isinstance(layer, keras.layers.InputLayer) else getattr(layer, "output", None)


def _format(target):
    """`(emit, read, not_arithmetic)` of the target's format, imported only when it is written."""
    if target.suffix == ".tflite":
        from keras_sparse.exporting import tflite, tflite_file

        return tflite.emit, tflite_file.read, tflite_file.NOT_ARITHMETIC
    from keras_sparse.exporting import onnx, onnx_file

    return onnx.emit, onnx_file.read, onnx_file.NOT_ARITHMETIC


def _tensor(name, stored, why):
    values = stored.values
    return TensorReport(
        name=name,
        stored_as=stored.name,
        dtype=values.dtype.name,
        shape=values.shape,
        encoding=stored.encoding,
        bytes=stored.nbytes,
        bytes_dense=values.nbytes,
        zeros=stored.zeros,
        sparsity=stored.zeros / values.size,
        why=why,
    )
