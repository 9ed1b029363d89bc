"""Where the command `keras-sparse` starts: outside the package, which loads Keras at once unless it sees this module.

TensorFlow writes notices to standard error while it is loaded, by ways that no setting closes. They are held back here,
and shown if loading fails.
"""

import contextlib
import os
import sys
import tempfile


def main():
    """Loads the command line and runs it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported
    with _held_back(sys.stderr):
        from keras_sparse.cli import main as run
    return run()


@contextlib.contextmanager
def _held_back(stream):
    """Keeps what is written to the stream's file descriptor from being seen, unless an exception passes."""
    stream.flush()
    seen = os.dup(stream.fileno())
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), stream.fileno())
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(seen, held.read())
            raise
        finally:
            stream.flush()
            os.dup2(seen, stream.fileno())
            os.close(seen)
