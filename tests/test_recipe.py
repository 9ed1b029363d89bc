"""Rules and their YAML: every member there and back, and each thing that is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.allocation import SCOPES
from keras_sparse.criterion import CRITERIA
from keras_sparse.pattern import Block, NofM, Pattern, RankedPattern, Unstructured
from keras_sparse.recipe import PATTERNS, RULES, SCHEDULES, Prune, Quantize, Recipe, matches
from keras_sparse.schedule import Constant, Cubic, Linear, OneShot, Schedule

SAMPLES: dict[str, object] = {
    **{"sparsity": 0.75, "n": 1, "m": 4, "shape": (1, 16)},
    **{"at": 0.25, "begin": 0.25, "end": 1.0, "every": 7},
}
"""A value for each argument of a pattern or a schedule."""


def samples(kinds: dict[str, type]) -> list[Any]:
    """One object of each class found."""
    return [cls(**{field.name: SAMPLES[field.name] for field in dataclasses.fields(cls)}) for cls in kinds.values()]


PATTERN_SAMPLES: list[Pattern] = samples(PATTERNS)
SCHEDULE_SAMPLES: list[Schedule] = samples(SCHEDULES)
FULL = Recipe(
    [
        Prune(Block((1, 16), 0.9), OneShot(100), match="dense*/kernel"),
        Prune(NofM(2, 4), Linear(0, 0.5, every=10), match=["a", "b/*"]),
        Prune(Unstructured(0.8), Cubic(0.1, 0.6), criterion="magnitude", scope="global"),
        Quantize(match=["conv*", "dense*"], begin=0.6, freeze=0.9),
    ]
)


def test_members_are_found() -> None:
    assert set(PATTERNS) == {"Unstructured", "Block", "NofM"}
    assert set(SCHEDULES) == {"OneShot", "Constant", "Linear", "Cubic"}


# There and back


@pytest.mark.parametrize("schedule", SCHEDULE_SAMPLES, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("pattern", PATTERN_SAMPLES, ids=lambda each: type(each).__name__)
def test_every_member_through_yaml(tmp_path: Path, pattern: Pattern, schedule: Schedule) -> None:
    recipe = Recipe([Prune(pattern, schedule)])
    recipe.save(tmp_path / "recipe.yaml")
    loaded = Recipe.load(tmp_path / "recipe.yaml")
    assert loaded == recipe
    assert loaded.prune[0] == recipe.prune[0]
    assert hash(loaded) == hash(recipe)
    assert repr(loaded) == repr(recipe)


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_every_criterion_and_scope_through_yaml(tmp_path: Path, criterion: str, scope: str) -> None:
    recipe = Recipe([Prune(Unstructured(0.5), OneShot(3), criterion=criterion, scope=scope)])
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml").prune == recipe.prune


def test_a_whole_recipe_through_yaml(tmp_path: Path) -> None:
    FULL.save(str(tmp_path / "recipe.yaml"))
    loaded = Recipe.load(str(tmp_path / "recipe.yaml"))
    assert loaded == FULL
    assert (loaded.prune, loaded.quantize) == (FULL.prune, FULL.quantize)


def test_the_yaml_is_read_by_people() -> None:
    assert yaml.safe_load(yaml.safe_dump(Recipe([Prune(NofM(1, 4), Cubic(0, 0.5))]).to_dict())) == {
        "format": 1,
        "rules": [
            {
                "rule": "Prune",
                "pattern": {"name": "NofM", "n": 1, "m": 4},
                "schedule": {"name": "Cubic", "begin": 0, "end": 0.5, "every": 100},
                "match": "*",
                "criterion": "magnitude",
                "scope": "layer",
            }
        ],
    }


def test_defaults_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        """
        rules:
          - rule: Prune
            pattern: {name: Unstructured, sparsity: 0.8}
            schedule: {name: Cubic, begin: 0.1, end: 0.6}
          - {rule: Quantize}
        """
    )
    assert Recipe.load(path) == Recipe([Prune(Unstructured(0.8), Cubic(0.1, 0.6)), Quantize()])


@given(at=st.one_of(st.integers(0, 10**9), st.floats(0, 1)))
def test_steps_and_fractions_stay_what_they_are(at: int | float) -> None:
    text = yaml.safe_dump(Recipe([Prune(Unstructured(0.5), OneShot(at))]).to_dict())
    schedule = Recipe.from_dict(yaml.safe_load(text)).prune[0].schedule
    assert isinstance(schedule, OneShot)
    assert (schedule.at, type(schedule.at)) == (at, type(at))


def test_numpy_floats_are_saved(tmp_path: Path) -> None:
    """As from np.linspace, in a sweep."""
    recipe = Recipe([Prune(Unstructured(np.float64(0.5)), OneShot(np.float64(0.25))), Quantize(begin=np.float64(0.5))])
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert hash(recipe) == hash(Recipe([Prune(Unstructured(0.5), OneShot(0.25)), Quantize(begin=0.5)]))


def test_equality() -> None:
    def recipe(at: int | float, sparsity: float = 0.5, match: Any = "*") -> Recipe:
        return Recipe([Prune(Unstructured(sparsity), OneShot(at), match=match)])

    assert recipe(1) == recipe(1)
    assert recipe(1) != recipe(1.0)  # the first step, and the end of the fit
    assert recipe(1) != recipe(2)
    assert recipe(1, match=("a", "b")) == recipe(1, match=["a", "b"])
    assert recipe(1, sparsity=1) == recipe(1, sparsity=1.0)
    assert recipe(1) != "recipe"
    assert len({recipe(1), recipe(1), recipe(1.0)}) == 2


# Rules


def test_a_recipe_sorts_its_rules() -> None:
    assert [type(rule.pattern) for rule in FULL.prune] == [Block, NofM, Unstructured]
    assert FULL.quantize == Quantize(match=["conv*", "dense*"], begin=0.6, freeze=0.9)
    assert Recipe([Quantize()]).prune == ()
    assert Recipe([Prune(NofM(1, 2), Constant())]).quantize is None


@pytest.mark.parametrize(
    ("match", "path", "wanted"),
    [
        ("*", "model/conv/kernel", True),
        ("conv/kernel", "model/conv/kernel", True),
        ("conv/kernel", "conv/kernel", True),
        ("conv/kernel", "model/myconv/kernel", False),
        ("conv", "model/conv/kernel", False),
        ("conv*", "model/conv_1/kernel", True),
        ("*conv*", "model/myconv/kernel", True),
        ("model/*", "model/conv/kernel", True),
        ("conv_[12]/kernel", "conv_2/kernel", True),
        ("conv_[12]/kernel", "conv_3/kernel", False),
        ("CONV/kernel", "conv/kernel", False),
        (["dense/*", "conv/*"], "model/conv/kernel", True),
        (["dense/*", "conv/*"], "model/other/kernel", False),
    ],
)
def test_matches(match: str | list[str], path: str, wanted: bool) -> None:
    assert matches(match, path) is wanted


@pytest.mark.parametrize("match", ["", [], None, 3, ["a", ""], ["a", None], {"a": 1}, [["a"]]])
@pytest.mark.parametrize("make", [lambda match: Prune(NofM(2, 4), OneShot(0), match), lambda m: Quantize(match=m)])
def test_a_wrong_match_is_refused(make: Any, match: object) -> None:
    with pytest.raises(TypeError, match=r"match must be a glob.*Received: match="):
        make(match)


def test_classes_and_names_are_not_patterns_and_schedules() -> None:
    with pytest.raises(TypeError, match=r"pattern must be a Pattern\. Received: pattern=0\.8"):
        Prune(0.8, OneShot(0))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"pattern must be a Pattern"):
        Prune(Unstructured, OneShot(0))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"schedule must be a Schedule\. Received: schedule=100"):
        Prune(Unstructured(0.5), 100)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"pattern must be a Pattern\. Received: pattern=OneShot\(at=0\)"):
        Prune(OneShot(0), Unstructured(0.5))  # type: ignore[arg-type]


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown criterion.*magnitude.*'random'"):
        Prune(Unstructured(0.5), OneShot(0), criterion="random")
    with pytest.raises(ValueError, match=r"Unknown scope.*global.*layer.*'model'"):
        Prune(Unstructured(0.5), OneShot(0), scope="model")
    with pytest.raises(ValueError, match=r"Unknown scheme.*int8.*'int4'"):
        Quantize("int4")


@pytest.mark.parametrize("pattern", PATTERN_SAMPLES, ids=lambda each: type(each).__name__)
def test_one_ranking_is_for_patterns_that_rank(pattern: Pattern) -> None:
    if isinstance(pattern, RankedPattern):
        assert Prune(pattern, OneShot(0), scope="global").scope == "global"
    else:
        with pytest.raises(ValueError, match=r'same number in every group.*scope="layer"'):
            Prune(pattern, OneShot(0), scope="global")


def test_constant_has_no_ranking() -> None:
    with pytest.raises(ValueError, match=r'Constant\(\).*scope="layer"'):
        Prune(Unstructured(0.5), Constant(), scope="global")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"begin": -1}, ValueError, "begin must not be negative"),
        ({"begin": 1.5}, ValueError, r"begin as a float.*\[0, 1\]"),
        ({"begin": "0.5"}, TypeError, "begin must be an int"),
        ({"freeze": 2.0}, ValueError, "freeze as a float"),
        ({"freeze": True}, TypeError, "freeze must be an int"),
        ({"begin": 0.5, "freeze": 0.5}, ValueError, r"freeze must come after begin.*begin=0\.5, freeze=0\.5"),
        ({"begin": 10, "freeze": 9}, ValueError, "freeze must come after begin"),
    ],
)
def test_a_wrong_time_of_quantization_is_refused(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Quantize(**arguments)


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        ([], ValueError, "at least one rule"),
        ([Quantize(), Quantize()], ValueError, "at most one Quantize"),
        ([Unstructured(0.5)], TypeError, r"list of rules.*Prune.*Quantize.*Unstructured"),
        ([{"rule": "Quantize"}], TypeError, "list of rules"),
    ],
)
def test_a_wrong_list_of_rules_is_refused(rules: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Recipe(rules)


# What a file may not hold


def dictionary(**changes: object) -> dict[str, Any]:
    """A good recipe with keys of its first rule changed; `None` takes a key away."""
    data = Recipe([Prune(NofM(1, 4), Cubic(0, 10))]).to_dict()
    rule = data["rules"][0] | changes
    data["rules"] = [{key: value for key, value in rule.items() if value is not None}]
    return data


PRUNE_KEYS = r"\['criterion', 'match', 'pattern', 'rule', 'schedule', 'scope'\]"


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (None, TypeError, "recipe must be a mapping"),
        ([], TypeError, "recipe must be a mapping"),
        ({}, ValueError, r"recipe lacks the keys \['rules'\]"),
        ({"rules": {}}, TypeError, "rules must be a list"),
        ({"rules": []}, ValueError, "at least one rule"),
        (
            {"rules": [], "rule": 1},
            ValueError,
            r"recipe has unknown keys \['rule'\]. Known ones: \['format', 'rules'\]",
        ),
        ({"rules": [], 3: 1}, ValueError, r"unknown keys \['3'\]"),
        ({"format": 2, "rules": []}, ValueError, "reads recipe format 1. Received: format=2"),
        ({"rules": ["Prune"]}, TypeError, r"rules\[0\] must be a mapping with the key 'rule'"),
        ({"rules": [{"match": "*"}]}, TypeError, r"rules\[0\] must be a mapping with the key 'rule'"),
        (dictionary(rule="prune"), ValueError, r"unknown rule. Known ones: \['Prune', 'Quantize'\]. Received: 'prune'"),
        (dictionary(rule=["Prune"]), ValueError, r"unknown rule. Known ones: \['Prune', 'Quantize'\]"),
        (
            dictionary(mach="*"),
            ValueError,
            rf"rules\[0\] \(Prune\) has unknown keys \['mach'\]. Known ones: {PRUNE_KEYS}",
        ),
        (dictionary(pattern=None), ValueError, r"rules\[0\] \(Prune\) lacks the keys \['pattern'\]"),
        (dictionary(pattern="NofM"), TypeError, r"rules\[0\]\.pattern must be a mapping with the key 'name'"),
        (
            dictionary(pattern={"name": "NM", "n": 1, "m": 4}),
            ValueError,
            r"rules\[0\]\.pattern has an unknown name. Known ones: \['Block', 'NofM', 'Unstructured'\]. Received: 'NM'",
        ),
        (dictionary(pattern={"name": "NofM", "n": 1}), ValueError, r"pattern \(NofM\) lacks the keys \['m'\]"),
        (dictionary(pattern={"name": "NofM", "n": 1, "m": 4, "k": 2}), ValueError, r"unknown keys \['k'\]"),
        (dictionary(pattern={"name": "NofM", "n": 5, "m": 4}), ValueError, r"pattern \(NofM\): .*n=5, m=4"),
        (dictionary(pattern={"name": "Pattern"}), ValueError, "unknown name"),
        (dictionary(pattern={"name": "Cubic", "begin": 0, "end": 1}), ValueError, "unknown name"),
        (
            dictionary(schedule={"name": "Cube", "begin": 0, "end": 1}),
            ValueError,
            r"schedule has an unknown name. Known ones: \['Constant', 'Cubic', 'Linear', 'OneShot'\]",
        ),
        (
            dictionary(schedule={"name": "Cubic", "begin": 0, "end": 1.2}),
            ValueError,
            r"schedule \(Cubic\): end as a float",
        ),
        (dictionary(schedule={"name": "_Ramp", "begin": 0, "end": 1}), ValueError, "unknown name"),
        (dictionary(scope="model"), ValueError, r"rules\[0\] \(Prune\): Unknown scope"),
        (dictionary(match=3), TypeError, r"rules\[0\] \(Prune\): match must be a glob"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(data: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Recipe.from_dict(data)


def test_errors_of_a_file_name_it(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for text, words in [
        ("rules: [", "is not YAML"),
        ("rules: !!python/object/apply:os.getcwd []", "line 1, column 8: the tag .* is refused"),
        ("", "must be a mapping"),
        ("rules: []", "at least one rule"),
        ("rules: [{rule: Prun}]", "unknown rule"),
    ]:
        path.write_text(text)
        with pytest.raises((ValueError, TypeError), match=words) as caught:
            Recipe.load(path)
        assert str(caught.value).startswith(str(path))
    path.write_bytes(b"rules: \xff\xfe")
    with pytest.raises(ValueError, match="is not YAML"):
        Recipe.load(path)
    with pytest.raises(FileNotFoundError):
        Recipe.load(tmp_path / "none.yaml")


RULE = "- {rule: Prune, pattern: {name: Unstructured, sparsity: 0.8}, schedule: {name: OneShot, at: 5}}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("format: true\nrules:\n" + RULE, "line 1, column 9: format: this version reads .*format=True"),
        ("format: 1.0\nrules:\n" + RULE, "line 1, column 9: format: this version reads .*format=1.0"),
        ("rules:\n" + RULE.replace("0.8", "0.8, sparsity: 0.9"), "line 2, column 62: the key 'sparsity' is there"),
        ("rules:\n" + RULE.replace("at: 5", "at: 010"), "line 2, column 93: 010 is not the same"),
        ("rules:\n" + RULE.replace("at: 5", "at: 1:30"), "line 2, column 93: 1:30 is not the same"),
        ("rules:\n" + RULE.replace("at: 5", "at: true"), r"line 2, column 73: .*schedule \(OneShot\): at must be"),
        ("rules:\n" + RULE.replace("0.8", "true"), r"line 2, column 26: .*pattern \(Unstructured\): sparsity"),
        ("rules:\n" + RULE.replace("at: 5", "at: -1"), r"line 2, column 73: .*at must not be negative"),
        ("rules:\n" + RULE + RULE.replace("Prune", "Prun"), r"line 3, column 3: rules\[1\] has an unknown rule"),
        ("rules:\n" + RULE.replace("{rule", "{scope: [layer], rule"), r"line 2, column 3: .*Unknown scope"),
        ("rules:\n" + RULE.replace("{rule", "{criterion: [a], rule"), r"line 2, column 3: .*Unknown criterion"),
        ("a: &a [lol, lol]\nb: &b [*a, *a]\n", "line 1, column 4: the anchor &a is refused"),
        ("rules: " + "[" * 50_000, "line 1, column 23: values nest at most 16 deep"),
        ("- " * 50_000, "line 1, column 33: values nest at most 16 deep"),
    ],
)
def test_errors_of_a_file_name_the_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises((ValueError, TypeError), match=r"bad\.yaml, " + words):
        Recipe.load(tmp_path / "bad.yaml")


LAUGHS = "\n".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        f"a: &a [{', '.join(['lol'] * 9)}]\n{LAUGHS}\nrules: *i\n",
        "rules: [" + "x, " * 2_000 + "x]",
        "rules: " + "x" * 200_000,
        "{" + ", ".join(f"key{i}: 1" for i in range(20_000)) + "}",
        "rules:\n" + RULE.replace("0.8", "[" + "1, " * 2_000 + "1]"),
        "rules:\n" + RULE.replace("at: 5", "at: " + "x" * 200_000),
        "rules:\n" + RULE.replace("at: 5", "at: 5, every: [" + "1, " * 2_000 + "1]"),
        "rules:\n" + RULE.replace("{rule", "{scope: " + "x" * 200_000 + ", rule"),
        "rules:\n" + RULE.replace("{rule", "{criterion: " + "x" * 200_000 + ", rule"),
        "rules:\n" + RULE.replace("{rule", "{match: [" + "1, " * 2_000 + "1], rule"),
        "rules:\n" + RULE.replace("Unstructured", "x" * 200_000),
        "rules:\n" + RULE.replace("Unstructured", "Block, shape: [" + "1, " * 2_000 + "1]"),
        "rules:\n- {rule: Quantize, scheme: " + "x" * 200_000 + "}",
        "rules: [" + "x" * (1 << 18) + "]",
    ],
)
def test_no_error_is_long(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises((ValueError, TypeError)) as caught:
        Recipe.load(tmp_path / "bad.yaml")
    assert len(str(caught.value)) < 1000 + len(str(tmp_path)) and "\n" not in str(caught.value)


NAMES = """rules: rule Prune Quantize pattern schedule name Unstructured NofM Block OneShot Cubic sparsity n m shape at
    begin end every match freeze scheme int8 format criterion scope layer global magnitude - [ ] { } : , ? & * ! !! | >
    % # ' " \\ ~ null true yes 010 1:30 0x10 1_000 .inf 1e3 0.5 1 -1 99999999999999999999 &a *a !!int <<: --- ..."""
