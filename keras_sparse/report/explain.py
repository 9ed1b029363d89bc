"""`explain`: what a target will run for each layer, what would pay there, and why not."""

from dataclasses import dataclass
from pathlib import Path

import keras

from keras_sparse import target as targets
from keras_sparse.exporting import keras_file
from keras_sparse.pattern import NofM
from keras_sparse.report import tables
from keras_sparse.targets.contract import SIZE
from keras_sparse.targets.network import BITS, SCHEMES
from keras_sparse.train import network as keras_network

QUANTIZE = (None, *SCHEMES)


@dataclass(frozen=True)
class Gain:
    """What is known of a kernel's gain over dense under one condition.

    `at` is the gain at the advised sparsity: (lowest, highest), the same number twice where one figure is known, `None`
    where none is. `points` are ((sparsity, gain), ...) as measured; gains between them are interpolated, and `at` says
    so in `interpolated`.
    """

    basis: str
    against: str
    condition: str
    break_even: float | None
    at: tuple[float, float] | None
    interpolated: bool
    points: tuple[tuple[float, float], ...]
    source: str
    repeat: str

    def to_dict(self):
        return {**vars(self), "at": self.at and [*self.at], "points": [[*each] for each in self.points]}


@dataclass(frozen=True)
class LayerReport:
    """One layer. `shape` is (kernel positions, outputs, inputs).

    Attributes:
        kernel: what the target runs for it as it is.
        stored_as: how a file stores it, with the version of its operation where the format has one; `None` for models.
        pattern: what would pay, with the sparsity that is advised, or `None`; `pays` is False where it does under some
            conditions only, or where one of them is `unmeasured`.
        then_kernel: what the target runs with that pattern.
        break_even: the fraction of zeros from which on no measured condition is slower; `None` where there is none.
        reasons: why nothing pays, or what to know about what does.
        fault: what is wrong with the layer in the file.
    """

    name: str
    type: str
    shape: tuple[int, int, int]
    scheme: str
    zeros: int
    sparsity: float
    bytes: int
    kernel: str
    stored_as: str | None
    version: int | None
    pattern: str | None
    advised_sparsity: float | None
    then_kernel: str | None
    pays: bool
    buys: str | None
    break_even: float | None
    gains: tuple[Gain, ...]
    unmeasured: tuple[str, ...]
    reasons: tuple[str, ...]
    fault: str | None

    def to_dict(self):
        return {**vars(self), "shape": [*self.shape], "reasons": [*self.reasons], "unmeasured": [*self.unmeasured],
                "gains": [each.to_dict() for each in self.gains]}  # fmt: skip


@dataclass(frozen=True)
class ExplainReport:
    """What a target says about every layer with a kernel; `str()` is a table with its reasons below."""

    model: str
    target: str
    layers: tuple[LayerReport, ...]

    @property
    def faults(self):
        """{layer: what is wrong with it in the file}."""
        return {each.name: each.fault for each in self.layers if each.fault is not None}

    def to_dict(self):
        return {"model": self.model, "target": self.target, "layers": [each.to_dict() for each in self.layers]}

    def __str__(self):
        notes = _Notes()
        begin = _shared_part([each.name for each in self.layers])
        rows = [
            (
                each.name[begin:],
                "x".join(map(str, each.shape if each.shape[0] > 1 else each.shape[1:])),
                tables.percent(each.sparsity, 0),
                each.kernel if each.stored_as in (None, "dense") else f"{each.kernel} [{each.stored_as}]",
                "-" if each.pattern is None else _short(each),
                _gain(each),
                notes.marks(each),
            )
            for each in self.layers
        ]
        columns = ["layer", "shape>", "zeros>", "runs now", "could have", "gain there", "notes"]
        table = tables.render(tables.build(None, columns, rows))
        lines = [f"{self.model} for {self.target}", table, *self._nothing(), *notes.lines()]
        return "\n".join([lines[0], table, *map(tables.wrap, lines[2:])])

    def _nothing(self):
        """One line where no zeros pay."""
        if any(each.pays for each in self.layers):
            return []
        if any(each.pattern is not None for each in self.layers):
            said = "what could is slower under some condition, or was not measured"
            return [f"nothing is known to pay here: on {self.target}, {said}"]
        return [f"nothing pays here: no zeros make a layer faster on {self.target}, for the reasons below"]


def explain(model, target, quantize=None):
    """What `target` will run for every layer of a model, which zeros would pay there, from where on, and why not.

    Nothing is trained, converted or run: the answer follows from the shapes, the graph and the zeros of the model, the
    rules of the runtime, and gains that were measured or are cited; each gain names its source and what repeats it.
    Gains at a sparsity between two measured points are interpolated and called so.

    Args:
        model: a built Keras model of any kind, or the path of a `.keras`, `.tflite` or `.onnx` file. For the last two
            the report says how each kernel is stored, and what is wrong with it, if anything is.
        target: "litert" (what holds on any processor), "litert-x86", "litert-arm64", "litert-native" (with
            `ks.delegate()`; int8 only), "onnxruntime", "tensorrt", "openvino", or "packed" (bytes of the packed form).
        quantize: as in `ks.export`: `None` (int8 where the model is prepared for it, else float32), "int8",
            "int8-weights", "float16" or "float32". Files have been converted already.

    Returns:
        An `ExplainReport`: `.layers`, `.faults`, printable, `.to_dict()`.

    Raises:
        ValueError, TypeError, FileNotFoundError: no such target, scheme, model or file; or the file is damaged.

    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((1024,)), keras.layers.Dense(1024), keras.layers.Dense(10)])
    >>> hidden, scores = ks.explain(model, "litert-x86", quantize="int8-weights").layers
    >>> hidden.pattern, hidden.kernel
    ('Block((1, 16), 0.9)', 'dense int8-weights')
    >>> scores.pattern, "262144 weights" in scores.reasons[0]
    (None, True)
    """
    chosen = targets.named(target)
    if quantize not in QUANTIZE:
        raise ValueError(f"quantize must be one of {QUANTIZE}. Received: quantize={quantize!r}")
    network, name = read(model, chosen, quantize)
    verdicts = chosen.verdicts(network)
    rows = tuple(_report(layer, verdict) for layer, verdict in zip(network.layers, verdicts, strict=True))
    return ExplainReport(name, chosen.name, rows)


