"""Paillier and ring-Pedersen moduli of a committee, each proven well formed to all (spec §3.2)."""

from __future__ import annotations

import secrets
from itertools import combinations
from math import gcd

from oms_core.crypto.paillier import PaillierPublic, PaillierSecret, check_modulus
from oms_core.crypto.pedersen import PedersenPublic, check_pedersen, generate_pedersen
from oms_core.crypto.primes import is_safe_prime
from oms_core.encoding import digest, document
from oms_core.errors import LocalError, Unattributed
from oms_core.protocol.rounds import Party, Session, Steps, blame, broadcast, echo, ensure, exchange, xor
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


def auxinfo(session: Session, primes: Primes) -> Steps[AuxInfo]:
    """Publish and prove my moduli, verify everyone's. Raises `ProtocolAbort`, and `LocalError` for unfit primes."""
    me, parties, ssid, level = session.me, session.parties, session.ssid, session.level
    _check_own(primes, level.prime_bits)
    unit = level.modulus_bits // 8
    vectors = 4 * unit * level.repetitions + 4096

    # Round 1: commit to my moduli and their proof.
    paillier = PaillierSecret(*primes[:2])
    pedersen = generate_pedersen(*primes[2:])
    mine = Reveal(
        paillier=paillier.public,
        pedersen=pedersen.public,
        proof=prm.prove(level, session.context("prm", me), pedersen),
        rho=secrets.token_bytes(32),
        u=secrets.token_bytes(32),
    )
    commits = yield from broadcast(session, "auxinfo.1", Commit(commitment(ssid, me, mine)), 1024)
    yield from echo(session, "auxinfo.1", commits)

    # Round 2: open.
    reveals = yield from broadcast(session, "auxinfo.2", mine, vectors)
    yield from echo(session, "auxinfo.2", reveals)

    # Round 3: check everyone's moduli, then prove mine under the common ρ.
    own = (paillier.N, pedersen.N)

    def check(j: Party, reveal: Reveal) -> None:
        ensure(len(reveal.rho) == len(reveal.u) == 32, "random strings of 32 bytes")
        ensure(commits[j].hash == commitment(ssid, j, reveal), "the opening matches the commitment")
        check_modulus(reveal.paillier.N, level, (*own, reveal.pedersen.N))
        check_modulus(reveal.pedersen.N, level, own)
        check_pedersen(reveal.pedersen, level)
        prm.verify(level, session.context("prm", j), reveal.pedersen, reveal.proof)

    blame("auxinfo.2", {j: reveals[j] for j in session.peers}, check)
    rho = xor(reveals[j].rho for j in parties)
    third = yield from exchange(
        session,
        "auxinfo.3",
        mod.prove(level, session.context("mod", me, extra=rho), paillier),
        {
            j: Factors(fac.prove(level, session.context("fac", me, j, rho), reveals[j].pedersen, paillier))
            for j in session.peers
        },
        Factors,
        vectors,
    )

    # Output: verify Π^mod of all, and Π^fac made for me.
    def check_factors(j: Party, factors: Factors) -> None:
        theirs = reveals[j].paillier
        mod.verify(level, session.context("mod", j, extra=rho), theirs, third.broadcasts[j])
        fac.verify(level, session.context("fac", j, me, rho), fac.Statement(theirs, pedersen), factors.proof)

    blame("auxinfo.3", third.directs, check_factors)
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
