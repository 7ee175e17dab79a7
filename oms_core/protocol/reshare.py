"""Resharing: the same key, dealt anew to a committee, under any threshold (spec §3.5).

Each dealer shares its additive share λ_i·x_i of the old epoch. A refresh (§3.3) is the resharing in which all holders
deal to themselves: what a thief has of the old epoch then fits to nothing. Everybody takes part in every round, so that
all have echoed the same; who deals nothing commits to nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from oms_core.crypto.curve import Point, Q, mul_base, total
from oms_core.crypto.shamir import Polynomial, evaluate_commitments, lagrange
from oms_core.encoding import digest, document
from oms_core.errors import LocalError, Malformed, Unattributed
from oms_core.protocol.packets import Resharing
from oms_core.protocol.rounds import Nothing, Party, Record, Round, Session, Steps, blame, echo, ensure, speak
from oms_core.protocol.shares import Epoch, KeyShare
from oms_core.zk import sch


@document("reshare-commit/1")
class Commit:
    """V_i: hash of the opening."""

    hash: bytes


@document("reshare-reveal/1")
class Reveal:
    """A dealer's Feldman commitments and as many Schnorr first messages; nothing from others. u is the salt."""

    B: tuple[Point, ...]
    A: tuple[Point, ...]
    u: bytes


@document("reshare-share/1")
class Share:
    """g_i(j), secret, from a dealer to a receiver; 0 between all others."""

    value: int


@document("reshare-proof/1")
class Proof:
    """Knowledge of every coefficient."""

    coefficients: tuple[sch.Proof, ...]


@dataclass(frozen=True, slots=True)
class Ground:
    """The epoch that is dealt from, and what it is dealt to."""

    epoch: Epoch
    resharing: Resharing

    def dealt(self, j: Party) -> Point:
        """λ_j·X_j: what dealer j has to share."""
        return dict(self.epoch.public_shares)[j] * lagrange(j, self.resharing.dealers)


def check_reveal(record: Record, ground: Ground, j: Party) -> None:
    """j's opening, that it deals its own share and nothing else, and what it gave me."""
    reveal, value, new = record.said(REVEAL)[j], record.told(REVEAL)[j].value, ground.resharing
    session = record.session
    ensure(len(reveal.u) == 32, "a salt of 32 bytes")
    said = record.said(COMMIT)[j].hash
    ensure(said == commitment(session.ssid, j, reveal), "the opening matches the commitment")
    if j not in new.dealers:
        ensure(not reveal.B and not reveal.A and value == 0, "who is no dealer deals nothing")
        return
    ensure(len(reveal.B) == len(reveal.A) == new.threshold, "exactly t Feldman commitments and first messages")
    ensure(not any(P.is_identity for P in (*reveal.B, *reveal.A)), "no commitment is the identity")
    ensure(reveal.B[0] == ground.dealt(j), "the dealer deals its own share of this key")
    if session.me not in new.receivers:
        ensure(value == 0, "no share for who receives none")
        return
    ensure(0 <= value < Q, "the share is in [0, q)")
    ensure(mul_base(value) == evaluate_commitments(reveal.B, session.me), "the share lies on the polynomial")


def check_proof(record: Record, ground: Ground, j: Party) -> None:
    """j knows all its coefficients."""
    proofs, reveals = record.said(PROVE)[j].coefficients, record.said(REVEAL)
    reveal, extra = reveals[j], _openings(reveals)
    ensure(len(proofs) == len(reveal.B), "one proof for each coefficient")
    for k, (B, A, proof) in enumerate(zip(reveal.B, reveal.A, proofs, strict=True)):
        sch.verify(record.session.context(f"reshare.{k}", j, extra=extra), sch.Statement(B), A, proof)


def _limit(session: Session) -> int:
    return 1024 + 256 * len(session.parties)


COMMIT = Round("reshare.1", Commit, Nothing, _limit, None, "reshare.1.echo")
REVEAL = Round("reshare.2", Reveal, Share, _limit, check_reveal, "reshare.2.echo")
PROVE = Round("reshare.3", Proof, Nothing, _limit, check_proof)


