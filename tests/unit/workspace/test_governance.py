"""Who may change the workspace, and that somebody can; which quorums can be met, and which no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed, Reason
from oms_core.policy.rules import Quorum, Requirement, Rule
from oms_core.workspace import Direction, Governance, Group, Workspace, user
from oms_core.workspace.check import check_workspace
from oms_core.workspace.quorums import asks_for, newly_unmet, unsatisfiable
from tests.people import DELAY, committee, rules, workspace

PLAIN = workspace()
COMMITTEE = Quorum(2, (), ("committee",), (), False, False, False)


def why(bad: Workspace, match: str) -> Reason:
    with pytest.raises(Malformed, match=match) as caught:
        check_workspace(bad)
    return caught.value.reason


def governed(tighten: Requirement, loosen: Requirement) -> Workspace:
    ways = (Governance(Direction.TIGHTEN, tighten), Governance(Direction.LOOSEN, loosen))
    return replace(PLAIN, governance=ways)


def changed(*names: str, base: Workspace = PLAIN, **changes: object) -> Workspace:
    """With these users changed."""
    users = tuple(replace(one, **changes) if one.user_id in names else one for one in base.users)  # type: ignore[arg-type]
    return replace(base, users=users)


def revoked(*names: str, base: Workspace = PLAIN) -> Workspace:
    """With all keys of these users revoked."""
    users = tuple(
        replace(one, credentials=tuple(replace(key, revoked=True) for key in one.credentials))
        if one.user_id in names
        else one
        for one in base.users
    )
    return replace(base, users=users)


def asked(quorum: Quorum, **changes: object) -> tuple[Rule, ...]:
    """The rules, with another quorum in the one that asks the risk officers."""
    requirement = replace(Requirement((quorum,), (), False, 0, 0, ()), **changes)  # type: ignore[arg-type]
    return tuple(
        replace(rule, requirement=requirement) if rule.rule_id == "require-risk" else rule for rule in PLAIN.rules
    )


RISK = Quorum(2, (), ("risk",), (), False, False, False)


@pytest.mark.parametrize(
    ("tighten", "loosen", "match"),
    [
        (committee(2, 0), committee(1, DELAY), "at least as many people"),
        (committee(1, 60), committee(2, 59), "as long a delay"),
        (committee(2, 60), committee(2, 60), "more of one"),
        (replace(committee(1, 0), all_of=()), committee(2, 0), "TIGHTEN: approvals: nobody would be asked"),
        (committee(1, 0), replace(committee(2, 0), cosigners=(1,)), "LOOSEN: cosigners"),
        (committee(1, 0), committee(2, -1), "governance of LOOSEN: delay"),
        (committee(1, 0), committee(2, 367 * 86_400), "governance of LOOSEN: delay"),
        (committee(1, 0), replace(committee(2, 0), expires_in=-1), "governance of LOOSEN: expires_in"),
        (committee(0, 0), committee(2, 0), "quorum's threshold: 0 out of 3 people"),
        (committee(1, 0), committee(4, 0), "quorum's threshold: 4 out of 3 people"),
    ],
)
def test_governance_that_makes_loosening_easier_or_means_nothing_is_refused(
    tighten: Requirement, loosen: Requirement, match: str
) -> None:
    why(governed(tighten, loosen), match)


def test_loosening_may_take_more_people_or_only_more_time() -> None:
    check_workspace(governed(committee(1, 0), committee(2, 0)))
    check_workspace(governed(committee(1, 0), committee(1, 1)))


@pytest.mark.parametrize("governance", [(), PLAIN.governance[:1], PLAIN.governance[1:], PLAIN.governance * 2])
def test_both_directions_are_governed_each_once(governance: tuple[Governance, ...]) -> None:
    why(replace(PLAIN, governance=governance), "governance")


def test_people_of_a_requirement_are_counted_once_for_all_quorums_only_if_they_may_overlap() -> None:
    both = Requirement((COMMITTEE, RISK), (replace(RISK, threshold=1), RISK), False, 0, 0, ())
    assert asks_for(both) == 5
    assert asks_for(replace(both, overlap=True)) == 2


@pytest.mark.parametrize(
    "stuck",
    [
        changed("adam", "alice", proposal_keys=()),
        changed("adam", "alice", enabled=False),
        revoked("alice", "carol"),
        changed("alice", "carol", enabled=False),
        replace(PLAIN, groups=(*PLAIN.groups[:2], Group("committee", ("adam", "alice")))),
    ],
)
def test_a_workspace_that_nobody_could_change_is_refused(stuck: Workspace) -> None:
    assert why(stuck, "nobody could ever change this workspace|threshold") is Reason.UNSATISFIABLE


def test_whoever_proposes_is_not_counted_among_those_who_approve() -> None:
    """Adam proposes, so Alice and Carol are left; when only Carol cannot propose, she is needed."""
    check_workspace(changed("alice", proposal_keys=()))
    stuck = changed("alice", proposal_keys=(), base=revoked("carol"))
    assert why(stuck, "governance of LOOSEN: nobody could ever change") is Reason.UNSATISFIABLE


@pytest.mark.parametrize(
    ("quorum", "match", "reason"),
    [
        (replace(RISK, threshold=3), "rule require-risk: quorum's threshold: 3 out of 2 people", Reason.UNSATISFIABLE),
        (replace(RISK, threshold=0), "rule require-risk: a threshold is at least 1", Reason.MALFORMED),
        (replace(RISK, groups=("nobodys",)), "quorum's groups: there is no 'nobodys'", Reason.MALFORMED),
        (replace(RISK, roles=("nobodys",)), "quorum's roles: there is no 'nobodys'", Reason.MALFORMED),
        (replace(RISK, users=("nobody",)), "quorum's users: there is no 'nobody'", Reason.UNKNOWN_USER),
        (replace(RISK, threshold=1, groups=(), users=("tara",)), "nobody in the quorum is enabled and may approve",
         Reason.UNSATISFIABLE),
    ],
)  # fmt: skip
def test_a_quorum_that_names_nobody_or_too_few_is_refused(quorum: Quorum, match: str, reason: Reason) -> None:
    assert why(replace(PLAIN, rules=asked(quorum)), match) is reason


def test_a_rule_may_not_name_cosigners_that_there_are_not() -> None:
    why(replace(PLAIN, rules=asked(RISK, cosigners=(6,))), "rule require-risk: cosigners: there is no '6'")
    why(replace(PLAIN, rules=asked(RISK, cosigners=(1, 1))), "rule require-risk: cosigners are not unique")


def test_a_rule_may_not_name_cosigners_that_could_never_take_part_together() -> None:
    roster = tuple(replace(one, operator="op-1") if one.index == 2 else one for one in PLAIN.roster)
    shared = replace(PLAIN, roster=roster, rules=asked(RISK, cosigners=(1, 2)))
    check_workspace(shared)
    apart = replace(shared, distinct_operators=True)
    assert why(apart, "cosigners: two of them have one operator") is Reason.UNSATISFIABLE
    check_workspace(replace(shared, distinct_operators=True, rules=asked(RISK, cosigners=(1, 3))))


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ("{action: KEY_SUSPEND}", False),
        ("{action: {not: [TRANSFER, CALL, APPROVE, MESSAGE, TYPED_MESSAGE, DEPLOY, KEY_CREATE, KEY_CHANGE]}}", False),
        ("[{action: [KEY_SUSPEND, TRANSFER]}, {action: {not: TRANSFER}}]", False),
        ("{action: [KEY_SUSPEND, KEY_CHANGE]}", True),
        ("{action: KEY_CREATE}", True),
        ("{source.wallet: wal_1}", True),
    ],
)
def test_a_rule_may_not_want_cosigners_where_each_acts_for_itself(when: str, fits: bool) -> None:
    made = replace(PLAIN, rules=(*PLAIN.rules, *rules(f"- rule: r\n  require: {{cosigners: [1]}}\n  when: {when}\n")))
    if fits:
        check_workspace(made)
    else:
        assert why(made, "rule r: cosigners: each suspends a key for itself") is Reason.UNSATISFIABLE


def test_to_disable_the_last_who_could_approve_is_refused_to_revoke_her_key_is_reported() -> None:
    one = replace(PLAIN, rules=asked(replace(RISK, threshold=1, groups=(), users=("olga",))))
    check_workspace(one)
    assert why(changed("olga", base=one, enabled=False), "nobody in the quorum is enabled") is Reason.UNSATISFIABLE
    check_workspace(revoked("olga", base=one))
    assert [unmet.what for unmet in unsatisfiable(revoked("olga", base=one))] == ["rule require-risk"]


def test_nothing_is_unsatisfiable_where_enough_people_have_keys() -> None:
    assert unsatisfiable(PLAIN) == ()
    assert unsatisfiable(revoked("ravi2")) == ()  # the same person has another key


@pytest.mark.parametrize(
    ("workspace", "words"),
    [
        (revoked("olga"), "rule require-risk can be met by nobody: there are 1 of 2 people from groups risk"),
        (changed("olga", enabled=False), "1 of 2 people from groups risk"),
        (changed("olga", roles=()), "1 of 2 people from groups risk"),
        (revoked("sam", "sonja"), "rule require-security can be met by nobody: there are 0 of 2 people"),
        (replace(PLAIN, rules=asked(replace(RISK, distinct_teams=True))), "1 of 2 people"),
        (replace(PLAIN, rules=asked(replace(RISK, distinct_sites=True))), "1 of 2 people"),
        (replace(PLAIN, rules=asked(replace(RISK, device_bound=True))), "0 of 2 people"),
        (replace(PLAIN, rules=asked(RISK, any_of=(replace(RISK, threshold=1),))), "0 of 1 people"),
    ],
)
def test_a_rule_that_can_no_longer_be_met_is_found_with_the_number_that_is_left(
    workspace: Workspace, words: str
) -> None:
    (unmet,) = unsatisfiable(workspace)
    assert words in unmet.words


def test_a_rule_that_is_off_or_can_be_met_some_other_way_is_not_reported() -> None:
    off = tuple(replace(rule, enabled=rule.rule_id != "require-risk") for rule in PLAIN.rules)
    assert unsatisfiable(replace(revoked("olga"), rules=off)) == ()
    either = asked(RISK, all_of=(), any_of=(RISK, replace(RISK, threshold=1, groups=(), users=("ravi",))))
    assert unsatisfiable(replace(revoked("olga"), rules=either)) == ()


def test_who_proposes_orders_is_left_out_where_she_could_approve_herself() -> None:
    """If Olga is the only one who may propose, Ravi alone is left to approve."""
    trading = changed("desk", proposal_keys=())
    olga = replace(user(PLAIN, "olga"), roles=("risk", "operator"), proposal_keys=user(PLAIN, "desk").proposal_keys)
    both = replace(PLAIN.roles[1], may=(*PLAIN.roles[0].may, *PLAIN.roles[1].may[1:]))
    made = replace(trading, roles=(PLAIN.roles[0], both, *PLAIN.roles[2:]))
    made = replace(made, users=tuple(olga if one.user_id == "olga" else one for one in made.users))
    assert [unmet.what for unmet in unsatisfiable(made)] == ["rule require-risk"]


def test_a_report_tells_what_a_change_breaks_from_what_was_broken_before() -> None:
    old = revoked("olga")
    both = revoked("sam", base=old)
    assert {unmet.what for unmet in unsatisfiable(both)} == {"rule require-security", "rule require-risk"}
    assert [unmet.what for unmet in newly_unmet(old, both)] == ["rule require-security"]
    assert newly_unmet(old, PLAIN) == ()


def test_rules_of_the_tests_are_read_from_yaml() -> None:
    assert [rule.rule_id for rule in rules()] == [rule.rule_id for rule in PLAIN.rules]
