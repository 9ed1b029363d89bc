"""Who may import whom: the table of docs/architecture.md, held against every file found."""

from __future__ import annotations

import ast
import fnmatch
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_NOUNS = ("keras_sparse/__init__.py", "keras_sparse/public.py", "keras_sparse/cli.py")
YAML = "keras_sparse/strict_yaml.py"
OWN = (YAML, "keras_sparse/atomic.py", "keras_sparse/target.py")  # nouns with a rule of their own


@dataclass(frozen=True)
class Rule:
    """The files of `place` import the standard library and what `may` names, and never what `never` names.

    Names are globs over dotted names; a name stands for all that is inside it, and `never` wins over `may`.
    """

    place: str
    may: tuple[str, ...]
    never: tuple[str, ...] = ()
    but: tuple[str, ...] = ()  # files of `place` that have a rule of their own


ANY = ("*",)
NOUNS = ("numpy", "a noun")  # "a noun": any module keras_sparse/*.py that is there
RUNTIMES = ("ai_edge_litert", "onnxruntime", "openvino")
TARGETS = "keras_sparse.targets"
EXPORT = (
    *NOUNS,
    TARGETS,
    "keras_sparse.encoding",
    "keras_sparse.runtime",
    "keras_sparse.exporting",
    "keras_sparse.train.strip",
    "keras_sparse.train.batches",
    "keras_sparse.train.calibrate",
    "keras_sparse.train.expand",
    "keras_sparse.train.graph",
    "keras_sparse.train.jitter",
    "keras_sparse.train.precision",
    "keras_sparse.train.kernels",
    "keras_sparse.train.network",
    "keras_sparse.report.tables",
    "keras",
    *RUNTIMES,
    "keras_sparse_edge.errors",
)
NATIVE = ("keras_sparse_edge.native", "keras_sparse_edge.provider")
GRAPHS = tuple(f"keras_sparse/runtime/{name}.py" for name in ("exact", "products", "saturating"))  # they read .onnx
PROVIDER = "edge/keras_sparse_edge/provider.py"
REPORT = (
    *NOUNS,
    *NATIVE,
    TARGETS,
    "keras_sparse.report",
    "keras_sparse.runtime",
    "keras_sparse.exporting",
    "keras_sparse.train",
    "keras",
    "rich",
    "matplotlib",
    "jinja2",
)
ENCODING = (*NOUNS, "keras_sparse.encoding", "keras_sparse_edge")  # the reader that devices have is the only one
PACKING = (
    *ENCODING,
    "keras_sparse.packing",
    "keras_sparse.exporting.*spans",
    "keras_sparse.report.tables",
)
TFLITE, ONNX = "keras_sparse/exporting/**/tflite*.py", "keras_sparse/exporting/**/onnx*.py"
MIGRATION = (
    *NOUNS,
    "keras_sparse.migration",
    "keras_sparse.train",
    "keras",
    "h5py",
    "tf_keras",
    "tensorflow_model_optimization",
    "google.protobuf",  # the errors of tf_keras.protobuf
)
SAVING = (*NOUNS, "keras_sparse.saving", "keras_sparse.encoding", "keras", "h5py")
EDGE = ("numpy", "ai_edge_litert", "keras_sparse_edge", "setuptools")
PRIVATE = ("keras.src", "keras._*")
DRAWN = ("keras", "ai_edge_litert", "matplotlib", "rich", "numpy", "onnx", "onnxruntime", "onnx_latency")
DEMO_TRAINED = ("benchmarks/native_pareto.py", "benchmarks/onnx_reduce_range.py")  # they train the demo's network
# fmt: off
RULES = (
    #    place                            may import                                     never
    Rule("keras_sparse/*.py",             NOUNS, but=(*NO_NOUNS, *OWN)),
    Rule("keras_sparse/atomic.py",        ("keras_sparse_edge.atomic",)),
    Rule(YAML,                            (*NOUNS, "yaml")),
    Rule("keras_sparse/target.py",        (*NOUNS, TARGETS)),
    Rule("keras_sparse/targets/**/*.py",  (*NOUNS, TARGETS),                             ("keras_sparse.target",)),
    Rule("keras_sparse/encoding/**/*.py", ENCODING),
    Rule("keras_sparse/packing/**/*.py",  PACKING),
    Rule("keras_sparse/runtime/**/*.py",  (*NOUNS, "keras_sparse.runtime", *RUNTIMES, *NATIVE), but=GRAPHS),
    *(Rule(file, ("numpy", "keras_sparse.runtime", "onnxruntime", "onnx")) for file in GRAPHS),
    Rule("keras_sparse/train/**/*.py",    (*NOUNS, TARGETS, "keras_sparse.train", "keras"), PRIVATE),
    Rule("keras_sparse/migration/**/*.py", MIGRATION,                                    PRIVATE),
    Rule("keras_sparse/saving/**/*.py",   SAVING,                                        PRIVATE),
    Rule("keras_sparse/exporting/**/*.py", EXPORT,                                       PRIVATE, but=(TFLITE, ONNX)),
    Rule(TFLITE,                          (*EXPORT, "tensorflow", "flatbuffers"),        PRIVATE),
    # onnx raises the errors of protobuf; tf2onnx wants the shapes of its inputs as tensorflow.TensorSpec
    Rule(ONNX, (*EXPORT, "onnx", "google.protobuf", "tf2onnx", "tensorflow"),            PRIVATE),
    Rule("keras_sparse/report/**/*.py",   REPORT,                                        PRIVATE),
    Rule("edge/**/*.py",                  EDGE,                      ("keras_sparse", "tensorflow"), but=(PROVIDER,)),
    Rule(PROVIDER,                        (*EDGE, "onnxruntime"),    ("keras_sparse", "tensorflow")),
    Rule("examples/**/*.py",              ANY,                                           ("keras_sparse.*",)),
    Rule("benchmarks/**/*.py",            ANY,            ("keras_sparse.*",), but=DEMO_TRAINED),
    *(Rule(file, (*DRAWN, "keras_sparse", "keras_sparse.demo")) for file in DEMO_TRAINED),
    Rule("**/*.py",                       ANY,                                           ("keras.src",)),
)
# fmt: on
BY_NAME = ("__import__", "import_module", "importlib.import_module")
UNNAMED = "../shared"  # it exists only beside the checkout of those who develop the project
SHIPPED = ("keras_sparse/**/*", "edge/**/*", "examples/**/*", "docs/**/*", "README.md")


