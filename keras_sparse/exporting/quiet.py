"""Holds the notices of native code back while a converter runs."""

import contextlib
import os
import re
import sys
import tempfile

NOTICE = re.compile(rb"^(WARNING: All log messages before absl|[IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] |I0000)")
"""How the logs of TensorFlow's native code begin a line that is a notice or a warning, not an error."""


@contextlib.contextmanager
def native_notices_held():
    """Passes on what is written to standard error by native code or by others, without TensorFlow's notices."""
    sys.stderr.flush()
    seen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(seen, 2)
            held.seek(0)
            for line in held.read().splitlines(keepends=True):
                if not NOTICE.match(line):
                    os.write(seen, line)
            os.close(seen)
