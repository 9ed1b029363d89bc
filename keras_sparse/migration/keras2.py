"""Files of Keras 2, loaded by tf_keras: Keras 3 refuses some, such as a `DepthwiseConv2D` with `groups`.

Nothing of a file runs. tf_keras runs the bytecode of a `Lambda` while it loads an `.h5` or a SavedModel, whatever its
`safe_mode`; it imports modules that a `.keras` file names; TensorFlow runs functions of a SavedModel. So the
configuration is judged first, and of a SavedModel only it and the values of the variables are read.
"""

import contextlib
import json
import zipfile
import zlib
from pathlib import Path

import h5py

from keras_sparse import configuration
from keras_sparse.migration.known import is_known
from keras_sparse.shown import cut

TFMOT_CLASSES = ("QuantizeWrapper", "QuantizeLayer", "QuantizeAnnotate", "PruneLowMagnitude")
"""What the configuration of a model names where only TFMOT can load it."""

CODE = configuration.CODE | {"Lambda"}
"""Classes that hold code; a Lambda of any function, too, since no layer of Keras 3 is made of one."""

UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What h5py, zipfile and zlib raise for files that are damaged or foreign."""


def load(path):
    """The tf_keras model of an `.h5` file, a SavedModel folder or a Keras 2 `.keras` file, not compiled.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: tf_keras (or, for a file with layers of TFMOT, tensorflow-model-optimization) is not installed.
        ValueError: the file holds code, or classes that are not known, or tf_keras does not load it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path} to load a Keras 2 model from.")
    try:
        import tf_keras
    except ImportError as error:
        raise ImportError(f"tf_keras is needed to load {path.name}, a Keras 2 file: pip install tf_keras") from error
    try:
        described = _read(path)
    except UNREADABLE as error:
        raise _refusal(path, error) from error
    with _layers_of_tfmot(path, json.dumps(described)):
        try:
            configuration.check(described, is_known, CODE)
        except ValueError as error:
            raise _refusal(path, error) from error
        try:
            if not path.is_dir():
                return tf_keras.models.load_model(path, compile=False, safe_mode=True)
            model = tf_keras.models.model_from_json(json.dumps(described))
            model.load_weights(path / "variables" / "variables").assert_existing_objects_matched()
            return model
        except Exception as error:
            raise _refusal(path, error) from error


def _refusal(path, error):
    return ValueError(
        f"A Keras 2 model with its architecture was required, which tf_keras loads. Received: {path}, of which is "
        f"said: {cut(str(error))}"
    )


@contextlib.contextmanager
def _layers_of_tfmot(path, described):
    """Lets tf_keras know TFMOT's layers while it loads a file that has some."""
    if not any(name in described for name in TFMOT_CLASSES):
        yield
        return
    try:
        from tensorflow_model_optimization.quantization.keras import quantize_scope
        from tensorflow_model_optimization.sparsity.keras import prune_scope
    except ImportError as error:
        raise ImportError(
            f"{path.name} has layers of TFMOT, which is needed to load it: pip install tensorflow-model-optimization"
        ) from error
    with quantize_scope(), prune_scope():
        yield


def _read(path):
    """The configuration in a file, found where tf_keras finds it."""
    if path.is_dir():
        return _of_saved_model(path / "keras_metadata.pb")
    if path.suffix == ".keras" and zipfile.is_zipfile(path):
        # What the model itself was compiled with is not made; models inside it are compiled.
        return {**_mapping(configuration.archived(path)), "compile_config": None}
    with h5py.File(path, "r") as file:
        found = file.attrs.get("model_config")
        if not isinstance(found, str | bytes):
            raise ValueError("it has no model_config")
        return _mapping(configuration.parse(found))


def _of_saved_model(path):
    from google.protobuf.message import DecodeError
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    if not path.is_file():
        raise ValueError("a folder without keras_metadata.pb. Save the model again with Keras 2.5 or newer, or as .h5")
    metadata = SavedMetadata()
    try:
        metadata.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path.name} is damaged") from error
    roots = [each.metadata for each in metadata.nodes if each.node_path == "root"]
    if len(roots) != 1:
        raise ValueError(f"{path.name} describes {len(roots)} models, and one was required")
    root = _mapping(configuration.parse(roots[0]))
    return {key: root.get(key) for key in ("class_name", "config")}


def _mapping(value):
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        raise ValueError("its configuration is not that of a model")
    return value
