"""Times files against each other: interleaved, so that a machine that speeds up or slows down does it to all."""

import statistics
import time

from keras_sparse.runtime import one_item, open_session

WARMUP = 20


def interleaved(paths, rounds, threads=1, inputs=None, progress=lambda done, total: None, engines=None):
    """Seconds per call of each file, one item at a time: {path: [seconds, one per round]}.

    Each round calls every file once or more, in turn, and takes the mean of that round's calls.

    Args:
        paths: files, of any runtimes.
        rounds: how often each file has its turn.
        inputs: {path: one array per input, of one item}; zeros where it is not given.
        progress: called with (rounds done, rounds) as it goes.
        engines: {path: engine of `open_session`}, where it is not that of the file's suffix.
    """
    sessions = {path: open_session(path, threads, engine=(engines or {}).get(path)) for path in paths}
    arrays = {path: (inputs or {}).get(path) or one_item(session) for path, session in sessions.items()}
    calls = {}
    for path, session in sessions.items():
        for _ in range(WARMUP):
            session.run(arrays[path])
        start = time.perf_counter()
        session.run(arrays[path])
        # A turn of about a millisecond, so that the clock's own cost does not show.
        calls[path] = max(1, min(100, round(1e-3 / max(time.perf_counter() - start, 1e-6))))
    seconds = {path: [] for path in paths}
    for done in range(rounds):
        for path, session in sessions.items():
            start = time.perf_counter()
            for _ in range(calls[path]):
                session.run(arrays[path])
            seconds[path].append((time.perf_counter() - start) / calls[path])
        progress(done + 1, rounds)
    return seconds


def ratios(seconds, baseline):
    """Median of the ratio baseline / file, round by round: how many times faster than the baseline."""
    return {
        path: statistics.median(b / s for b, s in zip(seconds[baseline], times, strict=True))
        for path, times in seconds.items()
    }
