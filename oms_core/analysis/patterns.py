"""What a rule of a Fireblocks policy (Policy Editor V2) matches, as regions of our own fields.

Each part of a rule becomes two regions: ``inner``, which it matches for certain, and ``outer``, which holds all that it
may match. They are the same where a part has an exact counterpart here; where it has none, a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from oms_core.analysis.regions import EVERYTHING, Region, Tests, opposite, simplified
from oms_core.chains.amount import parse_amount
from oms_core.errors import CountersealError, Malformed, Reason
from oms_core.policy.rules import Action, Operator, Test
from oms_core.workspace import Asset, Workspace

USD_DECIMALS = 6  # micro-USD
Table = Mapping[str, object]

_ACTIONS = {
    "TRANSFER": (Action.TRANSFER,),
    "CONTRACT_CALL": (Action.CALL,),
    "APPROVE": (Action.APPROVE,),
    "TYPED_MESSAGE": (Action.TYPED_MESSAGE, Action.MESSAGE),
    "DEPLOYMENT": (Action.DEPLOY,),
}
# What is asked for under these names is a call here, and cannot be told from others by what it is for.
_CALLS_HERE = {"STAKE", "MINT", "BURN", "UPGRADE", "PROGRAM_CALL", "SUPPLY", "REDEEM", "ORDER"}
_OUTSIDE = {"UNMANAGED", "EXTERNAL", "GLOBAL_WHITELIST", "INTERNAL"}


@dataclass(frozen=True, slots=True)
class Names:
    """What their ids are called here. None says that there is no such thing here; what is missing is not known.

    ``assets`` lead to CAIP-19 names, ``entries`` to entries of the address book, ``types`` (of destinations, such as
    EXCHANGE) to a tag of the address book.
    """

    users: Mapping[str, str | None]
    groups: Mapping[str, str | None]
    wallets: Mapping[str, str | None]
    assets: Mapping[str, str | None]
    entries: Mapping[str, str | None]
    tags: Mapping[str, str | None]
    types: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Part:
    """Matched for certain, possibly matched, and what could not be translated."""

    inner: Region
    outer: Region
    notes: tuple[str, ...] = ()


NOTHING = Part((), ())
ALL = Part(EVERYTHING, EVERYTHING)


def exactly(*conjunctions: Tests) -> Part:
    """A part that is translated exactly."""
    kept = tuple(made for one in conjunctions if (made := simplified(one)) is not None)
    return Part(kept, kept)


def unknown(note: str) -> Part:
    """A part that nothing here stands for: nothing surely matches it, everything may."""
    return Part((), EVERYTHING, (note,))


def both(one: Part, other: Part) -> Part:
    """What matches both."""
    return Part(_product(one.inner, other.inner), _product(one.outer, other.outer), (*one.notes, *other.notes))


def matching(rule: Table, names: Names, workspace: Workspace) -> Part:
    """All of a rule but its amounts over time. Raises `Malformed` for what is not a rule."""
    known = {asset.asset: asset for asset in workspace.assets}
    wallets = _looked_up("source.wallet", "wallet", names.wallets)
    parts = [
        _type(text(rule, "type")),
        _initiator(rule.get("initiator", "*"), names),
        _account(table(rule, "source"), "source", wallets, names),
        _destination(table(rule, "destination"), names),
        _assets(table(rule, "asset"), names),
        _amount(table(rule, "amount"), listed_assets(rule, names, workspace), known),
        _method(rule.get("method", "*")),
        *(unknown(f"{key} has no counterpart") for key in sorted(_FOREIGN & set(rule)) if rule[key]),
    ]
    made = ALL
    for part in parts:
        made = both(made, part)
    return made


_FOREIGN = {
    "subType", "account", "side", "programCall", "screeningMetadata", "quoteAsset", "baseAsset", "quoteAmount",
    "baseAmount", "dAppAddress", "derivationPath",
}  # fmt: skip


def listed_assets(rule: Table, names: Names, workspace: Workspace) -> tuple[str, ...]:
    """The registered assets that a rule may be about, by which its native amounts are read."""
    every = tuple(asset.asset for asset in workspace.assets)
    asset = table(rule, "asset")
    ids = texts(asset.get("assetTypes", ["*"]))
    if "*" in ids or asset.get("operator", "INCLUDES") != "INCLUDES":
        return every
    here = {names.assets.get(one) for one in ids}
    return tuple(one for one in every if one in here)


def _type(kind: str) -> Part:
    if kind in _ACTIONS:
        return exactly((Test("action", Operator.IS, tuple(action.value for action in _ACTIONS[kind])),))
    if kind in _CALLS_HERE:
        calls = (Test("action", Operator.IS, (Action.CALL.value,)),)
        return Part((), (calls,), (f"{kind} is a CALL here, and cannot be told from others",))
    if kind == "*":
        return ALL
    return Part((), (), (f"nothing here is a {kind[:40]}",))


def _initiator(value: object, names: Names) -> Part:
    if value == "*" or value is None:
        return ALL
    config = _mapping(value, "initiator")
    foreign = [key for key in ("exchange", "fbAdminGroups") if config.get(key)]
    users = _looked_up("initiator.user", "user", names.users)
    people = users([*texts(config.get("users", [])), *texts(config.get("services", []))])
    groups = _looked_up("initiator.group", "group", names.groups)(texts(config.get("groups", [])))
    made = _excluding(config, _either(people, groups))
    return both(made, unknown(f"initiator.{foreign[0]} has no counterpart")) if foreign else made


def _account(config: Table, where: str, ids: Callable[[Iterable[str]], Part], names: Names) -> Part:
    if not config:
        return ALL
    types = texts(config.get("type", ["*"]))
    ours = ALL if {"*", "ANY", "VAULT"} & set(types) or not types else NOTHING
    named = [_mapping(one, f"{where}.ids") for one in _list(config.get("ids", []), f"{where}.ids")]
    tags = [text(_mapping(one, f"{where}.tags"), "id") for one in _list(config.get("tags", []), f"{where}.tags")]
    chosen = NOTHING
    if named:
        vaults = [str(one.get("id", "")) for one in named if one.get("type") in {"VAULT", None}]
        every = any(one.get("type") in {"VAULT", "*"} and one.get("id") in {None, "*"} for one in named)
        chosen = ALL if every else ids(vaults)
    if tags:
        chosen = _either(chosen, _looked_up(f"{where}.tag", "tag", names.tags)(tags))
    made = both(ours, chosen if named or tags else ALL)
    made = _excluding(config, made)
    return both(made, unknown(f"{where}.subType has no counterpart")) if config.get("subType") else made


def _destination(config: Table, names: Names) -> Part:
    if not config:
        return ALL
    made = _address_type(str(config.get("addressType", "*")))
    types = texts(config.get("type", ["*"]))
    named = [_mapping(one, "destination.ids") for one in _list(config.get("ids", []), "destination.ids")]
    tags = [text(_mapping(one, "destination.tags"), "id") for one in _list(config.get("tags", []), "destination.tags")]
    chosen = NOTHING
    for kind in types:
        chosen = _either(chosen, _destination_type(kind, names))
    if not types:
        chosen = ALL
    if named:
        entries = _looked_up("destination.entry", "entry", names.entries)
        chosen = both(chosen, entries([str(one.get("id", one.get("address", ""))) for one in named]))
    if tags:
        chosen = both(chosen, _looked_up("destination.tag", "tag", names.tags)(tags))
    made = both(made, _excluding(config, chosen))
    return both(made, unknown("destination.subType has no counterpart")) if config.get("subType") else made


def _destination_type(kind: str, names: Names) -> Part:
    if kind in {"*", "ANY"}:
        return ALL
    if kind == "VAULT":
        return exactly((_is("destination.type", "OWN"),))
    if kind in {"CONTRACT", "DAPP_CONNECTION"}:
        return exactly((_is("destination.type", "CONTRACT"),))
    if kind == "ONE_TIME_ADDRESS":
        return exactly((_is("destination.type", "ONE_TIME"),))
    if kind in names.types:
        tag = names.types[kind]
        return NOTHING if tag is None else exactly((_is("destination.tag", tag),))
    if kind in _OUTSIDE:
        return exactly((_is("destination.type", "WHITELISTED", "ONE_TIME"),))
    return unknown(f"destination type {kind[:40]} has no tag here")


def _address_type(kind: str) -> Part:
    if kind == "*":
        return ALL
    if kind == "WHITELISTED":
        return exactly((_is("destination.type", "WHITELISTED", "CONTRACT"),))
    if kind == "ONE_TIME":
        return exactly((_is("destination.type", "ONE_TIME"),))
    raise Malformed(f"destination.addressType {kind[:40]!r}", Reason.UNSUPPORTED_TYPE)


def _assets(config: Table, names: Names) -> Part:
    made = ALL
    if config:
        ids = texts(config.get("assetTypes", ["*"]))
        made = _excluding(config, ALL if "*" in ids else _looked_up("asset", "asset", names.assets)(ids))
        if config.get("nftTransfer"):
            made = both(made, unknown("asset.nftTransfer has no counterpart"))
    return made


def _amount(config: Table, assets: tuple[str, ...], known: Mapping[str, Asset]) -> Part:
    """Above the minimum, up to the maximum: a rule's amount is one that an order has to exceed."""
    if not config:
        return ALL
    currency, span = text(config, "currency"), table(config, "range")
    if currency == "USD":
        return exactly(_between("amount.usd", span, USD_DECIMALS))
    if currency == "NATIVE":
        return exactly(*((_is("asset", one), *_between("amount", span, known[one].decimals)) for one in assets))
    return unknown(f"amounts in {currency[:10]} are not known here")


