"""Hybrid layers beside each other: XNNPACK's dynamic int8 kernels make LiteRT's block kernels three times slower.

They leave the processor in a state in which these run slower, in every layer of the thread
(`benchmarks/block_kernels.py`). So a file has one of the two: small layers compute in float beside block kernels, and
beside large ones block kernels do not pay. The exporter goes by the same rule.
"""

from __future__ import annotations

import dataclasses

from keras_sparse.targets import tflite_blocks
from keras_sparse.targets.contract import Verdict, dense
from keras_sparse.targets.network import CONV, DENSE, FLOAT32, INT8_WEIGHTS, Layer, Network

SLOWER = "beside XNNPACK's dynamic int8 kernels, block kernels run three times slower (benchmarks/block_kernels.py)"

Told = tuple[Layer, Verdict]


def apart(network: Network, verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Verdicts on a model that hold for its layers together; what a file has is as it is."""
    if any(layer.stored is not None for layer in network.layers):
        return verdicts
    told = list(zip(network.layers, verdicts, strict=True))
    large = next((layer for layer, verdict in told if verdict.offer is None and _large(layer)), None)
    if large is not None:
        reason = f"{large.name} stays dense: {SLOWER}"
        return tuple(Verdict(dense(layer), None, (reason,)) if _offered(layer, verdict) else verdict
                     for layer, verdict in told)  # fmt: skip
    return tuple(verdict for _, verdict in _in_float(_as_it_is(told)))


def _as_it_is(told: list[Told]) -> list[Told]:
    """Without block kernels now, where a large layer that could have one is dense now."""
    large = next((layer for layer, verdict in told if not _fires(layer, verdict) and _large(layer)), None)
    if large is None:
        return told
    reason = f"{large.name} is dense now: {SLOWER}"
    return [
        (layer, dataclasses.replace(verdict, kernel=dense(layer), reasons=(*verdict.reasons, reason)))
        if _fires(layer, verdict)
        else (layer, verdict)
        for layer, verdict in told
    ]


def _in_float(told: list[Told]) -> list[Told]:
    """With the small layers in float, where others have block kernels, or may have: where those were measured."""
    offered = any(_offered(layer, verdict) and verdict.offer and verdict.offer.evidence for layer, verdict in told)
    now = any(_fires(layer, verdict) for layer, verdict in told)
    reason = f"small: in a file with block kernels it computes in float, since {SLOWER}"
    return [
        (layer, dataclasses.replace(
            verdict,
            kernel=dense(dataclasses.replace(layer, scheme=FLOAT32)) if now else verdict.kernel,
            reasons=(*verdict.reasons, reason),
        )) if offered and _dynamic(layer) and verdict.offer is None else (layer, verdict)
        for layer, verdict in told
    ]  # fmt: skip


def _dynamic(layer: Layer) -> bool:
    """Whether XNNPACK has a dynamic int8 kernel for it, which it takes where no block kernel is."""
    return layer.scheme == INT8_WEIGHTS and layer.kind in (DENSE, CONV)


def _large(layer: Layer) -> bool:
    """Whether it is too slow in float to be left there; so is what meets nobody knows how many vectors."""
    work = layer.size * (layer.vectors or 1)
    return _dynamic(layer) and (layer.vectors is None or work > tflite_blocks.SMALL_BESIDE)


def _offered(layer: Layer, verdict: Verdict) -> bool:
    return layer.scheme == INT8_WEIGHTS and verdict.offer is not None


def _fires(layer: Layer, verdict: Verdict) -> bool:
    return verdict.offer is not None and _offered(layer, verdict) and verdict.kernel == verdict.offer.kernel
