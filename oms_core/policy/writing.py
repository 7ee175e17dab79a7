"""Rules as YAML: what `oms_core.policy.text` reads as the same rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC as _UTC
from datetime import date, datetime, timedelta

from oms_core.errors import Malformed
from oms_core.policy import units
from oms_core.policy.fields import Field, Type, field_named
from oms_core.policy.hours import UTC
from oms_core.policy.rules import Cap, Hours, Kind, Operator, Quorum, Requirement, Rule, Test, Unit, Zone
from oms_core.workspace import Asset

WORDS = {
    Operator.ABOVE: "above",
    Operator.AT_LEAST: "at least",
    Operator.BELOW: "below",
    Operator.AT_MOST: "at most",
    Operator.STARTS: "starts with",
    Operator.IS_NOT: "not",
}
FLAGS = ("yes", "no", "true", "false", "on", "off", "null", "~")
"""What people write for 1, 0 and nothing, and no decoded value ever is."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH = date(1970, 1, 1)
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .,_/()%+@:-]*[A-Za-z0-9./)%])?\Z")
_NUMERIC = re.compile(r"-?[0-9][0-9,.]*( USD)?\Z")
_LAST = 253_402_300_800

Node = str | Sequence["Node"] | Mapping[str, "Node"]


def rules_to_yaml(rules: Iterable[Rule], assets: Iterable[Asset] = ()) -> str:
    """The rules as people write them; symbols and units are those of ``assets``. Raises `Malformed`."""
    registered = tuple(assets)
    return "\n".join(_block([_rule(rule, registered)], 0) for rule in rules)


def requirement_to_yaml(requirement: Requirement) -> str:
    """A requirement by itself, as in the governance."""
    return _block(_requirement(requirement), 0) or "{}\n"


def _rule(rule: Rule, assets: tuple[Asset, ...]) -> Node:
    about = assets_of(rule.when, assets)
    made: dict[str, Node] = {"rule": _text(rule.rule_id)}
    if rule.description:
        made["description"] = _text(rule.description)
    if rule.owner:
        made["owner"] = _text(rule.owner)
    made[rule.kind.lower()] = ""
    if rule.kind is Kind.LIMIT:
        caps = [_cap(cap, about) for cap in rule.caps]
        made["limit"] = caps[0] if len(caps) == 1 else caps
    elif rule.kind is Kind.REQUIRE and rule.requirement is not None:
        made["require"] = _requirement(rule.requirement)
    if rule.when:
        tests = [(test.field, _condition(test, about, assets)) for test in rule.when]
        unique = len(dict(tests)) == len(tests)
        made["when"] = dict(tests) if unique else [{name: condition} for name, condition in tests]
    if rule.during is not None:
        made["during"] = _hours(rule.during)
    if not rule.enabled:
        made["enabled"] = "no"
    if rule.starts:
        made["starts"] = moment(rule.starts)
    if rule.ends:
        made["ends"] = moment(rule.ends)
    return made


def assets_of(when: Iterable[Test], assets: Iterable[Asset]) -> tuple[Asset, ...]:
    """The registered assets that a rule speaks of alone; none if it speaks of others, too."""
    named = {value for test in when if (test.field, test.operator) == ("asset", Operator.IS) for value in test.values}
    held = tuple(asset for asset in assets if asset.asset in named)
    return held if len(held) == len(named) else ()


def _condition(test: Test, about: tuple[Asset, ...], assets: tuple[Asset, ...]) -> Node:
    field = field_named(test.field)
    values = [_value(field, value, about, assets) for value in test.values]
    word = WORDS.get(test.operator)
    if word is None and len(values) == 1:
        return {"is": values[0]} if worded(str(test.values[0])) else values[0]
    if word is None:
        return values
    if len(values) == 1 and not values[0].startswith('"'):
        return f"{word} {values[0]}"
    return {word: values[0] if len(values) == 1 else values}


def condition_words(test: Test, about: tuple[Asset, ...] = ()) -> str:
    """A test as a sentence, for a trace; amounts in units of the asset that it is about, if it is one."""
    field = _field(test.field)
    values = ", ".join(_value(field, value, about, ()) for value in test.values)
    return f"{test.field} {WORDS.get(test.operator, 'is')} {values or 'nothing'}"


def value_words(name: str, value: int | str, about: tuple[Asset, ...]) -> str:
    """What a field of this name shows, for a trace: numbers in the field's units, texts as they are."""
    return value if isinstance(value, str) else _value(_field(name), value, about, ())


def _field(name: str) -> Field:
    try:
        return field_named(name)
    except Malformed:
        return Field(name, Type.ANY, "")


def _value(field: Field, value: int | str, about: tuple[Asset, ...], assets: tuple[Asset, ...]) -> str:
    if isinstance(value, str):
        if field.type is Type.ASSET:
            symbols = [one.symbol for one in assets]
            held = next((one.symbol for one in assets if one.asset == value), "")
            return _text(held if held and symbols.count(held) == 1 else value)
        return _text(value, field.type is Type.ANY and bool(_NUMERIC.match(value) or value.lower() in FLAGS))
    match field.type:
        case Type.AMOUNT:
            return units.in_units(value, about)
        case Type.USD:
            return units.usd(value)
        case Type.WEI:
            return units.ether(value)
        case Type.SECONDS if value >= 0:
            return units.duration(value)
        case Type.FLAG if value in (0, 1):
            return ("no", "yes")[value]
    return str(value) if field.type is Type.ANY else units.grouped(value)


