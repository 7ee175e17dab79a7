"""What presigning says in its rounds, and what everyone's words must satisfy (spec §4.2 to §4.5).

The checks need public data only: `Ground`. A live party puts its own secret keys and its tables of others' there, which
compute the same faster; a judge puts the public ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oms_core.crypto.bip32 import tweak
from oms_core.crypto.curve import G, Point, Q, mul_base, total
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.crypto.shamir import lagrange
from oms_core.encoding import digest, document
from oms_core.errors import Malformed
from oms_core.protocol.rounds import Echo, Nothing, Party, Record, Round, Session, ensure
from oms_core.protocol.shares import Epoch
from oms_core.zk import aff_g, elog, enc_elg
from oms_core.zk.claims import ciphertexts, not_identity


@document("presign-1/1")
class First:
    """Encryptions of k and γ, and El-Gamal commitments (A to k, B to γ) under Y."""

    K: int
    G: int
    Y: Point
    A1: Point
    A2: Point
    B1: Point
    B2: Point


@document("presign-ranges/1")
class Ranges:
    """Π^enc-elg on K and on G, for one receiver."""

    K: enc_elg.Proof
    G: enc_elg.Proof


@document("presign-2/1")
class Second:
    """Γ_i = γ_i·G with Π^elog, and the hash of each secret `Products` of the round, ascending by receiver."""

    Gamma: Point
    proof: elog.Proof
    products: tuple[tuple[int, bytes], ...]


@document("presign-ciphertexts/1")
class Ciphertexts:
    """γ_i and x_i multiplied with the receiver's k and masked (D, D̂), and the masks encrypted to myself (F, F̂)."""

    D: int
    F: int
    D_hat: int
    F_hat: int


@document("presign-products/1")
class Products:
    """The ciphertexts for one receiver, each pair with its Π^aff-g."""

    made: Ciphertexts
    psi: aff_g.Proof
    psi_hat: aff_g.Proof


@document("presign-3/1")
class Third:
    """δ_i, S_i = χ_i·Γ, Δ_i = k_i·Γ with Π^elog, and the echo of round 2."""

    delta: int
    S: Point
    Delta: Point
    proof: elog.Proof
    echo: Echo


@dataclass(frozen=True)
class Ground:
    """Everyone's additive public share W_j, the key X that is signed under, everyone's moduli."""

    W: Mapping[Party, Point]
    X: Point
    paillier: Mapping[Party, PaillierPublic]
    pedersen: Mapping[Party, PedersenPublic]


def ground(epoch: Epoch, quorum: tuple[Party, ...], path: tuple[int, ...]) -> Ground:
    """For anybody, from what is public of a key. Raises `Malformed` if the quorum is not one of this key."""
    W, X = additive_shares(epoch, quorum, path)
    peers = {peer.index: peer for peer in epoch.aux}
    if not set(quorum) <= set(peers):
        raise Malformed("the moduli of a party are missing")
    return Ground(W, X, {j: peers[j].paillier for j in quorum}, {j: peers[j].pedersen for j in quorum})


def additive_shares(epoch: Epoch, quorum: tuple[Party, ...], path: tuple[int, ...]) -> tuple[dict[Party, Point], Point]:
    """Shamir to additive for a quorum (spec §3.4): everyone's W_j, and the public key of the path.

    Raises `Malformed` if the quorum is not one of this key.
    """
    public = dict(epoch.public_shares)
    if not set(quorum) <= set(public) or len(quorum) < epoch.threshold:
        raise Malformed("the quorum is not a quorum of this key")
    theta = mul_base(tweak(epoch.public_key, epoch.chain_code, path))
    W = {j: public[j] * lagrange(j, quorum) for j in quorum}
    if total(W.values()) != epoch.public_key:
        raise Malformed("the public shares do not interpolate to the key")
    first = min(quorum)
    W[first] = W[first] + theta
    X = epoch.public_key + theta
    if X.is_identity or any(point.is_identity for point in W.values()):
        raise Malformed("an additive share vanished")
    return W, X


