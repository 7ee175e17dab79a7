"""LIMITs: what counts, in which window, for whom; and quotas, which are the same question before there is an order.

All spends count, whichever rule let them through, unless a limit's own tests say for certain that it does not speak of
them. Nothing counts twice: a subject's earlier spends give way to what it does now. What cannot be valued makes the
sum unknown, and so the limit objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oms_core.errors import Malformed, Reason, Refused
from oms_core.policy.compiled import FALSE, Compiled, Ready, compiled
from oms_core.policy.decision import LimitUse, Objection, amount_words
from oms_core.policy.facts import Facts, Provenance, Spend
from oms_core.policy.hours import calendar_window
from oms_core.policy.rules import DAY, Action, Calendar, Cap, Kind, Per, Unit
from oms_core.policy.spends import UNPRICED
from oms_core.policy.views import View, view_of_spend
from oms_core.workspace import Workspace

YEAR = 366 * DAY  # seconds: no window is longer
_CALENDAR = {Calendar.DAY: 2 * DAY, Calendar.WEEK: 8 * DAY, Calendar.MONTH: 32 * DAY}  # at least as long as any of them
Key = tuple[str, ...]
Line = tuple[Spend, View]


class _NotKnown(Exception):
    """Why a sum is not known."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Whose share of a limit is asked for; what a limit does not count apart is ignored."""

    initiator: str = ""
    wallet_id: str = ""
    chain: str = ""
    destination: bytes = b""
    asset: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a cap is used, in its unit, by how many operations, between two Unix seconds (0: in one order)."""

    rule_id: str
    unit: Unit
    used: int
    maximum: int
    window_start: int
    window_end: int
    count: int


def horizon(workspace: Workspace) -> int:
    """How far back, in seconds, spends have to be known for this workspace's limits."""
    caps = [cap for rule in workspace.rules for cap in rule.caps]
    return max((_CALENDAR[cap.calendar] if cap.calendar else min(cap.seconds, YEAR) for cap in caps), default=0)


class Spending:
    """What an order adds, and what counts already, each as rules see it."""

    def __init__(self, rules: Compiled, facts: Facts, adds: Sequence[Spend]) -> None:
        self.rules, self.now = rules, facts.now
        this = {spend.subject for spend in adds}
        self.adds = self._lines(adds)
        self._past = [spend for spend in facts.spent if spend.subject not in this]
        self._past_lines: list[Line] | None = None

    @property
    def past(self) -> list[Line]:
        """Spends of other subjects."""
        if self._past_lines is None:
            self._past_lines = self._lines(self._past)
        return self._past_lines

    def _lines(self, spends: Iterable[Spend]) -> list[Line]:
        index = self.rules.index
        return [(spend, self.rules.prepare(view_of_spend(index, self.now, spend))) for spend in spends]

    def counted(self, ready: Ready, lines: Iterable[Line]) -> list[Spend]:
        """Those that the limit may speak of."""
        if ready.raised:
            return [spend for spend, _ in lines]
        return [spend for spend, view in lines if self.rules.ask(view, ready.past)[0] != FALSE]


def weigh(ready: Ready, truths: Sequence[int], spending: Spending) -> tuple[list[LimitUse], list[Objection]]:
    """How far an order uses a LIMIT whose tests gave ``truths`` for its operations, and what the limit objects to."""
    lines = [line for line in spending.adds if truths[line[0].operation] != FALSE]
    adds = spending.counted(ready, lines)
    uses: list[LimitUse] = []
    objections: list[Objection] = []
    for place, cap in enumerate(ready.rule.caps):
        try:
            uses += _uses(ready, place, cap, adds, spending)
        except _NotKnown as why:
            objections.append(Objection(ready.rule.rule_id, Reason.FACT_UNKNOWN, -1, str(why)))
    objections += [_over(use) for use in uses if use.after > use.maximum and use.after > use.before]
    return uses, objections


