"""`keras-sparse export`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sparse import target
from keras_sparse.atomic import distinct
from keras_sparse.commands.shell import IMPORT, JSON, QUANTIZE, SAMPLES, CommandError, busy, show
from keras_sparse.commands.shell import model as read_model


def export(
    model: Annotated[Path, typer.Argument(help="A .keras file: plain, or trained with a recipe.")],
    out: Annotated[Path, typer.Argument(help="The file to write, .tflite or .onnx.")],
    samples: SAMPLES = None,
    quantize: QUANTIZE = None,
    to: Annotated[
        str | None, typer.Option("--target", help="What will run it; by default the file's suffix says.")
    ] = None,
    encoding: Annotated[
        str, typer.Option(help='How .tflite stores sparse weights: "fastest", "smallest", "dense", "csr", "block".')
    ] = "fastest",
    reduce_range: Annotated[
        bool | None,
        typer.Option(
            help="Whether int8 weights of .onnx keep to 7 bits, so that processors without VNNI add them right; by "
            "default they do, but for TensorRT.",
            show_default=False,
        ),
    ] = None,
    modules: IMPORT = None,
    as_json: JSON = False,
):
    """Write a .keras model as a verified .tflite or .onnx file."""
    target.find(out, to)
    if quantize == "int8" and samples is None:
        raise CommandError("--quantize int8 measures the ranges of activations: it needs --samples")
    distinct(model, out)
    with busy("Loading the model"):
        import keras_sparse as ks
        from keras_sparse.exporting.samples import read as read_samples

        given = None if samples is None else read_samples(samples)
        loaded = read_model(model, modules)
    with busy(f"Exporting {out.name}"):
        artifact = ks.export(loaded, out, to, given, quantize, encoding, reduce_range)
    show({"path": str(out), "target": artifact.target, **artifact.report.to_dict()} if as_json else artifact)
