"""Rules as people write them, in YAML that reads as sentences, to the canonical documents and back.

    - rule: desk-to-the-book
      permit:
      when: {action: TRANSFER, initiator.role: trader, destination.type: WHITELISTED}
    - rule: big-transfers-need-risk
      require: {approvals: 2, from groups: [risk], distinct teams: yes, expires after: 1h}
      when: {action: [TRANSFER, CALL], amount.usd: above 1,000,000 USD}
    - rule: daily
      limit: {usd: 500,000, per: [initiator], every: 24h}
      when: {action: [TRANSFER, APPROVE, CALL]}

A condition is a value, a list of values, or ``not``, ``above``, ``at least``, ``below``, ``at most``, ``starts with``
and a value; as a map (``{at least: 1, at most: 5}``) it may be several of them. A limit without ``every`` is for one
order. Unknown keys, fields and units are refused; errors name line, rule and field. What rules mean together is checked
in `oms_core.policy.check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from oms_core.chains.address import parse_address
from oms_core.errors import Malformed, Reason
from oms_core.policy import parts, units
from oms_core.policy.fields import Field, Type, field_named
from oms_core.policy.parts import Zones
from oms_core.policy.rules import Kind, Operator, Requirement, Rule, Test, Zone
from oms_core.policy.tree import Items, Misplaced, Scalar, Table, Tree, read_tree
from oms_core.policy.writing import WORDS, assets_of, requirement_to_yaml, rules_to_yaml, worded
from oms_core.workspace import Asset

__all__ = ["requirement_from_yaml", "requirement_to_yaml", "rules_from_yaml", "rules_to_yaml"]

T = TypeVar("T")

_KEYS = {"rule", "description", "owner", "when", "during", "enabled", "starts", "ends", *(k.lower() for k in Kind)}
_OPERATORS = {"is": Operator.IS, **{word: operator for operator, word in WORDS.items()}}


def rules_from_yaml(text: str, assets: Iterable[Asset] = (), zones: Iterable[Zone] = ()) -> tuple[Rule, ...]:
    """Read rules. Symbols and units are those of ``assets``, zones may be named if they are among ``zones`` or UTC.

    Raises `Malformed`, UNKNOWN_FIELD for a key or field that there is not.
    """
    tree = read_tree(text)
    if not isinstance(tree, Items):
        raise Misplaced(f"line {tree.line}: rules are a list, each beginning with '- rule: ...'")
    registered, known = tuple(assets), Zones(zones)
    read: dict[str, Rule] = {}
    for one in tree.items:
        rule = _rule(one, registered, known)
        if rule.rule_id in read:
            raise Misplaced(f"line {one.line}, rule {rule.rule_id[:64]}: there is one of this name before it")
        read[rule.rule_id] = rule
    return tuple(read.values())


def requirement_from_yaml(text: str) -> Requirement:
    """A requirement by itself, as in the governance. Raises `Malformed`."""
    tree = read_tree(text)
    with _at(tree.line):
        return parts.requirement(tree)


@contextmanager
def _at(line: int, *names: str) -> Iterator[None]:
    """Say where, once: line, rule and field."""
    try:
        yield
    except Misplaced:
        raise
    except Malformed as error:
        named = ", ".join((f"line {line}", *(name for name in names if name)))
        raise Misplaced(f"{named}: {error.message}", error.reason) from None


def _rule(tree: Tree, assets: tuple[Asset, ...], zones: Zones) -> Rule:
    if not isinstance(tree, Table) or not isinstance(tree.entries.get("rule"), Scalar):
        raise Misplaced(f"line {tree.line}: a rule is a map that begins with 'rule:' and its id")
    with _at(tree.line, "rule"):
        rule_id = parts.text(tree.entries["rule"])
    named = f"rule {rule_id[:64]}"
    for key in tree.entries:
        if key not in _KEYS:
            raise Misplaced(f"line {tree.lines[key]}, {named}: unknown key {key[:64]!r}", Reason.UNKNOWN_FIELD)
    kinds = [kind for kind in Kind if kind.lower() in tree.entries]
    if len(kinds) != 1:
        raise Misplaced(f"line {tree.line}, {named}: one of permit, deny, limit, require")
    when = _when(tree.entries.get("when"), named, assets)
    reader, about = _Reader(tree, named), assets_of(when, assets)
    does = kinds[0].lower()
    if kinds[0] in (Kind.PERMIT, Kind.DENY) and not parts.empty(tree.entries[does]):
        raise Misplaced(f"line {tree.lines[does]}, {named}, {does}: nothing follows; conditions stand under 'when'")
    return Rule(
        rule_id=rule_id,
        kind=kinds[0],
        description=reader.read("description", parts.text, ""),
        owner=reader.read("owner", parts.text, ""),
        when=when,
        during=reader.read("during", lambda body: parts.hours(body, zones), None),
        caps=reader.read("limit", lambda body: parts.caps(body, about, zones), ()),
        requirement=reader.read("require", parts.requirement, None),
        enabled=reader.read("enabled", parts.flag, True),
        starts=reader.read("starts", parts.moment, 0),
        ends=reader.read("ends", parts.moment, 0),
    )


class _Reader:
    """A rule's entries by name, with errors that say where."""

    def __init__(self, table: Table, named: str) -> None:
        self._table, self._named = table, named

    def read(self, name: str, how: Callable[[Tree], T], default: T) -> T:
        """What stands under a name, or the default."""
        if name not in self._table.entries:
            return default
        with _at(self._table.lines[name], self._named, name):
            return how(self._table.entries[name])


