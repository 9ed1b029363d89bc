"""The plots of the report, as SVG to be put into a page: colours and fonts are the page's own."""

import io
import re

import matplotlib
from matplotlib.figure import Figure

# Drawn in these colours, which are then replaced by the page's, so that plots follow its light or dark scheme.
TEXT, FAINT, FIRST, SECOND, THIRD, CARD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
COLOURS = {
    TEXT: "var(--text)",
    FAINT: "var(--faint)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
    CARD: "var(--card)",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_sparse",  # the same report gives the same page
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "legend.frameon": False,
}
WIDTH = 5.6
"""Inches; text has the size that it has in print where the page shows a plot half as wide as itself."""

APART = 0.1
"""Least distance of two labels, as a fraction of the plot's height."""


def accuracy_against_size(files, limit=None):
    """One labelled point a file.

    Args:
        files: list of {"file", "bytes_gzip", "accuracy"}.
        limit: accuracy to draw a line at, the least that is allowed; `None` for no line.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(3.6)
        sizes = [each["bytes_gzip"] / 1000 for each in files]
        shown = [100 * each["accuracy"] for each in files]
        known = [*shown, *([100 * limit] if limit is not None else [])]
        middle, half = (min(known) + max(known)) / 2, max(1.0, 0.75 * (max(known) - min(known)))
        axes.set_ylim(middle - half, min(middle + half, 100.5))
        axes.set_xlim(0, 1.12 * max(sizes))
        if limit is not None:
            axes.axhline(100 * limit, color=THIRD, linestyle="--", linewidth=1.2)
            axes.annotate(
                "1.0 point below dense float",
                (0.995, 100 * limit),
                xycoords=("axes fraction", "data"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="right",
                color=THIRD,
            )
        axes.scatter(sizes, shown, s=60, color=[_colour(each["file"]) for each in files], zorder=3, linewidths=0)
        low, high = axes.get_ylim()
        heights = spread([(each - low) / (high - low) for each in shown], APART)
        # Over the line of the limit, a label keeps a ground of its own.
        ground = {"facecolor": CARD, "edgecolor": "none", "pad": 1}
        for each, x, y, height in zip(files, sizes, shown, heights, strict=True):
            right = x > 0.6 * max(sizes)
            axes.annotate(
                each["file"],
                (x, y),
                xytext=(x + (-0.05 if right else 0.05) * 1.12 * max(sizes), height),
                textcoords=("data", "axes fraction"),
                ha="right" if right else "left",
                va="center",
                bbox=ground,
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.8, "shrinkB": 5},
            )
        axes.set_xlabel("size, gzipped (kB)")
        axes.set_ylabel("accuracy on the test set (%)")
        return _svg(figure, "size", "Accuracy against size of each file")


def training(fit, quantize_begin, sparsity, baseline):
    """Zeros after each mask update, and the accuracy after each epoch, over the steps of a fit.

    Args:
        fit: {"steps", "epochs", "updates": [(step, fraction)], "history": {name: [value of each epoch]}}.
        quantize_begin: step at which quantization was switched on.
        sparsity: the fraction of zeros that was to be reached.
        baseline: the accuracy that the fit began with.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(3.6)
        steps, zeros = [0], [0.0]
        for step, fraction in fit["updates"]:
            steps, zeros = [*steps, step], [*zeros, 100 * fraction]
        axes.step([*steps, fit["steps"]], [*zeros, zeros[-1]], where="post", color=FIRST, linewidth=2, label="zeros")
        each_epoch = [fit["steps"] * (i + 1) / fit["epochs"] for i in range(fit["epochs"])]
        tested = [100 * each for each in fit["history"]["val_accuracy"]]
        axes.plot(
            each_epoch, tested, color=SECOND, marker="o", markersize=4, linewidth=2, label="accuracy on the test set"
        )
        axes.axhline(100 * baseline, color=SECOND, linewidth=1, linestyle=":", label="dense float baseline")
        axes.axvline(quantize_begin, color=THIRD, linewidth=1.2, linestyle="--", label="quantization begins")
        axes.set_xlim(0, fit["steps"] * 1.01)
        axes.set_ylim(0, 103)
        axes.set_yticks(sorted({0, 20, 40, 60, 100, round(100 * sparsity)}))
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("%")
        figure.legend(*axes.get_legend_handles_labels(), loc="upper center", ncols=2)
        return _svg(figure, "training", "Sparsity and accuracy over the steps of the fit", top=0.83)


def zeros_per_layer(kernels, file):
    """A bar for each kernel: which part of it is zero in `file`.

    Args:
        kernels: list of {"name", "size", "pruned", "zeros": {file: count}}.
    """
    with matplotlib.rc_context({**STYLE, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure, axes = _figure(1.0 + 0.3 * len(kernels))
        names = [each["name"].removesuffix("/kernel") for each in kernels]
        parts = [100 * each["zeros"][file] / each["size"] for each in kernels]
        axes.barh(names, parts, color=FIRST, height=0.62, label="zero")
        axes.barh(
            names, [100 - part for part in parts], left=parts, color=SECOND, alpha=0.55, height=0.62, label="kept"
        )
        for name, each in zip(names, kernels, strict=True):
            text = f"{each['zeros'][file]:,} of {each['size']:,}"
            axes.annotate(
                text, (100, name), xytext=(6, 0), textcoords="offset points", va="center", annotation_clip=False
            )
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.tick_params(left=False)
        axes.grid(False)
        axes.set_xlabel("part of the kernel (%)")
        figure.legend(*axes.get_legend_handles_labels(), loc="upper center", ncols=2)
        return _svg(figure, "zeros", f"Zeros of each kernel in {file}", top=1 - 0.3 / figure.get_figheight())


def spread(heights, apart):
    """Heights at least `apart` from each other, in the same order, moved as little as a pass upwards needs.

    >>> spread([0.5, 0.5, 0.9], 0.1)
    [0.45, 0.55, 0.9]
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    groups = []  # of labels that touch: [members, sum of heights]
    for index in order:
        groups.append([[index], heights[index]])
        while len(groups) > 1 and _bottom(groups[-1], apart) < _top(groups[-2], apart) + apart:
            members, total = groups.pop()
            groups[-1] = [groups[-1][0] + members, groups[-1][1] + total]
    placed = [0.0] * len(heights)
    for group in groups:
        for rank, index in enumerate(group[0]):
            placed[index] = round(_bottom(group, apart) + rank * apart, 6)
    return placed


def _bottom(group, apart):
    members, total = group
    return total / len(members) - apart * (len(members) - 1) / 2


def _top(group, apart):
    members, total = group
    return total / len(members) + apart * (len(members) - 1) / 2


def _colour(file):
    return FIRST if file.startswith("sparse") else SECOND


def _figure(height):
    figure = Figure(figsize=(WIDTH, height))  # no pyplot: no display is needed, and nothing global is kept
    axes = figure.add_subplot()
    axes.grid(True, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure, name, title, top=1.0):
    """The figure as an `<svg>` element: sized by the page, its ids its own, its colours the page's."""
    figure.tight_layout(rect=(0, 0, 1, top))
    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{title}">', svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'style="font: ([\d.]+)px [^;"]*', r'style="font-size: \1px', svg)
    for drawn, used in COLOURS.items():
        svg = svg.replace(drawn, used)
    return svg.strip()