def _between(field: str, span: Table, decimals: int) -> Tests:
    made = []
    if (low := span.get("min")) is not None:
        made.append(Test(field, Operator.ABOVE, (quantity(low, decimals),)))
    if (high := span.get("max")) is not None:
        made.append(Test(field, Operator.AT_MOST, (quantity(high, decimals),)))
    return tuple(made)


def _method(value: object) -> Part:
    if value == "*" or value is None:
        return ALL
    config = _mapping(value, "method")
    calls = texts(config.get("methodCalls", []))
    if config.get("payloadSuffix") or config.get("operator") not in {"EITHER", None} or not calls:
        return unknown("method with a payload or more than one call")
    selectors = [call.lower() for call in calls if call.startswith("0x") and len(call) == 10]
    signatures = [call for call in calls if "(" in call]
    if len(selectors) + len(signatures) < len(calls):
        return unknown("a method is neither a selector nor a signature")
    made = exactly((_is("selector", *selectors),)) if selectors else NOTHING
    return _either(made, exactly((_is("method", *signatures),)) if signatures else NOTHING)


def _looked_up(field: str, what: str, here: Mapping[str, str | None]) -> Callable[[Iterable[str]], Part]:
    def look(ids: Iterable[str]) -> Part:
        wanted = list(ids)
        if "*" in wanted:
            return ALL
        found = [name for one in wanted if (name := here.get(one)) is not None]
        inner = exactly((_is(field, *found),)) if found else NOTHING
        if strange := [one for one in wanted if one not in here]:
            return Part(inner.inner, EVERYTHING, (f"{what} {strange[0][:60]!r} is not known here",))
        return inner

    return look