def _when(tree: Tree | None, named: str, assets: tuple[Asset, ...]) -> tuple[Test, ...]:
    """All tests, in their order. Those on amounts are read last: their units are those of the rule's asset.

    Conditions that are announced and do not follow would leave a rule that always applies; who means it writes {}.
    """
    if tree is None:
        return ()
    tables = tree.items if isinstance(tree, Items) else (tree,)
    if parts.empty(tree) or not tables:
        raise Misplaced(f"line {tree.line}, {named}, when: no condition follows")
    entries: list[tuple[int, Field, Tree]] = []
    for table in tables:
        if not isinstance(table, Table):
            raise Misplaced(f"line {table.line}, {named}: conditions are 'field: condition'")
        for name, condition in table.entries.items():
            with _at(table.lines[name], named, name[:64]):
                entries.append((table.lines[name], field_named(name), condition))
    read: dict[int, list[Test]] = {}
    about: tuple[Asset, ...] = ()
    for amounts in (False, True):
        for place, (line, field, condition) in enumerate(entries):
            if (field.type is Type.AMOUNT) is amounts:
                with _at(line, named, field.name):
                    read[place] = list(_tests(field, condition, assets, about))
        about = assets_of([test for tests in read.values() for test in tests], assets)
    return tuple(test for place in range(len(entries)) for test in read[place])


def _tests(field: Field, tree: Tree, assets: tuple[Asset, ...], about: tuple[Asset, ...]) -> Iterator[Test]:
    if isinstance(tree, Table):
        if not tree.entries:
            raise Malformed("no condition follows")
        for word, value in tree.entries.items():
            if word not in _OPERATORS:
                raise Malformed(f"{word[:20]!r} is none of {', '.join(_OPERATORS)}", Reason.UNKNOWN_FIELD)
            yield _test(field, _OPERATORS[word], value, assets, about)
        return
    if isinstance(tree, Scalar) and (not tree.quoted or not (field.is_text or field.type is Type.ANY)):
        for operator, word in WORDS.items():
            if tree.text.startswith(f"{word} "):
                rest = Scalar(tree.line, tree.text.removeprefix(word).strip(), tree.quoted)
                yield _test(field, operator, rest, assets, about)
                return
    if isinstance(tree, Scalar) and tree.quoted and worded(tree.text):
        raise Malformed(f"{tree.text[:40]!r} is a text here; a condition is not quoted, a text stands under 'is'")
    yield _test(field, Operator.IS, tree, assets, about)


def _test(field: Field, operator: Operator, tree: Tree, assets: tuple[Asset, ...], about: tuple[Asset, ...]) -> Test:
    if operator not in field.operators:
        raise Malformed(f"cannot be compared by {WORDS.get(operator, 'is')!r}")
    items = tree.items if isinstance(tree, Items) else (tree,)
    if not all(isinstance(item, Scalar) for item in items):
        raise Malformed("a value, or a list of values")
    values = tuple(_value(field, item, assets, about) for item in items if isinstance(item, Scalar))
    if operator not in (Operator.IS, Operator.IS_NOT) and len(values) != 1:
        raise Malformed(f"{WORDS[operator]!r} takes one value")
    return Test(field.name, operator, values)


def _value(field: Field, tree: Scalar, assets: tuple[Asset, ...], about: tuple[Asset, ...]) -> int | str:
    if not tree.quoted and worded(tree.text):
        raise Malformed(f"{tree.text[:40]!r} begins like a condition; as a text it is quoted")
    match field.type:
        case Type.AMOUNT:
            return units.base_units(tree.text, about)
        case Type.ASSET:
            return _asset(tree.text, assets)
        case Type.ANY:
            return tree.text if tree.quoted else parts.number_or_text(tree.text)
    value = _READ[field.type](tree.text)
    if field.choices and value not in field.choices:
        raise Malformed(f"{tree.text[:40]!r} is none of {', '.join(field.choices)}")
    return value


def _path(text: str) -> str:
    return text if text.endswith("/") else text + "/"


def _address(text: str) -> str:
    parse_address(text, allow_lower=False)
    return text


def _asset(text: str, assets: tuple[Asset, ...]) -> str:
    if "/" in text:
        return text
    held = [asset.asset for asset in assets if asset.symbol == text]
    if len(held) != 1:
        raise Malformed(f"{text[:40]!r} is the symbol of {len(held)} registered assets; CAIP-19 names are exact")
    return held[0]


_READ: dict[Type, Callable[[str], int | str]] = {
    Type.TEXT: str,
    Type.ADDRESS: _address,
    Type.PATH: _path,
    Type.NUMBER: units.whole,
    Type.WEI: units.wei,
    Type.USD: units.micro_usd,
    Type.SECONDS: units.seconds,
    Type.FLAG: lambda text: int(parts.yes(text)),
}