SPACES = [" ", "  ", "\n", "\n- ", "\n  ", "\n    ", "\t", "\u2028", "\x00", "\ufeff", "\U0001f600"]
WORDS = st.sampled_from([*NAMES.split(), *SPACES])
TEXTS = st.lists(WORDS, max_size=40).map("".join) | st.lists(WORDS, max_size=40).map(" ".join) | st.text()


@given(content=st.binary() | TEXTS.map(str.encode) | TEXTS.map(lambda text: ("rules:\n" + RULE + text).encode()))
def test_nothing_but_documented_errors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        recipe = Recipe.load(path)
    except (ValueError, TypeError) as error:
        assert type(error) in (ValueError, TypeError)  # none of those under them, such as UnicodeDecodeError
        assert str(error).startswith(str(path))
    else:
        recipe.save(path)
        assert Recipe.load(path) == recipe


ODD = ["09", "0o10", "1e3", "1:30", "yes", "null", "~", "*", "&a", "!b", "=", "#", "y", "n"]
GLOBS = st.text(min_size=1) | st.sampled_from(ODD)
TIMES = st.integers(0, 10**6) | st.floats(0, 1)
PATTERN_OBJECTS = st.one_of(
    st.floats(0, 1).map(Unstructured),
    st.builds(Block, st.tuples(st.integers(1, 99), st.integers(1, 99)), st.floats(0, 1)),
    st.integers(1, 9).flatmap(lambda m: st.integers(1, m).map(lambda n: NofM(n, m))),
)
SCHEDULE_OBJECTS = st.one_of(
    TIMES.map(OneShot),
    st.just(Constant()),
    *(
        st.builds(lambda kind, two, every: kind(*sorted(two), every), st.just(kind), times, st.integers(1, 999))
        for kind in (Linear, Cubic)
        for times in (st.tuples(st.integers(0, 99), st.integers(0, 99)), st.tuples(st.floats(0, 1), st.floats(0, 1)))
    ),
)
MATCHES = GLOBS | st.lists(GLOBS, min_size=1, max_size=3)
PRUNES = st.builds(Prune, PATTERN_OBJECTS, SCHEDULE_OBJECTS, MATCHES)
QUANTIZES = st.builds(Quantize, match=MATCHES, begin=st.integers(0, 9), freeze=st.none() | st.integers(10, 99))


