"""Past orders, decided once more under the rules as they are and under a draft: what would have come out otherwise.

Each is judged at its own time, with what had been spent until then by orders that were signed (under the draft: and
that it does not deny), and without approvals: how many people it takes is compared, not who happened to be asked.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from oms_core.analysis.claims import Asker, People
from oms_core.analysis.people import Undecided
from oms_core.chains.evm import to_checksum
from oms_core.chains.intent import CreateWallet, Intent
from oms_core.encoding import decode_one_of, document, encode
from oms_core.errors import CountersealError, Malformed, Reason
from oms_core.keys import ChangeKey
from oms_core.policy.compiled import compiled
from oms_core.policy.decision import Decision, Outcome
from oms_core.policy.facts import Facts, Observation, Spend
from oms_core.policy.index import index_of
from oms_core.policy.judge import judge
from oms_core.policy.limits import horizon
from oms_core.policy.spends import operations_of, spends
from oms_core.workspace import Workspace

LINE = 1 << 20  # bytes of one past order


@document("past-order/1")
class PastOrder:
    """An order as it was, when it was decided (Unix seconds), what was observed then, and whether it was signed."""

    order_id: str
    subject: Intent | CreateWallet | ChangeKey
    at: int
    observed: tuple[Observation, ...]
    signed: bool


class Shift(StrEnum):
    """What would have become of an order."""

    SAME = "SAME"
    NEWLY_DENIED = "NEWLY_DENIED"
    NEWLY_PERMITTED = "NEWLY_PERMITTED"
    MORE_APPROVALS = "MORE_APPROVALS"
    FEWER_APPROVALS = "FEWER_APPROVALS"


@dataclass(frozen=True, slots=True)
class Example:
    """One order, and both decisions in words."""

    order_id: str
    before: str
    after: str


@dataclass(slots=True)
class Report:
    """Counts, examples of each shift, and the classes of orders that no PERMIT of the draft covers."""

    total: int = 0
    counts: Counter[Shift] = field(default_factory=Counter)
    examples: dict[Shift, list[Example]] = field(default_factory=dict)
    gaps: Counter[str] = field(default_factory=Counter)


def backtest(old: Workspace, new: Workspace, past: Iterable[PastOrder], most: int = 5) -> Report:
    """Replay orders, oldest first, under two versions; up to ``most`` examples of each shift."""
    report, seconds = Report(), max(horizon(old), horizon(new))
    sides = [(one, Replay(one, seconds), People(one)) for one in (old, new)]
    for order in sorted(past, key=lambda one: (one.at, one.order_id)):
        before, after = (_judged(workspace, order, replay.facts(order)) for workspace, replay, _ in sides)
        cost, costs = (_cost(side[2], order, got) for side, got in zip(sides, (before, after), strict=True))
        shift = _shift(before, after, cost, costs)
        report.total += 1
        report.counts[shift] += 1
        if shift is not Shift.SAME and len(report.examples.setdefault(shift, [])) < most:
            report.examples[shift].append(Example(order.order_id, _words(before), _words(after)))
        if isinstance(after, Decision) and any(one.reason is Reason.NO_PERMIT for one in after.objections):
            report.gaps.update(set(_classes(new, order, after)))
        sides[0][1].add(order)
        if shift is not Shift.NEWLY_DENIED:
            sides[1][1].add(order)
    return report


class Replay:
    """What had been spent when each order came."""

    def __init__(self, workspace: Workspace, seconds: int) -> None:
        self._workspace, self._seconds = workspace, seconds
        self._spent: deque[Spend] = deque()

    def facts(self, order: PastOrder) -> Facts:
        """What was known then."""
        while self._spent and self._spent[0].at <= order.at - self._seconds:
            self._spent.popleft()
        return Facts(order.at, tuple(self._spent), order.observed, order.at)

    def add(self, order: PastOrder) -> None:
        """It counts from now on, if it was signed."""
        if not order.signed or not self._seconds:
            return
        try:
            self._spent.extend(spends(self._workspace, order.subject, order.at))
        except CountersealError:
            return  # it could not be derived any more, so nobody could count it


def _judged(workspace: Workspace, order: PastOrder, facts: Facts) -> Decision | CountersealError:
    try:
        return judge(workspace, order.subject, facts)
    except CountersealError as error:
        return error


def _passes(got: Decision | CountersealError) -> bool:
    return isinstance(got, Decision) and got.outcome is not Outcome.DENY


def _cost(people: People, order: PastOrder, got: Decision | CountersealError) -> int | None:
    """How many approvals it takes at least; None if nobody could give them, or that is not known."""
    if not isinstance(got, Decision) or not got.needs:
        return 0
    names = {need.rule_id for need in got.needs}
    held = compiled(people.workspace).by_id
    asked = tuple(one for name in sorted(names) if (one := held[name].rule.requirement) is not None)
    person = index_of(people.workspace).person(order.subject.initiator)
    asker = Asker(person, order.subject.wallet_id, not isinstance(order.subject, Intent))
    try:
        found = people.least(asked, asker, "")
    except Undecided:
        return None
    return found.cost if found else None


def _shift(
    before: Decision | CountersealError, after: Decision | CountersealError, cost: int | None, costs: int | None
) -> Shift:
    """What nobody could approve counts as denied."""
    passed, passes = _passes(before) and cost is not None, _passes(after) and costs is not None
    if passed != passes:
        return Shift.NEWLY_PERMITTED if passes else Shift.NEWLY_DENIED
    if not passes or cost is None or costs is None or cost == costs:
        return Shift.SAME
    return Shift.MORE_APPROVALS if costs > cost else Shift.FEWER_APPROVALS


def _words(got: Decision | CountersealError) -> str:
    if not isinstance(got, Decision):
        return str(got)
    if got.objections:
        return f"{got.outcome}: {got.detail}"
    return "; ".join([got.outcome, *(need.words for need in got.needs)])


def _classes(workspace: Workspace, order: PastOrder, got: Decision) -> Iterator[str]:
    """What was done, from where, to what kind of destination: of the operations that nothing permits."""
    missed = {one.operation for one in got.objections if one.reason is Reason.NO_PERMIT}
    index = index_of(workspace)
    for place, operation in enumerate(operations_of(order.subject, workspace)):
        if place not in missed:
            continue
        entry = index.book.get((operation.chain, operation.counterparty)) or index.contracts.get(
            (operation.chain, operation.counterparty)
        )
        said = [str(operation.action), f"by {order.subject.initiator}", f"from {order.subject.wallet_id}"]
        said += [f"of {operation.asset}"] if operation.asset else []
        said += [operation.method] if operation.method and not operation.asset else []
        if operation.counterparty:
            where = entry.entry_id if entry else f"one-time {to_checksum(operation.counterparty)}"
            said.append(f"to {where}")
        yield " ".join(said)


def to_line(order: PastOrder) -> str:
    """A past order as one line of JSON."""
    return json.dumps({"order": order.order_id, "at": order.at, "document": encode(order).hex()})


def from_lines(lines: Iterable[str]) -> Iterator[PastOrder]:
    """Past orders, one a line, as `to_line` writes them. Raises `Malformed`, saying in which line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
            data = bytes.fromhex(read["document"])
            yield decode_one_of((PastOrder,), data, LINE)
        except CountersealError as error:
            raise Malformed(f"line {number}: {error.message}", error.reason) from None
        except (ValueError, KeyError, TypeError):
            raise Malformed(f"line {number}: not a past order") from None
