"""The native library of edge/: built where there is a C compiler, left out where there is none."""

from pathlib import Path
from runpy import run_path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

LIBRARY = run_path("edge/build_library.py")


class BuildLibrary(build_ext):
    """A shared library that no Python symbol is in, under one name for every version of Python."""

    def get_ext_filename(self, name):
        return str(Path(*name.split("."))) + ".so"

    def get_export_symbols(self, extension):
        return extension.export_symbols


setup(
    cmdclass={"build_ext": BuildLibrary},
    ext_modules=[
        Extension(
            "keras_sparse.runtime.libkeras_sparse",
            sources=LIBRARY["SOURCES"],
            depends=LIBRARY["HEADERS"],
            extra_compile_args=LIBRARY["COMPILE"],
            extra_link_args=LIBRARY["LINK"],
            optional=True,  # without a compiler the package works all the same
        )
    ],
)
