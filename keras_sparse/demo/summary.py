"""How the demo ends: the table, the bars, the files, and what to do next."""

import importlib.util
import os
import shlex
import sys
from pathlib import Path

from rich.markup import escape

from keras_sparse.demo.results import NATIVE_KERNELS
from keras_sparse.report import tables

WRITTEN = {
    "report.html": "all of this, with plots",
    "report.json": "all figures",
    "recipe.yaml": "the recipe",
    "dense_float.keras": "the baseline, trained",
    "sparse_int8.keras": "the sparse model, trained, for keras-sparse export or further training",
    "dense_float.tflite": "verified",
    "dense_int8.tflite": "verified",
    "sparse_int8.tflite": "verified",
    "sparse_int8.onnx": "verified",
    "model.ksb": "the edge bundle of sparse_int8.tflite",
    "example_input.npy": "raw test images to try the bundle with",
}
"""Every file of the demo, with what it is."""

RUNNER = "keras_sparse_edge"


def table(results):
    """The files against each other, as a rich table."""
    rows = [
        (
            each.file,
            tables.percent(each.accuracy),
            tables.percent(each.keras_accuracy),
            tables.size(each.bytes),
            tables.size(each.bytes_gzip),
            "-" if each.latency is None else f"{each.latency * 1e6:.1f}",
            "-" if each.speedup is None else f"{each.speedup:.2f}x",
        )
        for each in results.files
    ]
    rows += [(file, "failed", *["-"] * 5) for file in results.failed]
    columns = ["file", "accuracy>", "Keras model>", "size>", "gzipped>", "median us>", "speed-up>"]
    return tables.build(None, columns, rows)


def show(results, console):
    """Prints it all on `console`."""
    console.print()
    console.print(table(results) if console.is_terminal else tables.render(table(results)), soft_wrap=True)
    options = results.options
    for each in results.failures:
        console.print(f"[bold red]FAILED[/bold red] {escape(f'{each.what}: {each.why}')}", soft_wrap=True)

    def say(text):
        console.print(text, soft_wrap=True, markup=False)

    say(f"Accuracy on {results.images['test']:,} test images; latency: {options.rounds} interleaved rounds, batch 1.")
    if results.native:
        each = results.native
        say(
            f"With the native INT8 kernels (ks.delegate()) {each.file} takes {each.latency * 1e6:.1f} us, "
            f"{each.speedup:.2f}x as fast as {each.baseline}."
        )
    elif not any(each.what == NATIVE_KERNELS for each in results.failures):
        say("Without the native INT8 kernels: there are none here.")
    say("The sparse model starts from the trained baseline and trains for as many epochs again.")
    console.print("\n[bold]Bars[/bold]")
    if not results.judged:
        say("  not judged: --quick trains too little for any of them")
    for bar in results.bars if results.judged else ():
        mark = "[green]pass[/green]" if bar.holds else "[bold red]MISS[/bold red]"
        console.print(f"  {mark}  {escape(f'{bar.text}: {bar.measured}')}", soft_wrap=True)
    console.print(f"\n[bold]Written to {escape(str(options.out))}[/bold]", soft_wrap=True)
    failed = {each.what for each in results.failures}
    for name, what in WRITTEN.items():
        path = options.out / name
        size = tables.size(path.stat().st_size) if path.is_file() else "not made"
        say(f"  {name:20} {size:>9}  {'FAILED, see above' if name in failed else what}")
    if "model.ksb" not in failed and "example_input.npy" not in failed:
        console.print("\n[bold]Next[/bold]")
        say(f"  {runner_command(options.out)}")
    say(f"\n{results.seconds:.0f} s in all. Again: {options.command}")


def runner_command(out):
    """The command that runs the bundle; the runner may stand, not installed, in `edge/` of the checkout."""
    command = shlex.join([python(), "-m", RUNNER, str(out / "model.ksb"), str(out / "example_input.npy")])
    edge = Path(__file__).resolve().parents[2] / "edge"
    if importlib.util.find_spec(RUNNER) is None and (edge / RUNNER).is_dir():
        return f"PYTHONPATH={shlex.quote(os.path.relpath(edge))} {command}"
    return command


def python():
    """This Python, as one would type it here."""
    here = os.path.relpath(sys.executable)
    return min(here, sys.executable, key=len)
