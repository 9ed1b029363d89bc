"""Chooses an encoding for every weight tensor of a `.tflite` graph, and writes it."""

from keras_sparse.encoding import csr
from keras_sparse.exporting.tflite_encodings import BLOCK_KERNELS, DENSE, DENSIFIED, Weight

BREAK_EVEN = {"hybrid": 0.78, "int8": 0.94, "float": 0.80}
"""arithmetic -> zero blocks from which a block kernel is faster than the dense one, batch 1 on x86."""


def weight(graph, index):
    """The `Weight` of the constant of that index, read by operations itself or through DEQUANTIZE."""
    read = index
    users = graph.users(index)
    if [graph.name(op) for op in users] == ["DEQUANTIZE"]:
        read = users[0].outputs[0]
        users = graph.users(read)
    values, kinds = graph.constant(index), tuple(graph.name(op) for op in users)
    if values.dtype != "int8" or read != index:
        arithmetic = "float"
    else:
        arithmetic = "int8" if all(graph.dtype(op.inputs[0]) == "int8" for op in users) else "hybrid"
    return Weight(index, values, tuple(users), kinds, arithmetic)


def encode(graph, indices, encoding, sparse_kernels=()):
    """Stores the constants of `indices` as `encoding` says.

    Args:
        graph: a `tflite_model.Graph`, which is changed.
        encoding: what `export` takes.
        sparse_kernels: indices of those that XNNPACK runs in its sparse kernels once they come out of DENSIFY.

    Returns:
        {index: why it is stored as it is}.
    """
    reasons = {}
    for index in indices:
        each = weight(graph, index)
        chosen, reasons[index] = _choose(each, encoding, index in sparse_kernels)
        chosen.write(graph, each)
    return reasons


def _choose(each, encoding, sparse_kernel):
    block = BLOCK_KERNELS[each.arithmetic]
    if encoding == "dense":
        return DENSE, "asked for"
    if encoding in ("csr", "block"):
        wanted = DENSIFIED if encoding == "csr" else block
        refusal = wanted.refusal(each)
        return (DENSE, refusal) if refusal else (wanted, "asked for")
    if encoding == "smallest":
        return _smallest(each, block)
    if sparse_kernel:
        return DENSIFIED, "XNNPACK's sparse kernels, where its processor has them, need DENSIFY"
    refusal = block.refusal(each)
    if refusal:
        return DENSE, refusal if "FULLY_CONNECTED" in each.kinds else "no sparse kernel for it"
    zeros = 1 - len(csr.encode(each.values, block.block).indices) / (each.values.size / block.block[1])
    least = BREAK_EVEN[each.arithmetic]
    found = f"{zeros:.0%} of its 1x{block.block[1]} blocks are zero, the block kernel pays from {least:.0%}"
    return (block if zeros >= least else DENSE), found


def _smallest(each, block):
    refused = {form.name: form.refusal(each) for form in (DENSE, DENSIFIED, block)}
    sizes = {form: form.size(each) for form in (DENSE, DENSIFIED, block) if refused[form.name] is None}
    chosen = min(sizes, key=sizes.get)
    if len(sizes) > 1:
        return chosen, "smallest of " + ", ".join(f"{form.name} {size} bytes" for form, size in sizes.items())
    return chosen, refused[DENSIFIED.name]
