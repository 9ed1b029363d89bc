"""Kills `ks.export` at chosen moments, in a process of its own: for a test, and for `benchmarks/soak.py`.

After each kill the target is absent, the old file or the new file, byte for byte; the next export that is not killed
leaves nothing beside it. Each kill costs a process that imports Keras.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


class KilledExport:
    """Exports of a small model to one path of an own folder.

    Args:
        folder: made, and used for this alone.
        suffix: ".tflite" or ".onnx".
    """

    def __init__(self, folder: Path, suffix: str = ".tflite") -> None:
        self.folder, self.scratch = folder / "written", folder / "temporary"
        self.folder.mkdir(parents=True)
        self.path = self.folder / f"model{suffix}"
        self.whole = {}
        for name, seed in (("old", 0), ("new", 1)):
            self.export(seed)
            self.whole[name] = self.path.read_bytes()
        assert self.whole["old"] != self.whole["new"]

    def export(self, seed: int = 1) -> None:
        """One that is not killed; `self.seconds` is what the last one took once it began."""
        with self._child(seed) as child:
            self._begin(child)
            started = time.monotonic()
            rest = child.stdout.read()
        self.seconds = time.monotonic() - started
        assert child.returncode == 0 and "done" in rest, rest
        self._clean()
        assert [each.name for each in self.folder.iterdir()] == [self.path.name], list(self.folder.iterdir())

    def kill(self, seconds: float, after: str = "start", over: bool = True) -> str:
        """Kills an export of the new file; "absent", "old" or "new", whichever is there then.

        Args:
            seconds: when, after it began, or after its file was verified and writing began.
            after: "start" or "verified".
            over: whether the old file is there before, else none.
        """
        if over:
            self.path.write_bytes(self.whole["old"])
        else:
            self.path.unlink(missing_ok=True)
        with self._child(1) as child:
            self._begin(child)
            while after == "verified" and child.stdout.readline() != "verified\n":
                assert child.poll() is None, "it ended before it was verified"
            time.sleep(seconds)
            child.kill()
        self._clean(child.pid)
        self.left = False
        found = self._found()
        assert found in ("new", "old" if over else "absent"), f"{self.path} is {found} after {seconds} s"
        self.left = len(list(self.folder.iterdir())) > (found != "absent")
        if self.left:
            self.export()
        return found

    def _found(self) -> str:
        if not self.path.exists():
            return "absent"
        data = self.path.read_bytes()
        return next((name for name, whole in self.whole.items() if data == whole), f"a file of {len(data)} bytes")

    def _child(self, seed: int) -> subprocess.Popen:
        self.scratch.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, __file__, str(self.path), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"TMPDIR": str(self.scratch), "TF_CPP_MIN_LOG_LEVEL": "3"},
            start_new_session=True,
        )

    def _begin(self, child: subprocess.Popen) -> None:
        assert child.stdout.readline() == "ready\n", "it cannot import keras_sparse, or make its model"
        print("go", file=child.stdin, flush=True)

    def _clean(self, session: int | None = None) -> None:
        """What a process that is killed cannot: it ends the runtime's process and removes files in TMPDIR."""
        if session is not None:
            with contextlib.suppress(ProcessLookupError):  # it had none
                os.killpg(session, signal.SIGKILL)
        shutil.rmtree(self.scratch)


def child(path: str, seed: int) -> None:
    import keras

    import keras_sparse as ks
    from keras_sparse.exporting import export

    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(512, name="d"), keras.layers.Dense(4, name="e")])
    write = export.write_atomically

    def announced(*args: object) -> None:
        print("verified", flush=True)
        write(*args)

    export.write_atomically = announced
    print("ready", flush=True)
    sys.stdin.readline()
    ks.export(model, path)
    print("done", flush=True)


if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2]))
