"""`python -m keras_sparse_edge bundle.ksb input.npy`: labelled results, or one line and exit 2; `... unpack`."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_sparse_edge import Bundle, BundleError, InputError, PackedError, __version__, native
from keras_sparse_edge.arguments import count
from keras_sparse_edge.bundle import MEMBER_LIMITS
from keras_sparse_edge.manifest import MODEL, Manifest, Tensor
from keras_sparse_edge.run import load_items
from keras_sparse_edge.unpack import unpack_command

PROGRAM = "keras-sparse-edge"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line on stderr if the bundle, the packed file or the input is bad."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["unpack"]:
        return _unpack(argv[1:])
    parser = _parser()
    args = parser.parse_args(argv)
    if args.input is None and not args.info:
        parser.error("input.npy is required, unless --info is given")
    # a device's console may not know a label's characters; that is no reason to fail
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        bundle = Bundle.open(args.bundle, threads=args.threads, kernels=args.native, max_size=args.max_size)
        if args.info:
            manifest = bundle.manifest
            print(
                _json(manifest.document)
                if args.json
                else "\n".join([*info_lines(manifest), f"kernels here    {_kernels(args.native)}"])
            )
        else:
            scores = bundle.predict(load_items(args.input))
            results = top_classes(scores, bundle.manifest.labels, args.top)
            print(_json(results) if args.json else "\n".join(result_lines(results)))
    except BundleError as error:
        return _refuse(f"{args.bundle}: {error}")
    except InputError as error:
        return _refuse(f"{args.input}: {error}")
    except OSError as error:
        return _refuse(_unreadable(error))
    except (ImportError, RuntimeError) as error:
        return _refuse(str(error))
    return 0


def _kernels(asked: bool | None) -> str:
    """Which kernels run bundles on this machine; `asked`: what `--native` or `--no-native` said."""
    if asked is False:
        return "XNNPACK (--no-native)"
    if native.available():
        return "native INT8 for sparse layers where they are faster, XNNPACK for all others"
    return "XNNPACK (there are no native ones for this processor, or they were not built)"


def _unpack(argv: Sequence[str]) -> int:
    try:
        unpack_command(f"{PROGRAM} unpack", argv)
    except PackedError as error:
        return _refuse(str(error))
    except ValueError as error:
        return _refuse(f"{argv[0]}: {error}")
    except OSError as error:
        return _refuse(_unreadable(error))
    return 0


def _unreadable(error: OSError) -> str:
    """What cannot be read or written, and why, without the number that the system has for it."""
    if error.filename is None:
        return str(error)
    name = error.filename2 or error.filename
    if isinstance(error, FileNotFoundError) and error.strerror == os.strerror(errno.ENOENT):
        folder = Path(name).parent
        return f"there is no file {name}" if folder.is_dir() else f"there is no folder {folder} for {name}"
    return f"{name}: {error.strerror}"


def _refuse(message: str) -> int:
    print(f"{PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def top_classes(scores: NDArray[np.float32], labels: Sequence[str] | None, top: int) -> list[dict[str, Any]]:
    """Per item its `top` best classes, best first, ties by class; scores is (n, classes).

    >>> top_classes(np.array([[0.25, 0.75]], "float32"), ["cat", "dog"], 1)
    [{'item': 0, 'top': [{'class': 1, 'label': 'dog', 'score': 0.75}]}]
    """
    return [
        {
            "item": item,
            "top": [
                {"class": int(c), "label": labels[c] if labels else None, "score": float(row[c])}
                for c in np.argsort(-row, kind="stable")[:top]
            ],
        }
        for item, row in enumerate(scores)
    ]


def result_lines(results: Sequence[dict[str, Any]]) -> list[str]:
    """A table, one line per item and rank."""
    rows = [("item", "rank", "label", "score")]
    for result in results:
        for rank, entry in enumerate(result["top"], start=1):
            label = f"class {entry['class']}" if entry["label"] is None else entry["label"]
            rows.append((str(result["item"]), str(rank), label, f"{entry['score']:.4f}"))
    item, rank, label, score = (max(len(row[i]) for row in rows) for i in range(4))
    return [f"{a:>{item}}  {b:>{rank}}  {c:<{label}}  {d:>{score}}" for a, b, c, d in rows]


def info_lines(manifest: Manifest) -> list[str]:
    """The manifest for a human, one fact per line."""
    raw, member = manifest.preprocessing, manifest.members["model.tflite"]
    labels = "none" if manifest.labels is None else ", ".join(manifest.labels)
    recipe = "none" if manifest.recipe is None else json.dumps(manifest.recipe, sort_keys=True)
    facts = [
        ("format version", str(manifest.document["format_version"])),
        ("model", f"{member.bytes} bytes, SHA-256 {member.sha256}"),
        ("input", _described(manifest.input)),
        ("output", _described(manifest.output)),
        ("raw item", f"{raw.dtype} {list(raw.shape)}, * {raw.scale:g} + {raw.offset:g}"),
        ("postprocessing", manifest.postprocessing),
        ("labels", labels),
        ("metrics", ", ".join(f"{k} {v}" for k, v in manifest.metrics.items()) or "none"),
        ("versions", ", ".join(f"{k} {v}" for k, v in manifest.versions.items()) or "none"),
        ("recipe", recipe),
    ]
    width = max(len(name) for name, _ in facts)
    return [f"{name:<{width}}  {text}" for name, text in facts]


def _described(tensor: Tensor) -> str:
    text = f"{tensor.name} {tensor.dtype} {list(tensor.shape)}"
    if tensor.scale is None:
        return text
    return f"{text}, scale {tensor.scale:g}, zero point {tensor.zero_point}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, indent=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM, description="Run a keras_sparse edge bundle.", epilog="unpack PACKED ORIGINAL: unpack a model file"
    )
    parser.add_argument("bundle", help="the .ksb file")
    parser.add_argument("input", nargs="?", help=".npy file with one raw item or a batch of them")
    parser.add_argument("--info", action="store_true", help="print what the bundle holds")
    parser.add_argument("--top", type=count, default=3, metavar="K", help="classes per item (3)")
    parser.add_argument(
        "--max-size",
        type=count,
        default=MEMBER_LIMITS[MODEL],
        metavar="BYTES",
        help="refuse a larger model before it takes memory (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--threads", type=count, metavar="N", help="threads of the interpreter")
    parser.add_argument(
        "--native",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="with the native INT8 kernels or without (where they can be had)",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
