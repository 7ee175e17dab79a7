"""Proofs: what is proved holds of every order that the engine can be asked about, and what is shown is confirmed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms_core.analysis import prove as proving
from oms_core.analysis.claims import Asker, People
from oms_core.analysis.orders import KEYS, Order
from oms_core.analysis.properties import Approvals, Property, parse_property
from oms_core.analysis.prove import Answer, Verdict, prove
from oms_core.analysis.tables import Tables, Wondered
from oms_core.analysis.universe import universe
from oms_core.errors import LocalError, Malformed
from oms_core.policy.compiled import FALSE
from oms_core.policy.decision import Decision, Outcome
from oms_core.policy.facts import Observation, Provenance
from oms_core.policy.index import index_of
from oms_core.policy.judge import judge, judge_operations
from oms_core.policy.rules import Rule
from oms_core.policy.rules import Test as Condition
from oms_core.policy.views import view_of_operation
from oms_core.workspace import Workspace
from tests.unit.analysis import generated
from tests.unit.analysis.world import NOW, USDC, devnet, workspace
from tests.unit.policy.world import ROUTER, SWAP

PERMIT = """
- rule: all
  permit:
  when: {action: TRANSFER}
"""
BIG = """
- rule: big
  require: {approvals: 2, from groups: [risk]}
  when: {amount.usd: above 1,000,000 USD}
"""
LEAKY = """
- rule: big
  require: {approvals: 2, from groups: [risk]}
  when: {amount.usd: above 1,000,000 USD, destination.type: WHITELISTED}
"""
PROPERTY = "amount.usd > 1,000,000 and destination.type != WHITELISTED -> approvals(risk) >= 2"


def asked(text: str, under: Workspace) -> Answer:
    return prove(under, parse_property(text), NOW)


def test_a_tight_draft_is_proved_and_a_leaky_one_refuted_by_an_order() -> None:
    assert asked(PROPERTY, workspace(PERMIT + BIG)).verdict is Verdict.PROVED
    answer = asked(PROPERTY, workspace(PERMIT + LEAKY))
    assert answer.verdict is Verdict.REFUTED
    found = answer.counterexample
    assert found is not None
    decision = judge(workspace(PERMIT + LEAKY), found.order.subject, found.order.facts)
    assert decision.outcome is Outcome.PERMIT
    assert found.decision.digest == decision.digest
    assert found.people == ()


def test_the_same_question_has_the_same_answer() -> None:
    found = [asked(PROPERTY, workspace(PERMIT + LEAKY)).counterexample for _ in range(3)]
    assert len({one.order.words for one in found if one}) == 1


def test_one_micro_dollar_makes_the_difference() -> None:
    under = workspace(PERMIT + BIG)
    assert asked("amount.usd >= 1,000,000.000001 -> approvals(risk) >= 2", under).verdict is Verdict.PROVED
    assert asked("amount.usd >= 1,000,000 -> approvals(risk) >= 2", under).verdict is Verdict.REFUTED


def test_what_the_documents_show_is_what_is_said_of_the_development_network(tmp_path: Path) -> None:
    under, text = devnet(tmp_path), (Path(__file__).parents[3] / "docs" / "policy.md").read_text()
    answer = prove(under, parse_property(PROPERTY), under.created_at)
    assert answer.verdict is Verdict.PROVED
    assert f'oms policy prove "{PROPERTY}"\n    PROVED: …\n      {answer.detail}\n' in text


CALLS = "- rule: calls\n  permit:\n  when: {action: CALL, registry.state: ACTIVE, opaque: no}\n"


def test_what_is_readable_where_it_is_listed_is_not_taken_for_what_nobody_can_read_elsewhere() -> None:
    """The same bytes at another's account are worth nobody knows what, and count so against limits."""
    small = "- rule: small\n  limit: {usd: 100}\n  when: {action: CALL}\n"
    refuted = asked("action = CALL -> denied", workspace(CALLS + small))
    assert refuted.counterexample is not None
    assert refuted.counterexample.order.deed.method == SWAP
    assert asked("action = CALL and opaque = yes -> denied", workspace(CALLS + small)).verdict is Verdict.PROVED
    opened = CALLS.replace("registry.state: ACTIVE, opaque: no", "opaque: yes")
    assert asked("action = CALL -> denied", workspace(opened + small)).verdict is Verdict.PROVED
    large = "- rule: large\n  require: {approvals: 1, from groups: [risk]}\n  when: {amount.usd: above 100 USD}\n"
    assert asked("action = CALL -> approvals(risk) >= 1", workspace(CALLS + large)).verdict is Verdict.REFUTED
    assert asked("action = CALL -> approvals(risk) >= 1", workspace(opened + large)).verdict is Verdict.PROVED