def _cap(cap: Cap, about: tuple[Asset, ...]) -> Node:
    made: dict[str, Node] = {}
    match cap.unit:
        case Unit.USD:
            made["usd"] = units.usd(cap.maximum).removesuffix(" USD")
        case Unit.BASE:
            made["amount"] = units.in_units(cap.maximum, about)
        case Unit.COUNT:
            made["count"] = units.grouped(cap.maximum)
    if cap.calendar is not None:
        made["every"] = cap.calendar.lower()
    elif cap.seconds:
        made["every"] = units.duration(cap.seconds)
    if cap.zone is not None:
        made["zone"] = _zone(cap.zone)
    if cap.per:
        made["per"] = [per.lower() for per in cap.per]
    return made


def _requirement(requirement: Requirement) -> Node:
    made: dict[str, Node] = {}
    if len(requirement.all_of) == 1 and not requirement.any_of:
        made |= _quorum(requirement.all_of[0])
    else:
        for name, quorums in (("all of", requirement.all_of), ("any of", requirement.any_of)):
            if quorums:
                made[name] = [_quorum(quorum) for quorum in quorums]
    if requirement.overlap:
        made["overlap"] = "yes"
    for name, number in (("expires after", requirement.expires_in), ("delay", requirement.delay)):
        if number:
            made[name] = units.duration(number)
    if requirement.cosigners:
        made["cosigners"] = [str(index) for index in requirement.cosigners]
    return made


def _quorum(quorum: Quorum) -> dict[str, Node]:
    made: dict[str, Node] = {"approvals": str(quorum.threshold)}
    for name, values in (("users", quorum.users), ("groups", quorum.groups), ("roles", quorum.roles)):
        if values:
            made[f"from {name}"] = [_text(value) for value in values]
    flags = (
        ("distinct teams", quorum.distinct_teams),
        ("distinct sites", quorum.distinct_sites),
        ("device bound", quorum.device_bound),
    )
    return made | {name: "yes" for name, flag in flags if flag}


def _hours(hours: Hours) -> Node:
    made: dict[str, Node] = {"zone": _zone(hours.zone), "days": [DAYS[day] for day in hours.days]}
    made["from"], made["to"] = (f"{minute // 60:02}:{minute % 60:02}" for minute in (hours.opens, hours.closes))
    if hours.closed:
        made["except"] = [(EPOCH + timedelta(days=day)).isoformat() for day in hours.closed]
    return made


def _zone(zone: Zone) -> Node:
    if zone == UTC:
        return "UTC"
    offsets = [[str(at), str(minutes)] for at, minutes in zone.offsets]
    return {"name": _text(zone.name), "offsets": offsets, "known until": str(zone.known_until)}


def moment(at: int) -> str:
    """A Unix second as UTC text."""
    if not 0 <= at < _LAST:
        raise Malformed(f"{at} is no Unix second before the year 10000")
    return datetime.fromtimestamp(at, _UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: str, numeric: bool = False) -> str:
    """A scalar that is read as this text and nothing else."""
    if _PLAIN.match(value) and ": " not in value and "," not in value and not numeric and not worded(value):
        return value
    return '"' + "".join(_escaped(character) for character in value) + '"'


def worded(value: str) -> bool:
    """Whether a text could be taken for a condition, however it is spelled."""
    words = " ".join(value.casefold().split())
    return any(words == word or words.startswith(f"{word} ") for word in ("is", *WORDS.values()))


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= "~":
        return character
    return f"\\U{ord(character):08x}"


def _block(node: Node, depth: int) -> str:
    """Block style, two blanks a level; lists of scalars on one line."""
    pad = "  " * depth
    if isinstance(node, Mapping):
        return "".join(_entry(pad, key, value, depth) for key, value in node.items())
    assert not isinstance(node, str)
    return "".join(pad + "- " + _block(item, depth + 1).lstrip(" ") for item in node)


def _entry(pad: str, key: str, value: Node, depth: int) -> str:
    if isinstance(value, str):
        return f"{pad}{key}: {value}".rstrip() + "\n"
    if isinstance(value, Mapping):
        return f"{pad}{key}:\n{_block(value, depth + 1)}" if value else f"{pad}{key}: {{}}\n"
    if any(isinstance(item, Mapping) for item in value):
        return f"{pad}{key}:\n{_block(value, depth + 1)}"
    return f"{pad}{key}: {_flow(value)}\n"


def _flow(value: Node) -> str:
    if isinstance(value, str):
        return f'"{value}"' if "," in value and not value.startswith('"') else value
    assert not isinstance(value, Mapping)
    return "[" + ", ".join(_flow(item) for item in value) + "]"
