"""Online signing and the final acknowledgement: liars are named, one presignature signs one digest in its session."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import pytest

from oms_core.crypto.curve import IDENTITY, G, Q, mul_base, random_scalar
from oms_core.crypto.ecdsa import Signature, normalise_low_s, verify, verify_independent
from oms_core.errors import Conflict, Malformed, ProofInvalid, Reason
from oms_core.protocol.rounds import Done, resume
from oms_core.protocol.shares import KeyConfirmation, Presignature, PublicPresignature
from oms_core.protocol.sign import SignatureShare, sign
from tests.parties import Lie, at, channels, sessions
from tests.protocol.runs import ALL, LIAR, Held, convicted, play, run_acknowledge, unattributed, verdicts

DIGEST = hashlib.sha256(b"message").digest()
SECRET = 0x1234567890ABCDEF


def presignatures(parties: tuple[int, ...] = ALL, gamma: int | None = None) -> dict[int, Presignature]:
    """What presigning gives, from a dealer who knows the key `SECRET` and the nonce γ."""
    gamma = random_scalar() if gamma is None else gamma
    Gamma = mul_base(gamma)
    k, chi = _shared(pow(gamma, -1, Q), parties), _shared(SECRET * pow(gamma, -1, Q), parties)
    public = PublicPresignature(
        ssid=bytes(64),
        key_id=b"k" * 32,
        epoch=0,
        path=(),
        public_key=mul_base(SECRET),
        Gamma=Gamma,
        Delta=tuple((j, k[j] * Gamma) for j in parties),
        S=tuple((j, chi[j] * Gamma) for j in parties),
    )
    return {i: Presignature(public, secret=[(k[i], chi[i])]) for i in parties}


def _shared(total: int, parties: tuple[int, ...]) -> dict[int, int]:
    shares = {j: random_scalar() for j in parties[1:]}
    return {parties[0]: (total - sum(shares.values())) % Q, **shares}


def sign_with(presigned: dict[int, Presignature], liars: dict[int, Lie] | None = None, digest: bytes = DIGEST) -> Held:
    """In a session whose spec names the presignature and the digest."""
    made = presigned[1].public
    shape = digest if len(digest) == 32 else b""
    return play(lambda s: sign(s, presigned[s.me], digest), liars, presignature=made, protocol="sign", digest=shape)


def run_sign(liars: dict[int, Lie] | None = None, digest: bytes = DIGEST, gamma: int | None = None) -> Held:
    return sign_with(presignatures(gamma=gamma), liars, digest)


@pytest.mark.covers("R23", "P37")
def test_all_obtain_the_same_low_s_signature_and_two_libraries_verify_it() -> None:
    for _ in range(8):  # both parities of y, both halves of s
        signature = run_sign().results[1]
        assert signature.s <= (Q - 1) // 2
        verify(mul_base(SECRET), DIGEST, signature)
        verify_independent(mul_base(SECRET), DIGEST, signature)


@pytest.mark.attack
@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda s: replace(s, presignature_id=b"q" * 32), "signs with the common presignature"),
        (lambda s: replace(s, digest=bytes(32)), "signs the common digest"),
        (lambda s: replace(s, digest=s.digest + b"\x00"), "signs the common digest"),
        (lambda s: replace(s, sigma=s.sigma + Q), "σ ∈ [0, q)"),
        (lambda s: replace(s, sigma=s.sigma - Q), "σ ∈ [0, q)"),
        (lambda s: replace(s, sigma=(s.sigma + 1) % Q), "σ·Γ = m·Δ̃ + r·S̃"),
        (lambda s: replace(s, sigma=0), "σ·Γ = m·Δ̃ + r·S̃"),
        (lambda s: replace(s, sigma=Q - s.sigma), "σ·Γ = m·Δ̃ + r·S̃"),
    ],
)
@pytest.mark.covers("P29")
def test_a_bad_signature_share_names_its_sender(bend: Callable[[SignatureShare], SignatureShare], reason: str) -> None:
    convicted(run_sign({LIAR: at("sign.1", lambda turn: bend(turn.message))}), "sign.1", reason)


@pytest.mark.attack
def test_all_bad_signature_shares_are_named() -> None:
    lie = at("sign.1", lambda turn: replace(turn.message, sigma=0))
    outcome = run_sign({2: lie, 3: lie})
    assert outcome.errors[1].culprits == {2, 3}
    assert {verdict.culprit for verdict in verdicts(outcome, 1)} == {2, 3}


@pytest.mark.covers("R22", "R23")
def test_a_digest_that_makes_s_vanish_gives_no_signature_and_blames_nobody() -> None:
    gamma = random_scalar()
    m = -mul_base(gamma).x * SECRET % Q
    unattributed(run_sign(digest=m.to_bytes(32, "big"), gamma=gamma), "r and s are not 0", by={1, 2, 3})


def test_a_signature_that_does_not_verify_is_never_released() -> None:
    """Valid shares of another key's signature: nobody here can be blamed."""
    presigned = presignatures()
    bent = {i: replace(p, public=replace(p.public, public_key=mul_base(7))) for i, p in presigned.items()}
    outcome = sign_with(bent)
    unattributed(outcome, "recovers to the public key", by={1, 2, 3})
    assert not outcome.results


