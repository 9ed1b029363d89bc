"""What is done to which layers, when: rules, and their YAML."""

from __future__ import annotations

import fnmatch
import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_sparse import allocation, criterion, pattern, schedule, strict_yaml
from keras_sparse.atomic import write_atomically
from keras_sparse.pattern import Pattern, RankedPattern
from keras_sparse.schedule import Constant, Schedule, Step, check_step
from keras_sparse.shown import shown

FORMAT = 1
MAX_BYTES = 1 << 18
"""The longest file that is read as a recipe; one with a glob for each of a thousand layers has 30 thousand."""

WIDTH = 110
"""Characters in a line of comment."""


def members(module: Any, base: type) -> dict[str, type]:
    """The public concrete classes of `module` under `base`: a new one is known to YAML by being there."""
    return {
        name: cls
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls) and name[0] != "_"
    }


PATTERNS = members(pattern, Pattern)
SCHEDULES = members(schedule, Schedule)
SCHEMES = ("int8",)


def matches(match: str | Sequence[str], path: str) -> bool:
    """Whether the glob, or one of several, matches the variable's path or the end of it after a "/".

    >>> matches("conv*/kernel", "model/conv_1/kernel"), matches("conv", "conv_1/kernel")
    (True, False)
    """
    globs = [match] if isinstance(match, str) else match
    return any(fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, f"*/{glob}") for glob in globs)


def _check_match(match: object) -> None:
    globs = [match] if isinstance(match, str) else match
    if not isinstance(globs, list | tuple) or not globs or not all(isinstance(g, str) and g for g in globs):
        raise TypeError(f"match must be a glob over variable paths, or a list of globs. Received: match={shown(match)}")


@dataclass(frozen=True)
class Prune:
    """One rule: prune the matched kernels to `pattern`, as `schedule` says.

    Args:
        pattern: which zeros: `Unstructured`, `Block` or `NofM`.
        schedule: when: `OneShot`, `Linear`, `Cubic` or `Constant`.
        match: glob over variable paths such as "conv*/kernel", or a list of globs; "*" is every kernel.
        criterion: what matters; "magnitude".
        scope: "layer" (each kernel gets the pattern's sparsity) or "global" (all of the rule's kernels together).

    >>> from keras_sparse.pattern import NofM
    >>> from keras_sparse.schedule import OneShot
    >>> Prune(NofM(2, 4), OneShot(at=0.5), match="conv*/kernel").to_dict()["pattern"]
    {'name': 'NofM', 'n': 2, 'm': 4}
    """

    pattern: Pattern
    schedule: Schedule
    match: str | Sequence[str] = "*"
    criterion: str = "magnitude"
    scope: str = "layer"

    def __post_init__(self) -> None:
        for name, value, base in (("pattern", self.pattern, Pattern), ("schedule", self.schedule, Schedule)):
            if not isinstance(value, base):
                raise TypeError(f"{name} must be a {base.__name__}. Received: {name}={shown(value)}")
        _check_match(self.match)
        criterion.get(self.criterion)
        allocation.get(self.scope)
        if self.scope == "global" and not isinstance(self.pattern, RankedPattern):
            raise ValueError(
                f'scope="global" ranks units over layers, and {self.pattern} keeps the same number in every group. '
                'Use scope="layer".'
            )
        if self.scope == "global" and isinstance(self.schedule, Constant):
            raise ValueError('Constant() keeps the zeros of each layer where they are: use scope="layer".')

    def to_dict(self) -> dict[str, object]:
        return {
            "rule": "Prune",
            "pattern": self.pattern.to_dict(),
            "schedule": self.schedule.to_dict(),
            "match": self.match if isinstance(self.match, str) else list(self.match),
            "criterion": self.criterion,
            "scope": self.scope,
        }


