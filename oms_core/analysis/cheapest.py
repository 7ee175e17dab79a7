"""The fewest people who can get something of this worth out of a wallet: exactly, by asking for what cannot be proved.

For more and more approvals it is asked whether they are needed; the first time that this is refuted, there is an order
that needs one fewer, and who suffices for it. People are counted, not their users; whoever proposes is one of them. The
other way is to change the workspace first: that takes those whom its governance asks for, and then one alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oms_core.analysis.orders import Order
from oms_core.analysis.people import Undecided, electorate, fewest
from oms_core.analysis.properties import And, Approvals, Condition, Denied, Property
from oms_core.analysis.prove import Prover, Verdict, tests_of
from oms_core.policy.index import index_of
from oms_core.policy.require import Asking
from oms_core.policy.rules import Operator, Test
from oms_core.workspace import Direction, Privilege, Workspace, privileges

ANYBODY = Test("destination.type", Operator.IS, ("ONE_TIME",))
MOST = 32  # people


@dataclass(frozen=True, slots=True)
class Route:
    """A way out: who proposes, who approves (people), how many seconds it takes at least, and in how many orders.

    ``order`` is one that goes this way, None where the workspace is changed first.
    """

    how: str
    proposer: str
    approvers: tuple[str, ...]
    delay: int
    orders: int
    order: Order | None

    @property
    def people(self) -> int:
        """How many it takes."""
        return 1 + len(self.approvers)


@dataclass(frozen=True, slots=True)
class Cheapest:
    """All ways that were looked at, cheapest first; and what is not known, in words."""

    routes: tuple[Route, ...]
    open_questions: tuple[str, ...]


def cheapest(
    workspace: Workspace,
    wallet_id: str,
    amount: Test,
    now: int,
    to: Condition = ANYBODY,
    parts: tuple[int, ...] = (1, 10, 100),
) -> Cheapest:
    """Ways to move ``amount`` out of a wallet: a test with AT_LEAST, of ``amount.usd`` or of ``amount``.

    ``to`` says to whom, and of which asset where the amount is in its units; by default to anybody. With ``parts`` it
    may leave in so many orders of one size: that limits over time make this slow is not counted. Raises `Malformed` for
    fields that there are not.
    """
    bound = amount.values[0]
    assert isinstance(bound, int)
    sizes = {orders: Test(amount.field, Operator.AT_LEAST, (-(-bound // orders),)) for orders in sorted(parts)}
    proposers = tuple(one.user_id for one in workspace.users if one.enabled and one.proposal_keys)
    base: tuple[Condition, ...] = (
        Test("source.wallet", Operator.IS, (wallet_id,)),
        Test("initiator.user", Operator.IS, proposers),
        to,
    )
    priced = tuple(asset.asset for asset in workspace.assets if asset.usd_micro)
    in_usd = amount.field == "amount.usd"
    if in_usd:
        base = (*base, Test("asset", Operator.IS, priced))
    questions: list[str] = []
    routes: list[Route] = []
    if proposers and (priced or not in_usd):
        prover = Prover(workspace, now, [*(test for one in base for test in tests_of(one)), *sizes.values()])
        for orders, size in sizes.items():
            routes += _directly(prover, And((*base, size)), orders, questions)
    routes += _by_changing(workspace, wallet_id, questions)
    return Cheapest(tuple(sorted(_best(routes), key=lambda one: (one.people, one.orders, one.how))), tuple(questions))


def _directly(prover: Prover, condition: Condition, orders: int, questions: list[str]) -> Iterator[Route]:
    """Ask for more and more approvals until it can be proved that they are needed."""
    if prover.prove(Property(condition, Denied(), "")).verdict is Verdict.PROVED:
        return
    for least in range(1, MOST):
        answer = prover.prove(Property(condition, Approvals("", least), ""))
        if answer.verdict is Verdict.UNKNOWN:
            questions.append(f"in {orders} orders, fewer than {least} approvals: {answer.detail}")
            return
        if answer.counterexample is not None:
            found = answer.counterexample
            person = index_of(prover.people.workspace).person(found.order.initiator)
            how = f"by {'an order' if orders == 1 else f'{orders} orders'} as the rules stand"
            yield Route(how, person, found.people, found.decision.delay, orders, found.order)
            return


def _by_changing(workspace: Workspace, wallet_id: str, questions: list[str]) -> Iterator[Route]:
    """Loosen the rules first. Those who approve may gain nothing by it, so that the proposer is the one who does."""
    index = index_of(workspace)
    for governance in workspace.governance:
        if governance.direction is not Direction.LOOSEN:
            continue
        for one in workspace.users:
            if not one.proposal_keys or Privilege.PROPOSE_CHANGES not in privileges(workspace, one, ""):
                continue
            asking = Asking(index, one.person_id, "", Privilege.APPROVE_CHANGES)
            try:
                found = fewest([governance.approvals], electorate(asking))
            except Undecided as why:
                questions.append(f"changing the workspace as {one.user_id} proposes it: {why}")
                continue
            if found is not None:
                how = f"by changing the workspace first, so that {one.user_id} alone may move {wallet_id}"
                yield Route(how, one.person_id, found.people, governance.approvals.delay, 1, None)


def _best(routes: list[Route]) -> Iterator[Route]:
    """Of each way the one with the fewest people."""
    held: dict[tuple[bool, int], Route] = {}
    for one in sorted(routes, key=lambda one: (one.people, one.proposer, one.approvers)):
        held.setdefault((one.order is None, one.orders), one)
    yield from held.values()
