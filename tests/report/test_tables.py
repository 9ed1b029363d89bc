"""Tables as plain text, sizes and percentages as people read them."""

from __future__ import annotations

import pytest

from keras_sparse.report import tables


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (21_560, "21.6 kB"), (999_949, "999.9 kB"), (1_270_000, "1.27 MB")],
)
def test_size(count: int, said: str) -> None:
    assert tables.size(count) == said


@pytest.mark.parametrize(
    ("fraction", "digits", "said"), [(0.8, 2, "80.00 %"), (0.8, 0, "80 %"), (0, 2, "0.00 %"), (1, 1, "100.0 %")]
)
def test_percent(fraction: float, digits: int, said: str) -> None:
    assert tables.percent(fraction, digits) == said


def test_numbers_stand_on_the_right_and_long_names_are_folded_not_cut() -> None:
    name = "a_very_long_name/" * 10
    text = tables.render(tables.build("A title", ["name", "zeros>"], [(name, 5), ("b", 12345)]), width=60)
    lines = text.splitlines()
    assert lines[0].rstrip() == "A title"
    assert all(len(line) <= 60 for line in lines)
    assert "".join(line.split()[0] for line in lines[3:]) == f"{name}b"
    (first,) = [line for line in lines if line.endswith(" 5")]
    assert first.endswith("    5")


def test_text_is_not_markup() -> None:
    assert "[bold]x[/bold]" in tables.render(tables.build(None, ["a"], [("[bold]x[/bold]",)]))


@pytest.mark.parametrize("length", [5, 13, 18, 19, 30, 45])
def test_nothing_is_cut_off_where_a_table_is_too_wide(length: int) -> None:
    columns = ["layer", "shape>", "zeros>", "runs now", "could have", "gain there", "notes"]
    gain = "1.1x cached, from 89 %\nnot measured on AArch64"
    rows = [("x" * length, "32x1024", "0 %", "dense float32", "1x4 90 %", gain, "2 3 4")]
    text = tables.render(tables.build(None, columns, rows))
    assert max(map(len, text.splitlines())) <= tables.WIDTH
    assert sorted("".join(text.replace("─", "").split())) == sorted(
        "".join([*columns, *rows[0]]).replace(" ", "").replace(">", "").replace("\n", "")
    )


def test_the_last_number_keeps_its_unit() -> None:
    columns = ["kernel", "type", "shape>", "zeros>", "sparsity>", "stored as", "dense size>", "size>"]
    rows = [("wide/kernel01", "int8", "1024x1024", "838848", "80.00 %", "dense", "1.05 MB", "1.05 MB")]
    assert tables.render(tables.build(None, columns, rows)).endswith("1.05 MB")


def test_numbers_and_words_stay_whole_where_others_can_be_wrapped() -> None:
    columns = ["kernel", "type", "shape>", "zeros>", "sparsity>", "stored as", "dense size>", "size>"]
    row = ("depthwise_conv2d/kernel", "float16", "16x1x1x16", "1048576", "80.00 %", "csr 1x1", "256.0 kB", "256.0 kB")
    text = tables.render(tables.build(None, columns, [row]))
    assert max(map(len, text.splitlines())) <= tables.WIDTH
    words = [row[1], *row[2:5], *row[5].split(), *row[6:]]
    assert all(f"{each} " in f"{text} ".replace("\n", " ") for each in words)