def files(root: Path, place: str, but: tuple[str, ...] = ()) -> list[Path]:
    """The files that `place` matches, without virtual environments and build output."""
    paths = set(root.glob(place)) - {path for glob in but for path in root.glob(glob)}
    return sorted(path for path in paths if path.is_file() and not _made(path.relative_to(root)))


def _made(path: Path) -> bool:
    return any(part.startswith(".") or part in ("build", "dist", "__pycache__") for part in path.parts)


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that is imported, anywhere in the file, and of what is reached in keras."""
    aliases = {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                aliases[name.asname or name.name.split(".")[0]] = name.name if name.asname else name.name.split(".")[0]
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for name in node.names:
                aliases[name.asname or name.name] = f"{module}.{name.name}"
                yield node.lineno, f"{module}.{name.name}".removesuffix(".*")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME and node.args:
            name = node.args[0]  # what only a run would tell is not among any names that a rule lists
            yield node.lineno, str(name.value) if isinstance(name, ast.Constant) else f"`{ast.unparse(node)}`"
    for node in ast.walk(tree):  # keras.src can be reached without being imported
        if isinstance(node, ast.Attribute):
            root, _, rest = ast.unparse(node).partition(".")
            if aliases.get(root, "").split(".")[0] == "keras":
                yield node.lineno, f"{aliases[root]}.{rest}"


def names(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of `patterns` matches `name` or something that `name` is inside of."""
    parts = name.split(".")
    outer = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatch.fnmatchcase(each, pattern) for each in outer for pattern in patterns)


