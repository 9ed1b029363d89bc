"""`benchmark`: latency and size of files, against a baseline."""

import gzip
import platform
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from keras_sparse_edge.native import available

from keras_sparse.report import tables
from keras_sparse.runtime import isolated, timing


@dataclass(frozen=True)
class FileBenchmark:
    """One file: median seconds per item, how many times faster than the baseline, bytes."""

    path: str
    latency: float
    speedup: float
    bytes: int
    bytes_gzip: int
    memory: int | None


@dataclass(frozen=True)
class BenchmarkReport:
    """All files, the first one being the baseline; where it was measured, and whether with the native kernels."""

    files: tuple[FileBenchmark, ...]
    rounds: int
    threads: int
    machine: str
    native: bool

    def to_dict(self):
        return asdict(self)

    def __str__(self):
        rows = [
            (
                each.path,
                f"{each.latency * 1e6:.1f}",
                f"{each.speedup:.2f}x",
                tables.size(each.bytes),
                tables.size(each.bytes_gzip),
                "-" if each.memory is None else tables.size(each.memory),
            )
            for each in self.files
        ]
        columns = ["file", "median us>", "speed-up>", "size>", "gzipped>", "memory>"]
        where = f"{self.rounds} interleaved rounds, batch 1, {self.threads} thread(s), {self.machine}"
        said = "with" if self.native else "without"
        kernels = f"{said} the native INT8 kernels of keras_sparse (ks.delegate(), ks.session_options())"
        return f"{tables.render(tables.build(None, columns, rows))}\n{where}\n{kernels}"


def benchmark(files, rounds=200, threads=1, progress=None, native=None):
    """Latency at batch 1, size and memory of files, interleaved in one run.

    Medians over the rounds; the speed-up is the median of the ratios round by round, which holds when the machine's
    speed drifts. Memory is what loading and running the file adds to a process of its own, in bytes
    (`None` where the system does not tell).

    Args:
        files: paths of `.tflite` or `.onnx` files, or `Artifact`s; the first one is the baseline.
        rounds: how often each file has its turn.
        threads: number of threads of each runtime.
        progress: called with (rounds done, rounds).
        native: whether LiteRT has `ks.delegate()` and ONNX Runtime `ks.session_options()`; by default where these can
            be had.

    Returns:
        A `BenchmarkReport`: `.files`, printable, `.to_dict()`.

    Raises:
        ValueError: no files, rounds, or files of another kind.
        RuntimeFailure: a runtime does not load or run a file, such as one that is damaged.

    >>> import keras, tempfile
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [ks.export(model, f"{folder}/m{suffix}") for suffix in (".tflite", ".onnx")]
    ...     report = ks.benchmark(files, rounds=5)
    >>> [each.speedup > 0 for each in report.files], report.files[0].speedup
    ([True, True], 1.0)
    """
    paths = [Path(getattr(each, "path", each)) for each in (files if isinstance(files, list | tuple) else [files])]
    if not paths or rounds < 1:
        raise ValueError(f"At least one file and one round are needed. Received: {len(paths)} files, rounds={rounds}")
    native = available() if native is None else native
    engines = dict.fromkeys(paths, "native") if native else {}
    memory = {path: isolated.memory(path, threads, engine=engines.get(path)) for path in paths}
    seconds = timing.interleaved(
        paths, rounds, threads, progress=progress or (lambda done, total: None), engines=engines
    )
    speedup = timing.ratios(seconds, paths[0])
    return BenchmarkReport(
        tuple(
            FileBenchmark(
                str(path),
                statistics.median(seconds[path]),
                speedup[path],
                path.stat().st_size,
                len(gzip.compress(path.read_bytes(), 9, mtime=0)),
                memory[path],
            )
            for path in paths
        ),
        rounds,
        threads,
        f"{platform.machine()}, {platform.system()}",
        native,
    )
