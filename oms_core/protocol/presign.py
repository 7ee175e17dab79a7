"""Presigning: three rounds after which a signature costs one message (spec §4.1 to §4.5; CGGMP24 Fig. 8).

Letters are the paper's. Party i multiplies its γ_i and x_i with every k_j under encryption; Σδ = kγ and Σχ = kx. If the
sums do not fit, everybody opens what it multiplied, and who cannot is named (`alert`).
"""

from __future__ import annotations

from dataclasses import replace

from oms_core.crypto.bip32 import tweak
from oms_core.crypto.curve import G, Point, Q, centered, mul_base, random_scalar, total
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.shamir import lagrange
from oms_core.errors import Malformed, Unattributed
from oms_core.protocol.alert import CHI, NONCE, Mask, Secrets, accuse
from oms_core.protocol.presign_rounds import (
    FIRST,
    SECOND,
    THIRD,
    Ciphertexts,
    First,
    Ground,
    Products,
    Ranges,
    Second,
    Third,
    ground,
    nonce_point,
    products_hash,
)
from oms_core.protocol.rounds import Party, Record, Session, Steps, blame, check_echo, echo, echo_of, speak
from oms_core.protocol.shares import KeyShare, Moduli, Presignature, PublicPresignature
from oms_core.zk import aff_g, elog, enc_elg


def presign(session: Session, share: KeyShare, own: Moduli, path: tuple[int, ...] = ()) -> Steps[Presignature]:
    """Make one presignature among the session's parties, bound to them and to ``path``.

    Raises `ProtocolAbort` naming liars, `Unattributed` for bad luck, and `Malformed` for a key, moduli, quorum or path
    that do not fit the session. Then the session is over (rule R17).
    """
    me, peers, level = session.me, session.peers, session.level
    of, x = _own(session, share, own, path)
    N, tables, record = own.paillier, own.their_pedersen, Record(session)

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

    yield from speak(record, FIRST, mine, {j: ranges(j) for j in peers})
    yield from echo(record, FIRST)

    # Round 2: verify the ranges; multiply under encryption.
    blame(record, FIRST, of)
    M1 = record.said(FIRST)
    Gamma_i = mul_base(gamma)
    masks: dict[tuple[Party, str], Mask] = {}

    def product(j: Party, slot: str, multiplier: int, point: Point) -> tuple[int, int, aff_g.Proof]:
        theirs = of.paillier[j]
        mask = Mask(symmetric(1 << level.ell_prime), unit(int(theirs.N)), unit(int(N.N)))
        masks[j, slot] = mask
        D = int(theirs.add(theirs.power_secret(M1[j].K, multiplier), theirs.encrypt(mask.y, mask.rho)))
        F = int(N.encrypt(mask.y, mask.rho_y))
        statement = aff_g.Statement(theirs, N, M1[j].K, D, F, point, tables[j])
        witness = aff_g.Witness(multiplier, mask.y, mask.rho, mask.rho_y)
        return D, F, aff_g.prove(level, session.context(slot, me, j), statement, witness)

    def products(j: Party) -> Products:
        D, F, psi = product(j, "aff0", gamma, Gamma_i)
        D_hat, F_hat, psi_hat = product(j, "aff1", x, of.W[me])
        return Products(Ciphertexts(D, F, D_hat, F_hat), psi, psi_hat)

    sent = {j: products(j) for j in peers}
    of_gamma = elog.Statement(mine.B1, mine.B2, mine.Y, Gamma_i, G)
    announced = Second(
        Gamma=Gamma_i,
        proof=elog.prove(session.context("elogR2", me), of_gamma, elog.Witness(gamma, b)),
        products=tuple((j, products_hash(session, me, j, sent[j].made)) for j in peers),
    )
    yield from speak(record, SECOND, announced, sent)

    # Round 3: verify the products, decrypt, and add up.
    blame(record, SECOND, of)
    got = record.told(SECOND)
    Gamma = nonce_point(record)
    if Gamma.is_identity or Gamma.x % Q == 0:
        raise Unattributed("the nonce point vanished")
    cross = sum(int(N.decrypt(got[j].made.D)) - masks[j, "aff0"].y for j in peers)
    cross_hat = sum(int(N.decrypt(got[j].made.D_hat)) - masks[j, "aff1"].y for j in peers)
    delta, chi = (gamma * k + cross) % Q, (x * k + cross_hat) % Q
    Delta_i = k * Gamma
    of_k = elog.Statement(mine.A1, mine.A2, mine.Y, Delta_i, Gamma)
    closing = Third(
        delta=delta,
        S=chi * Gamma,
        Delta=Delta_i,
        proof=elog.prove(session.context("elogR3", me), of_k, elog.Witness(k, a)),
        echo=echo_of(record, SECOND),
    )
    yield from speak(record, THIRD, closing)

    # Output: verify the sums in the exponent; what all saw has to be the same.
    M3 = record.said(THIRD)
    check_echo(record, SECOND, {j: M3[j].echo for j in peers})
    blame(record, THIRD, of)
    yield from echo(record, THIRD)
    total_delta = sum(m.delta for m in M3.values()) % Q
    secrets = Secrets(N, {j: sent[j].made for j in peers}, masks, gamma, x)
    if mul_base(total_delta) != total(m.Delta for m in M3.values()):
        yield from accuse(record, of, NONCE, secrets)
    if total_delta == 0:  # asked second: a liar who makes δ vanish must not pass for bad luck
        raise Unattributed("δ vanished")
    if total_delta * of.X != total(m.S for m in M3.values()):
        yield from accuse(record, of, CHI, secrets)
    inverse = pow(total_delta, -1, Q)
    return Presignature(
        public_part(record, share.key_id, share.epoch, path, of.X), secret=[(k * inverse % Q, chi * inverse % Q)]
    )


def public_part(record: Record, key_id: bytes, epoch: int, path: tuple[int, ...], X: Point) -> PublicPresignature:
    """What a finished presigning comes to, for anybody who has its broadcasts."""
    M3 = record.said(THIRD)
    inverse = pow(sum(m.delta for m in M3.values()) % Q, -1, Q)
    return PublicPresignature(
        ssid=record.session.ssid,
        key_id=key_id,
        epoch=epoch,
        path=path,
        public_key=X,
        Gamma=nonce_point(record),
        Delta=tuple((j, inverse * M3[j].Delta) for j in record.session.parties),
        S=tuple((j, inverse * M3[j].S) for j in record.session.parties),
    )


def _own(session: Session, share: KeyShare, own: Moduli, path: tuple[int, ...]) -> tuple[Ground, int]:
    """The ground with my secret keys and my tables in it, and my additive share (centred). Raises `Malformed`."""
    me, quorum = session.me, session.parties
    if not me == share.index == own.index or own.level != session.level:
        raise Malformed("the share or the moduli are not mine in this session, or of another level")
    public = ground(share.public(own.aux), quorum, path)
    x = share.secret * lagrange(me, quorum)
    if me == min(quorum):
        x += tweak(share.public_key, share.chain_code, path)
    if mul_base(x) != public.W[me]:
        raise Malformed("my additive share does not fit")
    fast = replace(
        public,
        paillier={**public.paillier, me: own.paillier},
        pedersen={j: own.pedersen if j == me else own.their_pedersen[j] for j in quorum},
    )
    return fast, centered(x)
