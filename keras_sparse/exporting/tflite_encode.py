"""Chooses an encoding for every weight tensor of a `.tflite` graph by what its target runs, and writes it."""

from dataclasses import dataclass, replace

import numpy as np

from keras_sparse.encoding import csr
from keras_sparse.exporting import tflite_network, tflite_weights, tflite_xnnpack
from keras_sparse.exporting.tflite_encodings import BLOCK_KERNELS, DENSE, DENSIFIED, Weight
from keras_sparse.exporting.tflite_model import text
from keras_sparse.targets import tflite_blocks, xnnpack_cnn
from keras_sparse.targets.contract import NO_WORSE
from keras_sparse.targets.litert import ARM64, X86
from keras_sparse.targets.litert_native import LiteRTNative
from keras_sparse.targets.network import INT8_WEIGHTS

SPARSE_KERNELS = "in the pattern of XNNPACK's sparse kernels, which it runs on AArch64 for what comes out of DENSIFY"


@dataclass(frozen=True)
class Encoder:
    """Encodes the weights of files for one target.

    Attributes:
        target: a `Target` of `.tflite` files.
        encoding: what `export` takes.
    """

    target: object
    encoding: str

    def sparse_kernels(self, graph, scheme):
        """Brings what XNNPACK can run in its sparse kernels into their form; returns the names of these operations.

        XNNPACK finds them by their sparse tables, so that a cluster needs a kernel that is smaller in these. With int8
        weights that is done if asked for only: dense int8 kernels are faster than sparse float ones.
        """
        wanted = ("csr",) if scheme == INT8_WEIGHTS else ("csr", "fastest")
        if isinstance(self.target, LiteRTNative) or ARM64 not in self.target.machines or self.encoding not in wanted:
            return frozenset()
        network, names = tflite_network.of(graph), set()
        sizes = {layer.operation: layer.size for layer in network.layers}
        zeros = {layer.operation: layer.zeros for layer in network.layers}
        stored = {layer.operation: _to_be(graph, layer.name, scheme) for layer in network.layers}
        for cluster in xnnpack_cnn.analyse(network).clusters:
            sparse = [each for each in cluster.convs if DENSIFIED.size(stored[each]) < DENSE.size(stored[each])]
            if sparse and cluster.enough_zeros(sizes, zeros):
                tflite_xnnpack.rewrite(graph, {miss.operation for miss in cluster.rewrites})
                names.update(cluster.operations)
        return frozenset(names)

    def encode(self, graph, indices, sparse_kernels):
        """Stores the constants of these indices, in `graph`; returns {index: why it is stored as it is}."""
        layers = {layer.name: layer for layer in tflite_network.of(graph).layers}
        chosen, reasons, work = {}, {}, {}
        for index in indices:
            each = weight(graph, index)
            outputs = {text(graph.tensors[op.outputs[0]].name) for op in each.operators}
            layer = layers.get(text(graph.tensors[index].name))
            chosen[each], reasons[index] = self._choose(each, layer, bool(outputs) and outputs <= sparse_kernels)
            work[each] = each.values.size * ((layer and layer.vectors) or 1)
        reasons.update(self._beside_blocks(graph, chosen, work))
        for each, form in chosen.items():
            form.write(graph, each)
        return reasons

    def _beside_blocks(self, graph, chosen, work):
        """What has to change where hybrid block kernels are chosen and other hybrid layers are not.

        XNNPACK's dynamic int8 kernels leave the processor in a state in which LiteRT's block kernels run three times
        slower (`benchmarks/block_kernels.py`). Small layers can compute in float instead; with large ones, blocks do
        not pay.
        """
        block = BLOCK_KERNELS["hybrid"]
        dense = [w for w, form in chosen.items() if w.arithmetic == "hybrid" and form is not block]
        if block not in chosen.values() or not dense or self.encoding == "smallest":
            return {}
        if self.encoding == "fastest" and any(work[w] > tflite_blocks.SMALL_BESIDE for w in dense):
            largest = text(graph.tensors[max(dense, key=work.get).index].name)
            reason = f"beside XNNPACK's dynamic kernels, as {largest} has, block kernels are not faster"
            slower = [w for w, form in chosen.items() if form is block]
            chosen.update(dict.fromkeys(slower, DENSE))
            return {w.index: reason for w in slower}
        for each in dense:
            tflite_weights.dequantize(graph, each.index)
        return {w.index: "in float, since XNNPACK's dynamic kernels would slow the block kernels down" for w in dense}

    def _choose(self, each, layer, sparse_kernel):
        block = BLOCK_KERNELS[each.arithmetic]
        if self.encoding == "dense":
            return DENSE, "asked for"
        if self.encoding == "block":
            refusal = block.refusal(each)
            return (DENSE, refusal) if refusal else (block, "asked for")
        if self.encoding == "csr":
            refusal = DENSIFIED.refusal(each)
            if refusal is None and DENSIFIED.size(each) >= DENSE.size(each):
                refusal = f"in sparse rows it would take {DENSIFIED.size(each)} bytes"
            return (DENSE, refusal) if refusal else (DENSIFIED, SPARSE_KERNELS if sparse_kernel else "asked for")
        if self.encoding == "smallest":
            return _smallest(each, block)
        if isinstance(self.target, LiteRTNative):
            return DENSE, "the native kernels find zero blocks in dense weights"
        if sparse_kernel and "CONV_2D" in each.kinds and DENSIFIED.size(each) < DENSE.size(each):
            return DENSIFIED, SPARSE_KERNELS
        refusal = block.refusal(each)
        if refusal:
            return DENSE, refusal if "FULLY_CONNECTED" in each.kinds else _none(each)
        faster, why = self._faster(each, layer, block.block)
        return (block if faster else DENSE), why

    def _faster(self, each, layer, shape):
        """Whether the block kernel was measured to be no slower than dense in any condition, and why."""
        zeros = 1 - len(csr.encode(each.values, shape).indices) / (each.values.size / shape[1])
        found = f"{zeros:.0%} of its {shape[0]}x{shape[1]} blocks are zero"
        if X86 not in self.target.machines:
            return False, f"{found}; {tflite_blocks.ON_ARM[layer.scheme]}"
        small = tflite_blocks.not_worth_it(layer)
        if small is not None:
            return False, f"{found}; {small}"
        evidence = tflite_blocks.evidence(layer)
        least, most = (edge(at for each in evidence for at, _ in each.points) for edge in (min, max))
        if zeros < least:
            return False, f"{found}; the block kernel was measured from {least:.0%} on, where it is slower"
        gains = [(each.gain(min(zeros, most)), each.condition) for each in evidence]
        said = ", ".join(f"{gain:.2f}x {condition}" for gain, condition in gains)
        return min(gains)[0] >= NO_WORSE, f"{found}; the block kernel was measured {said}"