@dataclass(frozen=True)
class Quantize:
    """One rule: quantization-aware training of the matched layers.

    Args:
        scheme: "int8": symmetric per-channel weights, asymmetric per-tensor activations.
        match: glob over the paths of kernels, or a list of globs. Layers without a kernel (Add, pooling, ...) follow
            the layers around them.
        begin: optimizer step or fraction of the fit at which fake quantization is switched on.
        freeze: optimizer step or fraction from which activation ranges stay as they are; `None`: learned to the end.

    >>> Quantize(begin=0.5, freeze=0.9).match
    '*'
    """

    scheme: str = "int8"
    match: str | Sequence[str] = "*"
    begin: Step = 0.0
    freeze: Step | None = None

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"Unknown scheme. Known ones: {list(SCHEMES)}. Received: scheme={shown(self.scheme)}")
        _check_match(self.match)
        object.__setattr__(self, "begin", check_step("begin", self.begin))
        if self.freeze is not None:
            object.__setattr__(self, "freeze", check_step("freeze", self.freeze))
            if type(self.freeze) is type(self.begin) and self.freeze <= self.begin:
                raise ValueError(
                    "freeze must come after begin, or no range is ever learned. "
                    f"Received: begin={self.begin!r}, freeze={self.freeze!r}"
                )

    def to_dict(self) -> dict[str, object]:
        return {
            "rule": "Quantize",
            "scheme": self.scheme,
            "match": self.match if isinstance(self.match, str) else list(self.match),
            "begin": self.begin,
            "freeze": self.freeze,
        }


Rule = Prune | Quantize
RULES: dict[str, type[Prune] | type[Quantize]] = {"Prune": Prune, "Quantize": Quantize}


class Recipe:
    """What is done to which layers, when: any number of `Prune` rules and at most one `Quantize` rule.

    Where several `Prune` rules match one kernel, the first one has it.

    >>> from keras_sparse.pattern import Unstructured
    >>> from keras_sparse.schedule import Cubic
    >>> recipe = Recipe([Prune(Unstructured(0.8), Cubic(begin=0.1, end=0.6)), Quantize(begin=0.6)])
    >>> Recipe.from_dict(recipe.to_dict()) == recipe
    True
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules: tuple[Rule, ...] = tuple(rules)
        for rule in self.rules:
            if not isinstance(rule, Prune | Quantize):
                raise TypeError(f"A recipe is a list of rules ({sorted(RULES)}). Received: {shown(rule)}")
        if not self.rules:
            raise ValueError("A recipe needs at least one rule. Received: an empty list")
        if sum(isinstance(rule, Quantize) for rule in self.rules) > 1:
            raise ValueError("A recipe has at most one Quantize rule; give it a list of globs as match.")

    @property
    def prune(self) -> tuple[Prune, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, Prune))

    @property
    def quantize(self) -> Quantize | None:
        return next((rule for rule in self.rules if isinstance(rule, Quantize)), None)

    def __eq__(self, other: object) -> bool:
        # As text: 1 is an optimizer step and 1.0 the end of the fit, which Python holds to be equal.
        return isinstance(other, Recipe) and repr(self.to_dict()) == repr(other.to_dict())

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    def __repr__(self) -> str:
        return f"Recipe({list(self.rules)!r})"

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "rules": [rule.to_dict() for rule in self.rules]}

    @classmethod
    def from_dict(cls, data: object) -> Recipe:
        """The recipe of a plain dictionary; what is unknown or missing is refused with what is known."""
        content = _mapping("recipe", data, required={"rules"}, optional={"format"})
        if type(content.get("format", FORMAT)) is not int or content.get("format", FORMAT) != FORMAT:
            raise ValueError(
                f"format: this version reads recipe format {FORMAT}. Received: format={shown(content['format'])}"
            )
        if not isinstance(content["rules"], list):
            raise TypeError(f"rules must be a list. Received: rules={shown(content['rules'])}")
        return cls([_rule(f"rules[{index}]", rule) for index, rule in enumerate(content["rules"])])

    def save(self, path: str | Path) -> None:
        """Writes the recipe as YAML, whole or not at all."""
        write_atomically(path, self.to_yaml().encode())

    def to_yaml(self, heading: Sequence[str] = (), reasons: Sequence[str] = ()) -> str:
        """The recipe as YAML, with comments for those who read it.

        Args:
            heading: paragraphs above all.
            reasons: one for each rule, above it; none at all by default.
        """
        text = "".join(_comment(each) for each in heading) + f"format: {FORMAT}\nrules:\n"
        for rule, reason in zip(self.rules, reasons or [""] * len(self.rules), strict=True):
            text += _comment(reason) + strict_yaml.dump([rule.to_dict()])
        return text

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Reads a recipe from a file of YAML in UTF-8, of at most 256 KiB.

        It may come from strangers: it is read in the subset of YAML that `strict_yaml` describes, without anchors,
        aliases and tags, with each key once, and with decimal numbers only. `010`, `0x10`, `1_000`, `1:30`, `.inf`,
        `yes` and `off`, which mean different things in different versions of YAML, are refused.

        Raises:
            ValueError: the file is too long, is not YAML of that subset, or has an unknown name, a missing key or a
                value out of its range.
            TypeError: a value is of another type than was required.
            OSError: the file cannot be read, or is not there (FileNotFoundError).

        ValueError and TypeError begin with the file, the line and the column.
        """
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"{path}: a recipe of at most {MAX_BYTES} bytes was required. Received: more")
        try:
            data, places = strict_yaml.load(content.decode())
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: this is not YAML in UTF-8: {error.reason} at byte {error.start}") from error
        except ValueError as error:
            raise ValueError(f"{path}, {error}") from error
        try:
            return cls.from_dict(data)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{path}, {_place(places, str(error))}: {error}") from error


