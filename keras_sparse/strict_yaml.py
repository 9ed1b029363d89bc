"""YAML from strangers: a subset of it, in which a plain word is what it looks like.

- One document of mappings, lists and scalars, in block and flow style, at most `MAX_DEPTH` deep and of at most
  `MAX_VALUES` values; comments.
- Keys are strings, each one once in its mapping.
- Plain scalars are `true`, `false`, `null`, decimal integers (`-12`), decimal floats (`0.5`, `.5`, `1e-3`), strings.
  What YAML 1.1 or 1.2 reads as anything else, or the two differently, is refused: `010`, `0o10`, `0x10`, `0b1`,
  `1_000`, `1:30`, `.inf`, `.nan`, `yes`, `no`, `on`, `off`, `True`, `~`, dates, `=`, `<<`, an empty value. But `1e-3`
  is a number, and `y` and `n` are strings, as in 1.2.
- Quoted and block scalars are strings.
- Anchors, aliases, tags and directives are refused: a few hundred bytes of them make an object of gigabytes, or call
  code.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from keras_sparse.shown import cut, shown

MAX_DEPTH = 16
MAX_VALUES = 20_000  # PyYAML takes a second for so many
MAX_INT = 2**63

Places = dict[str, tuple[int, int]]
"""{"rules[0].pattern": (line, column)} of every value, both counted from 1."""

WORDS = {"true": True, "false": False, "null": None}
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
DIFFERS = re.compile(r"[-+]?[0-9]+|[-+]?0o[0-7]+")
"""What is a string in YAML 1.1, and a number in YAML 1.2: 09, 0o10."""

RESOLVER: Any = yaml.SafeLoader("")
"""Knows the tags of YAML 1.1."""


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that only YAML 1.1 takes for strings, such as 1e3."""

    def ignore_aliases(self, data: object) -> bool:
        return True


for _kind, _pattern in (("float", FLOAT), ("int", DIFFERS)):
    _whole = re.compile(f"^(?:{_pattern.pattern})$")
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _whole, [*"-+.0123456789"])


def dump(value: object) -> str:
    """A value of plain dictionaries, lists, strings and numbers, keys in their order, as `load` reads it.

    >>> dump({"match": "1e3", "at": 0.5})
    "match: '1e3'\\nat: 0.5\\n"
    """
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False))


def load(text: str) -> tuple[Any, Places]:
    """The value of a document, `None` if there is none, and the place of each value in it.

    Raises:
        ValueError: the text is not YAML, or not of the subset; begins with the line and the column.

    >>> load("a: [1, 2.5, x]")[0]
    {'a': [1, 2.5, 'x']}
    >>> load("a: 010")
    Traceback (most recent call last):
    ValueError: line 1, column 4: 010 is not the same in all versions of YAML. Write a decimal number, or quote a string
    """
    return _Reading(text).document()


class _Reading:
    def __init__(self, text: str) -> None:
        try:
            self.loader: Any = yaml.SafeLoader(text)
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            at = before.count("\n") + 1, len(before) - before.rfind("\n")
            raise _refusal(at, f"this is not YAML: {error.reason}, {shown(text[error.position])}") from error
        self.places: Places = {}
        self.left = MAX_VALUES

    def document(self) -> tuple[Any, Places]:
        self.event()  # the start of the stream
        start = self.event()
        if isinstance(start, yaml.StreamEndEvent):
            return None, {}
        if start.version or start.tags:
            raise _refusal(_at(start), "directives (%YAML, %TAG) are refused")
        value = self.value(self.event(), "", MAX_DEPTH)
        self.event()  # the end of the document
        after = self.event()
        if not isinstance(after, yaml.StreamEndEvent):
            raise _refusal(_at(after), "a second document is refused")
        return value, self.places

    def event(self) -> Any:
        try:
            return self.loader.get_event()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or self.loader.get_mark()
            raise _refusal(_position(mark), f"this is not YAML: {cut(str(error.problem))}") from error
        except (ValueError, OverflowError) as error:  # what chr and int say of "\UFFFFFFFF" and %YAML 1.99...
            raise _refusal(_position(self.loader.get_mark()), f"this is not YAML: {cut(str(error))}") from error

    def value(self, event: Any, where: str | None, left: int) -> Any:
        """The value that begins with `event`; `where` is `None` for what is a key."""
        if where is not None:
            self.places[where] = _at(event)
        self.left -= 1
        if self.left < 0:
            raise _refusal(_at(event), f"a document has at most {MAX_VALUES} values")
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(_at(event), f"the alias {cut(f'*{event.anchor}')} is refused. Write the value again")
        if event.anchor is not None:
            raise _refusal(_at(event), f"the anchor {cut(f'&{event.anchor}')} is refused. Leave it out")
        if event.tag is not None:
            raise _refusal(_at(event), f"the tag {cut(event.tag)} is refused. Leave it out")
        if isinstance(event, yaml.ScalarEvent):
            return _plain(event) if event.style is None else event.value
        if left == 0:
            raise _refusal(_at(event), f"values nest at most {MAX_DEPTH} deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(where or "", left - 1)
        return self.mapping(where or "", left - 1)

    def sequence(self, where: str, left: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self.event(), yaml.SequenceEndEvent):
            items.append(self.value(event, f"{where}[{len(items)}]", left))
        return items

    def mapping(self, where: str, left: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := self.event(), yaml.MappingEndEvent):
            key = self.value(event, None, left)
            if not isinstance(key, str):
                raise _refusal(_at(event), f"keys are strings. Received: {shown(key)}")
            if key in pairs:
                raise _refusal(_at(event), f"the key {shown(key)} is there on line {lines[key]} already")
            lines[key] = _at(event)[0]
            pairs[key] = self.value(self.event(), f"{where}.{key}" if where else key, left)
        return pairs


def _plain(event: yaml.ScalarEvent) -> Any:
    """A scalar without quotes."""
    text: str = event.value
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        # the length first: Python refuses to convert very long ones with an error of its own
        if len(text) > 20 or not -MAX_INT <= int(text) < MAX_INT:
            raise _refusal(_at(event), f"integers must fit int64. Received: {cut(text)}")
        return int(text)
    if FLOAT.fullmatch(text):
        if abs(value := float(text)) == float("inf"):
            raise _refusal(_at(event), f"numbers must be finite. Received: {cut(text)}")
        return value
    if not text:
        raise _refusal(_at(event), "a value is missing. Write null, or quote an empty string")
    tag = RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    if tag != "tag:yaml.org,2002:str" or DIFFERS.fullmatch(text):
        raise _refusal(
            _at(event),
            f"{cut(text)} is not the same in all versions of YAML. Write a decimal number, or quote a string",
        )
    return text


def _position(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _at(event: Any) -> tuple[int, int]:
    return _position(event.start_mark)


def _refusal(at: tuple[int, int], words: str) -> ValueError:
    return ValueError(f"line {at[0]}, column {at[1]}: {words}")