def read(model, target, quantize):
    """`(Network, name)` of a model or a file."""
    if isinstance(model, keras.Model):
        return keras_network.read(model, quantize), f"model {model.name!r}"
    if not isinstance(model, str | Path):
        raise TypeError(f"model must be a Keras model or the path of a file. Received: {type(model).__name__}")
    path = Path(model)
    if path.suffix == ".keras":
        return keras_network.read(keras_file.read(path), quantize), str(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}")
    if not target.reads(path.suffix):
        files = [suffix for suffix in (*targets.SUFFIXES, ".keras") if target.reads(suffix) or suffix == ".keras"]
        raise ValueError(f"{target.name} takes models and {' and '.join(files)} files. Received: {path}")
    if quantize is not None:
        raise ValueError(f"{path} is converted already: quantize is for models. Received: quantize={quantize!r}")
    if path.suffix == ".tflite":
        from keras_sparse.exporting import tflite_network as reader
    else:
        from keras_sparse.exporting import onnx_network as reader
    network = reader.read(path)
    if not network.layers:
        raise ValueError(f"{path} has no layer with constant weights that is known")
    return network, str(path)


def say(pattern):
    """A pattern as it is written in a recipe; N:M in the field's short form.

    >>> say(NofM(2, 4))
    '2:4'
    """
    if isinstance(pattern, NofM):
        return f"{pattern.n}:{pattern.m}"
    arguments = ", ".join(str(value) for value in vars(pattern).values())
    return f"{type(pattern).__name__}({arguments})"


def _report(layer, verdict):
    offer, stored = verdict.offer, layer.stored
    return LayerReport(
        layer.name,
        layer.type,
        (layer.positions, layer.rows, layer.cols),
        layer.scheme,
        layer.zeros,
        layer.sparsity,
        stored.bytes if stored is not None else layer.size * BITS[layer.scheme] // 8,
        verdict.kernel,
        stored and stored.encoding,
        stored and stored.version,
        offer and say(offer.pattern),
        offer and offer.sparsity,
        offer and offer.kernel,
        offer is not None and offer.pays,
        offer and offer.buys,
        offer and offer.break_even,
        () if offer is None else tuple(_known(each, offer.sparsity) for each in offer.evidence),
        () if offer is None else offer.unmeasured,
        (*verdict.reasons, *([f"stays {layer.scheme}: {layer.float_because}"] if layer.float_because else [])),
        verdict.fault,
    )


def _known(evidence, sparsity):
    return Gain(
        evidence.basis,
        evidence.against,
        evidence.condition,
        evidence.break_even,
        evidence.range(sparsity),
        bool(evidence.points) and not evidence.is_point(sparsity),
        evidence.points,
        evidence.source,
        evidence.repeat,
    )


def _shared_part(names):
    """How many characters all names begin with, up to a slash: the model's name says nothing."""
    first = names[0].split("/")[0] + "/" if names else ""
    return len(first) if len(names) > 1 and all(name.startswith(first) for name in names) else 0


def _short(row):
    """The pattern in few letters, with the zeros that are advised: "1x16 90 %"."""
    said = row.pattern if row.pattern[0].isdigit() else row.pattern.split("(")[0].lower()
    if said == "block":
        rows, cols = row.pattern.split("((")[1].split(")")[0].split(", ")
        said = f"{rows}x{cols}"
    return f"{said} {tables.percent(row.advised_sparsity, 0)}"


def _gain(row):
    """Gain and break-even under each condition, a line each; "~" before what is interpolated."""
    if row.pattern is None:
        return "-"
    known = [f"{_figure(each, row.buys)} {each.condition}".rstrip() + _start(each) for each in row.gains]
    return "\n".join([*known, *(f"not measured on {each}" for each in row.unmeasured)])


def _figure(gain, buys):
    if gain.at is None:
        return "not known"
    low, high = (f"{each:.1f}" if each < 10 else f"{each:.0f}" for each in gain.at)
    figure = low if low == high else f"{low} to {high}"
    return f"{'~' if gain.interpolated else ''}{figure}x" + (" smaller" if buys == SIZE else "")


def _start(gain):
    if gain.break_even is None:
        return ", never gains"
    return f", from {tables.percent(gain.break_even, 0)}" if gain.break_even else ""


class _Notes:
    """Reasons and sources, each said once below the table."""

    def __init__(self):
        self.numbers = {}

    def marks(self, row):
        said = [f"FAULT: {row.fault}"] if row.fault is not None else []
        said += row.reasons
        said += [f"{each.basis} against {each.against}: {each.source} ({each.repeat})" for each in row.gains]
        return " ".join(str(self.numbers.setdefault(text, len(self.numbers) + 1)) for text in dict.fromkeys(said))

    def lines(self):
        return [f"{number}: {text}" for text, number in self.numbers.items()]
