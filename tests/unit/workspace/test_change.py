"""From one version to the next: who may propose it, who has to approve it, and what may not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from oms_core.approvals import Verdict
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, Reason, Refused
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.workspace import (
    AddressEntry,
    Assurance,
    Direction,
    EntryState,
    Governance,
    Incompatible,
    Privilege,
    ProposalKey,
    Role,
    Workspace,
    user,
    workspace_digest,
)
from oms_core.workspace.change import Removed, removed_people, verify_change
from tests.parties import identity
from tests.people import (
    CHAIN,
    DELAY,
    NOW,
    STRANGE,
    approve,
    committee,
    following,
    intent,
    keys,
    propose,
    reform,
    rules,
    workspace,
    workspace_request,
)

PLAIN = workspace()
TIGHTER = following(incompatible=(*PLAIN.incompatible, Incompatible("trader", "admin", "who trades makes no rules")))
ENTRY = AddressEntry("new", "New", CHAIN, STRANGE, (), EntryState.ACTIVE, NOW)
LOOSER = following(address_book=(*PLAIN.address_book, ENTRY))


def with_user(name: str, base: Workspace = PLAIN, /, **changes: object) -> Workspace:
    users = tuple(replace(one, **changes) if one.user_id == name else one for one in base.users)  # type: ignore[arg-type]
    return replace(base, users=users)


def larger() -> Workspace:
    """With a fourth member of the committee, so that one can go."""
    groups = tuple(
        replace(group, members=(*group.members, "sam")) if group.group_id == "committee" else group
        for group in PLAIN.groups
    )
    return replace(with_user("sam", roles=("security", "admin")), groups=groups)


def asked(
    made: Workspace, *names: str, current: Workspace = PLAIN, initiator: str = "adam", **wish: object
) -> ChangeWorkspaceRequest:
    subject = reform(made, initiator=initiator, **wish)
    return workspace_request(subject, *(approve(subject, name, under=current) for name in names))


def refusal(request: ChangeWorkspaceRequest, current: Workspace = PLAIN, now: int = NOW) -> CountersealError:
    with pytest.raises((Refused, Malformed)) as caught:
        verify_change(request, current, now)
    return caught.value


def test_a_tightening_takes_one_of_the_committee_and_counts_at_once() -> None:
    granted = verify_change(asked(TIGHTER, "carol"), PLAIN, NOW)
    assert (granted.direction, granted.delay, granted.initiator.user_id) == (Direction.TIGHTEN, 0, "adam")
    assert [one.user.user_id for one in granted.approvers] == ["carol"]
    assert [part.path for part in granted.parts] == ["incompatible/trader and admin"]


def test_a_loosening_takes_two_of_the_committee_and_waits() -> None:
    granted = verify_change(asked(LOOSER, "carol", "alice"), PLAIN, NOW)
    assert (granted.direction, granted.delay) == (Direction.LOOSEN, DELAY)
    error = refusal(asked(LOOSER, "carol"))
    assert error.reason is Reason.APPROVAL_MISSING
    assert "governance of LOOSEN: 1 of 2 approvals by groups committee" in error.message


def test_a_change_that_nobody_has_approved_is_refused() -> None:
    assert refusal(asked(TIGHTER)).reason is Reason.APPROVAL_MISSING


def test_a_request_survives_its_encoding() -> None:
    request = asked(LOOSER, "carol", "alice")
    assert decode(ChangeWorkspaceRequest, encode(request)) == request
    assert verify_change(decode(ChangeWorkspaceRequest, encode(request)), PLAIN, NOW).wish.next == LOOSER


@pytest.mark.parametrize(
    ("made", "name"),
    [(replace(TIGHTER, version=2), "version"), (replace(TIGHTER, parent=bytes(32)), "parent"),
     (replace(TIGHTER, version=0, parent=b""), "first")],
)  # fmt: skip
def test_a_change_that_stands_on_another_version_is_refused(made: Workspace, name: str) -> None:
    assert refusal(asked(made, "carol")).reason is Reason.POLICY_VERSION_MISMATCH, name


def test_after_one_change_all_others_of_the_same_parent_are_stale() -> None:
    assert refusal(asked(LOOSER, "carol", "alice", current=TIGHTER), TIGHTER).reason is Reason.POLICY_VERSION_MISMATCH


def test_what_is_approved_is_approved_under_the_version_that_is_changed() -> None:
    subject = reform(TIGHTER)
    other = replace(PLAIN, name="other")
    request = workspace_request(subject, approve(subject, "carol", under=other))
    assert refusal(request).reason is Reason.POLICY_VERSION_MISMATCH


def test_the_governance_of_the_old_version_decides_not_that_of_the_new_one() -> None:
    easy = (Governance(Direction.TIGHTEN, committee(1, 0)), Governance(Direction.LOOSEN, committee(1, 1)))
    assert refusal(asked(following(governance=easy), "carol")).reason is Reason.APPROVAL_MISSING
    assert verify_change(asked(following(governance=easy), "carol", "alice"), PLAIN, NOW).delay == DELAY


def test_whoever_proposes_does_not_approve() -> None:
    assert refusal(asked(LOOSER, "adam", "carol")).reason is Reason.SELF_APPROVAL
    twin = replace(user(PLAIN, "adam"), user_id="adam2", credentials=(keys().approvers["tara"].credential,))
    base = with_user("tara", credentials=())
    both = replace(base, users=(*base.users, replace(twin, proposal_keys=())))
    groups = tuple(replace(g, members=(*g.members, "adam2")) if g.group_id == "committee" else g for g in both.groups)
    both = replace(both, groups=groups)
    subject = reform(following(both, incompatible=()))
    claim = approve(subject, "carol", under=both)
    own = approve(subject, "alice", under=both)
    stolen = replace(own.claim, approver="adam2")
    own = keys().approvers["tara"].approve(stolen, "http://localhost:8080")
    assert refusal(workspace_request(subject, claim, own), both).reason is Reason.SELF_APPROVAL


@pytest.mark.parametrize(("initiator", "reason"), [("desk", Reason.NOT_ELIGIBLE), ("carol", Reason.CREDENTIAL_UNKNOWN)])
def test_only_who_may_propose_changes_does_with_a_key(initiator: str, reason: Reason) -> None:
    assert refusal(asked(TIGHTER, "alice", initiator=initiator)).reason is reason


def test_a_disabled_administrator_proposes_nothing() -> None:
    current = with_user("adam", larger(), enabled=False)
    made = following(current, incompatible=TIGHTER.incompatible)
    assert refusal(asked(made, "carol", current=current), current).reason is Reason.NOT_ELIGIBLE


@pytest.mark.parametrize("name", ["ravi", "sam", "tara"])
def test_who_may_not_approve_changes_does_not(name: str) -> None:
    assert refusal(asked(TIGHTER, "carol", name)).reason is Reason.NOT_ELIGIBLE


def test_who_has_the_privilege_but_is_not_in_the_quorum_does_not_count() -> None:
    ravi = user(PLAIN, "ravi")
    current = with_user("ravi", roles=(*ravi.roles, "admin"))
    made = following(current, incompatible=TIGHTER.incompatible)
    assert refusal(asked(made, "ravi", current=current), current).reason is Reason.APPROVAL_MISSING


def test_one_denial_stops_a_change() -> None:
    subject = reform(LOOSER)
    yes = [approve(subject, name) for name in ("carol", "alice")]
    no = approve(subject, "carol", Verdict.DENY)
    assert refusal(workspace_request(subject, yes[1], no)).reason is Reason.APPROVAL_DENIED


def test_an_approval_of_another_change_or_by_a_bent_assertion_is_refused() -> None:
    subject, other = reform(TIGHTER), reform(TIGHTER, purpose="another")
    request = workspace_request(subject, approve(other, "carol"))
    assert refusal(request).reason is Reason.CHALLENGE_MISMATCH
    good = approve(subject, "carol")
    bent = replace(good, signature=good.signature[:-1] + bytes([good.signature[-1] ^ 1]))
    assert refusal(workspace_request(subject, bent)).reason is Reason.SIGNATURE_INVALID


def test_a_revoked_credential_approves_nothing() -> None:
    carol = user(PLAIN, "carol")
    current = with_user("carol", larger(), credentials=(replace(carol.credentials[0], revoked=True),))
    made = following(current, incompatible=TIGHTER.incompatible)
    assert refusal(asked(made, "carol", current=current), current).reason is Reason.CREDENTIAL_REVOKED


def test_approvals_do_not_count_when_they_are_older_than_the_governance_wants() -> None:
    short = replace(committee(1, 0), expires_in=60)
    current = replace(PLAIN, governance=(Governance(Direction.TIGHTEN, short), PLAIN.governance[1]))
    request = asked(following(current, incompatible=TIGHTER.incompatible), "carol", current=current)
    assert verify_change(request, current, NOW + 50).delay == 0
    assert refusal(request, current, NOW + 60).reason is Reason.APPROVAL_MISSING


def test_a_change_out_of_its_time_is_refused() -> None:
    assert refusal(asked(TIGHTER, "carol"), now=NOW + 1000).reason is Reason.EXPIRED
    assert refusal(asked(TIGHTER, "carol"), now=NOW - 100).reason is Reason.EXPIRED
    long = asked(TIGHTER, "carol", valid_until=NOW + 32 * 86_400)
    assert "valid_until" in refusal(long).message


def test_a_version_that_is_dated_after_its_wish_ends_is_refused() -> None:
    late = following(PLAIN, created_at=NOW + 1000, incompatible=TIGHTER.incompatible)
    assert "created_at: not before the wish's valid_until" in refusal(asked(late, "carol")).message
    assert verify_change(asked(replace(late, created_at=NOW + 999), "carol"), PLAIN, NOW).delay == 0


def test_a_request_for_something_else_is_refused() -> None:
    request = ChangeWorkspaceRequest(propose(intent()), (), ())
    assert refusal(request).reason is Reason.INTENT_TX_MISMATCH


def test_a_change_of_nothing_or_to_something_unfit_is_refused() -> None:
    assert "changes nothing" in refusal(asked(following(), "carol")).message
    assert "origin" in refusal(asked(following(origins=("http://evil.example",)), "carol")).message


# Nobody grants herself anything.


def gains(name: str) -> dict[str, Workspace]:
    """Changes by which this member of the committee would gain."""
    one = user(PLAIN, name)
    groups = {g.group_id: g for g in PLAIN.groups}
    joined = tuple(replace(g, members=(*g.members, name)) if g.group_id == "security" else g for g in groups.values())
    admin = next(role for role in PLAIN.roles if role.role == "admin")
    wider = tuple(replace(r, may=(*r.may, Privilege.APPROVE_KEYS)) if r == admin else r for r in PLAIN.roles)
    permit = f"- rule: own\n  permit:\n  when: {{action: TRANSFER, initiator.user: {name}}}\n"
    twin = replace(one, user_id="twin", credentials=(), proposal_keys=())
    key = ProposalKey("second", identity(9).public)
    return {
        "a role": with_user(name, roles=(*one.roles, "security")),
        "a group": replace(PLAIN, groups=joined),
        "a privilege": replace(PLAIN, roles=wider),
        "a second user": replace(PLAIN, users=(*PLAIN.users, twin)),
        "a proposal key": with_user(name, proposal_keys=(*one.proposal_keys, key)),
        "a door": replace(PLAIN, rules=(*PLAIN.rules, *rules(permit))),
    }


@pytest.mark.parametrize("what", ["a role", "a group", "a second user", "a proposal key", "a door"])
def test_who_would_gain_by_a_change_does_not_count_among_its_approvers(what: str) -> None:
    made = gains("carol")[what]
    made = replace(made, version=1, parent=workspace_digest(PLAIN))
    error = refusal(asked(made, "carol", "alice"))
    assert error.reason is Reason.SELF_APPROVAL
    assert "carol would gain by it" in error.message


def seated(name: str) -> dict[str, Workspace]:
    """Changes that seat this member of the committee where others decided before, without touching roles or groups."""
    ask = next(rule for rule in PLAIN.rules if rule.requirement)
    assert ask.requirement is not None
    (quorum, *rest) = ask.requirement.all_of
    wider = replace(ask.requirement, all_of=(replace(quorum, users=(*quorum.users, name)), *rest))
    by_group = replace(ask.requirement, all_of=(replace(quorum, groups=(*quorum.groups, "committee")), *rest))
    return {
        "by name": replace(PLAIN, rules=tuple(replace(r, requirement=wider) if r == ask else r for r in PLAIN.rules)),
        "by a group of hers": replace(
            PLAIN, rules=tuple(replace(r, requirement=by_group) if r == ask else r for r in PLAIN.rules)
        ),
    }


@pytest.mark.parametrize("how", ["by name", "by a group of hers"])
def test_who_would_be_asked_where_others_were_asked_gains_by_it(how: str) -> None:
    made = replace(seated("carol")[how], version=1, parent=workspace_digest(PLAIN))
    assert refusal(asked(made, "carol", "alice")).reason is Reason.SELF_APPROVAL


def test_who_is_asked_besides_others_or_by_a_new_rule_or_for_fewer_wallets_gains_nothing() -> None:
    role = Role("extra", (Privilege.APPROVE_ORDERS,), ("*",))
    base = with_user("carol", replace(PLAIN, roles=(*PLAIN.roles, role)), roles=("admin", "extra"))
    more = "- rule: more\n  require: {approvals: 1, from groups: [risk]}\n  when: {action: TRANSFER}\n"
    twice = more.replace("{approvals", "{all of: [{approvals").replace(
        "[risk]}", "[risk]}, {approvals: 1, from users: [carol]}]}"
    )
    base = replace(base, rules=(*PLAIN.rules, *rules(more)))
    new = rules(more.replace("more", "new").replace("risk", "committee"))
    for made in (
        following(base, rules=(*base.rules, *new)),
        following(base, rules=(*PLAIN.rules, *rules(twice))),
        following(base, roles=(*PLAIN.roles, replace(role, wallets=("wal_1",)))),
    ):
        assert verify_change(asked(made, "carol", current=base), base, NOW).direction is Direction.TIGHTEN


def test_what_all_of_the_committee_would_gain_by_nobody_of_it_approves() -> None:
    made = replace(gains("carol")["a privilege"], version=1, parent=workspace_digest(PLAIN))
    assert refusal(asked(made, "carol", "alice")).reason is Reason.SELF_APPROVAL


def test_who_would_gain_may_propose_it_for_others_to_approve() -> None:
    made = replace(gains("adam")["a role"], version=1, parent=workspace_digest(PLAIN))
    assert verify_change(asked(made, "carol", "alice"), PLAIN, NOW).direction is Direction.LOOSEN


def test_a_credential_for_oneself_is_approved_by_others() -> None:
    base = with_user("tara", credentials=())
    carol = user(base, "carol")
    own = with_user("carol", base, credentials=(*carol.credentials, keys().approvers["tara"].credential))
    made = replace(own, version=1, parent=workspace_digest(base))
    assert refusal(asked(made, "carol", "alice", current=base), base).reason is Reason.SELF_APPROVAL
    four = with_user("tara", larger(), credentials=())
    own = with_user("carol", four, credentials=(*carol.credentials, keys().approvers["tara"].credential))
    made = replace(own, version=1, parent=workspace_digest(four))
    assert verify_change(asked(made, "alice", "sam", current=four), four, NOW).direction is Direction.LOOSEN


# What no quorum can do.


def successor(change: Callable[[Workspace], Workspace], current: Workspace = PLAIN) -> Workspace:
    return replace(change(current), version=current.version + 1, parent=workspace_digest(current))


GONE = replace(keys().approvers["olga"].credential, revoked=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: replace(w, users=tuple(u for u in w.users if u.user_id != "tara")), "users: tara is disabled, not"),
        (lambda w: with_user("tara", w, person_id="person-new"), "users: tara is disabled, not"),
        (lambda w: with_user("ravi", w, credentials=()), "user ravi: credentials: what was enrolled is revoked"),
        (lambda w: with_user("olga", w, credentials=(replace(GONE, revoked=False),)), "user olga: credentials"),
        (lambda w: replace(w, address_book=(*w.address_book, replace(ENTRY, added_at=NOW - 86_400))),
         "entry new: added_at"),
        (lambda w: replace(w, address_book=(replace(w.address_book[0], added_at=NOW - 1), *w.address_book[1:])),
         "entry known: added_at"),
        (lambda w: replace(w, created_at=NOW + 5,
                           address_book=(replace(w.address_book[0], address=STRANGE), *w.address_book[1:])),
         "entry known: added_at"),
        (lambda w: replace(w, created_at=NOW - 1), "created_at: before the version"),
    ],
)  # fmt: skip
def test_what_was_once_there_keeps_its_meaning_however_many_approve(
    change: Callable[[Workspace], Workspace], words: str
) -> None:
    current = with_user("olga", credentials=(GONE,))
    error = refusal(asked(successor(change, current), "carol", "alice", current=current), current)
    assert (words in error.message, error.reason) == (True, Reason.MALFORMED)


def test_an_entry_cannot_be_dated_back_with_the_whole_version() -> None:
    wish = asked(LOOSER, "carol", "alice", valid_from=NOW + 10)
    assert "created_at: before the wish's valid_from" in refusal(wish, now=NOW + 5).message


def test_a_disabled_user_and_a_revoked_key_are_tightenings_and_stay_for_good() -> None:
    olga = user(PLAIN, "olga")
    gone = successor(lambda w: with_user("olga", w, enabled=False, credentials=(GONE,)))
    granted = verify_change(asked(gone, "carol"), PLAIN, NOW)
    assert granted.direction is Direction.TIGHTEN
    assert user(gone, "olga").credentials[0].credential_id == olga.credentials[0].credential_id


# Who may approve no more.


def test_who_is_disabled_or_lost_her_role_or_key_is_removed() -> None:
    (olgas,) = user(PLAIN, "olga").credentials
    assert removed_people(PLAIN, PLAIN) == Removed(frozenset(), frozenset())
    disabled = with_user("olga", enabled=False)
    assert removed_people(PLAIN, disabled) == Removed(frozenset({"olga"}), frozenset({olgas.credential_id}))
    assert removed_people(PLAIN, with_user("olga", roles=())) == Removed(frozenset({"olga"}), frozenset())
    revoked = with_user("olga", credentials=(replace(olgas, revoked=True),))
    assert removed_people(PLAIN, revoked) == Removed(frozenset(), frozenset({olgas.credential_id}))
    gone = replace(PLAIN, users=tuple(one for one in PLAIN.users if one.user_id != "olga"))
    assert removed_people(PLAIN, gone) == Removed(frozenset({"olga"}), frozenset({olgas.credential_id}))


def test_who_is_called_something_else_or_gets_more_is_not_removed() -> None:
    more = with_user("olga", roles=("risk", "security"), name="Olga O", team="other")
    assert removed_people(PLAIN, more) == Removed(frozenset(), frozenset())
    bound = replace(user(PLAIN, "olga").credentials[0], assurance=Assurance.DEVICE_BOUND)
    assert removed_people(PLAIN, with_user("olga", credentials=(bound,))) == Removed(frozenset(), frozenset())


def test_who_may_approve_for_one_wallet_only_is_removed_from_the_others() -> None:
    narrow = tuple(replace(r, wallets=("wal_1",)) if r.role == "risk" else r for r in PLAIN.roles)
    assert removed_people(PLAIN, replace(PLAIN, roles=narrow)).users == {"ravi", "ravi2", "olga"}
