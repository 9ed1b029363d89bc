"""LiteRT with its XNNPACK delegate, in general, on x86 and on AArch64."""

from __future__ import annotations

from typing import ClassVar

from keras_sparse.pattern import Block, Pattern, Unstructured
from keras_sparse.targets import litert_hybrid, tflite_blocks, tflite_stored, xnnpack_cnn
from keras_sparse.targets.contract import Offer, Target, Verdict, dense
from keras_sparse.targets.evidence import CITED, MEASURED, Evidence
from keras_sparse.targets.network import CONV, DENSE, FLOAT16, FLOAT32, INT8, INT8_WEIGHTS, Layer, Network

SPMM = "XNNPACK sparse (SpMM)"
SPMM_SPARSITY = 0.8
SPMM_ROWS = 4
"""Output channels in a block that the AArch64 kernels vectorise over."""

X86, ARM64 = "x86", "arm64"

ON_ARM = Evidence(
    CITED,
    against="dense float32",
    source="Google, networks with sparse 1x1 convolutions on phones: 1.2x to 2.4x",
    repeat="https://research.google/blog/accelerating-neural-networks-on-mobile-and-web-with-sparse-inference/",
    span=(1.2, 2.4),
    threshold=2 / 3,
    condition="AArch64",
)
ON_X86 = Evidence(
    MEASURED,
    against="dense float32",
    source="XNNPACK's sparse kernels are switched off on x86 with AVX (hardware-config.h): the same dense kernels run",
    repeat="XNNPACK, src/configs/hardware-config.h, xnn_is_chw_compatible_config",
    points=((0.0, 1.0), (1.0, 1.0)),
    condition="x86 with AVX",
)
BESIDE_INT8 = (
    "dense int8 is at least 3 times as fast as dense float32 on processors with VNNI or SDOT: sparse float32 pays "
    "where int8 cannot be used"
)


IN_FORM = (
    "to bring a model into that pattern: begin with ZeroPadding2D(1) and Conv2D(n, 3, strides=2) on 3 channels; go on "
    'with Conv2D(n, 1), DepthwiseConv2D of 3x3 or 5x5 (padding="same", or ZeroPadding2D before strides of 2), '
    "BatchNormalization, ReLU and Add alone; end in GlobalAveragePooling2D"
)


class LiteRT(Target):
    """`.tflite` files on any processor: what is said here holds on x86 and on ARM."""

    name: ClassVar[str] = "litert"
    suffix: ClassVar[str | None] = ".tflite"
    schemes: ClassVar[tuple[str, ...]] = (INT8, INT8_WEIGHTS, FLOAT16, FLOAT32)
    about: ClassVar[str] = "LiteRT on any processor"
    machines: ClassVar[tuple[str, ...]] = (X86, ARM64)

    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        spmm = _SpMM(network, self.machines)
        return litert_hybrid.apart(network, tuple(self._verdict(layer, spmm) for layer in network.layers))

    def _verdict(self, layer: Layer, spmm: _SpMM) -> Verdict:
        fault = tflite_stored.fault(layer)
        if fault is not None:
            return Verdict("none that is right", reasons=(tflite_stored.REMEDY,), fault=fault)
        if layer.kind == DENSE:
            return self._dense(layer)
        if layer.kind == CONV and layer.positions == 1 and layer.scheme in (FLOAT32, FLOAT16):
            return spmm.verdict(layer)
        return Verdict(_kernel(layer), reasons=(_none(layer),))

    def _dense(self, layer: Layer) -> Verdict:
        x86 = X86 in self.machines
        refused = tflite_blocks.refusal(layer) or (tflite_blocks.not_worth_it(layer) if x86 else None)
        if refused is not None:
            return Verdict(_kernel(layer), reasons=(refused,))
        measured = tflite_blocks.evidence(layer) if x86 else ()
        unmeasured = ("AArch64",) if ARM64 in self.machines else ()
        offer = Offer(tflite_blocks.pattern(layer, measured), tflite_blocks.kernel(layer), measured, unmeasured)
        reasons = [tflite_blocks.ON_ARM[layer.scheme]] if unmeasured else []
        if layer.scheme == FLOAT32:
            reasons.append(BESIDE_INT8)
        if layer.scheme == INT8:
            reasons.append('the block kernel of quantize="int8-weights" is faster than that of static int8')
        if measured and offer.break_even is None:
            reasons.append("slower than dense under one of the conditions")
        wanted = offer.break_even
        fires = layer.stored is None and wanted is not None and layer.sparsity_in(offer.pattern) >= wanted
        return Verdict(offer.kernel if fires else _kernel(layer), offer, tuple(reasons))


