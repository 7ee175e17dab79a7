"""Limits, approvals and the order of objections: the edges, and what facts can and cannot do to a decision."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains.intent import subject_digest
from oms_core.errors import NotFound, Reason
from oms_core.policy.facts import Facts, Provenance, Spend
from oms_core.policy.judge import DAY, Outcome, judge
from oms_core.policy.rules import ANY, Action, Deny, Destination, Limit, Permit, Require, Rule
from oms_core.workspace import Workspace
from tests import people
from tests.people import COIN, KNOWN, NOW, intent, wish, workspace

STRICTNESS = {Outcome.PERMIT: 0, Outcome.NEEDS_APPROVAL: 1, Outcome.DENY: 2}
NOTHING_SPENT = Facts(NOW)
PERMIT = Permit("p", (Action.TRANSFER, Action.KEY_CREATE), (ANY,), (ANY,), Destination.ANY)
LIMIT = Limit("l", ("wal_1",), COIN, 100, 200)
NEED = Require("r", (Action.TRANSFER,), (ANY,), COIN, 100, 2, "risk")


def under(*rules: Rule) -> Workspace:
    return replace(workspace(), rules=rules)


def spent(amount: int, **changes: object) -> Facts:
    plain = Spend("wal_1", COIN, amount, NOW - 10, b"another order", Provenance.OWN)
    return Facts(NOW, (replace(plain, **changes),))  # type: ignore[arg-type]


def reasons(workspace: Workspace, subject: object, facts: Facts = NOTHING_SPENT) -> list[Reason]:
    return [objection.reason for objection in judge(workspace, subject, facts).objections]  # type: ignore[arg-type]


def test_an_amount_at_the_limit_passes_and_one_unit_above_does_not() -> None:
    assert reasons(under(PERMIT, LIMIT), intent(100)) == []
    assert reasons(under(PERMIT, LIMIT), intent(101)) == [Reason.LIMIT_EXCEEDED]


def test_a_days_sum_at_the_limit_passes_and_one_unit_above_does_not() -> None:
    assert reasons(under(PERMIT, LIMIT), intent(100), spent(100)) == []
    assert reasons(under(PERMIT, LIMIT), intent(100), spent(101)) == [Reason.VELOCITY_EXCEEDED]


def test_an_amount_above_both_limits_names_both() -> None:
    assert reasons(under(PERMIT, LIMIT), intent(201)) == [Reason.LIMIT_EXCEEDED, Reason.VELOCITY_EXCEEDED]


def test_the_day_rolls_by_the_second() -> None:
    assert reasons(under(PERMIT, LIMIT), intent(100), spent(101, at=NOW - DAY)) == []
    assert reasons(under(PERMIT, LIMIT), intent(100), spent(101, at=NOW - DAY + 1)) == [Reason.VELOCITY_EXCEEDED]


def test_a_spend_with_a_time_still_to_come_counts() -> None:
    assert reasons(under(PERMIT, LIMIT), intent(100), spent(101, at=NOW + 3600)) == [Reason.VELOCITY_EXCEEDED]


@pytest.mark.parametrize("changes", [{"wallet_id": "wal_2"}, {"asset": "eip155:1/slip44:60"}])
def test_a_spend_of_another_wallet_or_asset_does_not_count(changes: dict[str, object]) -> None:
    assert reasons(under(PERMIT, LIMIT), intent(100), spent(1000, **changes)) == []


def test_a_limit_over_all_wallets_counts_the_spends_of_all() -> None:
    everywhere = replace(LIMIT, wallets=(ANY,))
    assert reasons(under(PERMIT, everywhere), intent(100), spent(101, wallet_id="wal_2")) == [Reason.VELOCITY_EXCEEDED]


def test_the_orders_own_earlier_entry_is_not_counted_twice() -> None:
    mine = intent(100)
    facts = Facts(NOW, (*spent(100).spent, *spent(100, subject=subject_digest(mine)).spent))
    assert reasons(under(PERMIT, LIMIT), mine, facts) == []


def test_limits_say_nothing_about_new_wallets() -> None:
    assert reasons(under(PERMIT, replace(LIMIT, per_transaction=0, per_day=0)), wish()) == []


@pytest.mark.parametrize("provenance", Provenance)
def test_a_negative_spend_makes_room_for_nothing_whoever_says_so(provenance: Provenance) -> None:
    facts = Facts(NOW, (*spent(101).spent, *spent(-101, provenance=provenance).spent))
    assert reasons(under(PERMIT, LIMIT), intent(100), facts) == [Reason.FACT_UNKNOWN]


spends = st.builds(
    Spend, st.sampled_from(["wal_1", "wal_2"]), st.just(COIN), st.integers(-5, 200), st.integers(NOW - 2 * DAY, NOW),
    st.sampled_from([b"one", b"two"]), st.sampled_from(Provenance),
)  # fmt: skip


@given(st.lists(spends, max_size=4), spends, st.integers(1, 150), st.sampled_from([(), ("ravi",), ("ravi", "olga")]))
def test_one_more_spend_never_loosens_a_decision(
    known: list[Spend], more: Spend, amount: int, who: tuple[str, ...]
) -> None:
    rules = under(PERMIT, LIMIT, NEED)
    before = judge(rules, intent(amount), Facts(NOW, tuple(known)), who)
    after = judge(rules, intent(amount), Facts(NOW, (*known, more)), who)
    assert STRICTNESS[after.outcome] >= STRICTNESS[before.outcome]


@given(st.permutations(["ravi", "ravi2", "olga", "sam", "tara", "desk", "nobody"]), st.integers(0, 7))
def test_one_more_approval_never_tightens_and_the_order_of_approvals_is_nothing(who: list[str], count: int) -> None:
    some = judge(under(PERMIT, NEED), intent(101), Facts(NOW), tuple(who[:count]))
    more = judge(under(PERMIT, NEED), intent(101), Facts(NOW), tuple(who[: count + 1]))
    again = judge(under(PERMIT, NEED), intent(101), Facts(NOW), tuple(reversed(who[:count])))
    assert STRICTNESS[more.outcome] <= STRICTNESS[some.outcome]
    assert again == some


def test_approvals_are_asked_for_above_the_threshold_only() -> None:
    assert judge(under(PERMIT, NEED), intent(100), Facts(NOW)).outcome is Outcome.PERMIT
    assert judge(under(PERMIT, NEED), intent(101), Facts(NOW)).outcome is Outcome.NEEDS_APPROVAL


def test_two_users_of_one_person_count_once() -> None:
    decision = judge(under(PERMIT, NEED), intent(101), Facts(NOW), ("ravi", "ravi2"))
    assert decision.outcome is Outcome.NEEDS_APPROVAL
    assert (decision.needs[0].given, decision.needs[0].missing) == (("ravi",), 1)


def test_approvals_without_the_role_or_by_nobody_do_not_count() -> None:
    assert judge(under(PERMIT, NEED), intent(101), Facts(NOW), ("sam", "tara", "nobody")).needs[0].given == ()


def test_no_user_of_the_initiators_person_counts_or_is_asked() -> None:
    need = judge(under(PERMIT, NEED), intent(101, initiator="ravi"), Facts(NOW), ("ravi", "ravi2", "olga")).needs[0]
    assert (need.given, need.eligible) == (("olga",), ())


def test_somebody_with_the_role_but_no_credential_is_not_asked() -> None:
    bare = replace(people.person("olga", "risk"), credentials=())
    users = tuple(bare if user.user_id == "olga" else user for user in workspace().users)
    need = judge(replace(under(PERMIT, NEED), users=users), intent(101), Facts(NOW), ("olga",)).needs[0]
    assert (need.given, need.eligible) == ((), ("ravi", "ravi2"))


def test_one_person_with_two_roles_meets_the_needs_of_both() -> None:
    both = replace(people.person("olga", "risk"), roles=("risk", "security"))
    users = tuple(both if user.user_id == "olga" else user for user in workspace().users)
    one_each = (replace(NEED, approvals=1), replace(NEED, rule_id="s", approvals=1, role="security"))
    asked = replace(under(PERMIT, *one_each), users=users)
    assert judge(asked, intent(101), Facts(NOW), ("olga",)).outcome is Outcome.PERMIT


def test_a_missing_approval_is_the_reason_and_a_yes_has_none() -> None:
    asked = judge(under(PERMIT, NEED), intent(101), Facts(NOW))
    assert (asked.reason, asked.detail) == (Reason.APPROVAL_MISSING, "")
    assert judge(under(PERMIT), intent(1), Facts(NOW)).reason is None


def test_a_denial_is_named_before_limits_and_before_the_missing_permit() -> None:
    denies = Deny("z", (ANY,), (KNOWN,), ())
    decision = judge(under(denies, LIMIT), intent(201), Facts(NOW))
    assert [objection.reason for objection in decision.objections] == [
        Reason.DENIED_BY_RULE, Reason.LIMIT_EXCEEDED, Reason.VELOCITY_EXCEEDED, Reason.NO_PERMIT,
    ]  # fmt: skip
    assert decision.reason is Reason.DENIED_BY_RULE
    assert decision.detail.startswith("z: destination is denied; l: 201 is above 100")


def test_objections_win_over_approvals_that_are_there() -> None:
    denied = under(PERMIT, NEED, Deny("d", (ANY,), (), (ANY,)))
    assert judge(denied, intent(101), Facts(NOW), ("ravi", "olga")).outcome is Outcome.DENY


@pytest.mark.parametrize(
    "broken",
    [
        replace(LIMIT, per_transaction="100"),
        replace(LIMIT, wallets=None),
        replace(NEED, above=None),
        replace(PERMIT, rule_id="q", actions=None),
        replace(PERMIT, rule_id="q", initiator_roles=0),
        Deny("d", (ANY,), (), None),  # type: ignore[arg-type]
    ],
)
def test_a_rule_that_cannot_be_evaluated_objects(broken: Rule) -> None:
    decision = judge(under(PERMIT, broken), intent(101), Facts(NOW), ("ravi", "olga"))
    assert decision.outcome is Outcome.DENY
    assert decision.objections[0].reason is Reason.FACT_UNKNOWN
    assert decision.objections[0].rule_id == broken.rule_id


def test_a_rule_of_an_unknown_kind_objects() -> None:
    class Novelty:
        rule_id, wallets = "n", (ANY,)

    assert reasons(under(PERMIT, Novelty()), intent(1)) == [Reason.FACT_UNKNOWN]  # type: ignore[arg-type]


def test_an_initiator_that_the_workspace_does_not_know_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        judge(under(PERMIT), intent(initiator="nobody"), Facts(NOW))
    assert caught.value.reason is Reason.UNKNOWN_USER


@pytest.mark.parametrize(
    ("roles", "permitted"), [(("trader",), True), (("risk", "security"), True), (("risk",), False), ((ANY,), True)]
)
def test_a_permit_is_for_initiators_with_one_of_its_roles(roles: tuple[str, ...], permitted: bool) -> None:
    decision = judge(under(replace(PERMIT, initiator_roles=roles)), intent(1), Facts(NOW))
    assert (decision.outcome is Outcome.PERMIT) is permitted


def test_a_permit_for_the_address_book_permits_its_entries_on_their_own_chain_only() -> None:
    book = under(replace(PERMIT, destination=Destination.ADDRESS_BOOK))
    assert reasons(book, intent(1)) == []
    assert reasons(book, intent(1, to=people.STRANGE)) == [Reason.NO_PERMIT]
    assert reasons(book, intent(1, chain="eip155:1")) == [Reason.NO_PERMIT]


def test_a_decision_that_differs_in_anything_has_another_digest() -> None:
    decisions = [
        judge(under(PERMIT), intent(1), Facts(NOW)),
        judge(under(PERMIT, LIMIT), intent(1), Facts(NOW)),
        judge(under(PERMIT, LIMIT), intent(2), Facts(NOW)),
        judge(under(PERMIT, LIMIT), intent(2), spent(1)),
        judge(under(PERMIT, NEED), intent(101), Facts(NOW)),
        judge(under(PERMIT, NEED), intent(101), Facts(NOW), ("ravi",)),
        judge(under(PERMIT, NEED), intent(101), Facts(NOW), ("ravi", "olga")),
        judge(under(), intent(1), Facts(NOW)),
    ]
    assert len({decision.digest for decision in decisions}) == len(decisions)
    assert all(len(decision.digest) == 32 for decision in decisions)
