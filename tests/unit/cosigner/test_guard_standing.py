"""What a cosigner looks at besides the order: its operator's stop, who else signs, what the coordinator claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete

from cosigner.guard import Creation, Dealing, Guard, Signing
from cosigner.store import halts
from cosigner.vault import SealedAux
from oms_core.chains.intent import Proposal, subject_digest
from oms_core.chains.render import render, rendering_digest
from oms_core.encoding import encode
from oms_core.errors import Malformed, Reason, Refused
from oms_core.evidence import PresignRequest, ProbeRequest, ReadRequest, Request, SignRequest, request_digest
from oms_core.keys import Change, KeyState
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.shares import AuxInfo, aux_digest
from oms_core.readings import plain_decision
from oms_core.workspace import Workspace, workspace_digest
from tests.parties import identity
from tests.people import (
    NOW,
    approve,
    change,
    change_request,
    create_request,
    intent,
    propose,
    rules,
    sign_request,
    wish,
    workspace,
)
from tests.unit.cosigner.node import KEY_ID, Node, material
from tests.unit.cosigner.specs import ALL, about_the_key, deal, dealing, new_moduli, refused, spec
from tests.witnessed import Logbook

LARGE = intent(500)


def under(node: Node, changed: Workspace) -> Guard:
    """A guard that stands on another workspace, with the tests' key active."""
    node.vault.pin_workspace(changed)
    node.log = Logbook(changed)
    node.vault.put_key("wal_1", material(), KeyState.ACTIVE)
    return node.guard


def request_under(changed: Workspace) -> SignRequest:
    """A small order under another workspace."""
    decision = plain_decision(intent(), changed)
    return replace(sign_request(intent()), workspace=workspace_digest(changed), decision=decision)


# Halt


def every_kind() -> list[tuple[Request, dict[str, object]]]:
    wanted = wish(wallet_id="wal_2")
    return [
        (sign_request(intent()), {}),
        (ProbeRequest(KEY_ID, "wal_1"), {}),
        (PresignRequest(KEY_ID, "wal_1", ()), {"protocol": "presign"}),
        (create_request(wanted, approve(wanted, "sam"), approve(wanted, "sonja")), {"protocol": "create-key"}),
        (deal(), {"protocol": "aux", "epoch": 1, "epoch_hash": b"", "parties": ALL}),
    ]


@pytest.mark.parametrize("number", range(5), ids=["sign", "probe", "presign", "create", "deal"])
def test_a_halted_node_takes_part_in_no_kind_of_session(guard: Guard, node: Node, number: int) -> None:
    request, changes = every_kind()[number]
    node.halt.halt("an audit", NOW)
    error = refused(guard, spec(request, **changes), request)
    assert error.reason == Reason.HALTED
    assert "an audit" in error.message


def test_a_running_guard_obeys_a_halt_and_its_end_at_once(guard: Guard, node: Node) -> None:
    request = sign_request(intent())
    assert isinstance(guard.decide(spec(request), request, NOW), Signing)
    node.halt.halt("", NOW)
    assert "no reason given" in refused(guard, spec(request), request).message
    assert node.halt.resume()
    assert isinstance(guard.decide(spec(request), request, NOW), Signing)
    assert not node.halt.resume()


def test_a_halt_outlives_a_restart_and_is_refused_to_nobody_who_asks_why(guard: Guard, node: Node) -> None:
    node.halt.halt("first", NOW)
    node.halt.halt("second", NOW + 1)
    node.restart()
    assert node.halt.why() == "second"
    request = sign_request(intent())
    assert refused(node.guard, spec(request), request).reason == Reason.HALTED


def test_whether_a_node_is_halted_is_told_while_it_follows_a_long_piece_of_the_log(node: Node) -> None:
    """Every heartbeat says it: whoever is late with that is taken for dead, and loses the piece that it follows."""
    node.halt.halt("an audit", NOW)
    with node.store.begin() as connection:
        connection.execute(delete(halts))
        assert node.halt.why() == "an audit"
    assert node.halt.why() == ""


def test_a_halted_node_still_says_what_it_reads(guard: Guard, node: Node) -> None:
    node.halt.halt("an audit", NOW)
    signed, _ = guard.read(ReadRequest(propose(intent()), workspace_digest(workspace())), NOW)
    assert signed.reading.index == node.config.index


@pytest.mark.parametrize("reason", ["x" * 281, "two\nlines", "\x1b[2J"])
def test_a_reason_that_cannot_be_shown_halts_nothing(node: Node, reason: str) -> None:
    with pytest.raises(Malformed):
        node.halt.halt(reason, NOW)
    assert node.halt.why() == ""


# Its place in the roster


