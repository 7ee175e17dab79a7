"""One honest instance of each proof, in a form that the mechanical tests can bend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oms_core.crypto.curve import centered, mul_base, random_scalar
from oms_core.crypto.params import Level
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.transcript import ProofContext
from oms_core.zk import aff_g, aff_g_star, dec, elog, enc_elg, fac, mod, prm, sch
from tests.primes import paillier, pedersen

CONTEXT = ProofContext(ssid=b"s" * 32, slot="slot", prover=1, verifier=2, extra=b"x")


@dataclass(frozen=True)
class Case:
    """Everything to verify a proof again: `check(context, statement, proof)` raises ProofInvalid."""

    statement: Any
    proof: Any
    check: Callable[[ProofContext, Any, Any], None]


def sch_case(level: Level) -> Case:
    x = random_scalar()
    tau, A = sch.commit()
    statement = sch.Statement(mul_base(x))
    proof = sch.respond(CONTEXT, statement, A, tau, x)
    return Case(statement, proof, lambda c, s, p: sch.verify(c, s, A, p))


def elog_case(level: Level) -> Case:
    y, lam, H, X = random_scalar(), random_scalar(), mul_base(random_scalar()), mul_base(random_scalar())
    statement = elog.Statement(mul_base(lam), mul_base(y) + lam * X, X, y * H, H)
    return Case(statement, elog.prove(CONTEXT, statement, elog.Witness(y, lam)), elog.verify)


def enc_elg_parts(level: Level, x: int | None = None) -> tuple[enc_elg.Statement, enc_elg.Witness]:
    own, rp = paillier(level, 1), pedersen(level, 2)
    x = centered(random_scalar()) if x is None else x
    b, rho, A = random_scalar(), unit(int(own.N)), mul_base(random_scalar())
    statement = enc_elg.Statement(own, int(own.encrypt(x, rho)), A, mul_base(b), b * A + mul_base(x), rp.public)
    return statement, enc_elg.Witness(x, rho, b)


def enc_elg_case(level: Level) -> Case:
    statement, witness = enc_elg_parts(level)
    proof = enc_elg.prove(level, CONTEXT, statement, witness)
    return Case(statement, proof, lambda c, s, p: enc_elg.verify(level, c, s, p))


def aff_g_parts(level: Level, x: int | None = None, y: int | None = None) -> tuple[aff_g.Statement, aff_g.Witness]:
    own, theirs, rp = paillier(level, 1), paillier(level, 2).public, pedersen(level, 2)
    x = centered(random_scalar()) if x is None else x
    y = symmetric(1 << level.ell_prime) if y is None else y
    rho, rho_y = unit(int(theirs.N)), unit(int(own.N))
    C = int(theirs.encrypt(centered(random_scalar()), unit(int(theirs.N))))
    D = int(theirs.add(theirs.power(C, x), theirs.encrypt(y, rho)))
    statement = aff_g.Statement(theirs, own, C, D, int(own.encrypt(y, rho_y)), mul_base(x), rp.public)
    return statement, aff_g.Witness(x, y, rho, rho_y)


def aff_g_case(level: Level) -> Case:
    statement, witness = aff_g_parts(level)
    proof = aff_g.prove(level, CONTEXT, statement, witness)
    return Case(statement, proof, lambda c, s, p: aff_g.verify(level, c, s, p))


def prm_case(level: Level) -> Case:
    secret = pedersen(level, 1)
    return Case(secret.public, prm.prove(level, CONTEXT, secret), lambda c, s, p: prm.verify(level, c, s, p))


def mod_case(level: Level) -> Case:
    secret = paillier(level, 1)
    return Case(secret.public, mod.prove(level, CONTEXT, secret), lambda c, s, p: mod.verify(level, c, s, p))


def fac_case(level: Level) -> Case:
    secret, rp = paillier(level, 1), pedersen(level, 2)
    statement = fac.Statement(secret.public, rp.public)
    return Case(statement, fac.prove(level, CONTEXT, rp.public, secret), lambda c, s, p: fac.verify(level, c, s, p))


def aff_g_star_case(level: Level) -> Case:
    x, witness = aff_g_parts(level)
    statement = aff_g_star.Statement(x.N0, x.N1, x.C, x.D, x.Y, x.X)
    proof = aff_g_star.prove(level, CONTEXT, statement, witness)
    return Case(statement, proof, lambda c, s, p: aff_g_star.verify(level, c, s, p))


def dec_parts(level: Level) -> tuple[dec.Statement, dec.Witness]:
    """As after a nonce alert between three: x·k under encryption, with masks of the largest size that can be proven."""
    own, B = paillier(level, 1), mul_base(random_scalar())
    x, k = centered(random_scalar()), centered(random_scalar())
    K = int(own.encrypt(k, unit(int(own.N))))
    D = int(own.encrypt(2 * symmetric(1 << level.ell_prime + level.epsilon), unit(int(own.N))))
    product = int(own.add(own.power(K, x), D))
    y = int(own.decrypt(product))
    return dec.Statement(own, K, D, mul_base(x), y * B, B, 3), dec.Witness(x, y, int(own.nonce(product)))


def dec_case(level: Level) -> Case:
    statement, witness = dec_parts(level)
    proof = dec.prove(level, CONTEXT, statement, witness, paillier(level, 1))
    return Case(statement, proof, lambda c, s, p: dec.verify(level, c, s, p))


CASES: dict[str, Callable[[Level], Case]] = {
    "sch": sch_case,
    "elog": elog_case,
    "enc-elg": enc_elg_case,
    "aff-g": aff_g_case,
    "prm": prm_case,
    "mod": mod_case,
    "fac": fac_case,
    "aff-g*": aff_g_star_case,
    "dec": dec_case,
}
