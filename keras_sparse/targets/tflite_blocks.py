"""TFLite's own block kernels for FULLY_CONNECTED: what they take, and how fast they were measured to be."""

from __future__ import annotations

from collections.abc import Sequence

from keras_sparse.pattern import Block
from keras_sparse.targets.evidence import MEASURED, Evidence
from keras_sparse.targets.network import DENSE, FLOAT16, FLOAT32, INT8, INT8_WEIGHTS, Layer
from keras_sparse.targets.tflite_limits import KERNELS

CANDIDATES = (0.9, 0.95)
"""Sparsities that are advised: the first one at which no condition is slower than dense, else the last one."""

SPARSITIES = (0.5, 0.75, 0.8, 0.85, 0.9, 0.95)
WARM, COLD = "cached", "from memory"
"""Conditions: the weights are in the cache from the last call, or other work ran since and they come from memory."""

GAINS: dict[str, dict[int, dict[str, Sequence[float]]]] = {
    FLOAT32: {
        128: {WARM: (0.38, 0.63, 0.72, 0.85, 1.05, 1.33), COLD: (0.99, 1.12, 1.09, 1.11, 1.2, 1.2)},
        256: {WARM: (0.4, 0.8, 0.99, 1.24, 1.67, 2.48), COLD: (1.17, 1.4, 1.42, 1.53, 1.65, 1.68)},
        512: {WARM: (0.35, 0.73, 0.9, 1.23, 1.87, 3.25), COLD: (1.59, 2.37, 2.55, 2.77, 3.21, 3.62)},
        1024: {WARM: (0.54, 1.14, 1.51, 1.93, 3.14, 6.21), COLD: (1.71, 3.28, 3.75, 4.55, 5.7, 7.93)},
        2048: {WARM: (1.05, 2.31, 2.96, 3.99, 5.8, 12.55), COLD: (1.44, 2.93, 3.65, 4.79, 6.59, 11.18)},
    },
    INT8: {
        512: {WARM: (0.13, 0.24, 0.29, 0.36, 0.5, 0.74), COLD: (0.76, 1.03, 1.1, 1.21, 1.32, 1.46)},
        1024: {WARM: (0.15, 0.3, 0.36, 0.46, 0.66, 1.15), COLD: (0.75, 1.26, 1.45, 1.69, 2.11, 2.67)},
        2048: {WARM: (0.2, 0.38, 0.48, 0.62, 0.9, 1.64), COLD: (0.71, 1.29, 1.55, 1.95, 2.68, 4.18)},
    },
    INT8_WEIGHTS: {
        512: {WARM: (0.55, 0.89, 1.04, 1.21, 1.44, 1.88), COLD: (1.3, 1.5, 1.5, 1.5, 1.62, 1.67)},
        1024: {WARM: (0.53, 0.94, 1.15, 1.4, 1.87, 2.75), COLD: (1.59, 2.09, 2.24, 2.33, 2.56, 2.72)},
        2048: {WARM: (0.7, 1.39, 1.7, 2.2, 3.09, 4.99), COLD: (1.82, 2.9, 3.24, 3.75, 4.23, 5.22)},
    },
}
"""{scheme: {inputs and outputs of the layer: {condition: gain over the same scheme dense, at SPARSITIES}}}."""

SOURCE = "4 x Dense({0}), {1} at a time, one thread, a process for each file, AMD EPYC with AVX512-VNNI, LiteRT 2.3.0"
REPEAT = "python benchmarks/block_kernels.py --sizes {0} --batch {1}"

SMALL = {
    FLOAT32: "Measured for 64 x 64 at 90 %: 0.86x from the cache",
    INT8: "Measured for 256 x 256 at 90 %: 0.33x from the cache, 1.00x from memory",
    INT8_WEIGHTS: "Measured for 256 x 256 at 90 %: 0.85x from the cache, 1.08x from memory",
}
"""{scheme: what was measured of layers that are smaller than those in GAINS}."""

SMALL_BESIDE = 1 << 16
"""Multiplications up to which a layer costs less in float than, as a dynamic int8 one, it slows block kernels down."""

EIGHT = 8
"""Vectors at a time up to which kernels were measured."""

