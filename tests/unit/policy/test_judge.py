"""Rules: what each kind does, that order is nothing, and that changes go in one direction."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from oms_core.errors import Reason
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Outcome, judge
from oms_core.policy.rules import ANY, Action, Deny, Destination, Limit, Permit, Require, Rule
from oms_core.workspace import Workspace
from tests import people
from tests.people import NOW, intent, wish, workspace

FACTS = Facts(NOW)
STRICTNESS = {Outcome.PERMIT: 0, Outcome.NEEDS_APPROVAL: 1, Outcome.DENY: 2}


def under(*rules: Rule) -> Workspace:
    return replace(workspace(), rules=rules)


PERMIT = Permit("p", (Action.TRANSFER,), (ANY,), (ANY,), Destination.ANY)


def test_without_rules_nothing_is_permitted() -> None:
    decision = judge(under(), intent(), FACTS)
    assert decision.outcome is Outcome.DENY
    assert decision.objections[0].reason is Reason.NO_PERMIT


def test_an_empty_tuple_in_a_permit_matches_nothing() -> None:
    for emptied in ({"actions": ()}, {"wallets": ()}, {"initiator_roles": ()}):
        assert judge(under(replace(PERMIT, **emptied)), intent(), FACTS).outcome is Outcome.DENY


def test_a_deny_beats_a_permit() -> None:
    denies = Deny("d", (ANY,), (people.KNOWN,), ())
    decision = judge(under(PERMIT, denies), intent(), FACTS)
    assert [o.reason for o in decision.objections] == [Reason.DENIED_BY_RULE]


def test_a_deny_of_an_initiator_holds_for_every_destination() -> None:
    decision = judge(under(PERMIT, Deny("d", (ANY,), (), ("desk",))), intent(), FACTS)
    assert decision.outcome is Outcome.DENY


def test_a_rule_for_another_wallet_does_not_apply() -> None:
    decision = judge(under(PERMIT, Limit("l", ("wal_2",), people.COIN, 0, 0)), intent(), FACTS)
    assert decision.outcome is Outcome.PERMIT


def test_a_require_for_an_asset_that_it_does_not_price_applies() -> None:
    needs = Require("r", (Action.TRANSFER,), (ANY,), "eip155:31337/erc20:0x00", 10**30, 1, "risk")
    assert judge(under(PERMIT, needs), intent(1), FACTS).outcome is Outcome.NEEDS_APPROVAL


def test_all_requires_that_match_add_up() -> None:
    risk = Require("r1", (Action.TRANSFER,), (ANY,), people.COIN, 0, 1, "risk")
    security = Require("r2", (Action.TRANSFER,), (ANY,), people.COIN, 0, 1, "security")
    assert judge(under(PERMIT, risk, security), intent(), FACTS, ("ravi",)).outcome is Outcome.NEEDS_APPROVAL
    assert judge(under(PERMIT, risk, security), intent(), FACTS, ("ravi", "sam")).outcome is Outcome.PERMIT


def test_the_initiators_person_is_not_eligible() -> None:
    needs = Require("r", (Action.TRANSFER,), (ANY,), people.COIN, 0, 1, "risk")
    decision = judge(under(PERMIT, needs), intent(initiator="ravi"), FACTS)
    assert set(decision.needs[0].eligible) == {"olga"}


def test_a_permit_for_transfers_makes_no_wallet() -> None:
    assert judge(under(PERMIT), wish(), FACTS).outcome is Outcome.DENY


def test_the_trace_has_one_line_for_each_rule() -> None:
    decision = judge(workspace(), intent(), FACTS)
    assert sorted(line.rule_id for line in decision.trace) == sorted(rule.rule_id for rule in workspace().rules)


ids = st.integers(0, 10**6).map(lambda n: f"rule-{n}")
wallets = st.sampled_from([(ANY,), ("wal_1",), ("wal_2",), ()])
amounts = st.integers(0, 120)
permits = st.builds(
    Permit, ids, st.just((Action.TRANSFER,)), wallets, st.sampled_from([(ANY,), ("trader",), ("risk",)]),
    st.sampled_from(Destination),
)  # fmt: skip
denies = st.builds(
    Deny, ids, wallets, st.sampled_from([(), (people.KNOWN,), (people.STRANGE,)]), st.sampled_from([(), ("desk",)])
)
limits = st.builds(Limit, ids, wallets, st.just(people.COIN), amounts, amounts)
requires = st.builds(
    Require, ids, st.just((Action.TRANSFER,)), wallets, st.just(people.COIN), amounts, st.integers(1, 2),
    st.sampled_from(["risk", "security"]),
)  # fmt: skip
tightening = st.one_of(denies, limits, requires)
rule_sets = st.lists(st.one_of(permits, denies, limits, requires), max_size=6, unique_by=lambda rule: rule.rule_id)
subjects = st.builds(intent, st.integers(1, 120), st.sampled_from([people.KNOWN, people.STRANGE]))
approvers = st.sampled_from([(), ("ravi",), ("ravi", "olga"), ("ravi", "olga", "sam", "sonja")])


@given(rule_sets, subjects, approvers, st.randoms())
def test_the_order_of_rules_is_nothing(
    rules: list[Rule], subject: object, who: tuple[str, ...], random: object
) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = judge(under(*rules), subject, FACTS, who), judge(under(*shuffled), subject, FACTS, who)  # type: ignore[arg-type]
    assert one == other
    assert one.digest == other.digest


@given(rule_sets, tightening, subjects, approvers)
def test_adding_a_deny_limit_or_require_never_loosens(
    rules: list[Rule], more: Rule, subject: object, who: tuple[str, ...]
) -> None:
    before, after = judge(under(*rules), subject, FACTS, who), judge(under(*rules, more), subject, FACTS, who)  # type: ignore[arg-type]
    assert STRICTNESS[after.outcome] >= STRICTNESS[before.outcome]


@given(rule_sets, permits, subjects, approvers)
def test_adding_a_permit_never_tightens(rules: list[Rule], more: Rule, subject: object, who: tuple[str, ...]) -> None:
    before, after = judge(under(*rules), subject, FACTS, who), judge(under(*rules, more), subject, FACTS, who)  # type: ignore[arg-type]
    assert STRICTNESS[after.outcome] <= STRICTNESS[before.outcome]