def _place(places: strict_yaml.Places, message: str) -> str:
    """The line and the column of what a message of `from_dict` begins with, such as "rules[0].pattern"."""
    named = (where for where in places if where and re.match(re.escape(where) + r"[ .:\[]", message))
    line, column = places.get(max(named, key=len, default=""), (1, 1))
    return f"line {line}, column {column}"


def _comment(text: str) -> str:
    """A paragraph as lines of comment; what would end one, as some Unicode does in YAML, is written as an escape."""
    text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in " ".join(text.split()))
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def _mapping(where: str, data: object, required: set[str], optional: set[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise TypeError(
            f"{where} must be a mapping with the keys {sorted(required | optional)}. Received: {shown(data)}"
        )
    unknown, missing = set(data) - required - optional, required - set(data)
    if unknown:
        raise ValueError(
            f"{where} has unknown keys {shown(sorted(map(str, unknown)))}. Known ones: {sorted(required | optional)}"
        )
    if missing:
        raise ValueError(f"{where} lacks the keys {sorted(missing)}. Received: {shown(dict(data))}")
    return data


def _construct(where: str, data: object, kinds: Mapping[str, type], tag: str) -> Any:
    """The object that `data` describes: its class is named by `data[tag]`, all other keys are its arguments."""
    if not isinstance(data, Mapping) or tag not in data:
        raise TypeError(f"{where} must be a mapping with the key {tag!r}. Received: {shown(data)}")
    name = data[tag]
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"{where} has an unknown {tag}. Known ones: {sorted(kinds)}. Received: {shown(name)}")
    parameters = inspect.signature(kinds[name]).parameters.values()
    required = {p.name for p in parameters if p.default is p.empty}
    arguments = dict(_mapping(f"{where} ({name})", data, required | {tag}, {p.name for p in parameters} - required))
    del arguments[tag]
    for key, members_ in (("pattern", PATTERNS), ("schedule", SCHEDULES)):
        if tag == "rule" and key in arguments:
            arguments[key] = _construct(f"{where}.{key}", arguments[key], members_, "name")
    try:
        return kinds[name](**arguments)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{where} ({name}): {error}") from error


def _rule(where: str, data: object) -> Any:
    return _construct(where, data, RULES, "rule")
