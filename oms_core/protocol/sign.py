"""Online signing: one broadcast, in which every share is verified by itself (spec §4.6)."""

from __future__ import annotations

from oms_core.crypto import ecdsa
from oms_core.crypto.curve import Q
from oms_core.encoding import document
from oms_core.errors import Malformed, ProofInvalid, Unattributed
from oms_core.protocol.rounds import Party, Session, Steps, blame, broadcast, ensure
from oms_core.protocol.shares import Presignature


@document("sign-share/1")
class SignatureShare:
    """σ_i for one presignature and one digest."""

    presignature_id: bytes
    digest: bytes
    sigma: int


def sign(session: Session, presignature: Presignature, digest: bytes) -> Steps[ecdsa.Signature]:
    """Sign a 32-byte digest, which the session's subject has fixed before the nonce was made (rules R19, R20).

    The presignature is therefore one of the same session: a digest that is chosen when Γ is known can be a forger's.
    The caller has recorded, durably, that it signs. Raises `ProtocolAbort` naming bad shares, `Conflict` for a
    presignature that was used, `Malformed` for one from elsewhere.
    """
    if (session.ssid, session.parties) != (presignature.ssid, presignature.quorum) or len(digest) != 32:
        raise Malformed("the presignature belongs to another session, or the digest has not 32 bytes")
    m, r = int.from_bytes(digest, "big") % Q, presignature.Gamma.x % Q
    k, chi = presignature.take()

    def check(j: Party, share: SignatureShare) -> None:
        ensure(share.presignature_id == presignature.presignature_id, "signs with the common presignature")
        ensure(share.digest == digest, "signs the common digest")
        ensure(0 <= share.sigma < Q, "σ ∈ [0, q)")
        expected = m * presignature.Delta[j] + r * presignature.S[j]
        ensure(share.sigma * presignature.Gamma == expected, "σ·Γ = m·Δ̃ + r·S̃")

    mine = SignatureShare(presignature.presignature_id, digest, (k * m + r * chi) % Q)
    shares = yield from broadcast(session, "sign.1", mine, 1024)
    blame("sign.1", {j: shares[j] for j in session.peers}, check)
    s = sum(share.sigma for share in shares.values()) % Q
    try:
        signature = ecdsa.from_nonce_point(presignature.Gamma, s)
        ecdsa.verify(presignature.public_key, digest, signature)
    except (ProofInvalid, Malformed) as error:
        raise Unattributed(f"the signature of valid shares does not verify: {error.message}") from error
    return signature
