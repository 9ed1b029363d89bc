"""The native library with sanitizers: memory and undefined behaviour over its tests and its fuzzer, threads in C."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from .building import ROOT, build, library, sanitized
from .native import families, native

HERE = ROOT / "tests" / "edge"
KERNELS = ["auto", *({"avx2"} & {*families()[1:]})]  # where "auto" takes others, with VNNI, those of AVX2 as well
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KERAS_SPARSE_NATIVE" in os.environ, reason="the library has sanitizers already"),
    pytest.mark.skipif(not native.LIBRARY.is_file(), reason="the native library is not built: setup.py build_ext"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return {**os.environ, **sanitized(library(tmp_path_factory.mktemp("sanitized")))}


def ran(command, environment, timeout=120):
    words = [str(each) for each in command]
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    said = done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, said
    assert "ERROR: AddressSanitizer" not in said and "runtime error" not in said, said
    return done.stdout


def test_the_tests_of_kernels_and_delegate(environment):
    tests = [HERE / "test_kernels.py", HERE / "test_delegate.py", HERE / "test_refusals.py"]
    said = ran([sys.executable, HERE / "without_package.py", "-q", "-s", "-p", "no:cacheprovider", *tests], environment)
    assert " passed" in said and " failed" not in said


def test_the_tests_of_the_provider(environment):
    tests = [HERE / f"test_provider{part}.py" for part in ("", "_layers", "_refusals")]
    said = ran([sys.executable, HERE / "without_package.py", "-q", "-s", "-p", "no:cacheprovider", *tests], environment)
    assert " passed" in said and " failed" not in said


@pytest.mark.parametrize("fuzzer", ["fuzz_delegate.py", "fuzz_provider.py"])
@pytest.mark.parametrize("kernels", KERNELS)
def test_a_part_of_the_fuzzers(environment, fuzzer, kernels):
    words = [*(["--kernels", kernels] if kernels != "auto" else []), "--runs", 300, "--seconds", 15]
    assert ", 0 findings" in ran([sys.executable, HERE / fuzzer, *words], environment)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["threads", "runs"])
def test_plans_in_several_threads(tmp_path, name, kernels):
    """ThreadSanitizer: several interpreters with one pool and with pools of their own, made and freed all the time; and
    several runs of one partition in ONNX Runtime, of changing batches."""
    options = ("-fsanitize=thread", "-O1")
    program = build(tmp_path / name, HERE / f"{name}.c", options=options)
    # ThreadSanitizer of older compilers does not know how much addresses are randomized by newer kernels
    words = [shutil.which("setarch"), "-R"] if shutil.which("setarch") else []
    if words and subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        words = []
    done = subprocess.run([*words, program, kernels], capture_output=True, text=True, timeout=120, check=False)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr[-3000:]
    assert ", 0 wrong" in done.stdout
