"""Files of Keras 2, loaded by tf_keras: Keras 3 refuses some, such as a `DepthwiseConv2D` with `groups`."""

import contextlib
import json
import zipfile
from pathlib import Path

import h5py

TFMOT_CLASSES = ("QuantizeWrapper", "QuantizeLayer", "QuantizeAnnotate", "PruneLowMagnitude")
"""What the configuration of a model names where only TFMOT can load it."""


def load(path):
    """The tf_keras model of an `.h5` file, a SavedModel folder or a Keras 2 `.keras` file, not compiled.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: tf_keras (or, for a file with layers of TFMOT, tensorflow-model-optimization) is not installed.
        ValueError: tf_keras does not load the file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path} to load a Keras 2 model from.")
    try:
        import tf_keras
    except ImportError as error:
        raise ImportError(f"tf_keras is needed to load {path.name}, a Keras 2 file: pip install tf_keras") from error
    with _layers_of_tfmot(path):
        try:
            return tf_keras.models.load_model(path, compile=False)
        except Exception as error:
            raise ValueError(
                f"A Keras 2 model with its architecture was required, which tf_keras loads. Received: {path}, of which "
                f"it says: {error}"
            ) from error


@contextlib.contextmanager
def _layers_of_tfmot(path):
    """Lets tf_keras know TFMOT's layers while it loads a file that has some."""
    if not any(name in _configuration(path) for name in TFMOT_CLASSES):
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


def _configuration(path):
    """The text that names the classes of the layers; empty where the file is none that is known."""
    try:
        if path.is_dir():
            return (path / "keras_metadata.pb").read_bytes().decode(errors="replace")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.dumps(json.loads(archive.read("config.json")))
        with h5py.File(path, "r") as file:
            found = file.attrs.get("model_config", "")
            return found.decode() if isinstance(found, bytes) else found
    except (OSError, KeyError, ValueError):
        return ""  # tf_keras says what is wrong with it