class LiteRTx86(LiteRT):
    """`.tflite` files on x86-64 with AVX."""

    name: ClassVar[str] = "litert-x86"
    about: ClassVar[str] = "LiteRT on x86-64 with AVX"
    machines: ClassVar[tuple[str, ...]] = (X86,)


class LiteRTArm64(LiteRT):
    """`.tflite` files on AArch64."""

    name: ClassVar[str] = "litert-arm64"
    about: ClassVar[str] = "LiteRT on AArch64: phones, single-board computers"
    machines: ClassVar[tuple[str, ...]] = (ARM64,)


class _SpMM:
    """What XNNPACK's sparse kernels mean for the 1x1 convolutions of a network."""

    def __init__(self, network: Network, machines: tuple[str, ...]) -> None:
        self.network, self.machines = network, machines
        self.analysis = xnnpack_cnn.analyse(network)
        convs = [layer for layer in network.layers if layer.kind == CONV and layer.positions == 1 and layer.operation]
        self.sizes = {layer.operation: layer.size for layer in convs if layer.operation}
        self.zeros = {layer.operation: layer.zeros for layer in convs if layer.operation}
        stored = [layer.stored for layer in network.layers if layer.stored is not None]
        self.hinted = not stored or any(each.densified for each in stored)

    def verdict(self, layer: Layer) -> Verdict:
        if ARM64 not in self.machines:
            return Verdict(_kernel(layer), reasons=(ON_X86.source,))
        cluster = self.analysis.cluster_of(layer.operation)
        if cluster is None:
            reason = f"outside the pattern of XNNPACK's sparse kernels: {self.why(layer)}"
            return Verdict(_kernel(layer), reasons=(reason,) if self.network.operations is None else (reason, IN_FORM))
        offer = Offer(_pattern(layer, self.machines), SPMM, (ON_ARM, *((ON_X86,) if X86 in self.machines else ())))
        reasons = [f"for all {len(cluster.convs)} 1x1 convolutions of the pattern together: more than 2/3 zeros"]
        if cluster.rewrites:
            forms = "; ".join(str(miss) for miss in cluster.rewrites)
            reasons.append(f"by form only, to be rewritten in the file: {forms}")
        reasons.append(BESIDE_INT8)
        is_file = layer.stored is not None
        fires = cluster.enough_zeros(self.sizes, self.zeros) and self.hinted and not (is_file and cluster.rewrites)
        if fires:
            return Verdict(SPMM if self.machines == (ARM64,) else f"{SPMM} on ARM", offer, tuple(reasons))
        if is_file and not self.hinted:
            reasons.append(
                "no weight of the file is stored sparse (DENSIFY), without which XNNPACK does not look for zeros"
            )
        return Verdict(_kernel(layer), offer, tuple(reasons))

    def why(self, layer: Layer) -> str:
        if self.network.operations is None:
            return self.network.no_graph_because or "the graph of the model is not known"
        miss = self.analysis.misses.get(layer.operation or "")
        return str(miss) if miss is not None else "its operation is not in the graph"


def _pattern(layer: Layer, machines: tuple[str, ...]) -> Pattern:
    """Blocks of output channels where the processor has vectors for them, else any places."""
    if machines == (ARM64,) and layer.rows % SPMM_ROWS == 0:
        return Block((SPMM_ROWS, 1), SPMM_SPARSITY)
    return Unstructured(SPMM_SPARSITY)


def _kernel(layer: Layer) -> str:
    """What runs where no sparse kernel does."""
    stored = layer.stored
    if stored is None or stored.block is None:
        return dense(layer)
    return f"densified: {dense(layer)}" if stored.densified else tflite_blocks.kernel(layer)


def _none(layer: Layer) -> str:
    """Why nothing pays in a layer that is neither fully connected nor a float 1x1 convolution."""
    if layer.kind == CONV and layer.scheme in (INT8, INT8_WEIGHTS):
        return (
            f"XNNPACK has no int8 sparse kernel on any processor: {layer.scheme} convolutions run dense at any sparsity"
        )
    if layer.kind == CONV:
        return "XNNPACK has sparse kernels for 1x1 convolutions only"
    return f"LiteRT has no sparse kernel for {layer.what} kernels"
