"""YAML, as far as rules are written in it: maps, lists and scalars, each with its line. All scalars are text.

Refused are anchors and aliases (one line could stand for a billion), tags, several documents, keys that repeat, and
what is nested too deeply. A number with commas inside braces, ``{usd: 500,000}``, which YAML takes for two entries, is
read as people mean it, if nothing but digits follow the comma at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from oms_core.errors import Malformed, Reason

MAX_TEXT = 4 << 20  # characters
MAX_DEPTH = 12
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MORE_DIGITS = re.compile(r"[0-9]{3}(?:\.[0-9]+)?(?: [A-Za-z][A-Za-z0-9.]*)?\Z")


class Misplaced(Malformed):
    """Something wrong, with the line it is in said already."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. ``quoted`` tells ``"12"``, a text, from ``12``, a number."""

    line: int
    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A map; keys are text, and each has its line."""

    line: int
    entries: dict[str, Tree]
    lines: dict[str, int]


Tree = Scalar | Items | Table


def read_tree(text: str) -> Tree:
    """The one document in a text. Raises `Malformed` that names the line."""
    if len(text) > MAX_TEXT:
        raise Malformed(f"more than {MAX_TEXT} characters of rules", Reason.TOO_LARGE)
    try:
        _scan(text)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Misplaced(f"line {mark.line + 1 if mark else 1}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise Misplaced(f"line 1: not YAML: {type(error).__name__}") from None
    return _tree(node) if node is not None else Items(1, ())


def _line(mark: Any) -> int:
    return int(mark.line) + 1


def _scan(text: str) -> None:
    """What is refused before anything is built."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = _line(event.start_mark)
        if getattr(event, "anchor", None) is not None:
            raise Misplaced(f"line {line}: anchors and aliases are not taken")
        if getattr(event, "tag", None) is not None:
            raise Misplaced(f"line {line}: tags are not taken")
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or documents > 1:
            raise Misplaced(f"line {line}: {'nested too deeply' if depth > MAX_DEPTH else 'more than one document'}")


def _tree(node: yaml.Node) -> Tree:
    line = _line(node.start_mark)
    if isinstance(node, yaml.ScalarNode):
        return Scalar(line, node.value, bool(node.style))
    if isinstance(node, yaml.SequenceNode):
        return Items(line, tuple(_tree(one) for one in node.value))
    entries: dict[str, Tree] = {}
    flow = bool(getattr(node, "flow_style", False))
    lines: dict[str, int] = {}
    last, end = "", -1
    for key, value in node.value:
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise Misplaced(f"line {at}: a key is text")
        before = entries.get(last)
        if isinstance(before, Scalar) and flow and _goes_on(before, end, key, value):
            entries[last] = Scalar(before.line, f"{before.text},{key.value}", before.quoted)
        elif key.value in entries:
            raise Misplaced(f"line {at}: {key.value[:64]!r} stands there twice")
        else:
            last, entries[key.value], lines[key.value] = key.value, _tree(value), at
        end = key.end_mark.index if not value.value and isinstance(value, yaml.ScalarNode) else value.end_mark.index
    return Table(line, entries, lines)


def _goes_on(before: Scalar, end: int, key: yaml.ScalarNode, value: yaml.Node) -> bool:
    """Whether what YAML takes for a key without a value is the rest of the number before the comma."""
    alone = isinstance(value, yaml.ScalarNode) and not value.value and not value.style and not key.style
    after_a_digit = not before.quoted and before.text[-1:].isdigit() and key.start_mark.index == end + 1
    return bool(alone and after_a_digit and _MORE_DIGITS.match(key.value))
