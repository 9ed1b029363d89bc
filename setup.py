"""The native library of edge/: built where there is a C compiler, left out where there is none."""

from runpy import run_path

from setuptools import setup

setup(**run_path("edge/build_extension.py")["ARGUMENTS"])
