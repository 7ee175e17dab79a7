"""Quotas in words and figures: how much of each cap is used and left, for whomever it counts apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from oms_core.analysis.explain import moment
from oms_core.errors import CountersealError, Malformed, Reason
from oms_core.policy import units
from oms_core.policy.decision import amount_words
from oms_core.policy.facts import Facts
from oms_core.policy.index import index_of
from oms_core.policy.limits import Keys, Quota, quota
from oms_core.policy.rules import Cap, Kind, Operator, Per, Rule, Unit
from oms_core.workspace import Asset, Workspace, asset_named

_FIELDS: dict[Per, tuple[str, ...]] = {
    Per.INITIATOR: ("initiator",),
    Per.SOURCE: ("wallet_id",),
    Per.DESTINATION: ("chain", "destination"),
    Per.ASSET: ("asset",),
    Per.PROTOCOL: ("protocol",),
}


@dataclass(frozen=True, slots=True)
class Share:
    """A cap, for whom it was looked at (empty: for whoever was asked), and how far it is used, or why nobody knows."""

    rule_id: str
    cap: str
    whose: str
    asset: Asset | None
    held: Quota | None
    problem: str = ""

    @property
    def words(self) -> str:
        """All of it in a line."""
        said = f"{self.rule_id}: {self.cap}{f', {self.whose}' if self.whose else ''}"
        if self.held is None:
            return f"{said}: {self.problem}"
        if not self.held.window_end:
            return said
        used, left = (_amount(self.held.unit, number, self.asset) for number in (self.held.used, self.left))
        return f"{said}: {used} used, {left} left, {self.held.count} operations since {moment(self.held.window_start)}"

    @property
    def left(self) -> int:
        """In the cap's unit."""
        return max(0, self.held.maximum - self.held.used) if self.held else 0


def quota_shares(workspace: Workspace, facts: Facts, keys: Keys, rule_id: str = "") -> Iterator[Share]:
    """Every cap of every LIMIT, or of one. Raises `Malformed` (UNKNOWN_FIELD) if there is no such limit.

    Of what a cap counts apart and ``keys`` leave out, each that has used some of it is there, so that nothing that is
    used looks unused.
    """
    limits = [rule for rule in workspace.rules if rule.kind is Kind.LIMIT and rule_id in ("", rule.rule_id)]
    if rule_id and not limits:
        raise Malformed(f"there is no limit {rule_id[:64]!r}", Reason.UNKNOWN_FIELD)
    for rule in limits:
        for place, cap in enumerate(rule.caps):
            yield from _shares(workspace, facts, keys, rule, place, cap)


def _shares(workspace: Workspace, facts: Facts, keys: Keys, rule: Rule, place: int, cap: Cap) -> Iterator[Share]:
    blank = _blank(cap, keys)
    found: dict[str, Share] = {}
    for spend in facts.spent if blank else ():
        mine = replace(keys, **{name: getattr(spend, name) for name in blank})
        whose = _whose(workspace, mine, blank)
        if whose not in found and (spend.asset or "asset" not in blank):
            found[whose] = _share(workspace, facts, mine, rule, place, cap, whose)
    used = [one for one in found.values() if one.held is None or one.held.count or one.held.used]
    if used:
        yield from sorted(used, key=lambda one: (-(one.held.used if one.held else 0), one.whose))
        return
    named = _assets(rule) if blank == ["asset"] else []
    for mine in [replace(keys, asset=asset) for asset in named] or [keys]:
        yield _share(workspace, facts, mine, rule, place, cap, "")


def _share(workspace: Workspace, facts: Facts, keys: Keys, rule: Rule, place: int, cap: Cap, whose: str) -> Share:
    asset, said = asset_named(workspace, keys.asset), cap_words(cap, rule, workspace)
    try:
        return Share(rule.rule_id, said, whose, asset, quota(workspace, facts, rule.rule_id, keys, place))
    except CountersealError as error:
        return Share(rule.rule_id, said, whose, asset, None, str(error))


def _blank(cap: Cap, keys: Keys) -> list[str]:
    """What the cap counts apart, and nobody has named; nothing where it is on a single order."""
    if not cap.seconds and cap.calendar is None:
        return []
    apart = {*cap.per, Per.ASSET} if cap.unit is Unit.BASE else set(cap.per)
    return [name for per in sorted(apart) for name in _FIELDS[per] if not getattr(keys, name)]


def _whose(workspace: Workspace, keys: Keys, blank: list[str]) -> str:
    asset = asset_named(workspace, keys.asset)
    told = {
        "initiator": f"person {index_of(workspace).person(keys.initiator)}",
        "wallet_id": f"wallet {keys.wallet_id}",
        "chain": f"on {keys.chain}",
        "destination": f"to 0x{keys.destination.hex()}",
        "asset": asset.symbol if asset else f"asset {keys.asset or 'none'}",
        "protocol": f"protocol {keys.protocol or 'none'}",
    }
    return ", ".join(told[name] for name in blank)


def _assets(rule: Rule) -> list[str]:
    """Those that the rule names, and no others."""
    named = [test for test in rule.when if test.field == "asset" and test.operator is Operator.IS]
    return [str(value) for value in named[0].values] if named else []


def cap_words(cap: Cap, rule: Rule, workspace: Workspace) -> str:
    """A cap, as it is written."""
    named = _assets(rule)
    asset = asset_named(workspace, named[0]) if len(named) == 1 else None
    window = "in one order"
    if cap.calendar is not None:
        window = f"in a calendar {cap.calendar.lower()} ({cap.zone.name if cap.zone else 'no zone'})"
    elif cap.seconds:
        window = f"within {units.duration(cap.seconds)}"
    per = f" for each {', '.join(one.lower() for one in cap.per)}" if cap.per else ""
    return f"at most {_amount(cap.unit, cap.maximum, asset)} {window}{per}"


def _amount(unit: Unit, number: int, asset: Asset | None) -> str:
    if unit is Unit.BASE and asset is not None:
        return units.in_units(number, (asset,))
    return amount_words(unit, number)