def _none(each):
    """Why a convolution is stored dense."""
    if each.arithmetic == "int8" and "CONV_2D" in each.kinds:
        return "LiteRT has no sparse kernel for it; ks.delegate() has one, which finds zero blocks in dense weights"
    return "no sparse kernel for it"


def weight(graph, index):
    """The `Weight` of the constant of that index, read by operations itself or through DEQUANTIZE."""
    read, users = index, graph.users(index)
    if [graph.name(op) for op in users] == ["DEQUANTIZE"]:
        read = users[0].outputs[0]
        users = graph.users(read)
    values, kinds = graph.constant(index), tuple(graph.name(op) for op in users)
    if values.dtype != "int8" or read != index:
        arithmetic = "float"
    else:
        arithmetic = "int8" if all(graph.dtype(op.inputs[0]) == "int8" for op in users) else "hybrid"
    return Weight(index, values, tuple(users), kinds, arithmetic)


def _to_be(graph, name, scheme):
    """The `Weight` of that name as far as its size goes: weights that will be int8 are not yet."""
    found = weight(graph, next(index for index, tensor in enumerate(graph.tensors) if text(tensor.name) == name))
    return replace(found, values=np.sign(found.values).astype("int8")) if scheme == INT8_WEIGHTS else found


def _smallest(each, block):
    refused = {form.name: form.refusal(each) for form in (DENSE, DENSIFIED, block)}
    sizes = {form: form.size(each) for form in (DENSE, DENSIFIED, block) if refused[form.name] is None}
    chosen = min(sizes, key=sizes.get)
    if len(sizes) > 1:
        return chosen, "smallest of " + ", ".join(f"{form.name} {size} bytes" for form, size in sizes.items())
    return chosen, refused[DENSIFIED.name]
