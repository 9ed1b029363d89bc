"""The public names of `keras_sparse`, and where they are."""

from keras_sparse_edge.errors import BundleError, PackedError
from keras_sparse_edge.native import delegate
from keras_sparse_edge.provider import session_options

from keras_sparse.encoding.two_of_four import pack_2of4, unpack_2of4
from keras_sparse.exporting.artifact import Artifact
from keras_sparse.exporting.check import ExportError
from keras_sparse.exporting.edge import bundle
from keras_sparse.exporting.export import export
from keras_sparse.exporting.shrink import shrink
from keras_sparse.migration.tfmot import from_tfmot
from keras_sparse.packing.pack import pack
from keras_sparse.packing.unpack import unpack
from keras_sparse.pattern import Block, NofM, Unstructured
from keras_sparse.recipe import Prune, Quantize, Recipe
from keras_sparse.report.benchmark import benchmark
from keras_sparse.report.explain import explain
from keras_sparse.report.recommend import recommend
from keras_sparse.report.sparsity import sparsity
from keras_sparse.runtime.isolated import RuntimeFailure
from keras_sparse.saving.weights import load_weights, save_weights
from keras_sparse.schedule import Constant, Cubic, Linear, OneShot
from keras_sparse.sparse_tensor import SparseTensor
from keras_sparse.train.calibrate import calibrate
from keras_sparse.train.callback import Sparsify
from keras_sparse.train.prepare import prepare
from keras_sparse.train.strip import strip
from keras_sparse.versions import __version__

__all__ = [
    "Artifact",
    "Block",
    "BundleError",
    "Constant",
    "Cubic",
    "ExportError",
    "Linear",
    "NofM",
    "OneShot",
    "PackedError",
    "Prune",
    "Quantize",
    "Recipe",
    "RuntimeFailure",
    "SparseTensor",
    "Sparsify",
    "Unstructured",
    "__version__",
    "benchmark",
    "bundle",
    "calibrate",
    "delegate",
    "explain",
    "export",
    "from_tfmot",
    "load_weights",
    "pack",
    "pack_2of4",
    "prepare",
    "recommend",
    "save_weights",
    "session_options",
    "shrink",
    "sparsity",
    "strip",
    "unpack",
    "unpack_2of4",
]