def _excluding(config: Table, chosen: Part) -> Part:
    """The opposite of what was chosen, where the configuration excludes."""
    operator = config.get("operator", "INCLUDES")
    if operator not in {"EXCLUDES", "INCLUDES"}:
        raise Malformed(f"operator {str(operator)[:40]!r}", Reason.UNSUPPORTED_TYPE)
    if operator == "INCLUDES":
        return chosen
    return Part(_complement(chosen.outer), _complement(chosen.inner), chosen.notes)


def _complement(region: Region) -> Region:
    left: Region = EVERYTHING
    for conjunction in region:
        pieces: list[Tests] = []
        for at, test in enumerate(conjunction):
            against = opposite(test)
            if against is None:
                raise Malformed(f"{test.field} cannot be excluded")
            pieces.append((*conjunction[:at], against))
        left = _product(left, tuple(pieces))
    return left


def _either(one: Part, other: Part) -> Part:
    """What matches either; disjoint, so that what is made of it says nothing twice."""
    if not other.notes and other.outer == ():
        return one
    if not one.notes and one.outer == ():
        return other
    inner = (*one.inner, *_product(_complement(one.inner), other.inner))
    outer = (*one.outer, *_product(_complement(one.outer), other.outer))
    return Part(inner, outer, (*one.notes, *other.notes))


def _product(one: Region, other: Region) -> Region:
    return tuple(made for a in one for b in other if (made := simplified((*a, *b))) is not None)


def _is(field: str, *values: str) -> Test:
    return Test(field, Operator.IS, tuple(sorted(set(values))))


def quantity(value: object, decimals: int) -> int:
    """Base units of an amount as their JSON has it: text, or digits."""
    try:
        return parse_amount(str(value), decimals)
    except CountersealError as error:
        raise Malformed(f"amount {str(value)[:40]}: {error.message}", error.reason) from None


def table(rule: Table, key: str) -> Table:
    """A part that is a JSON object, or is not there."""
    value = rule.get(key)
    return {} if value is None or value == "*" else _mapping(value, key)


def text(rule: Table, key: str) -> str:
    """A part that is text."""
    value = rule.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{key} is missing, or not text")
    return value


def texts(value: object) -> list[str]:
    """A list of texts, or of one."""
    items = [value] if isinstance(value, str) else _list(value, "a list of ids")
    if not all(isinstance(item, str) for item in items):
        raise Malformed("a list of ids has something else in it")
    return [str(item) for item in items]


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise Malformed(f"{where} is not a list")
    return value


def _mapping(value: object, where: str) -> Table:
    if not isinstance(value, dict):
        raise Malformed(f"{where} is not an object")
    return value