def with_another_key_at(index: int) -> Workspace:
    roster = tuple(
        replace(one, identity=identity(7).public) if one.index == index else one for one in workspace().roster
    )
    return replace(workspace(), roster=roster)


@pytest.mark.parametrize("number", range(5), ids=["sign", "probe", "presign", "create", "deal"])
def test_a_node_whose_token_people_have_replaced_takes_part_in_no_kind_of_session(node: Node, number: int) -> None:
    guard = under(node, with_another_key_at(1))
    request, changes = every_kind()[number]
    error = refused(guard, spec(request, **changes), request)
    assert (error.reason, error.message) == (Reason.PEER_IDENTITY, "this node has been replaced in the roster")


def test_a_node_goes_on_when_people_replace_the_token_of_another(node: Node) -> None:
    changed = with_another_key_at(5)
    request = request_under(changed)
    assert isinstance(under(node, changed).decide(spec(request), request, NOW), Signing)


# Reading


def test_a_reading_is_signed_by_the_nodes_identity_key_over_its_own_rendering(guard: Guard, node: Node) -> None:
    signed, rendering = guard.read(ReadRequest(propose(LARGE), workspace_digest(workspace())), NOW)
    verify_identity(identity(1).public, "reading", encode(signed.reading), signed.signature)
    assert rendering == render(LARGE, workspace())
    assert signed.reading.rendering == rendering_digest(rendering)
    assert signed.reading.decision == sign_request(LARGE).decision


def test_a_node_that_was_rolled_back_reads_nothing(guard: Guard, node: Node) -> None:
    node.boots._note("a test")
    with pytest.raises(Refused) as caught:
        guard.read(ReadRequest(propose(LARGE), workspace_digest(workspace())), NOW)
    assert caught.value.reason == Reason.ROLLBACK_DETECTED


# Operators


def shared_operator() -> Workspace:
    roster = tuple(replace(one, operator="op-1") if one.index == 2 else one for one in workspace().roster)
    return replace(workspace(), roster=roster, distinct_operators=True)


def test_no_quorum_has_two_cosigners_of_one_operator_where_the_workspace_says_so(node: Node) -> None:
    guard, request = under(node, shared_operator()), request_under(shared_operator())
    assert refused(guard, spec(request), request).reason == Reason.OPERATOR_NOT_DISTINCT
    presign = PresignRequest(KEY_ID, "wal_1", ())
    assert refused(guard, spec(presign, protocol="presign"), presign).reason == Reason.OPERATOR_NOT_DISTINCT
    assert isinstance(guard.decide(spec(request, parties=(1, 3, 4)), request, NOW), Signing)


def test_two_cosigners_of_one_operator_may_sign_where_the_workspace_does_not_mind(node: Node) -> None:
    changed = replace(shared_operator(), distinct_operators=False)
    request = request_under(changed)
    assert isinstance(under(node, changed).decide(spec(request), request, NOW), Signing)


def test_a_rule_may_want_certain_cosigners_among_those_who_sign(node: Node) -> None:
    rule = "- rule: with-four\n  require: {cosigners: [4]}\n  when: {action: TRANSFER}\n"
    changed = replace(workspace(), rules=(*workspace().rules, *rules(rule)))
    guard, request = under(node, changed), request_under(changed)
    assert refused(guard, spec(request), request).reason == Reason.QUORUM_UNAVAILABLE
    assert isinstance(guard.decide(spec(request, parties=(1, 2, 4)), request, NOW), Signing)


# What the coordinator claims


@pytest.mark.parametrize("claimed", [b"", bytes(32), plain_decision(intent(60), workspace())])
def test_a_coordinator_that_comes_to_another_decision_is_told_so_before_anything_else(
    guard: Guard, claimed: bytes
) -> None:
    request = replace(sign_request(LARGE), decision=claimed)
    assert refused(guard, spec(request), request).reason == Reason.DIGEST_MISMATCH


def test_the_transaction_is_derived_before_people_are_looked_at(guard: Guard) -> None:
    """Cheap before dear: with everything wrong at once, the first of the order is named."""
    unapproved = sign_request(LARGE)
    assert refused(guard, spec(unapproved), unapproved).reason == Reason.APPROVAL_MISSING
    assert refused(guard, spec(unapproved, digest=bytes(32)), unapproved).reason == Reason.DIGEST_MISMATCH
    elsewhere = replace(unapproved, workspace=bytes(32))
    assert refused(guard, spec(elsewhere), elsewhere).reason == Reason.POLICY_VERSION_MISMATCH


def test_a_session_id_that_was_used_is_refused_before_anything_is_derived(guard: Guard) -> None:
    request, other = sign_request(intent()), sign_request(LARGE)
    made = spec(request)
    guard.decide(made, request, NOW)
    again = replace(spec(other), session_id=made.session_id, digest=bytes(32))
    assert refused(guard, again, other).reason == Reason.SESSION_REPLAYED