def violations(root: Path) -> list[str]:
    """One line per import that a rule forbids, and per rule that found nothing to be held against."""
    nouns = tuple(f"keras_sparse.{path.stem}" for path in files(root, "keras_sparse/*.py", NO_NOUNS))
    found = []
    for rule in RULES:
        places = files(root, rule.place, rule.but)
        if not places:
            found.append(f"{rule.place}: no file")
        may = tuple(sys.stdlib_module_names) + rule.may + (nouns if "a noun" in rule.may else ())
        for path in places:
            inside = path.relative_to(root)
            package = ".".join(part for part in inside.parent.parts if part != "edge")
            for line, name in imports(path.read_text(encoding="utf-8"), package):
                if names(name, rule.never) or not names(name, may):
                    found.append(f"{inside}:{line}: {name} is not for {rule.place}")
    for path in (path for place in SHIPPED for path in files(root, place)):
        if UNNAMED.encode() in path.read_bytes():
            found.append(f"{path.relative_to(root)}: names {UNNAMED}")
    return sorted(set(found))


def test_the_rules_hold() -> None:
    broken = violations(ROOT)
    assert not broken, "\n" + "\n".join(broken)


def test_the_nouns_stand_in_an_order() -> None:
    paths = files(ROOT, "keras_sparse/*.py", NO_NOUNS)
    graph = {
        path.stem: {
            other.stem
            for other in paths
            for _, name in imports(path.read_text(encoding="utf-8"), "keras_sparse")
            if names(name, (f"keras_sparse.{other.stem}",))
        }
        for path in paths
    }
    assert graph
    assert list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, naming the cycle


# One file of each place, none of which breaks a rule.
TREE = {
    "keras_sparse/__init__.py": "from keras_sparse.pattern import NofM",
    "keras_sparse/cli.py": "import typer",
    "keras_sparse/pattern.py": "import math\nimport numpy as np",
    "keras_sparse/atomic.py": "from keras_sparse_edge.atomic import write_atomically",
    "keras_sparse/recipe.py": "from keras_sparse import pattern, strict_yaml",
    "keras_sparse/strict_yaml.py": "import yaml",
    "keras_sparse/target.py": "from keras_sparse.targets.litert import LiteRT",
    "keras_sparse/targets/litert.py": "from keras_sparse.targets import contract",
    "keras_sparse/encoding/csr.py": "import numpy as np\nfrom keras_sparse.pattern import NofM",
    "keras_sparse/packing/pack.py": "from keras_sparse_edge.packed import read_packed",
    "keras_sparse/runtime/litert.py": "from ai_edge_litert.interpreter import Interpreter",
    "keras_sparse/train/callback.py": "import keras\nfrom keras_sparse.pattern import NofM\nkeras.ops.abs",
    "keras_sparse/train/strip.py": "from . import callback",
    "keras_sparse/migration/keras2.py": "def load():\n    import tf_keras",
    "keras_sparse/saving/weights.py": "import h5py\nfrom keras_sparse.atomic import write_atomically",
    "keras_sparse/exporting/bundle.py": "from keras_sparse.train.strip import strip",
    "keras_sparse/exporting/tflite.py": "import tensorflow as tf",
    "keras_sparse/exporting/onnx.py": "def export():\n    import tf2onnx",
    "keras_sparse/report/tables.py": "import rich",
    "edge/keras_sparse_edge/bundle.py": "from .manifest import read\nfrom keras_sparse_edge import x",
    **dict.fromkeys(GRAPHS, "import onnx\nfrom keras_sparse.runtime import saturation"),
    PROVIDER: "def session_options():\n    import onnxruntime",
    "examples/prune.py": "import keras\nimport keras_sparse as ks\nks.export",
    "benchmarks/size.py": "import keras_sparse as ks",
    "benchmarks/native_pareto.py": "from keras_sparse.demo import training",
    "benchmarks/onnx_reduce_range.py": "from keras_sparse.demo import training",
    "README.md": "# keras_sparse",
}


def write(root: Path, tree: dict[str, str]) -> Path:
    for name, source in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