GAINS_OF_EIGHT: dict[str, dict[int, dict[str, Sequence[float]]]] = {
    FLOAT32: {1024: {WARM: (0.36, 0.79, 0.99, 1.35, 2.15, 4.25), COLD: (0.46, 1.0, 1.21, 1.63, 2.35, 3.95)}},
    INT8_WEIGHTS: {1024: {WARM: (0.3, 0.57, 0.7, 0.88, 1.2, 1.87), COLD: (0.53, 0.9, 1.05, 1.21, 1.51, 1.91)}},
}
"""As GAINS, where eight vectors meet the kernel at a time."""

MANY_VECTORS = {INT8: "Measured for 8 at 1024 x 1024 and 90 %: 0.38x from the cache, 0.58x from memory"}
"""{scheme: what was measured where several vectors meet a kernel that then never pays}."""

ON_ARM = {
    FLOAT32: "AArch64: the 1x4 kernel is there; its gain has not been measured",
    INT8: "AArch64: the 1x16 kernel is there, without SDOT and on one thread; its gain has not been measured",
    INT8_WEIGHTS: "AArch64: the 1x16 kernel is there, with NEON and SDOT; its gain has not been measured",
}


def refusal(layer: Layer) -> str | None:
    """Why a layer cannot have a block kernel, or `None`."""
    if layer.kind != DENSE:
        return f"TFLite has block kernels for FULLY_CONNECTED only, not for {layer.type}"
    if layer.scheme == FLOAT16:
        return "float16 weights are made float32 when the file is loaded, and no block kernel reads them"
    taken = KERNELS[layer.scheme]
    fault = taken.fault(layer.cols)
    if fault is None and layer.zeros and layer.kept is not None:
        fullest = layer.kept.reshape(layer.rows, -1, taken.width).any(-1).sum(-1).max(initial=0)
        fault = taken.fault(layer.cols, int(fullest))
    return fault


def not_worth_it(layer: Layer) -> str | None:
    """Why the block kernel is slower than dense in a layer that could have one, by measurements on x86, or `None`."""
    smallest = min(GAINS[layer.scheme])
    if layer.size < smallest**2:
        return f"with under {smallest**2} weights, a block kernel costs more than it saves. {SMALL[layer.scheme]}"
    if layer.vectors is None:
        return "how many vectors meet the kernel at a time is not known, and block kernels pay for one"
    if layer.vectors > 1 and layer.scheme in MANY_VECTORS:
        return f"{layer.vectors} vectors meet the kernel at a time. {MANY_VECTORS[layer.scheme]}"
    smallest = min(GAINS_OF_EIGHT.get(layer.scheme, {0: {}}))
    if layer.vectors > 1 and (layer.vectors > EIGHT or layer.size < smallest**2):
        return (
            f"{layer.vectors} vectors meet the kernel at a time; with several, it was measured for up to {EIGHT} and "
            f"{smallest} x {smallest} weights"
        )
    return None


def evidence(layer: Layer) -> tuple[Evidence, ...]:
    """What was measured of the largest layer that is no larger than this one."""
    several = layer.vectors is not None and layer.vectors > 1
    sizes = (GAINS_OF_EIGHT if several and layer.scheme in GAINS_OF_EIGHT else GAINS)[layer.scheme]
    batch = EIGHT if several else 1
    nearest = max((size for size in sizes if size**2 <= layer.size), default=min(sizes))
    return tuple(
        Evidence(
            MEASURED,
            against=f"dense {layer.scheme}",
            source=SOURCE.format(nearest, batch),
            repeat=REPEAT.format(nearest, batch),
            points=tuple(zip(SPARSITIES, gains, strict=True)),
            condition=condition,
        )
        for condition, gains in sizes[nearest].items()
    )


def pattern(layer: Layer, evidence: tuple[Evidence, ...]) -> Block:
    """The blocks of the layer's kernel, at the sparsity that is advised."""
    for sparsity in CANDIDATES:
        if all((each.gain(sparsity) or 0.0) >= 1.0 for each in evidence):
            return Block((1, KERNELS[layer.scheme].width), sparsity)
    return Block((1, KERNELS[layer.scheme].width), CANDIDATES[-1])


def kernel(layer: Layer) -> str:
    """The name of the block kernel."""
    return f"TFLite block kernel 1x{KERNELS[layer.scheme].width}, {layer.scheme}"
