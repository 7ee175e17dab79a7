"""What a cosigner takes part in, and what it refuses: creation, signing, presigning, probes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosigner.guard import Creation, Guard, Presigning, Signing
from oms_core.authorize import authorize
from oms_core.chains.intent import subject_digest
from oms_core.crypto.params import L128
from oms_core.encoding import encode
from oms_core.errors import Reason, Refused
from oms_core.evidence import PresignRequest, ProbeRequest, Request, SignRequest
from oms_core.keys import KeyState
from oms_core.policy.facts import Facts
from oms_core.protocol.identity import verify_identity
from tests import people
from tests.parties import identity
from tests.people import NOW, approve, create_request, intent, sign_request, wish, workspace
from tests.unit.cosigner.node import KEY_ID, Node, activate, material
from tests.unit.cosigner.specs import ALL, deal, dealing, new_moduli, refused, spec

ACCOUNT = b"\xaa" * 20
PATH = (44, 7)


def test_a_permitted_order_is_granted_with_its_own_derivation(guard: Guard) -> None:
    request = sign_request(intent())
    granted = guard.decide(spec(request), request, NOW)
    assert isinstance(granted, Signing)
    assert granted.digest == authorize(request, workspace(), Facts(NOW)).digest


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subject": bytes(32)}, Reason.DIGEST_MISMATCH),
        ({"protocol": "probe"}, Reason.DIGEST_MISMATCH),
        ({"protocol": "presign"}, Reason.DIGEST_MISMATCH),
        ({"digest": bytes(32)}, Reason.DIGEST_MISMATCH),
        ({"digest": b""}, Reason.DIGEST_MISMATCH),
        ({"digest": b"short"}, Reason.MALFORMED),
        ({"path": (1,)}, Reason.DIGEST_MISMATCH),
        ({"presignature": bytes(32)}, Reason.DIGEST_MISMATCH),
        ({"presignature": b"short"}, Reason.MALFORMED),
        ({"protocol": "sign-online"}, Reason.DIGEST_MISMATCH),
        ({"parties": (2, 3, 4)}, Reason.PEER_IDENTITY),
        ({"parties": (1, 2, 3, 4)}, Reason.QUORUM_UNAVAILABLE),
        ({"parties": (1, 2, 9)}, Reason.UNKNOWN_USER),
        ({"parties": (1, 1, 2)}, Reason.MALFORMED),
        ({"parties": (0, 1, 2)}, Reason.MALFORMED),
        ({"threshold": 2}, Reason.DIGEST_MISMATCH),
        ({"epoch": 1}, Reason.EPOCH_STALE),
        ({"epoch_hash": bytes(32)}, Reason.EPOCH_STALE),
        ({"key_id": bytes(32)}, Reason.DIGEST_MISMATCH),
        ({"level": "TOY"}, Reason.CONFIG_INVALID),
        ({"session_id": b"short"}, Reason.MALFORMED),
    ],
)
@pytest.mark.covers("R19", "R27", "P34", "K15")
def test_a_session_that_does_not_fit_its_request_is_refused(
    guard: Guard, changes: dict[str, object], reason: Reason
) -> None:
    request = sign_request(intent())
    assert refused(guard, spec(request, **changes), request).reason == reason


def test_a_session_with_a_presignature_is_granted_as_what_it_is(guard: Guard) -> None:
    request = sign_request(intent(path=PATH))
    made = spec(request, protocol="sign-online", presignature=b"p" * 32)
    assert isinstance(guard.decide(made, request, NOW), Signing)


@pytest.mark.covers("R20", "P35")
def test_an_order_is_signed_under_the_path_of_its_intent_only(guard: Guard) -> None:
    request = sign_request(intent(path=PATH))
    assert isinstance(guard.decide(spec(request), request, NOW), Signing)
    for path in ((), (44,), (7, 44), (*PATH, 0)):
        assert refused(guard, spec(request, path=path), request).reason == Reason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    "make",
    [
        lambda request: spec(request, resharing=dealing(request).resharing, parties=ALL),
        lambda request: spec(request, protocol="reshare", parties=ALL),
        lambda request: new_moduli(request, resharing=dealing(request, new_epoch=2).resharing),
        lambda request: dealing(request, presignature=bytes(32)),
    ],
    ids=["sign with a resharing", "reshare without one", "aux with one", "reshare with a presignature"],
)
def test_a_session_has_the_shape_of_its_protocol(guard: Guard, make: object) -> None:
    for request in (sign_request(intent()), deal()):
        assert refused(guard, make(request), request).reason == Reason.DIGEST_MISMATCH  # type: ignore[operator]


def test_a_level_below_the_nodes_own_is_refused(node: Node) -> None:
    activate(node)
    request = sign_request(intent())
    assert refused(node.guarded(level=L128), spec(request), request).reason == Reason.CONFIG_INVALID


def test_an_unknown_wallet_is_refused(guard: Guard) -> None:
    request = sign_request(intent(wallet_id="wal_2"))
    assert refused(guard, spec(request), request).reason == Reason.UNKNOWN_WALLET


def test_a_key_that_is_only_pending_is_not_known_to_anybody(node: Node) -> None:
    node.vault.pin_workspace(workspace())
    node.vault.put_key("wal_1", material())
    request: Request
    for request in (sign_request(intent()), ProbeRequest(KEY_ID, "wal_1"), PresignRequest(KEY_ID, "wal_1", ())):
        protocol = "presign" if isinstance(request, PresignRequest) else spec(request).protocol
        assert refused(node.guard, spec(request, protocol=protocol), request).reason == Reason.UNKNOWN_WALLET


@pytest.mark.parametrize(
    "states",
    [
        (KeyState.SUSPENDED,),
        (KeyState.DEACTIVATED,),
        (KeyState.COMPROMISED,),
        (KeyState.SUSPENDED, KeyState.COMPROMISED),
    ],
)
def test_a_key_that_is_not_active_signs_and_presigns_nothing(guard: Guard, node: Node, states: object) -> None:
    was = KeyState.ACTIVE
    for to in states:  # type: ignore[attr-defined]
        node.vault.advance_key(KEY_ID, 0, was, to)
        was = to
    signing, presigning = sign_request(intent()), PresignRequest(KEY_ID, "wal_1", ())
    assert refused(guard, spec(signing), signing).reason == Reason.WRONG_STATE
    assert refused(guard, spec(presigning, protocol="presign"), presigning).reason == Reason.WRONG_STATE


def test_an_active_wallet_gives_no_test_signature(guard: Guard) -> None:
    request = ProbeRequest(KEY_ID, "wal_1")
    assert refused(guard, spec(request), request).reason == Reason.WRONG_STATE


def test_a_new_wallet_gives_a_test_signature_and_nothing_else(node: Node) -> None:
    node.vault.pin_workspace(workspace())
    node.vault.put_key("wal_1", material(), KeyState.PRE_ACTIVE)
    request, order = ProbeRequest(KEY_ID, "wal_1"), sign_request(intent())
    granted = node.guard.decide(spec(request), request, NOW)
    assert isinstance(granted, Signing)
    assert granted.authorized is None
    assert refused(node.guard, spec(request, digest=spec(order).digest), request).reason == Reason.DIGEST_MISMATCH
    assert refused(node.guard, spec(order), order).reason == Reason.WRONG_STATE
    foreign = ProbeRequest(KEY_ID, "wal_2")
    assert refused(node.guard, spec(foreign), foreign).reason == Reason.UNKNOWN_WALLET


def test_a_presignature_is_made_for_the_path_and_the_wallet_of_its_request(guard: Guard) -> None:
    request = PresignRequest(KEY_ID, "wal_1", PATH)
    granted = guard.decide(spec(request, protocol="presign", path=PATH), request, NOW)
    assert isinstance(granted, Presigning)
    assert granted.wallet_id == "wal_1"
    assert refused(guard, spec(request, protocol="presign"), request).reason == Reason.DIGEST_MISMATCH
    signs = spec(request, protocol="presign", path=PATH, digest=bytes(32))
    assert refused(guard, signs, request).reason == Reason.DIGEST_MISMATCH
    foreign = PresignRequest(KEY_ID, "wal_2", PATH)
    assert refused(guard, spec(foreign, protocol="presign", path=PATH), foreign).reason == Reason.UNKNOWN_WALLET


@pytest.mark.covers("P39", "R32")
def test_a_session_id_is_used_once(guard: Guard) -> None:
    request = sign_request(intent())
    made = spec(request)
    guard.decide(made, request, NOW)
    assert refused(guard, made, request).reason == Reason.SESSION_REPLAYED


def test_a_wallet_is_made_only_as_it_was_approved(guard: Guard) -> None:
    wanted = wish(wallet_id="wal_2")
    request = create_request(wanted, approve(wanted, "sam"), approve(wanted, "sonja"))
    right = {"protocol": "create-key", "key_id": subject_digest(wanted), "epoch_hash": b"", "parties": ALL}
    assert isinstance(guard.decide(spec(request, **right), request, NOW), Creation)
    for change in ({"threshold": 4}, {"parties": (1, 2, 3)}, {"key_id": bytes(32)}, {"level": "L128"}, {"epoch": 1}):
        assert refused(guard, spec(request, **{**right, **change}), request).reason == Reason.INTENT_TX_MISMATCH
    exists = create_request(wish(), approve(wish(), "sam"), approve(wish(), "sonja"))
    right["key_id"] = subject_digest(wish())
    assert refused(guard, spec(exists, **right), exists).reason == Reason.WRONG_STATE


def test_a_wallet_without_its_approvals_is_not_made(guard: Guard) -> None:
    wanted = wish(wallet_id="wal_2")
    request = create_request(wanted, approve(wanted, "sam"))
    made = spec(request, protocol="create-key", key_id=subject_digest(wanted), epoch_hash=b"", parties=ALL)
    assert refused(guard, made, request).reason == Reason.APPROVAL_MISSING


def test_a_refusal_is_signed_by_the_nodes_identity_key(guard: Guard, node: Node) -> None:
    error = Refused("no", Reason.NO_PERMIT)
    signed = guard.refuse(b"s" * 32, b"r" * 32, error, NOW)
    verify_identity(identity(1).public, "refusal", encode(signed.refusal), signed.signature)
    assert (signed.refusal.reason, signed.refusal.index) == ("NO_PERMIT", 1)


def test_what_was_authorised_counts_against_the_limits_for_a_day_whether_or_not_it_was_signed(guard: Guard) -> None:
    def large(name: str) -> SignRequest:
        subject = intent(900, intent_id=name)
        execution = replace(people.EXECUTION, nonce=int(name[-1]))
        return sign_request(subject, approve(subject, "ravi"), approve(subject, "olga"), execution=execution)

    for name in ("int_1", "int_2"):
        request = large(name)
        guard.decide(spec(request), request, NOW)
    third = large("int_3")
    assert refused(guard, spec(third), third).reason == Reason.VELOCITY_EXCEEDED


def test_one_counter_of_an_authenticator_stands_for_one_assertion(guard: Guard) -> None:
    subject, other = intent(500), intent(600, intent_id="int_2")
    honest = sign_request(subject, approve(subject, "ravi"), approve(subject, "olga"))
    guard.decide(spec(honest), honest, NOW)
    guard.decide(spec(honest), honest, NOW)

    cloned = people.keys().approvers["ravi"]
    cloned._path.write_text(
        cloned._path.read_text().replace(f'"counter": {cloned._counter}', f'"counter": {cloned._counter - 1}')
    )
    request = sign_request(other, approve(other, "ravi"), approve(other, "olga"))
    assert refused(guard, spec(request), request).reason == Reason.COUNTER_REGRESSION


def test_an_order_is_not_signed_with_a_peer_that_was_convicted_here(guard: Guard, node: Node) -> None:
    node.convictions._keep(3, b"evidence")
    request = sign_request(intent())
    assert refused(guard, spec(request), request).reason == Reason.CULPRIT_IDENTIFIED
    assert isinstance(guard.decide(spec(request, parties=(1, 2, 4)), request, NOW), Signing)
