"""Presigning: three rounds after which a signature costs one message (spec §4.1 to §4.5; CGGMP24 Fig. 8).

Letters are the paper's. Party i multiplies its γ_i and x_i with every k_j under encryption; Σδ = kγ and Σχ = kx.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oms_core.crypto.curve import G, Point, Q, centered, mul_base, random_scalar, total
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.shamir import lagrange
from oms_core.encoding import digest, document
from oms_core.errors import Malformed, Unattributed
from oms_core.protocol.rounds import (
    Echo,
    Party,
    Session,
    Steps,
    blame,
    broadcast,
    check_echo,
    echo,
    echo_of,
    ensure,
    exchange,
)
from oms_core.protocol.shares import KeyShare, Moduli, Presignature
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


@document("presign-products/1")
class Products:
    """γ_i and x_i multiplied with the receiver's k, masked, each with the mask encrypted to myself and Π^aff-g."""

    D: int
    F: int
    D_hat: int
    F_hat: int
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


@dataclass(frozen=True, slots=True, repr=False)
class Mask:
    """What I added to a product for one peer: needed again if somebody has to be found guilty, erased otherwise."""

    y: int = field(repr=False)
    rho: int = field(repr=False)
    rho_y: int = field(repr=False)


def additive_shares(share: KeyShare, quorum: tuple[Party, ...], tweak: int) -> tuple[int, dict[Party, Point], Point]:
    """Shamir to additive for a quorum (spec §3.4): my w_i (centred), everyone's W_j, and the tweaked public key.

    Raises `Malformed` if the quorum is not one of this key.
    """
    if share.index not in quorum or not set(quorum) <= set(share.parties) or len(quorum) < share.threshold:
        raise Malformed("the quorum is not a quorum of this key")
    if not 0 <= tweak < Q:
        raise Malformed("a tweak is in [0, q)")
    first, public = min(quorum), dict(share.public_shares)
    W = {j: public[j] * lagrange(j, quorum) for j in quorum}
    w = share.secret * lagrange(share.index, quorum)
    if total(W.values()) != share.public_key:
        raise Malformed("the public shares do not interpolate to the key")
    W[first] = W[first] + mul_base(tweak)
    if share.index == first:
        w += tweak
    X = share.public_key + mul_base(tweak)
    if X.is_identity or any(point.is_identity for point in W.values()) or mul_base(w) != W[share.index]:
        raise Malformed("an additive share vanished or does not fit")
    return centered(w), W, X