def check_ranges(record: Record, ground: Ground, j: Party) -> None:
    """j's encryptions, and the range proofs that it made for me."""
    session, m, proofs, N = record.session, record.said(FIRST)[j], record.told(FIRST)[j], ground.paillier[j]
    level, me, rp = session.level, session.me, ground.pedersen[session.me]
    ciphertexts(N, (m.K, m.G), "K and G are units modulo N²")
    not_identity((m.Y, m.A1, m.B1), "Y, A1 and B1 are not the identity")
    of_K = enc_elg.Statement(N, m.K, m.Y, m.A1, m.A2, rp)
    of_G = enc_elg.Statement(N, m.G, m.Y, m.B1, m.B2, rp)
    equations = [
        enc_elg.verify_but_encryption(level, session.context("enc0", j, me), of_K, proofs.K),
        enc_elg.verify_but_encryption(level, session.context("enc1", j, me), of_G, proofs.G),
    ]
    ensure(N.encrypts_all(equations), "Π^enc-elg: enc(z1; z2) = D·C^e")


def check_products(record: Record, ground: Ground, j: Party) -> None:
    """j's Γ, and the products that it made for me."""
    session, m, got = record.session, record.said(SECOND)[j], record.told(SECOND)[j]
    level, me, first = session.level, session.me, record.said(FIRST)
    ensure([to for to, _ in m.products] == [to for to in session.parties if to != j], "one product hash per receiver")
    ensure(dict(m.products)[me] == products_hash(session, j, me, got.made), "the products are those announced")
    not_identity((m.Gamma,), "Γ is not the identity")
    of_gamma = elog.Statement(first[j].B1, first[j].B2, first[j].Y, m.Gamma, G)
    elog.verify(session.context("elogR2", j), of_gamma, m.proof)
    mine, theirs, rp, c = ground.paillier[me], ground.paillier[j], ground.pedersen[me], got.made
    of_D = aff_g.Statement(mine, theirs, first[me].K, c.D, c.F, m.Gamma, rp)
    of_D_hat = aff_g.Statement(mine, theirs, first[me].K, c.D_hat, c.F_hat, ground.W[j], rp)
    equations = [
        aff_g.verify_but_mask(level, session.context("aff0", j, me), of_D, got.psi),
        aff_g.verify_but_mask(level, session.context("aff1", j, me), of_D_hat, got.psi_hat),
    ]
    ensure(theirs.encrypts_all(equations), "Π^aff-g: enc_1(z2; w_y) = B_y·Y^e")


def check_sums(record: Record, ground: Ground, j: Party) -> None:
    """j's δ and Δ."""
    session, m, first = record.session, record.said(THIRD)[j], record.said(FIRST)[j]
    ensure(0 <= m.delta < Q, "δ ∈ [0, q)")
    not_identity((m.Delta,), "Δ is not the identity")
    statement = elog.Statement(first.A1, first.A2, first.Y, m.Delta, nonce_point(record))
    elog.verify(session.context("elogR3", j), statement, m.proof)


def nonce_point(record: Record) -> Point:
    """Γ, the sum of all Γ_j."""
    return total(m.Gamma for m in record.said(SECOND).values())


def products_hash(session: Session, sender: Party, receiver: Party, made: Ciphertexts) -> bytes:
    """h_{i→j}: pins the ciphertexts that i sent to j for everyone, in case they have to be opened."""
    return digest("DF", session.ssid, sender, receiver, made)


def _size(session: Session) -> int:
    return session.level.modulus_bits // 8


FIRST = Round("presign.1", First, Ranges, lambda s: 32 * _size(s), check_ranges, "presign.1.echo")
SECOND = Round("presign.2", Second, Products, lambda s: 64 * (_size(s) + len(s.parties)), check_products, "presign.3")
THIRD = Round("presign.3", Third, Nothing, lambda s: 8192 + 192 * len(s.parties), check_sums, "presign.3.echo")
