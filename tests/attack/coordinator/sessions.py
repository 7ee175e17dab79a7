"""Lies about the session and the request around the order (C05, C08, C09, C12, C15, C18, C24)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from oms_core.errors import Reason
from oms_core.evidence import probe_digest
from tests.attack.coordinator.lies import lie
from tests.attack.coordinator.scene import Attempt, Scene

MISMATCH = (Reason.DIGEST_MISMATCH,)


def _spec(attempt: Attempt, **changes: Any) -> Attempt:
    return replace(attempt, spec={**attempt.spec, **changes})


@lie("C05", "P43", reasons=(Reason.POLICY_VERSION_MISMATCH,))
def another_workspace(scene: Scene, attempt: Attempt) -> Attempt:
    return replace(attempt, workspace=scene.random.randbytes(32))


@lie("C05", "P43", reasons=MISMATCH)
def another_decision(scene: Scene, attempt: Attempt) -> Attempt:
    """What the coordinator says that its rules come to."""
    return replace(attempt, decision=scene.random.choice((b"", scene.random.randbytes(32))))


@lie("C04", "P34", reasons=MISMATCH)
def another_digest(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, digest=scene.random.randbytes(32))


@lie("C02", "P34", reasons=MISMATCH)
def the_digest_of_another_order(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, digest=scene.session(scene.legal()).digest)


@lie("C04", reasons=MISMATCH)
def the_digest_at_another_nonce(scene: Scene, attempt: Attempt) -> Attempt:
    if attempt.execution is None:
        return another_digest(scene, attempt)
    other = replace(attempt, execution=replace(attempt.execution, nonce=attempt.execution.nonce + 1))
    return _spec(attempt, digest=scene.session(replace(other, spec={})).digest)


@lie("C18", reasons=MISMATCH)
def the_digest_of_a_test_signature(scene: Scene, attempt: Attempt) -> Attempt:
    share = scene.material.share
    return _spec(attempt, digest=probe_digest(share.key_id, share.public_key.to_bytes()))


@lie("C18", reasons=MISMATCH)
def a_test_signature_instead(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, protocol=scene.random.choice(("probe", "presign", "create-key", "aux", "", "SIGN")))


@lie("C04", reasons=MISMATCH)
def nothing_to_sign(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, digest=b"")


@lie("C04", "P35", reasons=MISMATCH)
def another_path(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, path=(*attempt.intent.path, 1))


@lie("C12", reasons=MISMATCH)
def a_session_of_another_request(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, subject=scene.session(scene.legal()).subject)


@lie("C08", reasons=(Reason.QUORUM_UNAVAILABLE,))
def too_many_signers(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, parties=(1, 2, 3, 4, 5))


@lie("C08", reasons=(Reason.MALFORMED, Reason.PEER_IDENTITY))
def too_few_signers(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, parties=attempt.parties[:2])


@lie("C08", reasons=(Reason.MALFORMED,))
def signers_that_cannot_be(scene: Scene, attempt: Attempt) -> Attempt:
    a, b, c = attempt.parties
    wrong = ((a, a, b), (a, b, 0), (b, a, c), (a, b, c, c), (), (a, b, -1), (a,))
    return _spec(attempt, parties=scene.random.choice(wrong))


@lie("C08", reasons=(Reason.UNKNOWN_USER, Reason.PEER_IDENTITY))
def a_signer_of_no_roster(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, parties=(*attempt.parties[:2], scene.random.choice((6, 9, 255))))


@lie("C08", reasons=(*MISMATCH, Reason.MALFORMED))
def another_threshold(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, threshold=scene.random.choice((0, 1, 2, 4)))


@lie("C08", reasons=(Reason.CONFIG_INVALID,))
def a_weaker_level(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, level=scene.random.choice(("TOY", "L80", "")))


@lie("C08", reasons=MISMATCH)
def another_level(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, level="L128")


@lie("C08", "K15", reasons=(Reason.EPOCH_STALE, Reason.MALFORMED))
def another_epoch(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, epoch=scene.random.choice((-1, 1, 2, 1 << 31)))


@lie("C08", "K15", reasons=(Reason.EPOCH_STALE,))
def another_epochs_hash(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, epoch_hash=scene.random.choice((b"", scene.random.randbytes(32))))


@lie("C08", reasons=MISMATCH)
def another_key(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, key_id=scene.random.randbytes(32))


@lie("C12", reasons=(*MISMATCH, Reason.MALFORMED))
def a_presignature_out_of_place(scene: Scene, attempt: Attempt) -> Attempt:
    wrong: tuple[dict[str, Any], ...] = (
        {"presignature": scene.random.randbytes(32)},
        {"protocol": "sign-online"},
        {"protocol": "sign-online", "presignature": b"short"},
    )
    return _spec(attempt, **scene.random.choice(wrong))


@lie("C12", reasons=(Reason.MALFORMED,))
def a_session_without_an_id(scene: Scene, attempt: Attempt) -> Attempt:
    return _spec(attempt, session_id=scene.random.randbytes(scene.random.choice((0, 16, 31, 33))))
