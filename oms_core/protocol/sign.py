"""Online signing: one broadcast, in which every share is verified by itself (spec §4.6)."""

from __future__ import annotations

from dataclasses import dataclass

from oms_core.crypto import ecdsa
from oms_core.crypto.curve import Q
from oms_core.encoding import document
from oms_core.errors import Malformed, ProofInvalid, Unattributed
from oms_core.protocol.rounds import Nothing, Party, Record, Round, Session, Steps, blame, ensure, speak
from oms_core.protocol.shares import Presignature, PublicPresignature


@document("sign-share/1")
class SignatureShare:
    """σ_i for one presignature and one digest."""

    presignature_id: bytes
    digest: bytes
    sigma: int


@dataclass(frozen=True)
class Ground:
    """The presignature that all sign with, and the digest that all sign."""

    presignature: PublicPresignature
    digest: bytes


def check_share(record: Record, ground: Ground, j: Party) -> None:
    """j's share, by itself."""
    share, made = record.said(SHARE)[j], ground.presignature
    ensure(share.presignature_id == made.id, "signs with the common presignature")
    ensure(share.digest == ground.digest, "signs the common digest")
    ensure(0 <= share.sigma < Q, "σ ∈ [0, q)")
    m, r = _scalars(made, ground.digest)
    expected = m * dict(made.Delta)[j] + r * dict(made.S)[j]
    ensure(share.sigma * made.Gamma == expected, "σ·Γ = m·Δ̃ + r·S̃")


SHARE = Round("sign.1", SignatureShare, Nothing, lambda _: 1024, check_share)


def sign(session: Session, presignature: Presignature, digest: bytes) -> Steps[ecdsa.Signature]:
    """Sign a 32-byte digest that the session's id has fixed: all of the quorum sign the same (rules R18 to R20).

    There is no way to a signature of a digest from elsewhere: the caller has computed it from a transaction that it
    derived itself, and has recorded, durably, that it signs. Raises `ProtocolAbort` naming bad shares, `Conflict` for
    a presignature that was used, `Malformed` for one of another quorum.
    """
    made = presignature.public
    if session.parties != made.quorum or len(digest) != 32:
        raise Malformed("the presignature belongs to another quorum, or the digest has not 32 bytes")
    m, r = _scalars(made, digest)
    k, chi = presignature.take()
    record = Record(session)
    yield from speak(record, SHARE, SignatureShare(made.id, digest, (k * m + r * chi) % Q))
    blame(record, SHARE, Ground(made, digest))
    s = sum(share.sigma for share in record.said(SHARE).values()) % Q
    try:
        signature = ecdsa.from_nonce_point(made.Gamma, s)
        ecdsa.verify(made.public_key, digest, signature)
    except (ProofInvalid, Malformed) as error:
        raise Unattributed(f"the signature of valid shares does not verify: {error.message}") from error
    return signature


def _scalars(made: PublicPresignature, digest: bytes) -> tuple[int, int]:
    """(m, r): the digest and the nonce point's x modulo q."""
    return int.from_bytes(digest, "big") % Q, made.Gamma.x % Q
