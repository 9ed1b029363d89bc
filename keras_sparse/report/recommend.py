"""`recommend`: the recipe that follows from what a target makes of zeros."""

import math
from collections import defaultdict
from pathlib import Path

import keras

from keras_sparse import target as targets
from keras_sparse.exporting import keras_file
from keras_sparse.pattern import Unstructured
from keras_sparse.recipe import Prune, Quantize, Recipe, matches
from keras_sparse.report.explain import say
from keras_sparse.schedule import Cubic
from keras_sparse.targets import packed
from keras_sparse.targets.contract import LATENCY, SIZE
from keras_sparse.targets.litert_hybrid import SLOWER
from keras_sparse.targets.network import BITS, CONV, FLOAT32, INT8, INT8_WEIGHTS
from keras_sparse.train import expand, graph, kernels
from keras_sparse.train import network as keras_network

GOALS = {
    LATENCY: "the time of one item, where no layer becomes slower than dense under any condition that was measured",
    SIZE: "the bytes of the packed form of the file (ks.pack), whatever the runtime makes of the zeros",
}

RAMP = Cubic(begin=0.1, end=0.6)
QUANTIZE_BEGIN = 0.6
"""Pruning first, while weights are free to move; then int8 with the zeros in place."""

LEFT_DENSE = 0.05
"""The smallest kernels are left as they are for size, as long as they are together at most this part of the weights."""


class Recommendation(Recipe):
    """A `Recipe` with the reasons for its rules; `save` writes them as comments, `Recipe.load` gives the same recipe.

    Attributes:
        target, goal: what it is for.
        heading: what was decided for the model as a whole, and what is left dense and why.
        reasons: one for each rule.
        export_arguments: what to give `ks.export` beside the model and the path.
    """

    def __init__(self, rules, target, goal, heading, reasons, export_arguments):
        super().__init__(rules)
        self.target, self.goal = target, goal
        self.heading, self.reasons, self.export_arguments = tuple(heading), tuple(reasons), export_arguments

    def to_yaml(self, heading=(), reasons=()):
        return super().to_yaml(heading or self.heading, reasons or self.reasons)

    def __str__(self):
        return self.to_yaml()


def recommend(model, target, goal):
    """The recipe that `ks.explain` leads to: what to prune in which pattern, and how to quantize, with the reasons.

    Where no zeros pay, no Prune rule pretends that they do: the recipe is then dense int8, and says why. What is said
    about sparsity is about speed and bytes; whether the accuracy stands it, only training tells.

    Args:
        model: a built Keras model, or the path of a `.keras` file.
        target: as for `ks.explain`.
        goal: "latency" (the time of one item: only patterns that are no slower than dense under any condition that was
            measured, in the scheme that is fastest) or "size" (bytes of the packed form: unstructured zeros in the
            kernels that hold nearly all weights).

    Returns:
        A `Recommendation`, which is a `Recipe`: `.reasons`, `.heading`, `.export_arguments`; `print` shows its YAML.

    Raises:
        ValueError: no such target or goal, or nothing to recommend, with the reasons; or the file is damaged.
        FileNotFoundError: there is no such file.

    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(2048, name="d"), keras.layers.Dense(8)])
    >>> recipe = ks.recommend(model, "litert-x86", "latency")
    >>> recipe.prune[0].pattern, recipe.prune[0].match, recipe.export_arguments
    (Block(shape=(1, 16), sparsity=0.9), ['d/kernel'], {'target': 'litert-x86', 'quantize': 'int8-weights'})
    """
    chosen = targets.named(target)
    if goal not in GOALS:
        raise ValueError(f"Unknown goal. Known ones: {sorted(GOALS)}. Received: goal={goal!r}")
    if isinstance(model, str | Path):
        model = keras_file.read(model)
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model or the path of a .keras file. Received: {type(model).__name__}")
    plan = _Latency(model, chosen) if goal == LATENCY else _Size(model, chosen)
    return plan.run()


