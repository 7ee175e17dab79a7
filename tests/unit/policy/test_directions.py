"""In which direction changes of rules and facts go, that their order is nothing, and that all come to one answer."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms_core.chains.operations import Operation
from oms_core.policy.decision import Decision
from oms_core.policy.facts import Facts, Observation, Provenance, Spend
from oms_core.policy.judge import Outcome
from oms_core.policy.rules import DAY, Operator, Per, Rule
from tests.unit.policy import world
from tests.unit.policy.world import (
    DOLLAR,
    ETHER,
    MESSAGE,
    NOW,
    OPAQUE,
    ROUTER,
    STRANGER,
    UNLISTED,
    USDC,
    allow,
    call,
    decide,
    deny,
    limit,
    observed,
    pay,
    permit,
    quorum,
    require,
    spent,
    test,
    token,
    usd,
)

IS, ABOVE = Operator.IS, Operator.ABOVE

FIELDS = [
    test("action", IS, "TRANSFER"),
    test("action", Operator.IS_NOT, "CALL"),
    test("amount.usd", ABOVE, 1000 * DOLLAR),
    test("amount.usd", Operator.AT_MOST, 1000 * DOLLAR),
    test("destination.type", IS, "WHITELISTED"),
    test("destination.tag", Operator.IS_NOT, "exchange"),
    test("asset", IS, USDC),
    test("asset.class", Operator.IS_NOT, "stable"),
    test("initiator.group", IS, "traders"),
    test("protocol", IS, "uniswap"),
    test("simulation.slippage_bps", ABOVE, 100),
    test("oracle.sources", Operator.AT_LEAST, 3),
    test("opaque", IS, 1),
    test("no.such.field", IS, 1),
]
whens = st.lists(st.sampled_from(FIELDS), max_size=3).map(tuple)
tight = st.one_of(
    st.builds(lambda when, n: deny(*when, rule_id=f"deny-{n}"), whens, st.integers(0, 9)),
    st.builds(
        lambda when, n, cap, per: limit(usd(cap, DAY, *per), usd(cap), when=when, rule_id=f"limit-{n}"),
        whens, st.integers(0, 9), st.sampled_from([0, 1000, 10**6]), st.sampled_from([(), (Per.INITIATOR,)]),
    ),
    st.builds(
        lambda when, n, count, delay: require(quorum(count, "risk"), when=when, rule_id=f"require-{n}", delay=delay),
        whens, st.integers(0, 9), st.integers(1, 3), st.sampled_from([0, 60]),
    ),
)  # fmt: skip
permits = st.builds(lambda when, n: permit(*when, rule_id=f"permit-{n}"), whens, st.integers(0, 9))
rule_sets = st.lists(st.one_of(tight, permits), max_size=6, unique_by=lambda rule: rule.rule_id)
operations = st.lists(
    st.sampled_from([pay(), pay(to=STRANGER), token(), token(asset=UNLISTED), allow(), call(5), MESSAGE, OPAQUE]),
    min_size=1, max_size=3,
).map(tuple)  # fmt: skip
observations = st.lists(
    st.builds(
        Observation,
        st.sampled_from(["simulation.slippage_bps", "oracle.sources"]),
        st.sampled_from([-1, 0, 1]),
        st.sampled_from([1, 3, 200, "text"]),
        st.sampled_from(Provenance),
    ),
    max_size=4,
)
spendings = st.lists(
    st.builds(
        lambda amount, at, who: spent(amount, NOW - at, initiator=who, subject=b"%032d" % (amount + at)),
        st.sampled_from([0, 10, 10**5]), st.integers(0, 2 * DAY), st.sampled_from(["desk", "tara"]),
    ),
    max_size=4,
)  # fmt: skip
people = st.sets(st.sampled_from(["ravi", "rosa", "remy", "sam"])).map(lambda names: world.given(*sorted(names)))
STRICTNESS = {Outcome.PERMIT: 0, Outcome.DELAY: 1, Outcome.NEEDS_APPROVAL: 2, Outcome.DENY: 3}
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def strictness(rules: list[Rule], done: tuple[Operation, ...], facts: Facts, approvers: tuple[world.Given, ...]) -> int:
    return STRICTNESS[decide(rules, *done, facts=facts, approvers=approvers).outcome]


@quick
@given(rule_sets, tight, operations, observations, spendings, people)
def test_another_denial_limit_or_requirement_never_loosens(
    rules: list[Rule],
    more: Rule,
    done: tuple[Operation, ...],
    seen: list[Observation],
    before: list[Spend],
    approvers: tuple[world.Given, ...],
) -> None:
    facts = Facts(NOW, tuple(before), tuple(seen))
    plus = [*rules, replace(more, rule_id="more")]
    assert strictness(plus, done, facts, approvers) >= strictness(rules, done, facts, approvers)


@quick
@given(rule_sets, permits, operations, observations, spendings, people)
def test_another_permit_never_tightens(
    rules: list[Rule],
    more: Rule,
    done: tuple[Operation, ...],
    seen: list[Observation],
    before: list[Spend],
    approvers: tuple[world.Given, ...],
) -> None:
    facts = Facts(NOW, tuple(before), tuple(seen))
    plus = [*rules, replace(more, rule_id="more")]
    assert strictness(plus, done, facts, approvers) <= strictness(rules, done, facts, approvers)


@quick
@given(rule_sets, operations, observations, spendings, people)
def test_another_claim_never_loosens(
    rules: list[Rule],
    done: tuple[Operation, ...],
    seen: list[Observation],
    before: list[Spend],
    approvers: tuple[world.Given, ...],
) -> None:
    trusted = tuple(one for one in seen if one.provenance is not Provenance.CLAIMED)
    less, more = Facts(NOW, tuple(before), trusted), Facts(NOW, tuple(before), tuple(seen))
    assert strictness(rules, done, more, approvers) >= strictness(rules, done, less, approvers)


@quick
@given(rule_sets, operations, observations, spendings, people)
def test_another_approval_never_tightens(
    rules: list[Rule],
    done: tuple[Operation, ...],
    seen: list[Observation],
    before: list[Spend],
    approvers: tuple[world.Given, ...],
) -> None:
    facts = Facts(NOW, tuple(before), tuple(seen))
    levels = [strictness(rules, done, facts, approvers[:count]) for count in range(len(approvers) + 1)]
    assert levels == sorted(levels, reverse=True)


@quick
@given(st.randoms(use_true_random=False), rule_sets, operations, observations, spendings, people)
def test_the_order_of_rules_facts_and_approvals_is_nothing(
    random: object,
    rules: list[Rule],
    done: tuple[Operation, ...],
    seen: list[Observation],
    before: list[Spend],
    approvers: tuple[world.Given, ...],
) -> None:
    first = decide(rules, *done, facts=Facts(NOW, tuple(before), tuple(seen)), approvers=approvers)
    mixed = [list(rules), list(seen), list(before), list(approvers)]
    for some in mixed:
        random.shuffle(some)  # type: ignore[attr-defined]
    again = decide(mixed[0], *done, facts=Facts(NOW, tuple(mixed[2]), tuple(mixed[1])), approvers=tuple(mixed[3]))  # type: ignore[arg-type]
    assert again.digest == first.digest
    assert (again.objections, again.needs, again.limits) == (first.objections, first.needs, first.limits)
    assert again.trace == first.trace


def some_decision() -> Decision:
    """One with objections, needs, uses of limits, and facts of all kinds."""
    rules = """
    - rule: book
      permit:
      when: {action: [TRANSFER, CALL], destination.type: [WHITELISTED, CONTRACT]}
    - rule: risk
      require: {approvals: 2, from groups: [risk, chiefs], distinct teams: yes}
    - rule: daily
      limit: {usd: 5,000, per: [initiator, destination], every: 24h}
    - rule: slip
      deny:
      when: {simulation.slippage_bps: above 50}
    """
    facts = Facts(NOW, (spent(2500), spent(10, destination=ROUTER)), (observed("simulation.slippage_bps", 7),))
    return decide(rules, pay(), call(ETHER // 10), facts=facts, approvers=world.given("ravi", "rosa"))


def test_another_process_comes_to_the_same_digest() -> None:
    code = "from tests.unit.policy.test_directions import some_decision as d; print(d().digest.hex())"
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert run.stdout.strip() == some_decision().digest.hex()


def test_whatever_changes_in_a_decision_changes_its_digest() -> None:
    plain = decide([permit()])
    others = [
        decide([permit(rule_id="other")]),
        decide([permit(), replace(deny(), enabled=False)]),
        decide([permit()], pay(), pay()),
        decide([permit(test("amount", ABOVE, 1))]),
        decide([permit(test("amount", ABOVE, 1))], pay(ETHER + 1)),
        decide([permit(), require(quorum(1, "risk"))]),
        decide([permit(), require(quorum(1, "risk"))], approvers=world.given("ravi")),
        decide([permit(), limit(usd(10**6, DAY))]),
        decide([permit(), limit(usd(10**6, DAY))], facts=Facts(NOW, (spent(1),))),
        decide([permit(), require(delay=60)]),
        decide([permit(), require(delay=60)], facts=Facts(NOW, seen_at=NOW)),
        decide([permit(), require(cosigners=(1,))]),
    ]
    assert len({decision.digest for decision in [plain, *others]}) == len(others) + 1
