"""Which versions made a file."""

from __future__ import annotations

from importlib import metadata

import numpy as np

from keras_sparse import versions


def test_the_version_is_that_of_the_package() -> None:
    assert metadata.version("keras-sparse") == versions.__version__


def test_versions_name_the_package_and_what_files_depend_on() -> None:
    found = versions.versions()
    assert set(found) == {"keras-sparse", *versions.PACKAGES}
    assert found["keras-sparse"] == versions.__version__
    assert found["numpy"] == np.__version__
    assert all(value and value[0].isdigit() for value in found.values())
