"""Paillier and ring-Pedersen moduli of a committee, each proven well formed to all (spec §3.2)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import combinations
from math import gcd

from oms_core.crypto.paillier import PaillierPublic, PaillierSecret, check_modulus
from oms_core.crypto.pedersen import PedersenPublic, check_pedersen, generate_pedersen
from oms_core.crypto.primes import is_safe_prime
from oms_core.encoding import digest, document
from oms_core.errors import LocalError, Unattributed
from oms_core.protocol.rounds import Nothing, Party, Record, Round, Session, Steps, blame, echo, ensure, speak, xor
from oms_core.protocol.shares import AuxInfo, PeerAux
from oms_core.zk import fac, mod, prm

Primes = tuple[int, int, int, int]
"""Four distinct safe primes of the level's size (p, q, p̂, q̂): secret, made by `safe_prime` beforehand."""


@document("aux-commit/1")
class Commit:
    """V_i: hash of the opening."""

    hash: bytes


@document("aux-reveal/1")
class Reveal:
    """The moduli, Π^prm, and a contribution to ρ; u is the commitment's salt."""

    paillier: PaillierPublic
    pedersen: PedersenPublic
    proof: prm.Proof
    rho: bytes
    u: bytes


@document("aux-factors/1")
class Factors:
    """Π^fac for one receiver."""

    proof: fac.Proof


@dataclass(frozen=True, slots=True)
class Ground:
    """My own triple, as its owner has it or as I announced it: Π^fac is made for it.

    ``own`` are my moduli, with which nobody may share a factor. A judge has none: it cannot tell who robbed whom.
    """

    pedersen: PedersenPublic
    own: tuple[int, ...]


def check_reveal(record: Record, ground: Ground, j: Party) -> None:
    """Round 3's checks of j's opening and moduli."""
    session, reveal = record.session, record.said(REVEAL)[j]
    ensure(len(reveal.rho) == len(reveal.u) == 32, "random strings of 32 bytes")
    said = record.said(COMMIT)[j].hash
    ensure(said == commitment(session.ssid, j, reveal), "the opening matches the commitment")
    check_modulus(reveal.paillier.N, session.level, (*ground.own, reveal.pedersen.N))
    check_modulus(reveal.pedersen.N, session.level, ground.own)
    check_pedersen(reveal.pedersen, session.level)
    prm.verify(session.level, session.context("prm", j), reveal.pedersen, reveal.proof)


def check_factors(record: Record, ground: Ground, j: Party) -> None:
    """j's Π^mod, and the Π^fac that it made for me."""
    session, reveals = record.session, record.said(REVEAL)
    theirs, rho = reveals[j].paillier, _rho(reveals)
    mod.verify(session.level, session.context("mod", j, extra=rho), theirs, record.said(PROVE)[j])
    statement = fac.Statement(theirs, ground.pedersen)
    fac.verify(session.level, session.context("fac", j, session.me, rho), statement, record.told(PROVE)[j].proof)


def _vectors(session: Session) -> int:
    level = session.level
    return 4 * (level.modulus_bits // 8) * level.repetitions + 4096


COMMIT = Round("auxinfo.1", Commit, Nothing, lambda _: 1024, None, "auxinfo.1.echo")
REVEAL = Round("auxinfo.2", Reveal, Nothing, _vectors, check_reveal, "auxinfo.2.echo")
PROVE = Round("auxinfo.3", mod.Proof, Factors, _vectors, check_factors)


def auxinfo(session: Session, primes: Primes) -> Steps[AuxInfo]:
    """Publish and prove my moduli, verify everyone's. Raises `ProtocolAbort`, and `LocalError` for unfit primes."""
    me, parties, level = session.me, session.parties, session.level
    _check_own(primes, level.prime_bits)
    record = Record(session)

    # Round 1: commit to my moduli and their proof.
    paillier = PaillierSecret(*primes[:2])
    pedersen = generate_pedersen(*primes[2:])
    ground = Ground(pedersen, (int(paillier.N), int(pedersen.N)))
    mine = Reveal(
        paillier=paillier.public,
        pedersen=pedersen.public,
        proof=prm.prove(level, session.context("prm", me), pedersen),
        rho=secrets.token_bytes(32),
        u=secrets.token_bytes(32),
    )
    yield from speak(record, COMMIT, Commit(commitment(session.ssid, me, mine)))
    yield from echo(record, COMMIT)

    # Round 2: open.
    yield from speak(record, REVEAL, mine)
    yield from echo(record, REVEAL)

    # Round 3: check everyone's moduli, then prove mine under the common ρ.
    blame(record, REVEAL, ground)
    reveals = record.said(REVEAL)
    rho = _rho(reveals)

    def factors(j: Party) -> Factors:
        return Factors(fac.prove(level, session.context("fac", me, j, rho), reveals[j].pedersen, paillier))

    of_mine = mod.prove(level, session.context("mod", me, extra=rho), paillier)
    yield from speak(record, PROVE, of_mine, {j: factors(j) for j in session.peers})

    # Output: verify Π^mod of all, and Π^fac made for me.
    blame(record, PROVE, ground)
    _check_distinct(reveals)
    _, _, lam = pedersen.secret
    return AuxInfo(
        index=me,
        primes=primes,
        t=int(pedersen.t),
        lam=int(lam),
        public=tuple(PeerAux(j, reveals[j].paillier, reveals[j].pedersen) for j in parties),
        rho=rho,
    )


def _rho(reveals: dict[Party, Reveal]) -> bytes:
    return xor(reveals[j].rho for j in sorted(reveals))


def commitment(ssid: bytes, party: Party, reveal: Reveal) -> bytes:
    """V_i, 64 bytes: binds the committer and the session, so that nobody can copy it."""
    return digest("auxinfo commitment", ssid, party, reveal, size=64)


def _check_distinct(reveals: dict[Party, Reveal]) -> None:
    """No two parties share a factor. Asked last, and blames nobody: one of the two is honest and was robbed.

    Who merely copied another's modulus has failed Π^mod by now, and who shares a factor with me was named at once.
    """
    for j, other in combinations(sorted(reveals), 2):
        if gcd(_product(reveals[j]), _product(reveals[other])) != 1:
            raise Unattributed(f"moduli of parties {j} and {other} share a factor")


def _product(reveal: Reveal) -> int:
    return int(reveal.paillier.N * reveal.pedersen.N)


def _check_own(primes: Primes, bits: int) -> None:
    """Never publish moduli that are not what others rely on (rule R9)."""
    distinct = len(set(primes)) == 4
    if not distinct or any(p.bit_length() != bits or p >> (bits - 2) != 3 or not is_safe_prime(p) for p in primes):
        raise LocalError("my moduli need four distinct safe primes of the level's size")
    (p, q, p_hat, q_hat), least = primes, 1 << (bits - 100)
    if abs(p - q) <= least or abs(p_hat - q_hat) <= least:
        raise LocalError("two of my primes are too close to each other")
