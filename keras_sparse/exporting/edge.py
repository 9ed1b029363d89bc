"""`bundle`: a verified `.tflite` file with all that a device needs beside it."""

from pathlib import Path

from keras_sparse import target
from keras_sparse.atomic import distinct
from keras_sparse.exporting.bundle import write_bundle
from keras_sparse.recipe import Recipe
from keras_sparse.versions import versions


def bundle(artifact, path, labels=None, preprocessing=None, postprocessing="none", metrics=None, recipe=None):
    """Writes an edge bundle: one file that `python -m keras_sparse_edge` runs with NumPy and LiteRT alone.

    Args:
        artifact: an `Artifact` for LiteRT, or the path of a `.tflite` file, with one input and one output of scores.
        path: where to, such as "model.ksb".
        labels: names of the classes, in the order of the scores.
        preprocessing: what one raw item is, and how it becomes an input: `dtype`, `shape`, and `scale` and `offset` of
            `input = raw * scale + offset`. What is left out is that of the model's input.
        postprocessing: "softmax" where the model gives logits, else "none".
        metrics: {name: number}, for the reader.
        recipe: the `Recipe` that it was trained with, for the reader.

    Returns:
        The path.

    Raises:
        BundleError: a ValueError; the file is no model that LiteRT loads, or what was given does not fit it.
        ValueError: `artifact` is no `.tflite` file, or `path` is its own.
        OSError: a file cannot be read or written.

    >>> import keras, tempfile
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     artifact = ks.export(model, f"{folder}/model.tflite")
    ...     print(ks.bundle(artifact, f"{folder}/model.ksb", labels=["no", "yes"], postprocessing="softmax").name)
    model.ksb
    """
    source = Path(getattr(artifact, "path", artifact))
    if target.find(source).suffix != ".tflite":
        raise ValueError(f"A bundle holds a .tflite file. Received: {source}")
    if recipe is not None and not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe. Received: {recipe!r}")
    data = source.read_bytes()
    distinct(source, path)
    write_bundle(
        path,
        data,
        labels=labels,
        preprocessing=preprocessing,
        postprocessing=postprocessing,
        metrics=metrics,
        recipe=None if recipe is None else recipe.to_dict(),
        versions=versions(),
    )
    return Path(path)
