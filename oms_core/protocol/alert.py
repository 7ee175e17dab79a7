"""Who made a presignature fail (spec §4.7; CGGMP24 Fig. 9): after an alert everybody opens what it multiplied.

Each party shows the ciphertexts that it received and sent, against the hashes that all have echoed, and proves without
set-up that its δ (or χ) is what they decrypt to and that its products are honest. If all could, the sums would fit; so
who cannot is guilty, before anybody. The run is over in any case, and so are its secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from oms_core.crypto.curve import G, Point, mul_base
from oms_core.crypto.paillier import PaillierSecret
from oms_core.encoding import document
from oms_core.errors import Unattributed
from oms_core.protocol.presign_rounds import (
    FIRST,
    SECOND,
    THIRD,
    Ciphertexts,
    Ground,
    nonce_point,
    products_hash,
)
from oms_core.protocol.rounds import Nothing, Party, Record, Round, Session, Steps, blame, ensure, speak
from oms_core.zk import aff_g, aff_g_star, dec
from oms_core.zk.claims import ciphertexts


@document("presign-opened/1")
class Opened:
    """What one party has from a peer, and what it sent to it."""

    peer: int
    received: Ciphertexts
    sent: Ciphertexts


@document("presign-opening/1")
class Opening:
    """Everything that a party multiplied, ascending by peer, Π^dec for its sum, Π^aff-g* for each product it sent."""

    opened: tuple[Opened, ...]
    sum: dec.Proof
    products: tuple[aff_g_star.Proof, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Mask:
    """What I added to a product for one peer: needed again if somebody has to be found guilty, erased otherwise."""

    y: int = field(repr=False)
    rho: int = field(repr=False)
    rho_y: int = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What a party needs to open its part: its key, the ciphertexts it sent, its masks by (peer, slot), γ and x."""

    N: PaillierSecret
    sent: Mapping[Party, Ciphertexts]
    masks: Mapping[tuple[Party, str], Mask]
    gamma: int
    x: int


@dataclass(frozen=True, slots=True)
class Alert:
    """One of the two sums that can fail."""

    name: str
    slot: str

    def pair(self, made: Ciphertexts) -> tuple[int, int]:
        """The product and the encrypted mask that belong to this sum."""
        return (made.D, made.F) if self is NONCE else (made.D_hat, made.F_hat)

    def multiplier(self, record: Record, of: Ground, i: Party) -> Point:
        """Γ_i or W_i: i's multiplier in the exponent."""
        return record.said(SECOND)[i].Gamma if self is NONCE else of.W[i]

    def target(self, record: Record, i: Party) -> tuple[Point, Point]:
        """(T, B): i's sum in the exponent, and to which base."""
        m = record.said(THIRD)[i]
        return (mul_base(m.delta), G) if self is NONCE else (m.S, nonce_point(record))

    def statement(self, record: Record, of: Ground, i: Party, opened: Mapping[Party, Opened]) -> dec.Statement:
        """That i's sum is what its own K times its multiplier, and all that was added to it, decrypt to."""
        N, first = of.paillier[i], record.said(FIRST)
        added = N.add(
            *(
                N.subtract(self.pair(one.received)[0], self.pair(one.sent)[1])
                for one in (opened[j] for j in sorted(opened))
            )
        )
        T, B = self.target(record, i)
        X = self.multiplier(record, of, i)
        return dec.Statement(N, first[i].K, int(added), X, T, B, len(record.session.parties))

    def product(self, record: Record, of: Ground, i: Party, one: Opened) -> aff_g_star.Statement:
        """That what i sent to a peer is an honest product."""
        D, F = self.pair(one.sent)
        N, theirs, K = of.paillier[i], of.paillier[one.peer], record.said(FIRST)[one.peer].K
        return aff_g_star.Statement(theirs, N, K, D, F, self.multiplier(record, of, i))

    def check(self, record: Record, of: Ground, i: Party) -> None:
        """i's opening. Raises `ProofInvalid`."""
        session, opening = record.session, record.said(_ROUNDS[self.name])[i]
        others = [j for j in session.parties if j != i]
        ensure([one.peer for one in opening.opened] == others, "opens what it has from each peer, and sent to each")
        ensure(len(opening.products) == len(others), "one proof for each product")
        second = record.said(SECOND)
        for one in opening.opened:
            received, sent = dict(second[one.peer].products)[i], dict(second[i].products)[one.peer]
            ensure(received == products_hash(session, one.peer, i, one.received), "opens what it received")
            ensure(sent == products_hash(session, i, one.peer, one.sent), "opens what it sent")
            ciphertexts(of.paillier[i], (self.pair(one.received)[0], self.pair(one.sent)[1]), "opens ciphertexts")
        statement = self.statement(record, of, i, {one.peer: one for one in opening.opened})
        dec.verify(session.level, session.context(f"dec{self.slot}", i), statement, opening.sum)
        for one, proof in zip(opening.opened, opening.products, strict=True):
            context = session.context(f"affs{self.slot}:{one.peer}", i)
            aff_g_star.verify(session.level, context, self.product(record, of, i, one), proof)


NONCE = Alert("presign.nonce-alert", "0")
CHI = Alert("presign.chi-alert", "1")


def _limit(session: Session) -> int:
    return 4 * session.level.repetitions * session.level.modulus_bits // 8 * (2 + 2 * len(session.parties))


_ROUNDS = {alert.name: Round(alert.name, Opening, Nothing, _limit, alert.check) for alert in (NONCE, CHI)}
NONCE_ALERT, CHI_ALERT = _ROUNDS[NONCE.name], _ROUNDS[CHI.name]


def accuse(record: Record, of: Ground, alert: Alert, own: Secrets) -> Steps[NoReturn]:
    """One more round, in which all open what they multiplied. Always raises: `ProtocolAbort` naming who cannot.

    If nobody is guilty the fault is local, or in this program: `Unattributed`, and the key should rest.
    """
    yield from speak(record, _ROUNDS[alert.name], _opening(record, of, alert, own))
    blame(record, _ROUNDS[alert.name], of)
    raise Unattributed(f"{alert.name}: the sums do not fit, and every peer has opened honestly")


def _opening(record: Record, of: Ground, alert: Alert, own: Secrets) -> Opening:
    session, me = record.session, record.session.me
    level, N = session.level, own.N
    opened = {j: Opened(j, record.told(SECOND)[j].made, own.sent[j]) for j in session.peers}
    x = own.gamma if alert is NONCE else own.x
    statement = alert.statement(record, of, me, opened)
    product = int(N.add(N.power(statement.K, x), statement.D))
    witness = dec.Witness(x, int(N.decrypt(product)), int(N.nonce(product)))
    proofs = []
    for j in session.peers:
        mask = own.masks[j, f"aff{alert.slot}"]
        context = session.context(f"affs{alert.slot}:{j}", me)
        affine = aff_g.Witness(x, mask.y, mask.rho, mask.rho_y)
        proofs.append(aff_g_star.prove(level, context, alert.product(record, of, me, opened[j]), affine))
    proof = dec.prove(level, session.context(f"dec{alert.slot}", me), statement, witness, N)
    return Opening(tuple(opened[j] for j in session.peers), proof, tuple(proofs))
