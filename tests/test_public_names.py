"""The public names: found in `__all__`, each documented with an example that is run."""

from __future__ import annotations

import doctest
import inspect

import pytest

import keras_sparse as ks

OBJECTS = [name for name in ks.__all__ if not name.startswith("_")]


def test_all_is_sorted_and_complete():
    assert ks.__all__ == sorted(ks.__all__)
    public = {name for name, value in vars(ks).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert public == set(OBJECTS)


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_has_a_docstring_with_an_example(name):
    text = inspect.getdoc(getattr(ks, name))
    assert text and doctest.DocTestParser().get_examples(text), f"{name} has no example"
