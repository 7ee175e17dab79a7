"""LIMITs: what counts, in which window, for whom; and quotas, which are the same question before there is an order.

All spends count, whichever rule let them through, unless a limit's own tests say for certain that it does not speak of
them. Nothing counts twice: a subject's earlier spends give way to what it does now. What cannot be valued makes the
sum unknown, and so the limit objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from oms_core.errors import Malformed, Reason, Refused
from oms_core.policy.compiled import FALSE, Compiled, Ready, compiled
from oms_core.policy.decision import LimitUse, Objection, amount_words
from oms_core.policy.facts import FEE, Facts, Spend
from oms_core.policy.hours import calendar_window
from oms_core.policy.rules import DAY, Action, Calendar, Cap, Kind, Per, Unit
from oms_core.policy.tally import Key, NotKnown, Tally, grouped
from oms_core.policy.views import View, view_of_spend
from oms_core.workspace import Workspace

YEAR = 366 * DAY  # seconds: no window is longer
# At least as long as any of them: a zone may change its offset by up to 36 hours.
_CALENDAR = {Calendar.DAY: 3 * DAY, Calendar.WEEK: 9 * DAY, Calendar.MONTH: 33 * DAY}
Line = tuple[Spend, View]


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


def horizon(*versions: Workspace) -> int:
    """How far back, in seconds, spends have to be known for the limits of all these versions."""
    caps = [cap for workspace in versions for rule in workspace.rules for cap in rule.caps]
    return max((_CALENDAR[cap.calendar] if cap.calendar else min(cap.seconds, YEAR) for cap in caps), default=0)


class Spending:
    """What an order adds, and what counts already, each as rules see it."""

    def __init__(self, rules: Compiled, facts: Facts, adds: Sequence[Spend]) -> None:
        self.rules, self.counts_at, self.share = rules, facts.counts_at, facts.share
        this = {spend.subject for spend in adds}
        self.adds = self._lines(adds)
        self._past = [spend for spend in facts.spent if spend.subject not in this]
        self._alike: list[tuple[View, list[Spend]]] | None = None
        self._tallies: dict[tuple[object, ...], dict[Key, Tally]] = {}
        self._added: dict[tuple[object, ...], list[tuple[Key, Tally]]] = {}

    def added(self, ready: Ready, cap: Cap, truths: tuple[int, ...]) -> list[tuple[Key, Tally]]:
        """What the order adds to a cap, by key in order; made once for limits that test the same.

        ``truths`` are those of its operations; the last one, where `FEE` points, is that of its fee, if it has one.
        """
        asked = (ready.past, bool(ready.raised), cap.unit, cap.per, truths)
        if asked not in self._added:
            lines = [line for line in self.adds if truths[line[0].operation] != FALSE]
            groups = grouped(self.rules.index, cap.unit, cap.per, self.counted(ready, lines))
            self._added[asked] = [(key, Tally(cap.unit, group)) for key, group in sorted(groups.items())]
        return self._added[asked]

    def past(self, ready: Ready, cap: Cap) -> dict[Key, Tally]:
        """What other subjects have spent, as a cap counts it; made once for limits that test the same."""
        asked = (ready.past, bool(ready.raised), cap.unit, cap.per)
        if asked not in self._tallies:
            groups = grouped(self.rules.index, cap.unit, cap.per, self._counted_past(ready))
            self._tallies[asked] = {key: Tally(cap.unit, group) for key, group in groups.items()}
        return self._tallies[asked]

    def counted(self, ready: Ready, lines: Iterable[Line]) -> list[Spend]:
        """Those that the limit may speak of."""
        if ready.raised:
            return [spend for spend, _ in lines]
        return [spend for spend, view in lines if self.rules.ask(view, ready.past) & 3 != FALSE]

    def _counted_past(self, ready: Ready) -> list[Spend]:
        """The same of the past. Spends that differ in nothing but amount and time look alike to most limits."""
        if ready.raised or not ready.past:
            return self._past
        if ready.sized:
            return self.counted(ready, self._lines(self._past))
        if self._alike is None:
            alike: dict[tuple[object, ...], list[Spend]] = {}
            for spend in self._past:
                look = (spend.initiator, spend.wallet_id, spend.action, spend.chain, spend.destination)
                alike.setdefault((*look, spend.protocol, spend.asset, spend.operation == FEE), []).append(spend)
            self._alike = [(view, group) for group in alike.values() for _, view in self._lines(group[:1])]
        ask = self.rules.ask
        return [spend for view, group in self._alike if ask(view, ready.past) & 3 != FALSE for spend in group]

    def _lines(self, spends: Iterable[Spend]) -> list[Line]:
        index = self.rules.index
        return [(spend, self.rules.prepare(view_of_spend(index, self.counts_at, spend))) for spend in spends]


def weigh(ready: Ready, truths: Sequence[int], spending: Spending) -> tuple[list[LimitUse], list[Objection]]:
    """How far an order uses a LIMIT, and what the limit objects to.

    ``truths`` are what its tests gave for each operation and, if it weighs anything and there is a fee, for that.
    """
    uses: list[tuple[LimitUse, bool]] = []
    objections: list[Objection] = []
    for place, cap in enumerate(ready.rule.caps):
        try:
            uses += _uses(ready, place, cap, spending.added(ready, cap, tuple(truths)), spending)
        except NotKnown as why:
            objections.append(Objection(ready.rule.rule_id, Reason.FACT_UNKNOWN, -1, str(why)))
    objections += [_over(use, fees) for use, fees in uses if use.after > use.maximum and use.after > use.before]
    return [use for use, _ in uses], objections


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
        keys.asset or "-", 0, 0, facts.counts_at,
    )  # fmt: skip
    try:
        starts, ends = _window(one, facts.counts_at)
        (mine,) = grouped(spending.rules.index, one.unit, one.per, [like]) or {(): []}
        counts = replace(one, unit=Unit.COUNT, per=(*one.per, Per.ASSET) if one.unit is Unit.BASE else one.per)
        used, count = (_before(ready, cap, mine, starts, ends, spending) for cap in (one, counts))
        maximum = one.maximum // facts.share if ends else one.maximum
        return Quota(rule_id, one.unit, used, maximum, starts, ends, count)
    except NotKnown as why:
        raise Refused(str(why), Reason.FACT_UNKNOWN) from None


def _uses(
    ready: Ready, place: int, cap: Cap, adds: list[tuple[Key, Tally]], spending: Spending
) -> list[tuple[LimitUse, bool]]:
    """Each with whether a fee is among what the order adds."""
    if not adds:
        return []
    starts, ends = _window(cap, spending.counts_at)
    maximum = cap.maximum // spending.share if ends else cap.maximum
    uses = []
    for key, tally in adds:
        used = _before(ready, cap, key, starts, ends, spending)
        after = used + tally.since(0)
        use = LimitUse(ready.rule.rule_id, place, cap.unit, key, used, after, maximum, starts, ends)
        uses.append((use, tally.fees))
    return uses


def _before(ready: Ready, cap: Cap, key: Key, starts: int, ends: int, spending: Spending) -> int:
    """What counts already in a window; nothing does where the cap is on a single order."""
    tally = spending.past(ready, cap).get(key) if ends else None
    return tally.since(starts) if tally else 0


def _window(cap: Cap, at: int) -> tuple[int, int]:
    """The first second of the window that a second is in, and the first after it; (0, 0) for a single order."""
    if cap.calendar is not None:
        window = calendar_window(cap.calendar, cap.zone, at) if cap.zone is not None else None
        if window is None:
            raise NotKnown(f"when the {cap.calendar.lower()} began is not known")
        return window
    return (at - cap.seconds + 1, at + 1) if cap.seconds else (0, 0)


def _over(use: LimitUse, fees: bool) -> Objection:
    now, maximum = (amount_words(use.unit, number) for number in (use.after - use.before, use.maximum))
    now = f"{now} with its fee" if fees else now
    of = f" ({', '.join(use.key)})" if use.key else ""
    if not use.ends:
        return Objection(use.rule_id, Reason.LIMIT_EXCEEDED, -1, f"{now} is above {maximum} in one order{of}")
    text = f"{amount_words(use.unit, use.before)} before and {now} now are above {maximum}{of}"
    return Objection(use.rule_id, Reason.VELOCITY_EXCEEDED, -1, text)