def test_a_wish_for_a_wallet_is_no_order_to_sign(guard: Guard) -> None:
    wanted = wish(wallet_id="wal_2")
    request = SignRequest(propose(wanted), None, workspace_digest(workspace()), (), bytes(32))
    made = spec(sign_request(intent()), subject=request_digest(request))
    assert refused(guard, made, request).reason == Reason.INTENT_TX_MISMATCH


def test_a_forged_proposal_is_not_signed(guard: Guard) -> None:
    honest = sign_request(intent())
    forged = Proposal(honest.proposal.subject, "desk-1", propose(LARGE).signature)
    request = replace(honest, proposal=forged)
    assert refused(guard, spec(request), request).reason == Reason.SIGNATURE_INVALID


def test_moduli_are_made_by_a_committee_with_two_of_one_operator(node: Node) -> None:
    """It is quorums that are to be distinct: a committee may hold more than sign."""
    changed, wanted = shared_operator(), about_the_key()
    approvals = tuple(approve(wanted, name, under=changed) for name in ("sam", "sonja"))
    request = replace(change_request(wanted, *approvals), workspace=workspace_digest(changed))
    assert isinstance(under(node, changed).decide(new_moduli(request), request, NOW), Dealing)


# Cosigners that rules want where a key is made or dealt


def wanting(*cosigners: int) -> Workspace:
    """A workspace whose rules want these cosigners for whatever is done."""
    rule = f"- rule: with\n  require: {{cosigners: {list(cosigners)}}}\n"
    return replace(workspace(), rules=(*workspace().rules, *rules(rule)))


@pytest.mark.parametrize("local", [False, True], ids=["the workspace's", "the team's own"])
@pytest.mark.parametrize(("wanted", "fits"), [(3, True), (4, False)])
def test_a_key_is_made_by_a_committee_that_has_the_cosigners_whom_rules_want(
    node: Node, wanted: int, fits: bool, local: bool
) -> None:
    shared = workspace() if local else wanting(wanted)
    node.vault.pin_workspace(shared)
    node.log = Logbook(shared)
    guard = node.guarded(f"- rule: with\n  require: {{cosigners: [{wanted}]}}\n" if local else "")
    subject = wish(wallet_id="wal_2", parties=(1, 2, 3), threshold=2)
    given = tuple(approve(subject, name, under=shared) for name in ("sam", "sonja"))
    request = replace(create_request(subject, *given), workspace=workspace_digest(shared))
    made = spec(
        request, protocol="create-key", key_id=subject_digest(subject), epoch_hash=b"", parties=(1, 2, 3), threshold=2
    )
    if fits:
        assert isinstance(guard.decide(made, request, NOW), Creation)
    else:
        error = refused(guard, made, request)
        assert error.reason == Reason.QUORUM_UNAVAILABLE
        assert "wants cosigners [4] among those who take part" in error.message


@pytest.mark.parametrize(("dealers", "fits"), [((1, 2, 5), True), ((2, 3, 5), True), ((2, 3, 4), False)])
def test_a_key_is_dealt_by_or_to_the_cosigners_whom_rules_want(
    node: Node, dealers: tuple[int, ...], fits: bool
) -> None:
    shared = wanting(5)
    guard = under(node, shared)
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", _members(material().aux, (1, 2, 3, 4))))
    subject = about_the_key(Change.RESHARE, parties=(1, 2, 3, 4), threshold=3)
    given = tuple(approve(subject, name, under=shared) for name in ("sam", "sonja"))
    request = replace(change_request(subject, *given), workspace=workspace_digest(shared), epoch=material().public)
    new = {
        "new_dealers": dealers,
        "new_receivers": (1, 2, 3, 4),
        "new_aux": aux_digest(_members(material().aux, (1, 2, 3, 4))),
    }
    made = dealing(request, **new)
    if fits:
        assert isinstance(guard.decide(made, request, NOW), Dealing)
    else:
        assert refused(guard, made, request).reason == Reason.QUORUM_UNAVAILABLE


def _members(aux: AuxInfo, parties: tuple[int, ...]) -> AuxInfo:
    return replace(aux, public=tuple(one for one in aux.public if one.index in parties))


@pytest.mark.usefixtures("at_now")
def test_a_key_is_stopped_whatever_cosigners_rules_want(node: Node) -> None:
    shared = wanting(5)
    under(node, shared)
    subject = change(Change.SUSPEND)
    given = tuple(approve(subject, name, under=shared) for name in ("sam", "sonja"))
    node.keys.change(encode(replace(change_request(subject, *given), workspace=workspace_digest(shared))))
    assert node.vault.find_key("wal_1").state == KeyState.SUSPENDED
