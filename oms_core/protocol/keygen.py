"""Distributed key generation without a dealer, t of n: Feldman sharing with commit and reveal (spec §3.1)."""

from __future__ import annotations

import secrets

from oms_core.crypto.curve import Point, Q, mul_base, total
from oms_core.crypto.shamir import Polynomial, evaluate_commitments
from oms_core.crypto.transcript import ProofContext
from oms_core.encoding import digest, document
from oms_core.errors import LocalError, Malformed, Unattributed
from oms_core.protocol.rounds import Party, Session, Steps, blame, broadcast, echo, ensure, exchange, xor
from oms_core.protocol.shares import KeyShare
from oms_core.zk import sch

_BYTES = 32  # κ bits


@document("keygen-commit/1")
class Commit:
    """V_i: hash of the opening."""

    hash: bytes


@document("keygen-reveal/1")
class Reveal:
    """The opening: contributions to rid and chain code, Feldman commitments, Schnorr first messages, salt u."""

    rid: bytes
    chain_code: bytes
    F: tuple[Point, ...]
    A: Point
    A_constant: Point
    u: bytes


@document("keygen-share/1")
class Share:
    """σ_{i→j} = f_i(j), secret."""

    value: int


@document("keygen-proof/1")
class Proof:
    """Knowledge of x_i and of the constant term f_i(0)."""

    share: sch.Proof
    constant: sch.Proof


def keygen(session: Session, key_id: bytes, threshold: int, roster: dict[Party, bytes]) -> Steps[KeyShare]:
    """Make one share of a fresh key. ``roster`` (index to identity key) is kept with it.

    Raises `ProtocolAbort`, and `Malformed` for a threshold or roster that does not fit the session.
    """
    me, parties, ssid = session.me, session.parties, session.ssid
    if not 2 <= threshold <= len(parties) or not set(parties) <= set(roster):
        raise Malformed("the threshold is between 2 and the number of parties, all of them in the roster")
    small = 1024 + 128 * threshold

    # Round 1: commit to the public polynomial.
    f = Polynomial(threshold)
    tau, A = sch.commit()
    tau_constant, A_constant = sch.commit()
    mine = Reveal(
        rid=secrets.token_bytes(_BYTES),
        chain_code=secrets.token_bytes(_BYTES),
        F=f.commitments(),
        A=A,
        A_constant=A_constant,
        u=secrets.token_bytes(_BYTES),
    )
    commits = yield from broadcast(session, "keygen.1", Commit(commitment(ssid, me, mine)), small)
    yield from echo(session, "keygen.1", commits)

    # Round 2: open it; hand each peer its share.
    shares = {j: Share(f(j)) for j in session.peers}
    second = yield from exchange(session, "keygen.2", mine, shares, Share, small)
    reveals = second.broadcasts
    yield from echo(session, "keygen.2", reveals)

    # Round 3: check everything, then prove knowledge.
    def check(j: Party, share: Share) -> None:
        reveal = reveals[j]
        ensure(len(reveal.F) == threshold, "exactly t Feldman commitments")
        ensure(not any(point.is_identity for point in reveal.F), "no Feldman commitment is the identity")
        ensure(not (reveal.A.is_identity or reveal.A_constant.is_identity), "no first message is the identity")
        ensure(len(reveal.rid) == len(reveal.chain_code) == len(reveal.u) == _BYTES, "random strings of 32 bytes")
        ensure(commits[j].hash == commitment(ssid, j, reveal), "the opening matches the commitment")
        ensure(0 <= share.value < Q, "the share is in [0, q)")
        ensure(mul_base(share.value) == evaluate_commitments(reveal.F, me), "the share lies on the polynomial")

    blame("keygen.2", second.directs, check)

    rid = xor(reveals[j].rid for j in parties)
    chain_code = xor(reveals[j].chain_code for j in parties)
    F = tuple(total(reveals[j].F[k] for j in parties) for k in range(threshold))
    public = {j: evaluate_commitments(F, j) for j in parties}
    if F[0].is_identity or any(X.is_identity for X in public.values()) or len(set(public.values())) != len(parties):
        raise Unattributed("the key or a share of it vanished, or two shares are equal")
    x = (f(me) + sum(share.value for share in second.directs.values())) % Q
    if mul_base(x) != public[me]:
        raise LocalError("valid shares do not add up to the public one")

    def context(j: Party, slot: str) -> ProofContext:
        return session.context(f"keygen.{slot}", j, extra=rid)

    proof = Proof(
        sch.respond(context(me, "share"), sch.Statement(public[me]), A, tau, x),
        sch.respond(context(me, "constant"), sch.Statement(mine.F[0]), A_constant, tau_constant, f.constant),
    )
    proofs = yield from broadcast(session, "keygen.3", proof, small)

    # Output: verify what all have proven.
    def check_proof(j: Party, proof: Proof) -> None:
        sch.verify(context(j, "share"), sch.Statement(public[j]), reveals[j].A, proof.share)
        sch.verify(context(j, "constant"), sch.Statement(reveals[j].F[0]), reveals[j].A_constant, proof.constant)

    blame("keygen.3", {j: proofs[j] for j in session.peers}, check_proof)
    return KeyShare(
        key_id=key_id,
        epoch=0,
        threshold=threshold,
        index=me,
        secret=x,
        public_key=F[0],
        public_shares=tuple((j, public[j]) for j in parties),
        rid=rid,
        chain_code=chain_code,
        roster=tuple((j, roster[j]) for j in parties),
    )


def commitment(ssid: bytes, party: Party, reveal: Reveal) -> bytes:
    """V_i, 64 bytes: binds the committer and the session, so that nobody can copy it."""
    return digest("keygen commitment", ssid, party, reveal, size=64)