def presign(session: Session, share: KeyShare, own: Moduli, tweak: int = 0) -> Steps[Presignature]:
    """Make one presignature among the session's parties, bound to them and to ``tweak``.

    Raises `ProtocolAbort` naming liars, `Unattributed` with NONCE_ALERT or CHI_ALERT when the sums do not fit, and
    `Malformed` for a key, moduli or quorum that do not fit the session. Then the session is over (rule R17).
    """
    me, peers, level = session.me, session.peers, session.level
    _check_own(session, share, own)
    x, W, X = additive_shares(share, session.parties, tweak)
    N, rp, paillier, tables = own.paillier, own.pedersen, own.their_paillier, own.their_pedersen
    size = level.modulus_bits // 8

    # Round 1: encrypt a nonce share k and a mask γ; commit to both in the exponent.
    k, gamma = centered(random_scalar()), centered(random_scalar())
    a, b = random_scalar(), random_scalar()
    rho, nu = unit(int(N.N)), unit(int(N.N))
    Y = mul_base(random_scalar())
    mine = First(
        K=int(N.encrypt(k, rho)),
        G=int(N.encrypt(gamma, nu)),
        Y=Y,
        A1=mul_base(a),
        A2=a * Y + mul_base(k),
        B1=mul_base(b),
        B2=b * Y + mul_base(gamma),
    )

    def ranges(j: Party) -> Ranges:
        of_K = enc_elg.Statement(N, mine.K, mine.Y, mine.A1, mine.A2, tables[j])
        of_G = enc_elg.Statement(N, mine.G, mine.Y, mine.B1, mine.B2, tables[j])
        return Ranges(
            enc_elg.prove(level, session.context("enc0", me, j), of_K, enc_elg.Witness(k, rho, a)),
            enc_elg.prove(level, session.context("enc1", me, j), of_G, enc_elg.Witness(gamma, nu, b)),
        )

    first = yield from exchange(session, "presign.1", mine, {j: ranges(j) for j in peers}, Ranges, 32 * size)
    yield from echo(session, "presign.1", first.broadcasts)
    M1 = first.broadcasts

    # Round 2: verify the ranges; multiply under encryption.
    def check_first(j: Party, proofs: Ranges) -> None:
        m = M1[j]
        ciphertexts(paillier[j], (m.K, m.G), "K and G are units modulo N²")
        not_identity((m.Y, m.A1, m.B1), "Y, A1 and B1 are not the identity")
        of_K = enc_elg.Statement(paillier[j], m.K, m.Y, m.A1, m.A2, rp)
        of_G = enc_elg.Statement(paillier[j], m.G, m.Y, m.B1, m.B2, rp)
        equations = [
            enc_elg.verify_but_encryption(level, session.context("enc0", j, me), of_K, proofs.K),
            enc_elg.verify_but_encryption(level, session.context("enc1", j, me), of_G, proofs.G),
        ]
        ensure(paillier[j].encrypts_all(equations), "Π^enc-elg: enc(z1; z2) = D·C^e")

    blame("presign.1", first.directs, check_first)
    Gamma_i = mul_base(gamma)
    masks: dict[tuple[Party, str], Mask] = {}

    def product(j: Party, slot: str, multiplier: int, point: Point) -> tuple[int, int, aff_g.Proof]:
        theirs = paillier[j]
        mask = Mask(symmetric(1 << level.ell_prime), unit(int(theirs.N)), unit(int(N.N)))
        masks[j, slot] = mask
        D = int(theirs.add(theirs.power(M1[j].K, multiplier), theirs.encrypt(mask.y, mask.rho)))
        F = int(N.encrypt(mask.y, mask.rho_y))
        statement = aff_g.Statement(theirs, N, M1[j].K, D, F, point, tables[j])
        witness = aff_g.Witness(multiplier, mask.y, mask.rho, mask.rho_y)
        return D, F, aff_g.prove(level, session.context(slot, me, j), statement, witness)

    def products(j: Party) -> Products:
        D, F, psi = product(j, "aff0", gamma, Gamma_i)
        D_hat, F_hat, psi_hat = product(j, "aff1", x, W[me])
        return Products(D, F, D_hat, F_hat, psi, psi_hat)

    sent = {j: products(j) for j in peers}
    of_gamma = elog.Statement(mine.B1, mine.B2, mine.Y, Gamma_i, G)
    announced = Second(
        Gamma=Gamma_i,
        proof=elog.prove(session.context("elogR2", me), of_gamma, elog.Witness(gamma, b)),
        products=tuple((j, products_hash(session, me, j, sent[j])) for j in peers),
    )
    second = yield from exchange(session, "presign.2", announced, sent, Products, 64 * (size + len(peers)))
    M2 = second.broadcasts

    # Round 3: verify the products, decrypt, and add up.
    def check_second(j: Party, got: Products) -> None:
        m = M2[j]
        receivers = [receiver for receiver in session.parties if receiver != j]
        ensure([receiver for receiver, _ in m.products] == receivers, "one product hash per receiver")
        ensure(dict(m.products)[me] == products_hash(session, j, me, got), "the products are those announced")
        not_identity((m.Gamma,), "Γ is not the identity")
        of_gamma = elog.Statement(M1[j].B1, M1[j].B2, M1[j].Y, m.Gamma, G)
        elog.verify(session.context("elogR2", j), of_gamma, m.proof)
        of_D = aff_g.Statement(N, paillier[j], mine.K, got.D, got.F, m.Gamma, rp)
        of_D_hat = aff_g.Statement(N, paillier[j], mine.K, got.D_hat, got.F_hat, W[j], rp)
        equations = [
            aff_g.verify_but_mask(level, session.context("aff0", j, me), of_D, got.psi),
            aff_g.verify_but_mask(level, session.context("aff1", j, me), of_D_hat, got.psi_hat),
        ]
        ensure(paillier[j].encrypts_all(equations), "Π^aff-g: enc_1(z2; w_y) = B_y·Y^e")

    blame("presign.2", second.directs, check_second)
    Gamma = total(M2[j].Gamma for j in session.parties)
    if Gamma.is_identity or Gamma.x % Q == 0:
        raise Unattributed("the nonce point vanished")
    cross = sum(int(N.decrypt(got.D)) - masks[j, "aff0"].y for j, got in second.directs.items())
    cross_hat = sum(int(N.decrypt(got.D_hat)) - masks[j, "aff1"].y for j, got in second.directs.items())
    delta, chi = (gamma * k + cross) % Q, (x * k + cross_hat) % Q
    Delta_i = k * Gamma
    of_k = elog.Statement(mine.A1, mine.A2, mine.Y, Delta_i, Gamma)
    closing = Third(
        delta=delta,
        S=chi * Gamma,
        Delta=Delta_i,
        proof=elog.prove(session.context("elogR3", me), of_k, elog.Witness(k, a)),
        echo=echo_of(session, "presign.2", M2),
    )
    M3 = yield from broadcast(session, "presign.3", closing, 8 * 1024)

    # Output: verify the sums in the exponent; what all saw has to be the same.
    check_echo("presign.2", closing.echo, (m.echo for m in M3.values()))

    def check_third(j: Party, m: Third) -> None:
        ensure(0 <= m.delta < Q, "δ ∈ [0, q)")
        not_identity((m.Delta,), "Δ is not the identity")
        statement = elog.Statement(M1[j].A1, M1[j].A2, M1[j].Y, m.Delta, Gamma)
        elog.verify(session.context("elogR3", j), statement, m.proof)

    blame("presign.3", {j: M3[j] for j in peers}, check_third)
    yield from echo(session, "presign.3", M3)
    total_delta = sum(m.delta for m in M3.values()) % Q
    if mul_base(total_delta) != total(m.Delta for m in M3.values()):
        raise Unattributed("NONCE_ALERT: δ·G is not the sum of all Δ")
    if total_delta == 0:  # asked second: a liar who makes δ vanish must not pass for bad luck
        raise Unattributed("δ vanished")
    if total_delta * X != total(m.S for m in M3.values()):
        raise Unattributed("CHI_ALERT: δ·X is not the sum of all S")
    inverse = pow(total_delta, -1, Q)
    Delta = {j: inverse * m.Delta for j, m in M3.items()}
    S = {j: inverse * m.S for j, m in M3.items()}
    return Presignature(
        ssid=session.ssid,
        presignature_id=_identify(session, Gamma, Delta, S),
        key_id=share.key_id,
        epoch=share.epoch,
        quorum=session.parties,
        tweak=tweak,
        public_key=X,
        Gamma=Gamma,
        Delta=Delta,
        S=S,
        secret=[(k * inverse % Q, chi * inverse % Q)],
    )


def products_hash(session: Session, sender: Party, receiver: Party, products: Products) -> bytes:
    """h_{i→j}: pins the ciphertexts that i sent to j for everyone, in case they have to be opened."""
    values = [products.D, products.F, products.D_hat, products.F_hat]
    return digest("DF", session.ssid, sender, receiver, values)


def _check_own(session: Session, share: KeyShare, own: Moduli) -> None:
    """The key and the moduli are mine, of this session's level, and cover its parties. Raises `Malformed`."""
    if not session.me == share.index == own.index or own.level != session.level:
        raise Malformed("the share or the moduli are not mine in this session, or of another level")
    if not set(session.peers) <= set(own.their_paillier):
        raise Malformed("the moduli of a party are missing")


def _identify(session: Session, Gamma: Point, Delta: dict[Party, Point], S: dict[Party, Point]) -> bytes:
    ordered = [[j, Delta[j], S[j]] for j in session.parties]
    return digest("presignature", session.ssid, Gamma, ordered)
