"""What setuptools is told: the native library is part of `keras_sparse_edge` where there is a C compiler."""

from pathlib import Path
from runpy import run_path

from setuptools import Extension
from setuptools.command.build_ext import build_ext

LIBRARY = run_path(str(Path(__file__).with_name("build_library.py")))


class BuildLibrary(build_ext):
    """A shared library that no Python symbol is in, under one name for every version of Python."""

    def get_ext_filename(self, name):
        return str(Path(*name.split("."))) + ".so"

    def get_export_symbols(self, extension):
        return extension.export_symbols


ARGUMENTS = {
    "cmdclass": {"build_ext": BuildLibrary},
    "ext_modules": [
        Extension(
            "keras_sparse_edge.libkeras_sparse",
            sources=LIBRARY["SOURCES"],
            depends=LIBRARY["HEADERS"],
            extra_compile_args=LIBRARY["COMPILE"],
            extra_link_args=LIBRARY["LINK"],
            optional=True,  # without a compiler the package works all the same
        )
    ],
}
