"""Every instruction set of x86-64 against plain C, by a program of C; those that this processor lacks are emulated."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

import pytest

from .building import FLAGS, ROOT, compiler

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="these are the instruction sets of x86-64")
CPUINFO = "/proc/cpuinfo"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    program = tmp_path_factory.mktemp("paths") / "paths"
    sources = [ROOT / "tests" / "edge" / "paths.c", *(ROOT / "edge" / "kernels").glob("*.c")]
    subprocess.run([*compiler(), *FLAGS, "-O1", "-o", program, *sources, "-lm"], check=True)
    return program


def ran(*command):
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "comparisons, 0 differ" in done.stdout
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["avx512-vnni", "avx512vl-vnni", "avx2", "plain"])
def test_this_processor(paths, name):
    if subprocess.run([paths, name], capture_output=True, check=False).returncode == 2:
        pytest.skip(f"this processor has no {name}")
    ran(paths, name)


@pytest.mark.skipif(not os.path.exists(CPUINFO), reason="there is no /proc/cpuinfo")
def test_avx_vnni_is_executed_here_or_by_a_signal_handler(paths):
    """The compiled kernels run either way: where vpdpbusd is not known in this encoding, a handler does its work."""
    with open(CPUINFO) as file:
        flags = file.read()
    if " avx2 " not in flags:
        pytest.skip("this processor has no AVX2")
    *_, last = ran(paths, "avx-vnni", "emulate")
    if " avx_vnni " not in flags:
        assert int(last.split()[0]) > 50_000


@pytest.mark.parametrize("name", ["avx2", "plain"])
def test_a_processor_with_avx2_only(paths, name):
    """qemu's Haswell has neither AVX-512 nor VNNI: AVX2 is what "auto" chooses there."""
    qemu = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if not qemu:
        pytest.skip("there is no qemu-x86_64")
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(int(n) for n in version.split("version ")[1].split()[0].split(".")[:2]) < (7, 2):
        pytest.skip("qemu has AVX2 since 7.2")
    assert ran(qemu, "-cpu", "Haswell", paths, name)[0] == "auto avx2"


def test_a_processor_without_avx_gets_nothing_by_itself(paths):
    qemu = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if not qemu:
        pytest.skip("there is no qemu-x86_64")
    assert ran(qemu, "-cpu", "Nehalem", paths, "plain")[0] == "auto none"