def test_an_asset_without_a_price_may_be_worth_anything() -> None:
    answer = asked("amount.usd > 1,000,000 -> denied", workspace(PERMIT))
    assert answer.verdict is Verdict.REFUTED
    priced = workspace(PERMIT, assets=())
    assert asked("amount.usd > 1 -> denied", priced).verdict is Verdict.REFUTED, "the coin is not registered"


def test_a_message_has_no_amount_that_could_be_above_one() -> None:
    under = workspace(PERMIT.replace("TRANSFER", "MESSAGE"))
    assert asked("amount.usd > 1 -> denied", under).verdict is Verdict.PROVED


def test_rules_of_several_groups_add_up_and_an_overlap_does_not() -> None:
    both = """
- rule: one
  require: {approvals: 1, from groups: [risk]}
- rule: other
  require: {approvals: 1, from groups: [chiefs]}
"""
    under = workspace(PERMIT + both)
    assert asked("any -> approvals >= 1", under).verdict is Verdict.PROVED
    shared = asked("any -> approvals >= 2", under)
    assert shared.counterexample is not None
    assert shared.counterexample.people == ("p-ravi",), "who is in both groups is enough for two rules"
    apart = both.replace("from groups: [risk]", "from users: [rosa]")
    assert asked("any -> approvals >= 2", workspace(PERMIT + apart)).verdict is Verdict.PROVED


def test_alternatives_count_as_the_cheaper_one() -> None:
    either = """
- rule: either
  require: {any of: [{approvals: 2, from groups: [risk]}, {approvals: 1, from roles: [chief]}]}
"""
    under = workspace(PERMIT + either)
    assert asked("any -> approvals(risk) >= 1", under).verdict is Verdict.REFUTED
    assert asked("any -> approvals >= 1", under).verdict is Verdict.PROVED
    assert asked("any -> approvals(risk) >= 2 or approvals(chief) >= 1", under).verdict is Verdict.REFUTED


def test_a_delay_is_proved_like_an_approval() -> None:
    slow = "- rule: slow\n  require: {approvals: 1, from groups: [risk], delay: 24h}\n  when: {asset: USDC}\n"
    under = workspace(PERMIT + slow)
    assert asked(f"asset = {USDC} -> delay >= 24h and approvals(risk) >= 1", under).verdict is Verdict.PROVED
    assert asked("any -> delay >= 24h", under).verdict is Verdict.REFUTED


def test_a_claimed_fact_opens_nothing() -> None:
    scored = """
- rule: low-risk
  permit:
  when: {action: TRANSFER, risk.score: at most 50}
"""
    answer = asked("any -> denied", workspace(scored))
    assert answer.counterexample is not None
    assert [one.provenance for one in answer.counterexample.order.observed] == [Provenance.ATTESTED]
    assert asked("risk.score > 50 -> denied", workspace(scored)).verdict is Verdict.PROVED


