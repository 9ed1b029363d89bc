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
    environment.filters.update(size=tables.size, percent=tables.percent, number="{:,}".format)
    template = environment.from_string((resources.files(__package__) / TEMPLATE).read_text(encoding="utf-8"))
    sparse = report["fits"][-1]
    files = [each for each in report["files"] if each["name"].startswith("sparse")]
    pruned = [each for each in report["kernels"] if each["pruned"]]
    zeros = sum(each["zeros"][files[0]["file"]] for each in pruned) / sum(each["size"] for each in pruned)
    baseline = report["files"][0]["keras_accuracy"]
    drawn = {
        "size": plots.accuracy_against_size(report["files"], baseline - 0.01 if report["judged"] else None),
        "training": plots.training(sparse, report["quantize_begin"], zeros, baseline),
        "zeros": plots.zeros_per_layer(report["kernels"], files[0]["file"]),
    }
    return template.render(
        report,
        sparse=sparse,
        best=files[0],
        pruned=pruned,
        zeros=zeros,
        plots=drawn,
        recipe_yaml=recipe,
    )