def quota(workspace: Workspace, facts: Facts, rule_id: str, keys: Keys, cap: int = 0) -> Quota:
    """How much of the rule's cap (by its place) is used for these keys.

    Raises `Malformed` (UNKNOWN_FIELD) if there is no such limit, `Refused` (FACT_UNKNOWN) where the sum is not known.
    """
    spending = Spending(compiled(workspace), facts, ())
    ready = spending.rules.by_id.get(rule_id)
    if ready is None or ready.rule.kind is not Kind.LIMIT or not 0 <= cap < len(ready.rule.caps):
        raise Malformed(f"there is no limit {rule_id[:64]!r} with a cap {cap}", Reason.UNKNOWN_FIELD)
    one = ready.rule.caps[cap]
    like = Spend(
        b"", 0, Action.CALL, keys.wallet_id, keys.initiator, keys.chain, keys.destination, keys.protocol,
        keys.asset, 0, 0, facts.now, Provenance.OWN,
    )  # fmt: skip
    try:
        starts, ends = _window(one, facts.now)
        inside = _within(one, starts, spending.counted(ready, spending.past))
        mine = [spend for spend in inside if _key(one, like, spending) == _key(one, spend, spending)]
        return Quota(rule_id, one.unit, _sum(one, mine), one.maximum, starts, ends, _sum_count(mine))
    except _NotKnown as why:
        raise Refused(str(why), Reason.FACT_UNKNOWN) from None


def _uses(ready: Ready, place: int, cap: Cap, adds: list[Spend], spending: Spending) -> list[LimitUse]:
    groups: dict[Key, list[Spend]] = {}
    for spend in adds:
        if cap.unit is not Unit.BASE or spend.asset:
            groups.setdefault(_key(cap, spend, spending), []).append(spend)
    if not groups:
        return []
    starts, ends = _window(cap, spending.now)
    before: dict[Key, list[Spend]] = {key: [] for key in groups}
    if ends:
        for spend in _within(cap, starts, spending.counted(ready, spending.past)):
            if (key := _key(cap, spend, spending)) in before:
                before[key].append(spend)
    uses = []
    for key, group in sorted(groups.items()):
        used = _sum(cap, before[key])
        after = used + _sum(cap, group)
        uses.append(LimitUse(ready.rule.rule_id, place, cap.unit, key, used, after, cap.maximum, starts, ends))
    return uses


def _window(cap: Cap, now: int) -> tuple[int, int]:
    """The first second that counts, and the first that does not any more; (0, 0) for a single order."""
    if cap.calendar is not None:
        window = calendar_window(cap.calendar, cap.zone, now) if cap.zone is not None else None
        if window is None:
            raise _NotKnown(f"when the {cap.calendar.lower()} began is not known")
        return window
    return (now - cap.seconds + 1, now + 1) if cap.seconds else (0, 0)


def _within(cap: Cap, starts: int, spends: Iterable[Spend]) -> list[Spend]:
    """What counts since ``starts``; one from what somebody takes for the future counts, too."""
    if cap.calendar is None and not cap.seconds:
        return []
    return [spend for spend in spends if spend.at >= starts]


def _key(cap: Cap, spend: Spend, spending: Spending) -> Key:
    parts = []
    for per in sorted(cap.per):
        match per:
            case Per.INITIATOR:
                parts.append(f"person {spending.rules.index.person(spend.initiator)}")
            case Per.SOURCE:
                parts.append(f"wallet {spend.wallet_id}")
            case Per.DESTINATION:
                parts.append(f"to {spend.chain} 0x{spend.destination.hex()}")
            case Per.ASSET:
                parts.append(f"asset {spend.asset}")
            case Per.PROTOCOL:
                parts.append(f"protocol {spend.protocol}")
    if cap.unit is Unit.BASE and Per.ASSET not in cap.per:
        parts.append(f"asset {spend.asset}")  # base units of different assets are no sum
    return tuple(parts)


def _sum(cap: Cap, spends: Iterable[Spend]) -> int:
    if cap.unit is Unit.COUNT:
        return _sum_count(spends)
    total = 0
    for spend in spends:
        number = spend.usd_micro if cap.unit is Unit.USD else spend.amount
        if number == UNPRICED and cap.unit is Unit.USD:
            raise _NotKnown(f"what {spend.asset} is worth is not known")
        if number < 0:
            raise _NotKnown("a spend is negative")
        total += number
    return total


def _sum_count(spends: Iterable[Spend]) -> int:
    return len({(spend.subject, spend.operation) for spend in spends})


def _over(use: LimitUse) -> Objection:
    now, maximum = (amount_words(use.unit, number) for number in (use.after - use.before, use.maximum))
    of = f" ({', '.join(use.key)})" if use.key else ""
    if not use.ends:
        return Objection(use.rule_id, Reason.LIMIT_EXCEEDED, -1, f"{now} is above {maximum} in one order{of}")
    text = f"{amount_words(use.unit, use.before)} before and {now} now are above {maximum}{of}"
    return Objection(use.rule_id, Reason.VELOCITY_EXCEEDED, -1, text)
