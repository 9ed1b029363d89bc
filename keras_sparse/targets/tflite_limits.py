"""What LiteRT takes of weights that are stored sparse: one table for advice, for writing and for reading."""

from __future__ import annotations

from dataclasses import dataclass

from keras_sparse.targets.network import FLOAT16, FLOAT32, INT8, INT8_WEIGHTS

VERSION = 8
"""Of FULLY_CONNECTED: the one that the delegate leaves to TFLite. With any other, XNNPACK takes blocks for dense."""


@dataclass(frozen=True)
class BlockKernel:
    """A kernel for FULLY_CONNECTED that skips blocks of zeros.

    Attributes:
        width: inputs in a block, which is of one output.
        most_blocks: what it can count in a row, and the highest number of one; `None` for more than there can be.
    """

    width: int
    most_blocks: int | None = None

    def fault(self, inputs: int, fullest: int = 0) -> str | None:
        """What goes wrong with so many inputs, or with so many blocks in the fullest row, or `None`.

        >>> KERNELS[INT8_WEIGHTS].fault(4096, 256)
        'a row has 256 blocks, and the int8-weights kernel counts up to 255'
        """
        if inputs % self.width:
            return f"{inputs} inputs are no multiple of {self.width}, and LiteRT's block kernel drops the rest"
        if self.most_blocks is None:
            return None
        most = (self.most_blocks + 1) * self.width
        if inputs > most:
            return f"{inputs} inputs are more than {most}, and the int8-weights kernel numbers blocks in 8 bits"
        if fullest > self.most_blocks:
            return f"a row has {fullest} blocks, and the int8-weights kernel counts up to {self.most_blocks}"
        return None


KERNELS = {FLOAT32: BlockKernel(4), INT8: BlockKernel(16), INT8_WEIGHTS: BlockKernel(16, 255)}
"""{scheme: the block kernel for it}; float16 weights are made float32 when the file is loaded, and none reads them."""


def densified_fault(operation: str, scheme: str) -> str | None:
    """What LiteRT gets wrong where an operation reads weights through DENSIFY, or `None`.

    >>> densified_fault("FULLY_CONNECTED", INT8)
    'LiteRT loads int8 weights with DENSIFY for CONV_2D only, not for FULLY_CONNECTED'
    """
    if scheme == INT8_WEIGHTS:
        return f"LiteRT does not load int8 weights of float operations, here {operation}, with DENSIFY"
    if scheme == INT8 and operation != "CONV_2D":
        return f"LiteRT loads int8 weights with DENSIFY for CONV_2D only, not for {operation}"
    if scheme == FLOAT16 and operation == "CONV_3D":
        return "with its delegate, LiteRT computes CONV_3D wrongly from float16 weights with DENSIFY"
    return None
