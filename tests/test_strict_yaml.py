"""The subset of YAML that is read: what it gives, and that everything else is refused with its place."""

from __future__ import annotations

import datetime
import string
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from keras_sparse import strict_yaml
from keras_sparse.strict_yaml import MAX_DEPTH, MAX_VALUES

SCALARS: dict[str, Any] = {
    **{"true": True, "false": False, "null": None},
    **{"0": 0, "-12": -12, "+7": 7, "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63)},
    **{"0.5": 0.5, "-.5": -0.5, "1.": 1.0, "1e-3": 1e-3, "1.0e-05": 1e-5, "2E+3": 2e3, "0e0": 0.0},
    **{"conv*/kernel": "conv*/kernel", "3x3/*": "3x3/*", "n": "n", "1.2.3": "1.2.3"},
    **{"a b": "a b", "nan": "nan", "-a": "-a"},
    **{"'010'": "010", '"yes"': "yes", "'*'": "*", "''": "", '"\\u00e9"': "é", "|-\n  on": "on"},
}
DIFFERENT = [
    *("010", "-010", "00", "09", "0o10", "0x10", "0xFF", "0b1", "1_000", "1_0.5", "00.5", "1:30", "1:30.5", "-1:30"),
    *(".inf", "-.inf", "+.Inf", ".nan", ".NaN", "~", "Null", "NULL", "True", "TRUE", "False", "=", "<<"),
    *("yes", "Yes", "YES", "no", "No", "on", "On", "off", "OFF"),
    *("2026-01-01", "2026-01-01 00:00:00"),
]


@pytest.mark.parametrize("text", SCALARS)
def test_what_scalars_are(text: str) -> None:
    value = strict_yaml.load(f"a: {text}")[0]["a"]
    assert (value, type(value)) == (SCALARS[text], type(SCALARS[text]))


@pytest.mark.parametrize("text", DIFFERENT)
@pytest.mark.parametrize("form", ["a:\n  b: {}", "[1,\n   {}]", "{{a: 1,\n   {}: 1}}"])
def test_what_versions_of_yaml_read_differently(text: str, form: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2, column [46]: \S.* is not the same in all versions") as caught:
        strict_yaml.load(form.format(text))
    assert text in str(caught.value)


@given(st.text(string.digits + "+-._:eExobnaifyYtTrus~=<", min_size=1, max_size=8))
@example("1e400")
@example("99999999999999999999")
def test_a_scalar_is_what_yaml_1_1_says_or_refused(text: str) -> None:
    """Or a float without a point, such as 1e-3, which only YAML 1.1 takes for a string."""
    try:
        old = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):  # ValueError: a date such as 2026-99-99
        old = datetime.date  # equal to nothing that is read
    try:
        value = strict_yaml.load(text)[0]
    except ValueError as error:
        assert str(error).startswith("line ")
        return
    if type(value) is float and isinstance(old, str):
        old = float(old)
    if isinstance(value, dict | list):
        return  # of scalars, which are tried alone
    assert (value, type(value)) == (old, type(old))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", r"line 3, column 1: the key 'a' is there on line 1 already"),
        ("{a: {b: 1,\n b: 1}}", r"line 2, column 2: the key 'b' is there on line 1 already"),
        ("a: &x 1", r"line 1, column 4: the anchor &x is refused"),
        ("a: *x", r"line 1, column 4: the alias \*x is refused"),
        ("a: &x [*x]", r"line 1, column 4: the anchor &x is refused"),
        ("&x a: 1", r"the anchor &x is refused"),
        ("a: !!python/object/apply:os.getcwd []", r"line 1, column 4: the tag tag:yaml.org,2002:python/object/apply"),
        ("a: !!str b", r"line 1, column 4: the tag tag:yaml.org,2002:str is refused"),
        ("a: ! b", r"line 1, column 4: the tag ! is refused"),
        ("%YAML 1.1\n---\na: 1", "directives"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "directives"),
        ("a: 1\n---\nb: 1", r"line 2, column 1: a second document is refused"),
        ("a:", r"line 1, column 3: a value is missing"),
        ("a: [1, , 2]", r"line 1, column 8: this is not YAML"),
        ("- ", r"a value is missing"),
        ("1: 2", r"line 1, column 1: keys are strings. Received: 1"),
        ("? [a]\n: 1", r"line 1, column 3: keys are strings. Received: \['a'\]"),
        ("? {a: 1}\n: 1", r"keys are strings"),
        ("null: 1", r"keys are strings"),
        ("a: 99999999999999999999", r"line 1, column 4: integers must fit int64"),
        (f"a: {'9' * 5000}", r"integers must fit int64"),
        ("a: 1e400", r"line 1, column 4: numbers must be finite"),
        ('a: "\\UFFFFFFFF"', r"line 1, column \d+: this is not YAML"),
        ('a: "\\U00110000"', r"this is not YAML"),
        (f"%YAML 1.{'9' * 5000}\n---\n", r"this is not YAML"),
        ("a: \x00", r"line 1, column 4: this is not YAML: special characters are not allowed, '\\x00'"),
        ("a: b\n  \x07", r"line 2, column 3: this is not YAML"),
        ("a: [", r"line 1, column 5: this is not YAML"),
        ("\t- a", r"line 1, column 1: this is not YAML"),
        ("[" * (MAX_DEPTH + 1), rf"line 1, column {MAX_DEPTH + 1}: values nest at most {MAX_DEPTH} deep"),
        ("- " * (MAX_DEPTH + 1) + "a", rf"column {2 * MAX_DEPTH + 1}: values nest at most {MAX_DEPTH} deep"),
        ("{a: " * 100_000, "values nest at most"),
        ("[" + "1, " * MAX_VALUES + "1]", f"a document has at most {MAX_VALUES} values"),
        ("? " * 100_000, "nest at most"),
    ],
)
def test_what_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=rf"^(?=line \d+, column \d+: ).*{words}") as caught:
        strict_yaml.load(text)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_places() -> None:
    value, places = strict_yaml.load("# x\nrules:\n- rule: Prune\n  pattern: {n: 1}\n- [2]\n")
    assert value == {"rules": [{"rule": "Prune", "pattern": {"n": 1}}, [2]]}
    assert places["rules[0].pattern"] == (4, 12)
    assert places["rules[0].pattern.n"] == (4, 16)
    assert places["rules[1][0]"] == (5, 4)


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n"])
def test_no_document(text: str) -> None:
    assert strict_yaml.load(text) == (None, {})


def test_the_deepest_that_is_read() -> None:
    assert strict_yaml.load("[" * MAX_DEPTH + "]" * MAX_DEPTH)[0] is not None


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    LEAVES | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    max_leaves=12,
)


@given(TREES)
@example({"09": "1e3", "0o10": ["-09", "1:30", "yes", "", "=", "2026-01-01", "\u2028", "\ud800", "*", "&a", "!b"]})
@example([1e-05, 1e22, -0.0, 1.5e300])
def test_what_is_written_is_read(value: Any) -> None:
    text = strict_yaml.dump(value)
    assert repr(strict_yaml.load(text)[0]) == repr(value)
    assert repr(yaml.safe_load(text)) == repr(value)


def test_what_is_written_twice_has_no_anchors() -> None:
    shared = [1, 2]
    assert strict_yaml.load(strict_yaml.dump([shared, shared]))[0] == [shared, shared]
