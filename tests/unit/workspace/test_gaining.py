"""Who gains by a change without a role, a group or a key more: whoever counts where she did not."""

from __future__ import annotations

from dataclasses import replace

from oms_core.workspace import Assurance, Workspace, user
from oms_core.workspace.grants import gainers
from tests.people import rules, workspace
from tests.unit.workspace.test_change import with_user

PLAIN = workspace()


def ours(**changes: object) -> Workspace:
    """A committee of which no two are of one team or site, each with a key that is bound to its device."""
    one = PLAIN.governance[0].approvals
    apart = replace(one, all_of=(replace(one.all_of[0], distinct_teams=True, distinct_sites=True),))
    governance = tuple(replace(each, approvals=replace(apart, delay=each.approvals.delay)) for each in PLAIN.governance)
    return replace(PLAIN, governance=governance, **changes)  # type: ignore[arg-type]


def test_who_comes_to_another_team_or_site_or_whose_key_counts_for_more_gains_by_it() -> None:
    """She would count beside somebody beside whom she did not, or in a quorum in which her key did not."""
    (key,) = user(PLAIN, "carol").credentials
    synced = with_user("carol", credentials=(replace(key, assurance=Assurance.SYNCED),))
    bound = with_user("carol", synced, credentials=(replace(key, assurance=Assurance.DEVICE_BOUND),))
    for base, made in (
        (ours(), with_user("carol", ours(), team="elsewhere")),
        (ours(), with_user("carol", ours(), site="elsewhere")),
        (synced, bound),
    ):
        assert gainers(base, made) == {"person-carol"}
        assert gainers(made, made) == frozenset()
    assert gainers(bound, synced) == frozenset()
    assert gainers(PLAIN, with_user("carol", team="elsewhere", site="elsewhere")) == frozenset()


def test_whom_a_rule_held_back_by_name_gains_when_it_holds_back_less() -> None:
    own = "- rule: own\n  {}\n  when: {{initiator.user: [carol, desk]{}}}\n"
    deny, limit = (own.format(what, "") for what in ("deny:", "limit: {count: 5, every: 24h}"))
    weaker = own.format("limit: {count: 6, every: 24h}", "")
    narrower = own.format("deny:", ", action: CALL")
    base = {text: replace(PLAIN, rules=(*PLAIN.rules, *rules(text))) for text in (deny, limit, weaker, narrower)}
    for before, after in ((deny, narrower), (limit, weaker)):
        assert gainers(base[before], base[after]) == {"person-carol", "service-desk"}
        assert gainers(base[before], PLAIN) == {"person-carol", "service-desk"}
        words = tuple(replace(one, description="in other words") for one in base[before].rules)
        assert gainers(base[before], replace(base[before], rules=words)) == frozenset()
        assert gainers(base[after], base[before]) == gainers(PLAIN, base[before]) == frozenset()


def test_who_leaves_a_group_or_a_role_by_which_a_rule_held_her_back_gains_by_it() -> None:
    (group,) = (one for one in PLAIN.groups if one.group_id == "committee")
    left = tuple(replace(one, members=one.members[:-1]) if one is group else one for one in PLAIN.groups)
    who = user(PLAIN, group.members[-1])
    for held, changes in (
        ("initiator.group: committee", {"groups": left}),
        (f"initiator.role: {who.roles[0]}", {"users": with_user(who.user_id, roles=()).users}),
    ):
        for what, gains in (("deny:", {who.person_id}), ("permit:", set())):
            ruled = (*PLAIN.rules, *rules(f"- rule: own\n  {what}\n  when: {{{held}}}\n"))
            base = replace(PLAIN, rules=ruled)
            assert gainers(base, replace(base, **changes)) == gains  # type: ignore[arg-type]
            gone = tuple(replace(one, enabled=one.user_id != who.user_id) for one in changes.get("users", PLAIN.users))  # type: ignore[arg-type]
            assert gainers(base, replace(base, **{**changes, "users": gone})) == frozenset()  # type: ignore[arg-type]
