"""LiteRT on 64-bit Arm, emulated: the other processor's kernels, for what they compute. Their speed cannot be seen so.

Emulation is a command of the machine's own, called `arm64run` on the path or named by `KERAS_SPARSE_ARM64RUN`:

    arm64run [--put PATH]... -- SCRIPT.py [ARG...]

runs a Python script on AArch64, with NumPy and ai-edge-litert, in a folder where it and every PATH lie.
"""

import base64
import functools
import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from keras_sparse.runtime import isolated

VARIABLE, COMMAND = "KERAS_SPARSE_ARM64RUN", "arm64run"

_SCRIPT = """
import base64, sys, types
package = types.ModuleType("keras_sparse")
package.__path__ = ["package"]
sys.modules["keras_sparse"] = package
from keras_sparse.runtime.isolated import main
main()
print(base64.b64encode(open("made.npz", "rb").read()).decode())
"""


def command():
    """The path of the command, or `None` where there is no emulation."""
    return os.environ.get(VARIABLE) or shutil.which(COMMAND)


@functools.cache
def works(found):
    """Raises RuntimeError if the command does not run a script; asked once."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.py")
        script.write_text("import platform; print('ran on', platform.machine())")
        try:
            said = isolated.printed([found, "--", script], "a script", 300)
        except (OSError, isolated.RuntimeFailure) as error:
            said = str(error)
    if "ran on aarch64" not in said:
        raise RuntimeError(
            f"{found}, which {VARIABLE} or the path names, runs no script on AArch64: {said.strip() or 'no output'}"
        )


def run(path, arrays, delegates=True, timeout=600):
    """`isolated.run` on emulated AArch64. Raises RuntimeFailure, or OSError where the command cannot be run."""
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        given, script, package = Path(folder, "given.npz"), Path(folder, "script.py"), Path(folder, "package")
        np.savez(given, **isolated.named(arrays))
        script.write_text(_SCRIPT)
        # What runs files needs the modules that need no Keras; examples and data would only be copied.
        for part in ("*.py", "runtime/*.py", "targets/*.py"):
            for module in isolated.PACKAGE.glob(part):
                copy = package / module.relative_to(isolated.PACKAGE)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(module, copy)
        options = ["--given", given.name, "--made", "made.npz", *([] if delegates else ["--no-delegates"])]
        puts = [part for each in (path, given, package) for part in ("--put", each)]
        words = [command(), *puts, "--", script, path.name, *options]
        said = isolated.printed(words, f"On emulated AArch64, {path}", timeout)
    with np.load(io.BytesIO(base64.b64decode(said.split()[-1]))) as outputs:
        return [outputs[name] for name in outputs.files]
