"""`keras-sparse recommend`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sparse import target as targets
from keras_sparse.atomic import destination, distinct
from keras_sparse.commands.shell import IMPORT, TARGET, busy, model_or_file


def recommend(
    file: Annotated[Path, typer.Argument(help="A .keras file.")],
    target: TARGET,
    goal: Annotated[str, typer.Option(help='"latency" or "size".')],
    out: Annotated[Path | None, typer.Option(help="The recipe to write (YAML); printed without it.")] = None,
    modules: IMPORT = None,
):
    """Write the recipe that follows from explain, with the reasons in it."""
    targets.named(target)
    if out is not None:
        destination(out)
        distinct(file, out)
    with busy("Reading the file"):
        import keras_sparse as ks

        recipe = ks.recommend(model_or_file(file, modules), target, goal)
    if out is not None:
        recipe.save(out)
    print(recipe)