class _Plan:
    """What both goals share: which kernels there are, and how groups of them become rules."""

    goal = ""

    def __init__(self, model, target):
        self.readable = graph.has_graph(model)
        # Kernels are called as in the model that `prepare` makes, which has no models inside.
        self.model = expand.expanded(graph.functional(model), subclassed=False) if self.readable else model
        self.target = target
        self.kernels = kernels.find(self.model)
        self.network = keras_network.read(self.model, INT8)
        self.int8 = INT8 in target.schemes and any(layer.scheme == INT8 for layer in self.network.layers)

    def result(self, groups, scheme, heading, dense, quantize_reason):
        """A `Recommendation`: `groups` is {pattern: ([kernel], reason)}, `dense` {path of a kernel: why no zeros}."""
        rules, reasons = [], []
        for pattern, (members, reason) in groups.items():
            rules.append(Prune(pattern, RAMP, match=self.globs(members)))
            reasons.append(reason)
        if scheme == INT8 and self.readable:
            rules.append(Quantize(begin=QUANTIZE_BEGIN if groups else 0.0))
            reasons.append(quantize_reason)
        told = [f"For {self.target.name}, {self.goal}: {GOALS[self.goal]}.", *heading, *_left(dense)]
        export = {} if self.target.suffix is None else {"target": self.target.name}
        if scheme not in (INT8, FLOAT32):
            export["quantize"] = scheme
        if scheme == INT8 and not self.readable:
            told.append(
                'A subclassed model is quantized by ks.export(quantize="int8", samples=...), and not trained so.'
            )
            export["quantize"] = INT8
        if not rules:
            trained = "int8 needs no training" if scheme == INT8 else "no layer can be int8"
            raise ValueError(
                f"There is nothing to recommend for {self.model.name!r} on {self.target.name} ({self.goal}): no zeros "
                f"pay, and {trained}. {' '.join(told[1:])}"
            )
        made = Recommendation(rules, self.target.name, self.goal, told, reasons, export)
        self.check(made, groups)
        return made

    def globs(self, members):
        """Globs that match these kernels and no others, as short as they can be."""
        if len(members) == len([each for each in self.kernels if each.trainable]):
            return "*"
        return [self.glob(each.path) for each in members]

    def glob(self, path):
        parts = path.split("/")
        for length in range(2, len(parts) + 1):
            escaped = "".join(f"[{c}]" if c in "*?[" else c for c in "/".join(parts[-length:]))
            if sum(matches(escaped, each.path) for each in self.kernels) == 1:
                break
        return escaped

    def check(self, recipe, groups):
        """Every kernel gets the rule that was meant for it."""
        meant = {id(each): pattern for pattern, (members, _) in groups.items() for each in members}
        for kernel in self.kernels:
            found = next((rule.pattern for rule in recipe.prune if matches(rule.match, kernel.path)), None)
            if kernel.trainable and found != meant.get(id(kernel)):
                raise ValueError(
                    f"Several kernels have a path that ends in {kernel.path!r}, and a recipe cannot tell them apart. "
                    "Give their layers names of their own."
                )