def test_a_tree_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    assert violations(write(tmp_path, TREE)) == []


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("keras_sparse/pattern.py", "import keras", "pattern.py:1: keras is not"),
        ("keras_sparse/pattern.py", "def f():\n    from tensorflow import nn", "pattern.py:2: tensorflow.nn"),
        ("keras_sparse/pattern.py", "import importlib\nimportlib.import_module('onnx')", "pattern.py:2: onnx"),
        ("keras_sparse/pattern.py", "import_module(name)", "pattern.py:1: `import_module(name)` is not"),
        ("keras_sparse/pattern.py", "import yaml", "pattern.py:1: yaml"),
        ("keras_sparse/pattern.py", "from keras_sparse import NofM", "keras_sparse.NofM"),
        ("keras_sparse/new.py", "from .train import callback", "new.py:1: keras_sparse.train.callback"),
        ("keras_sparse/train/callback.py", "import keras.src.ops", "keras.src.ops"),
        ("keras_sparse/train/callback.py", "import keras as k\nk.src.ops.abs", "callback.py:2: keras.src.ops"),
        ("keras_sparse/train/callback.py", "from keras import _tf_keras", "keras._tf_keras"),
        ("keras_sparse/train/deep/a.py", "from ...exporting import bundle", "keras_sparse.exporting.bundle"),
        ("keras_sparse/train/callback.py", "import tensorflow", "callback.py:1: tensorflow"),
        ("keras_sparse/exporting/bundle.py", "from keras_sparse.train import callback", "train.callback"),
        ("keras_sparse/exporting/bundle.py", "import onnx", "bundle.py:1: onnx"),
        ("keras_sparse/exporting/tflite.py", "import onnx", "tflite.py:1: onnx"),
        ("keras_sparse/exporting/onnx.py", "import flatbuffers", "onnx.py:1: flatbuffers"),
        ("edge/keras_sparse_edge/bundle.py", "import keras_sparse", "bundle.py:1: keras_sparse is not"),
        ("edge/keras_sparse_edge/bundle.py", "import tensorflow.lite", "tensorflow.lite"),
        ("keras_sparse/runtime/litert.py", "import keras", "litert.py:1: keras is not"),
        ("keras_sparse/migration/keras2.py", "import tensorflow", "keras2.py:1: tensorflow is not"),
        ("keras_sparse/saving/weights.py", "import keras.src.ops", "weights.py:1: keras.src.ops"),
        ("edge/keras_sparse_edge/bundle.py", "import requests", "requests"),
        ("edge/keras_sparse_edge/bundle.py", "import onnxruntime", "onnxruntime"),
        ("examples/prune.py", "from keras_sparse.train import x", "keras_sparse.train.x"),
        ("benchmarks/size.py", "import keras_sparse.exporting", "keras_sparse.exporting is not"),
        ("keras_sparse/demo/data.py", "from keras.src import ops", "demo/data.py:1: keras.src.ops"),
        ("README.md", "see ../shared/design", "README.md: names ../shared"),
        ("keras_sparse/demo/data/README.md", "../shared", "demo/data/README.md: names"),
        ("keras_sparse/encoding/csr.py", "import keras", "csr.py:1: keras is not"),
        ("keras_sparse/targets/litert.py", "import keras", "litert.py:1: keras is not"),
        (
            "keras_sparse/targets/litert.py",
            "from keras_sparse import target",
            "litert.py:1: keras_sparse.target is not",
        ),
        ("keras_sparse/layout.py", "from keras_sparse.targets import x", "layout.py:1: keras_sparse.targets.x is not"),
        ("keras_sparse/packing/pack.py", "import onnx", "pack.py:1: onnx is not"),
    ],
)
def test_a_broken_rule_is_found(tmp_path: Path, path: str, source: str, found: str) -> None:
    broken = violations(write(tmp_path, TREE | {path: source}))
    assert any(found in violation for violation in broken), broken


@pytest.mark.parametrize("gone", ["keras_sparse/train", "keras_sparse/exporting/onnx.py", "examples", "edge"])
def test_a_rule_with_nothing_to_check_is_found(tmp_path: Path, gone: str) -> None:
    tree = {path: source for path, source in TREE.items() if not path.startswith(gone)}
    assert any("no file" in violation for violation in violations(write(tmp_path, tree)))


def test_import_keras_sparse_leaves_out_what_only_some_calls_need() -> None:
    """Relative to `import keras`, which imports matplotlib by itself where it is installed."""
    heavy = ["tensorflow_model_optimization", "tf_keras", "tf2onnx", "onnx", "onnxruntime", "matplotlib", "jinja2"]
    code = (
        "import sys, keras; before = set(sys.modules); import keras_sparse; "
        f"print([m for m in {heavy} if m in set(sys.modules) - before])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().endswith("[]"), ran.stdout
