"""From gains of single layers to break-evens: the data files of `explain`, and the tables of the native library.

    python benchmarks/break_evens.py        writes the tables again from the data files

`native_kernels.py --layers --write` measures this machine and does both. A data file is
`keras_sparse/targets/measured/KERNELS.json`, with the machine and the date; a table is
`edge/kernels/break_evens/KERNELS.h`.
"""

import itertools
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA, TABLES = ROOT / "keras_sparse" / "targets" / "measured", ROOT / "edge" / "kernels" / "break_evens"

WORTH = 1.1
"""The gain that a layer must have to be taken, for all shapes of its class."""

CLASSES = {
    "1x1": ("KS_AS_PLANES, 0", (256, 576, None)),
    "kxk": ("KS_AS_PLANES, 1", (1200, None)),
    "16x4": ("KS_AS_16X4, 0", (200_000, None)),
    "1x16": ("KS_AS_1X16, 0", (None,)),
}
"""{class: (how the library runs it, whether in several taps; the largest sizes of its parts, `None` for any)}.

The size of a convolution is how many products an output sums, of a fully connected layer its weights."""

LEAST = {"1x1": 50_000, "kxk": 50_000, "16x4": 14_000, "1x16": 500_000}
"""Products of a convolution, weights of a fully connected layer, below which it is never taken."""

STEPS = [round(0.01 * n, 2) for n in range(40, 91)]
"""Below, lists of blocks are larger than the dense weights."""


def layers(measured):
    """`(class, size, products in all, gains)` of each layer of a data file."""
    for each in measured["convolutions"]:
        products = each["inputs"] * each["taps"]
        yield "kxk" if each["taps"] > 1 else "1x1", products, products * each["outputs"] * each["pixels"], each["gains"]
    for each in measured["connected"]:
        weights = each["inputs"] * each["outputs"]
        yield each["block"], weights, weights, each["gains"]


def gain(points, sparsity):
    """Between two points the time of the sparse kernel, 1 / gain, is interpolated."""
    for (low, slow), (high, fast) in itertools.pairwise(points):
        if low <= sparsity <= high:
            share = (sparsity - low) / (high - low)
            return 1 / ((1 - share) / slow + share / fast)
    raise ValueError(f"{sparsity} is not within {points}")


def break_evens(measured):
    """{class: [[largest size or `None`, fraction of zero blocks], ...]}; a part of which no layer gains is left out."""
    found = {}
    for kind, (_, sizes) in CLASSES.items():
        before = 0
        for most in sizes:
            inside = [
                list(zip(measured["sparsities"], gains, strict=True))
                for which, size, total, gains in layers(measured)
                if which == kind and total >= LEAST[kind] and before < size <= (most or float("inf"))
            ]
            pays = [at for at in STEPS if all(gain(points, at) >= WORTH for points in inside)]
            # From where on it pays at every step up to the last one.
            start = next((at for at in pays if pays[-1] == STEPS[-1] and len(pays) - pays.index(at) == _left(at)), None)
            if inside and start is not None:
                found.setdefault(kind, []).append([most, start])
            before = most or before
    return found


def _left(at):
    return len(STEPS) - STEPS.index(at)


def table(measured):
    """The text of the library's table."""
    about = f"{measured['machine']}, {measured['date']}, LiteRT {measured['litert']}"
    rows = [
        f"{{{CLASSES[kind][0]}, {'1e30' if most is None else most}, {zeros:.2f}}},\n"
        for kind, parts in measured["break_evens"].items()
        for most, zeros in parts
    ]
    how = "Written by benchmarks/break_evens.py: form, several taps, largest size, zeros."
    return f"/* {about}\n * {measured['command']}\n * {how} */\n{''.join(rows)}"


def write(measured):
    """Writes the data file and the table of one machine; returns their paths."""
    paths = DATA / f"{measured['kernels']}.json", TABLES / f"{measured['kernels']}.h"
    rows = ("convolutions", "connected")
    parts = [f'"{key}": {json.dumps(value)}' for key, value in measured.items() if key not in rows]
    parts += [f'"{key}": [\n  ' + ",\n  ".join(json.dumps(each) for each in measured[key]) + "\n ]" for key in rows]
    paths[0].write_text("{\n " + ",\n ".join(parts) + "\n}\n")
    paths[1].write_text(table(measured))
    return paths


if __name__ == "__main__":
    for path in sorted(DATA.glob("*.json")):
        print(*write(json.loads(path.read_text())), sep="\n")
