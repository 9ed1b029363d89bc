"""The native library of edge/: built where there is a C compiler, left out where there is none."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = sorted(str(path) for folder in ("kernels", "delegate") for path in Path("edge", folder).glob("*.c"))
HEADERS = sorted(str(path) for folder in ("kernels", "delegate") for path in Path("edge", folder).glob("*.h"))


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
            sources=SOURCES,
            depends=HEADERS,
            extra_compile_args=["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-ffp-contract=off", "-pthread"],
            extra_link_args=["-pthread", "-lm", "-Wl,-s"],
            optional=True,  # without a compiler the package works all the same
        )
    ],
)