class _Latency(_Plan):
    goal = LATENCY

    def run(self):
        if LATENCY not in self.buys():
            raise ValueError(f"{self.target.name} is about bytes: {self.target.about}. Received: goal='latency'")
        # Sparse float32 is slower than dense int8, so it is asked for where nothing can be int8.
        schemes = [s for s in self.target.schemes if (s in (INT8, INT8_WEIGHTS)) == self.int8]
        tried = [(self.speed(scheme, found), scheme, found) for scheme in schemes for found in [self.paying(scheme)]]
        _, scheme, (paying, dense) = max(tried, key=lambda each: each[0])
        groups = defaultdict(lambda: ([], None))
        for kernel, offer in paying.values():
            members, _ = groups[offer.pattern]
            groups[offer.pattern] = ([*members, kernel], _why(offer))
        heading = []
        if not groups:
            said = "dense int8 is what is fastest" if self.int8 else "float weights stay dense"
            heading.append(f"No zeros make {self.model.name!r} faster here: {said}.")
        elif scheme == INT8_WEIGHTS:
            heading.append('What pays takes int8 weights and float activations: export with quantize="int8-weights".')
        return self.result(groups, scheme, heading, dense, f"The fastest dense form for {self.target.name}.")

    def buys(self):
        return {v.offer.buys if v.offer else LATENCY for v in self.target.verdicts(self.network)}

    def paying(self, scheme):
        """`({index: (kernel, offer)}, {path: why not})` of a scheme."""
        network = self.network if scheme == INT8 else keras_network.read(self.model, scheme)
        paying, dense, frozen = {}, {}, None
        for index, (kernel, verdict) in enumerate(zip(self.kernels, self.target.verdicts(network), strict=True)):
            if verdict.offer is not None and verdict.offer.pays and kernel.trainable:
                paying[index] = kernel, verdict.offer
            elif not kernel.trainable:
                dense[kernel.path] = "it is not trainable"
            else:
                dense[kernel.path] = "; ".join(verdict.reasons)
            if scheme == INT8_WEIGHTS and verdict.offer is not None and not kernel.trainable:
                frozen = frozen if verdict.kernel == verdict.offer.kernel else kernel.path
        if frozen is None:
            return paying, dense
        reason = f"{frozen} is not trainable and stays dense: {SLOWER}"
        return {}, {kernel.path: dense.get(kernel.path, reason) for kernel in self.kernels}

    def speed(self, scheme, found):
        """How many times faster than dense the whole may become, by multiplications, at the lowest gains stated.

        Hybrid layers that are not sparse are slower than static int8 ones, so that scheme is for models whose work is
        mostly in the layers that pay.
        """
        paying, _ = found
        work = [layer.size * (layer.vectors or 1) for layer in self.network.layers]
        unknown = any(layer.kind == CONV and layer.vectors is None for layer in self.network.layers)
        share = sum(work[index] for index in paying) / max(1, sum(work))
        if scheme == INT8_WEIGHTS and (share <= 0.5 or unknown):
            return 0.0
        gains = {index: _middle(offer) for index, (_, offer) in paying.items()}
        return sum(work) / max(1e-9, sum(w / gains.get(index, 1.0) for index, w in enumerate(work)))


class _Size(_Plan):
    goal = SIZE

    def run(self):
        scheme = INT8 if self.int8 else FLOAT32
        pattern = Unstructured(packed.ADVISED)
        order = sorted((k for k in self.kernels if k.trainable), key=_size)
        total, small, left = sum(map(_size, self.kernels)), 0, set()
        for kernel in order:
            small += _size(kernel)
            if small > LEFT_DENSE * total:
                break
            left.add(id(kernel))
        dense = {k.path: f"together under {LEFT_DENSE:.0%} of the weights" for k in self.kernels if id(k) in left}
        dense |= {k.path: "it is not trainable" for k in self.kernels if not k.trainable}
        members = [k for k in self.kernels if k.path not in dense]
        bits = packed.bits_per_weight(pattern, scheme)
        reason = (
            f"{pattern.sparsity:.0%} zeros anywhere: at most {bits:.2f} bits a weight once packed, dense "
            f"{BITS[scheme]}; {sum(map(_size, members)):,} of {total:,} weights (computed, entropy bound)."
        )
        groups = {pattern: (members, reason)} if members else {}
        speed = f"About speed, ks.explain(model, {self.target.name!r}) says what these zeros do."
        heading = [] if self.target.suffix is None else [speed]
        return self.result(groups, scheme, heading, dense, "int8 weights are a quarter of float32 ones.")


def _size(kernel):
    return math.prod(kernel.variable.shape)


def _middle(offer):
    """One figure for a gain under several conditions: the mean of the lowest and the highest one stated."""
    ranges = [each.range(offer.sparsity) for each in offer.evidence]
    return (min(low for low, _ in ranges) + max(high for _, high in ranges)) / 2


def _why(offer):
    said = []
    for each in offer.evidence:
        low, high = each.range(offer.sparsity)
        figure = f"{low:.1f}x" if low == high else f"{low:.1f}x to {high:.1f}x"
        at = each.break_even
        start = "" if at is None else f", worth it from {at:.0%}"
        said.append(f"{figure} against {each.against}{f' ({each.condition})' if each.condition else ''}{start}")
    sources = dict.fromkeys(f"{each.basis}: {each.source}; {each.repeat}" for each in offer.evidence)
    return f"{say(offer.pattern)} runs in {offer.kernel}: {'; '.join(said)}. {'. '.join(sources)}."


def _left(dense):
    """One paragraph for each reason why kernels are left dense."""
    reasons = defaultdict(list)
    for path, reason in dense.items():
        reasons[reason].append(path)
    return [f"Left dense: {', '.join(paths)}: {reason}." for reason, paths in reasons.items()]