def reshare(
    session: Session, epoch: Epoch, resharing: Resharing, share: KeyShare | None, roster: Mapping[Party, bytes]
) -> Steps[KeyShare | None]:
    """Deal (with my ``share`` of ``epoch``) or receive, or both. A receiver's result is its share of the new epoch.

    ``roster`` are the identity keys of the receivers. Raises `ProtocolAbort`, and `Malformed` for what does not fit.
    """
    me, new = session.me, resharing
    if tuple(sorted({*new.dealers, *new.receivers})) != session.parties or len(new.dealers) < epoch.threshold:
        raise Malformed("dealers and receivers are the parties, and the dealers a quorum")
    if not set(new.dealers) <= set(epoch.parties) or (me in new.dealers) != (share is not None):
        raise Malformed("dealers deal their share of this epoch")
    if share is not None and (share.key_id, share.epoch, share.index) != (epoch.key_id, epoch.epoch, me):
        raise Malformed("my share is of another key or epoch")
    record, ground = Record(session), Ground(epoch, new)
    if share is not None and mul_base(share.secret) != dict(epoch.public_shares)[me]:
        raise Malformed("my share does not fit the epoch")
    if total(ground.dealt(j) for j in new.dealers) != epoch.public_key:
        raise Malformed("the public shares do not interpolate to the key")

    # Round 1: commit to the polynomial whose constant term is my part of the key.
    g = None
    if share is not None:
        g = Polynomial(new.threshold, share.secret * lagrange(me, new.dealers) % Q)
    nonces = [sch.commit() for _ in range(new.threshold)] if g else []
    mine = Reveal(g.commitments() if g else (), tuple(A for _, A in nonces), secrets.token_bytes(32))
    yield from speak(record, COMMIT, Commit(commitment(session.ssid, me, mine)))
    yield from echo(record, COMMIT)

    # Round 2: open it; hand each receiver its share.
    given = {j: Share(g(j) if g and j in new.receivers else 0) for j in session.peers}
    yield from speak(record, REVEAL, mine, given)
    yield from echo(record, REVEAL)

    # Round 3: check everything, then prove knowledge.
    blame(record, REVEAL, ground)
    reveals = record.said(REVEAL)
    extra = _openings(reveals)
    proofs = tuple(
        sch.respond(session.context(f"reshare.{k}", me, extra=extra), sch.Statement(B), A, tau, coefficient)
        for k, (B, (tau, A), coefficient) in enumerate(zip(mine.B, nonces, g.coefficients if g else (), strict=True))
    )
    yield from speak(record, PROVE, Proof(proofs))

    # Output: verify what all have proven, and add up.
    blame(record, PROVE, ground)
    if me not in new.receivers:
        return None
    B = tuple(total(reveals[j].B[k] for j in new.dealers) for k in range(new.threshold))
    public = {j: evaluate_commitments(B, j) for j in new.receivers}
    received = sum(told.value for told in record.told(REVEAL).values())
    x = ((g(me) if g else 0) + received) % Q
    if B[0] != epoch.public_key or mul_base(x) != public[me]:
        raise LocalError("valid shares do not add up to the key")
    if any(X.is_identity for X in public.values()) or len(set(public.values())) != len(public):
        raise Unattributed("a new share vanished, or two are equal")
    return KeyShare(
        key_id=epoch.key_id,
        epoch=new.epoch,
        threshold=new.threshold,
        index=me,
        secret=x,
        public_key=epoch.public_key,
        public_shares=tuple((j, public[j]) for j in new.receivers),
        rid=extra,
        chain_code=epoch.chain_code,
        roster=tuple((j, roster[j]) for j in new.receivers),
    )


def commitment(ssid: bytes, party: Party, reveal: Reveal) -> bytes:
    """V_i, 64 bytes: binds the committer and the session, so that nobody can copy it."""
    return digest("reshare commitment", ssid, party, reveal, size=64)


def _openings(reveals: Mapping[Party, Reveal]) -> bytes:
    """32 bytes that all openings went into: what the proofs answer to."""
    return digest("reshare openings", [[j, reveals[j]] for j in sorted(reveals)])
