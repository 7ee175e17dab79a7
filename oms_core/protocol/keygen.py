"""Distributed key generation without a dealer, t of n: Feldman sharing with commit and reveal (spec §3.1)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from oms_core.crypto.curve import Point, Q, mul_base, total
from oms_core.crypto.shamir import Polynomial, evaluate_commitments
from oms_core.encoding import digest, document
from oms_core.errors import LocalError, Malformed, Unattributed
from oms_core.protocol.rounds import Nothing, Party, Record, Round, Session, Steps, blame, echo, ensure, speak, xor
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


@dataclass(frozen=True, slots=True)
class Ground:
    """What all agree on before: the threshold."""

    threshold: int


def check_reveal(record: Record, ground: Ground, j: Party) -> None:
    """Round 3's checks of j's opening and of the share that it gave me."""
    reveal, share = record.said(REVEAL)[j], record.told(REVEAL)[j]
    ensure(len(reveal.F) == ground.threshold, "exactly t Feldman commitments")
    ensure(not any(point.is_identity for point in reveal.F), "no Feldman commitment is the identity")
    ensure(not (reveal.A.is_identity or reveal.A_constant.is_identity), "no first message is the identity")
    ensure(len(reveal.rid) == len(reveal.chain_code) == len(reveal.u) == _BYTES, "random strings of 32 bytes")
    said = record.said(COMMIT)[j].hash
    ensure(said == commitment(record.session.ssid, j, reveal), "the opening matches the commitment")
    ensure(0 <= share.value < Q, "the share is in [0, q)")
    ensure(
        mul_base(share.value) == evaluate_commitments(reveal.F, record.session.me), "the share lies on the polynomial"
    )


def check_proof(record: Record, ground: Ground, j: Party) -> None:
    """Both Schnorr proofs of j."""
    reveals, proof, session = record.said(REVEAL), record.said(PROVE)[j], record.session
    rid = _rid(reveals)
    F = _sum_of_polynomials(reveals, ground.threshold)
    public = sch.Statement(evaluate_commitments(F, j))
    sch.verify(session.context("keygen.share", j, extra=rid), public, reveals[j].A, proof.share)
    constant = sch.Statement(reveals[j].F[0])
    sch.verify(session.context("keygen.constant", j, extra=rid), constant, reveals[j].A_constant, proof.constant)


def _small(session: Session) -> int:
    return 1024 + 128 * len(session.parties)


COMMIT = Round("keygen.1", Commit, Nothing, _small, None, "keygen.1.echo")
REVEAL = Round("keygen.2", Reveal, Share, _small, check_reveal, "keygen.2.echo")
PROVE = Round("keygen.3", Proof, Nothing, _small, check_proof)


def keygen(session: Session, key_id: bytes, threshold: int, roster: dict[Party, bytes]) -> Steps[KeyShare]:
    """Make one share of a fresh key. ``roster`` (index to identity key) is kept with it.

    Raises `ProtocolAbort`, and `Malformed` for a threshold or roster that does not fit the session.
    """
    me, parties, ssid = session.me, session.parties, session.ssid
    if not 2 <= threshold <= len(parties) or not set(parties) <= set(roster):
        raise Malformed("the threshold is between 2 and the number of parties, all of them in the roster")
    record, ground = Record(session), Ground(threshold)

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
    yield from speak(record, COMMIT, Commit(commitment(ssid, me, mine)))
    yield from echo(record, COMMIT)

    # Round 2: open it; hand each peer its share.
    yield from speak(record, REVEAL, mine, {j: Share(f(j)) for j in session.peers})
    yield from echo(record, REVEAL)

    # Round 3: check everything, then prove knowledge.
    blame(record, REVEAL, ground)
    reveals = record.said(REVEAL)
    rid = _rid(reveals)
    F = _sum_of_polynomials(reveals, threshold)
    public = {j: evaluate_commitments(F, j) for j in parties}
    if F[0].is_identity or any(X.is_identity for X in public.values()) or len(set(public.values())) != len(parties):
        raise Unattributed("the key or a share of it vanished, or two shares are equal")
    x = (f(me) + sum(share.value for share in record.told(REVEAL).values())) % Q
    if mul_base(x) != public[me]:
        raise LocalError("valid shares do not add up to the public one")
    of_share, of_constant = (
        session.context("keygen.share", me, extra=rid),
        session.context("keygen.constant", me, extra=rid),
    )
    proof = Proof(
        sch.respond(of_share, sch.Statement(public[me]), A, tau, x),
        sch.respond(of_constant, sch.Statement(mine.F[0]), A_constant, tau_constant, f.constant),
    )
    yield from speak(record, PROVE, proof)

    # Output: verify what all have proven.
    blame(record, PROVE, ground)
    return KeyShare(
        key_id=key_id,
        epoch=0,
        threshold=threshold,
        index=me,
        secret=x,
        public_key=F[0],
        public_shares=tuple((j, public[j]) for j in parties),
        rid=rid,
        chain_code=xor(reveals[j].chain_code for j in parties),
        roster=tuple((j, roster[j]) for j in parties),
    )


def commitment(ssid: bytes, party: Party, reveal: Reveal) -> bytes:
    """V_i, 64 bytes: binds the committer and the session, so that nobody can copy it."""
    return digest("keygen commitment", ssid, party, reveal, size=64)


def _rid(reveals: dict[Party, Reveal]) -> bytes:
    return xor(reveals[j].rid for j in sorted(reveals))


def _sum_of_polynomials(reveals: dict[Party, Reveal], threshold: int) -> tuple[Point, ...]:
    return tuple(total(reveal.F[k] for reveal in reveals.values()) for k in range(threshold))