@pytest.mark.covers("R18", "P31")
def test_a_presignature_signs_once() -> None:
    session, presigned = sessions(ALL)[1], presignatures()
    resume(sign(session, presigned[1], DIGEST))
    for digest in (DIGEST, bytes(32)):
        with pytest.raises(Conflict) as refused:
            resume(sign(session, presigned[1], digest))
        assert refused.value.reason == Reason.DOUBLE_SIGN_GUARD


@pytest.mark.covers("R18", "P31")
def test_of_many_threads_one_gets_the_presignature() -> None:
    def take(presignature: Presignature) -> int:
        try:
            presignature.take()
        except Conflict:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            assert sum(pool.map(take, [presignatures()[1]] * 8)) == 1


@pytest.mark.attack
def test_who_signs_with_two_presignatures_at_once_is_convicted() -> None:
    """A share that is valid for another presignature of the same quorum does not serve for this one."""
    presigned, other = presignatures(), presignatures()
    swapped = {**presigned, LIAR: other[LIAR]}
    convicted(sign_with(swapped, {LIAR: lambda turn: turn.message}), "sign.1", "signs with the common presignature")


@pytest.mark.covers("R18")
def test_two_signatures_from_one_presignature_would_give_the_key_away() -> None:
    """Why `take` exists (rule R18)."""
    gamma, found = random_scalar(), set()
    one, other = (run_sign(digest=d, gamma=gamma).results[1] for d in (DIGEST, bytes(31) + b"\x01"))
    for s1 in (one.s, Q - one.s):
        for s2 in (other.s, Q - other.s):
            inverse = (s1 - s2) * pow(int.from_bytes(DIGEST, "big") - 1, -1, Q) % Q
            found.add((s1 * pow(inverse, -1, Q) - int.from_bytes(DIGEST, "big")) * pow(one.r, -1, Q) % Q)
    assert SECRET in found


@pytest.mark.covers("R19", "P34")
def test_a_digest_chosen_for_a_known_nonce_point_forges_so_a_session_fixes_both() -> None:
    """Rule R19. With Γ known, a signature on a chosen digest becomes one on a message that nobody signed."""
    gamma, c = random_scalar(), random_scalar()
    R, forged = mul_base(gamma), c * mul_base(gamma)
    target = hashlib.sha256(b"a message that nobody signed").digest()
    chosen = int.from_bytes(target, "big") * R.x * pow(forged.x, -1, Q) % Q
    signature = run_sign(digest=chosen.to_bytes(32, "big"), gamma=gamma).results[1]
    candidates = [s * forged.x * pow(R.x * c, -1, Q) % Q for s in (signature.s, Q - signature.s)]
    assert any(_verifies(target, forged.x % Q, s) for s in candidates)
    spec = channels(ALL)[1].spec
    assert {"digest", "presignature"} <= {field.name for field in fields(spec)}


def test_a_presignature_is_refused_to_any_but_its_quorum() -> None:
    presigned = presignatures()[1]
    for other in ((1, 2), (1, 3), (1, 2, 3, 4)):
        with pytest.raises(Malformed):
            resume(sign(sessions(other)[1], presigned, DIGEST))
    assert not isinstance(resume(sign(sessions(ALL)[1], presigned, DIGEST)), Done)


def _verifies(digest: bytes, r: int, s: int) -> bool:
    low: Signature = normalise_low_s(r, s, 0)
    try:
        verify_independent(mul_base(SECRET), digest, low)
    except ProofInvalid:
        return False
    return True


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
@pytest.mark.covers("R19")
def test_a_digest_of_another_length_is_refused(digest: bytes) -> None:
    with pytest.raises(Malformed):
        resume(sign(sessions(ALL)[1], presignatures()[1], digest))


# The acknowledgement of a new key


def test_a_key_that_all_confirm_is_acknowledged() -> None:
    outcome = run_acknowledge()
    assert set(outcome.results) == set(ALL)


@pytest.mark.attack
@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda c: replace(c, index=2), "confirms in its own name"),
        (lambda c: replace(c, index=0), "confirms in its own name"),
        (lambda c: replace(c, wallet_id="other"), "the same key"),
        (lambda c: replace(c, key_id=bytes(32)), "the same key"),
        (lambda c: replace(c, public_key=c.public_key + G), "the same key"),
        (lambda c: replace(c, public_key=IDENTITY), "the same key"),
        (lambda c: replace(c, chain_code=bytes(32)), "the same key"),
        (lambda c: replace(c, epoch=1), "the same key"),
        (lambda c: replace(c, transcript=secrets.token_bytes(32)), "the same transcript"),
    ],
)
def test_a_confirmation_of_another_key_names_its_sender(
    bend: Callable[[KeyConfirmation], KeyConfirmation], reason: str
) -> None:
    """To its peers alone: a judge does not know what the wallet is called, and stops at the rounds before."""
    outcome = run_acknowledge({LIAR: at("create.done", lambda turn: bend(turn.message))})
    convicted(outcome, "create.done", reason, offline=False)


@pytest.mark.attack
def test_a_confirmation_that_is_missing_leaves_the_key_unacknowledged() -> None:
    outcome = run_acknowledge({LIAR: at("create.done", lambda turn: b"")})
    convicted(outcome, "create.done", "truncated", offline=False)