@given(rules=st.lists(PRUNES, min_size=1, max_size=3), last=st.lists(QUANTIZES, max_size=1), reason=st.text())
def test_every_recipe_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, rules: list[Any], last: list[Any], reason: str
) -> None:
    recipe, path = Recipe(rules + last), tmp_path_factory.getbasetemp() / "recipe.yaml"
    recipe.save(path)
    assert Recipe.load(path) == recipe
    path.write_text(recipe.to_yaml([reason], [reason] * len(recipe.rules)), encoding="utf-8")
    assert Recipe.load(path) == recipe


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x00", "\ufeff"])
def test_a_name_in_a_comment_stays_there(tmp_path: Path, end: str) -> None:
    """Reasons name the layers of a model, which may come from a stranger."""
    recipe = Recipe([Quantize()])
    text = recipe.to_yaml([f"for the layer x{end}format: 2"], [f"for{end}- rule: Prune"])
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8", newline="")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_key_that_is_written_is_read(name: str) -> None:
    """A key forgotten on the way back is what makes TFMOT's reloaded 2:4 unstructured."""
    rule = {"Prune": FULL.rules[2], "Quantize": FULL.rules[3]}[name]
    assert Recipe.from_dict(Recipe([rule]).to_dict()).rules == (rule,)
    assert set(rule.to_dict()) - {"rule"} == {field.name for field in dataclasses.fields(rule)}


def test_comments_are_for_readers_only() -> None:
    recipe = Recipe([Prune(Unstructured(0.8), OneShot(at=0.5), match="a*"), Quantize()])
    plain = recipe.to_yaml()
    assert plain == yaml.safe_dump(recipe.to_dict(), sort_keys=False)
    told = recipe.to_yaml(["Why: " + "long " * 60], ["for: this\nreason", ""])
    assert yaml.safe_load(told) == recipe.to_dict()
    lines = told.splitlines()
    assert [line for line in lines if not line.startswith("# ")] == plain.splitlines()
    assert lines[lines.index("rules:") + 1] == "# for: this reason" and max(map(len, lines)) <= 120
    with pytest.raises(ValueError, match="shorter"):
        recipe.to_yaml(reasons=["one"])


def test_a_recipe_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe([Prune(Unstructured(0.5), OneShot(0))])
    (tmp_path / "r.yaml").write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        recipe.save(tmp_path / "r.yaml")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        recipe.save(tmp_path / "none" / "r.yaml")
