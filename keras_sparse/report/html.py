"""The report as one page of HTML that needs nothing else."""

from importlib import resources

import jinja2

from keras_sparse.report import plots, tables

TEMPLATE = "page.html"


def page(report, recipe):
    """The page for a report, as text.

    Args:
        report: what `report.json` holds: plain dictionaries, lists, text and numbers.
        recipe: the text of `recipe.yaml`.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        size=tables.size, percent=tables.percent, number="{:,}".format, microseconds=_microseconds
    )
    template = environment.from_string((resources.files(__package__) / TEMPLATE).read_text(encoding="utf-8"))
    sparse = report["fits"][-1]
    files = [each for each in report["files"] if each["name"].startswith("sparse")]
    best = files[0] if files else None
    pruned = [each for each in report["kernels"] if each["pruned"]]
    counted = next(iter(pruned[0]["zeros"]), None) if pruned else None  # the file whose zeros are shown
    zeros = sum(each["zeros"][counted] for each in pruned) / sum(each["size"] for each in pruned) if counted else None
    baseline, limit = report["baseline"], report["baseline"] - 0.01 if report["judged"] else None
    reached = sparse["updates"][-1][1]
    drawn = {
        "size": plots.accuracy_against_size(report["files"], limit) if report["files"] else None,
        "training": plots.training(sparse, report["quantize_begin"], reached, baseline),
        "zeros": plots.zeros_per_layer(report["kernels"], counted) if counted else None,
    }
    return template.render(
        report,
        sparse=sparse,
        best=best,
        counted=counted,
        pruned=pruned,
        zeros=zeros,
        plots=drawn,
        recipe_yaml=recipe,
    )


def _microseconds(seconds):
    return "-" if seconds is None else f"{seconds * 1e6:.1f} µs"