def test_opening_hours_are_searched_for_the_hour_that_leaks() -> None:
    office = """
- rule: nights
  deny:
  when: {action: TRANSFER}
  during: {zone: UTC, days: [mon-sun], from: "00:00", to: "06:00"}
- rule: days
  deny:
  during: {zone: UTC, days: [mon-sat], from: "06:00", to: "24:00"}
"""
    answer = asked("any -> denied", workspace(PERMIT + office))
    assert answer.counterexample is not None
    assert (answer.counterexample.order.now // 86_400 + 3) % 7 == 6, "on a Sunday"
    closed = office.replace("mon-sat", "mon-sun")
    assert asked("any -> denied", workspace(PERMIT + closed)).verdict is Verdict.PROVED


def test_what_is_old_enough_only_tomorrow_is_found() -> None:
    fresh = """
- rule: fresh
  deny:
  when: {destination.age: below 11d}
"""
    under = workspace(PERMIT.replace("{action", "{destination.entry: kraken, action") + fresh)
    answer = asked("any -> denied", under)
    assert answer.counterexample is not None
    assert answer.counterexample.order.now >= NOW + 86_400


def test_tests_on_members_of_arrays_are_not_pretended_to_be_searched() -> None:
    calls = """
- rule: swaps
  permit:
  when: {action: CALL, "args.3[*]": 7}
"""
    answer = asked("any -> denied", workspace(calls))
    assert answer.verdict is Verdict.UNKNOWN
    assert "args.3[*]" in answer.detail


def test_an_argument_that_stands_by_itself_is_searched() -> None:
    calls = """
- rule: swaps
  permit:
  when: {action: CALL, args.0: at most 1000}
"""
    under = workspace(calls)
    assert asked("args.0 > 1000 -> denied", under).verdict is Verdict.PROVED
    answer = asked("args.0 >= 1000 -> denied", under)
    assert answer.counterexample is not None
    assert (
        judge(under, answer.counterexample.order.subject, answer.counterexample.order.facts).outcome is Outcome.PERMIT
    )


def test_an_entry_that_is_suspended_bars_nobody_else() -> None:
    under = workspace(PERMIT)
    first = replace(under.address_book[1], entry_id="first", label="First", address=b"\x01" * 20)
    assert asked("any -> denied", replace(under, address_book=(first,))).verdict is Verdict.REFUTED
    barred = asked("destination.entry = first -> denied", replace(under, address_book=(first,)))
    assert barred.verdict is Verdict.PROVED


def test_typed_data_that_the_registry_lists_can_be_read() -> None:
    under = workspace("- rule: typed\n  permit:\n  when: {action: TYPED_MESSAGE, opaque: no}\n")
    answer = asked("any -> denied", under)
    assert answer.verdict is Verdict.REFUTED
    assert answer.counterexample is not None
    assert answer.counterexample.order.to == ROUTER, "no other contract is there to list its type"
    assert asked("destination.type = ONE_TIME -> denied", under).verdict is Verdict.PROVED


def test_a_wrapper_is_an_operation_of_its_own() -> None:
    """A call that carries others is one, even where what it carries is denied."""
    wrapped = "execute(address,uint256,bytes)"
    under = workspace("- rule: calls\n  permit:\n  when: {action: CALL, destination.entry: router}\n")
    router = replace(under.contracts[0], methods=(wrapped,), unwraps=(wrapped,))
    answer = asked(f'method = "{wrapped}" -> denied', replace(under, contracts=(router,)))
    assert answer.verdict is not Verdict.PROVED


def test_there_are_other_chains_than_those_that_anybody_names() -> None:
    named = "- rule: none\n  deny:\n  when: {asset: [ETH, USDC, ODD]}\n"
    answer = asked("any -> denied", workspace(PERMIT + named))
    assert answer.counterexample is not None
    assert answer.counterexample.order.deed.chain == "eip155:424242"


def test_what_nobody_can_approve_never_passes() -> None:
    hopeless = "- rule: hopeless\n  require: {approvals: 9, from groups: [risk]}\n"
    assert asked("any -> approvals(risk) >= 2", workspace(PERMIT + hopeless)).verdict is Verdict.PROVED


def test_a_formula_that_the_engine_does_not_confirm_is_an_error_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other(*given: object) -> Decision:
        return replace(judge_operations(*given), outcome=Outcome.DENY)  # type: ignore[arg-type]

    monkeypatch.setattr(proving, "judge_operations", other)
    with pytest.raises(LocalError):
        asked("any -> denied", workspace(PERMIT))


def test_a_bound_that_is_reached_answers_that_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    many = "".join(
        f"- rule: r{at}\n  require: {{approvals: 1, from groups: [risk]}}\n  when: {{amount.usd: above {at + 1} USD}}\n"
        for at in range(4)
    )
    answer = prove(workspace(PERMIT + many), parse_property("any -> approvals(risk) >= 2"), NOW, milliseconds=0)
    assert answer.verdict in {Verdict.UNKNOWN, Verdict.REFUTED}


@pytest.mark.parametrize(
    "text",
    [
        "any -> approvals(nobody) >= 1",
        "nothing = x -> denied",
        "action = RAW -> denied",
        "registry.state > 1 -> denied",
        "asset = USDC -> denied",
        "destination.entry = krakn -> denied",
        "initiator.user != tarra -> denied",
        "source.wallet = hot -> denied",
        "args.2 = 0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48 -> denied",
    ],
)
def test_names_that_there_are_not_are_refused(text: str) -> None:
    """Of what there is not all would be proved."""
    with pytest.raises(Malformed):
        asked(text, workspace(PERMIT))


def passing(under: Workspace, condition: Condition, claim: Approvals) -> bool:
    """Whether any order there is passes, fits, and asks for too little: by asking the engine about each."""
    choices = universe([under], NOW, [condition])
    tables, people = Tables(under, choices), People(under)
    for places in product(*map(range, choices.sizes)):
        order = choices.order(places)
        if order is None or tables.operation(order) is None:
            continue
        decision = judge_operations(under, order.subject, tables.operations(order), order.facts)
        if order.deed.inside or decision.outcome is Outcome.DENY or not fits(tables, condition, order):
            continue
        applied = {line.rule_id for line in decision.trace if line.applies}
        required = tuple(rule.requirement for rule in under.rules if rule.rule_id in applied and rule.requirement)
        person = next(one.person_id for one in under.users if one.user_id == order.initiator)
        if not people.meets(claim, required, Asker(person, order.wallet_id, order.deed.action in KEYS)):
            return True
    return False


def fits(tables: Tables, condition: Condition, order: Order) -> bool:
    """A property's condition, asked as a REQUIRE would ask it."""
    (operation,) = tables.operations(order)
    observed: dict[str, list[Observation]] = {}
    for one in order.facts.observed:
        observed.setdefault(one.name, []).append(one)
    view = view_of_operation(index_of(tables.workspace), order.now, order.subject, 0, operation, observed)
    return Wondered(condition).on(view) != FALSE


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(generated.rules(), generated.tests, st.integers(1, 2))
def test_proofs_agree_with_asking_the_engine_about_every_order(
    rules: tuple[Rule, ...], condition: Condition, least: int
) -> None:
    full = workspace(rules)
    few = tuple(one for one in full.users if one.user_id in {"desk", "tara", "ravi", "cleo"})
    cut = {"assets": full.assets[:2], "wallets": full.wallets[:1], "address_book": full.address_book[:1]}
    under = replace(full, users=few, **cut)  # type: ignore[arg-type]
    claim = Approvals("", least)
    answer = prove(under, Property(condition, claim, ""), NOW)
    assert answer.verdict is not Verdict.UNKNOWN or any(test.field == "opaque" for rule in rules for test in rule.when)
    if answer.verdict is Verdict.PROVED:
        assert not passing(under, condition, claim)
    elif answer.verdict is Verdict.REFUTED:
        assert passing(under, condition, claim)


def test_what_may_be_paid_as_fee_is_bounded_by_a_limit_on_coins_unless_that_leaves_fees_out() -> None:
    asked = parse_property("fee.total > 1,000,000,000,000,000,000 and chain = eip155:1 -> denied")
    rules = "- rule: all\n  permit:\n- rule: coins\n  limit: {amount: 1 ETH}\n  when: {asset: ETH}\n"
    assert prove(workspace(rules), asked, NOW).verdict is Verdict.PROVED
    answer = prove(workspace(rules.replace("asset: ETH", "asset: ETH, fee: no")), asked, NOW)
    assert answer.counterexample is not None
    assert answer.counterexample.order.max_fee_total == 10**18 + 1
