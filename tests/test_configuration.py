"""Configurations of models: what is refused anywhere inside one, by the name of the layer."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse import configuration
from keras_sparse.configuration import CODE, MAX_DEPTH, VALUES


def anything(described: dict[str, Any]) -> bool:
    return True


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=10,
)


@given(config=PLAIN, keys=st.lists(st.text() | st.none(), max_size=20), kind=st.sampled_from(sorted(CODE)))
def test_code_is_found_wherever_it_is(config: Any, keys: list[str | None], kind: str) -> None:
    value: Any = {"class_name": kind, "config": {"name": "bad"}}
    for key in keys:
        value = [config, value] if key is None else {"a": config, key: value}
    with pytest.raises(ValueError, match=rf"layer 'bad' \({kind}\) holds code"):
        configuration.check(value, anything)
    with pytest.raises(ValueError, match="holds code"):
        configuration.check(configuration.parse(json.dumps(value)), anything)


@given(PLAIN)
def test_what_holds_no_class_passes(config: Any) -> None:
    if "class_name" not in json.dumps(config):
        configuration.check(config, lambda each: False)


def test_plain_values_need_not_be_known() -> None:
    for kind in VALUES:
        configuration.check({"class_name": kind, "items": [1, 2]}, lambda each: False)


@pytest.mark.parametrize("value", ["lambda", "raw"])
def test_bytecode_of_any_class(value: str) -> None:
    layer = {"class_name": "Wrapper", "config": {"name": "w", "residual_fn": ["4w"], "residual_fn_type": value}}
    with pytest.raises(ValueError, match=r"layer 'w' \(Wrapper\) holds code"):
        configuration.check([layer], anything)


def test_the_layer_that_is_named_is_the_one_it_is_in() -> None:
    layer = {"class_name": "Dense", "config": {"name": "d", "kernel_initializer": {"class_name": "Odd", "config": {}}}}
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}
    with pytest.raises(ValueError, match=r"layer 'd' \(Dense\): Odd is of a class that is not known"):
        configuration.check(model, lambda each: each["class_name"] != "Odd")


def test_depth_and_length_are_bounded() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    configuration.check(deep, anything)
    with pytest.raises(ValueError, match="nests at most"):
        configuration.check([deep], anything)
    with pytest.raises(ValueError, match="nests at most"):
        configuration.check(configuration.parse("[" * 500 + "]" * 500), anything)
    for text in ("[" * 10**6, "[" * 10**6 + "]" * 10**6):
        with pytest.raises(ValueError, match=r"nests at most|Expecting"):
            configuration.check(configuration.parse(text), anything)


def test_an_archive_that_unpacks_to_more(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (configuration.MAX_BYTES + 1))
    assert (tmp_path / "m.keras").stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"config\.json of at most"):
        configuration.archived(tmp_path / "m.keras")
