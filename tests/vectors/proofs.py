"""One file per proof: an honest proof that says how it was made, and the same proof spoilt in every place.

Two streams each: `<proof> instance` makes the statement and its witness, `<proof> proof` is the prover's randomness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from oms_core.crypto.curve import Point, centered, mul_base, random_scalar
from oms_core.crypto.paillier import PaillierPublic, PaillierSecret
from oms_core.crypto.params import L112, TOY, Level
from oms_core.crypto.pedersen import PedersenSecret, generate_pedersen
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.errors import ProofInvalid
from oms_core.zk import aff_g, aff_g_star, dec, elog, enc_elg, fac, mod, prm, sch
from tests.primes import paillier, primes
from tests.vectors.spoilt import falsehoods, spoilt
from tests.vectors.stream import Stream, seeded
from tests.vectors.written import Hashed, Json, document, hashing, secret, shown, sizes

Prove = Callable[[ProofContext, Any], Any]
Verify = Callable[[ProofContext, Any, Any], None]


@dataclass(frozen=True)
class Instance:
    """A statement with what is needed to prove it, or one like it that is false.

    ``first`` is the first message where the proof does not carry it.
    """

    statement: Any
    witness: Json
    prove: Prove
    verify: Verify
    first: Point | None = None


def context(ssid: bytes) -> ProofContext:
    """The place of every proof in these files: party 1 proves to party 2."""
    return ProofContext(ssid, "vector", 1, 2, b"extra")


def pedersen(level: Level, party: int) -> PedersenSecret:
    """A ring-Pedersen key of a party, from the stream ``ring-Pedersen <level> <party>``."""
    with seeded(Stream(f"ring-Pedersen {level.name} {party}")):
        return generate_pedersen(*primes(level, party)[2:])


def _sch(level: Level) -> Instance:
    x = random_scalar()
    tau, A = sch.commit()
    statement = sch.Statement(mul_base(x))
    return Instance(
        statement,
        {"x": shown(x), "tau": shown(tau)},
        lambda c, s: sch.respond(c, s, A, tau, x),
        lambda c, s, p: sch.verify(c, s, A, p),
        A,
    )


def _elog(level: Level) -> Instance:
    y, lam, X, H = random_scalar(), random_scalar(), mul_base(random_scalar()), mul_base(random_scalar())
    statement = elog.Statement(mul_base(lam), mul_base(y) + lam * X, X, y * H, H)
    witness = elog.Witness(y, lam)
    return Instance(statement, secret(witness), lambda c, s: elog.prove(c, s, witness), elog.verify)


def _enc_elg(level: Level) -> Instance:
    own, rp = paillier(level, 1), pedersen(level, 2)
    x, b, A = centered(random_scalar()), random_scalar(), mul_base(random_scalar())
    rho = unit(int(own.N))
    statement = enc_elg.Statement(own.public, int(own.encrypt(x, rho)), A, mul_base(b), b * A + mul_base(x), rp.public)
    witness = enc_elg.Witness(x, rho, b)
    return Instance(
        statement,
        secret(witness),
        lambda c, s: enc_elg.prove(level, c, s, witness),
        lambda c, s, p: enc_elg.verify(level, c, s, p),
    )


def _product(level: Level) -> tuple[PaillierSecret, PaillierPublic, aff_g.Witness, tuple[int, int, int, Point]]:
    """Keys of prover and verifier, the witness, and (C, D, Y, X)."""
    own, theirs = paillier(level, 1), paillier(level, 2).public
    C = int(theirs.encrypt(centered(random_scalar()), unit(int(theirs.N))))
    w = aff_g.Witness(centered(random_scalar()), symmetric(1 << level.ell_prime), unit(int(theirs.N)), unit(int(own.N)))
    D = int(theirs.add(theirs.power(C, w.x), theirs.encrypt(w.y, w.rho)))
    return own, theirs, w, (C, D, int(own.encrypt(w.y, w.rho_y)), mul_base(w.x))


def _aff_g(level: Level) -> Instance:
    own, theirs, witness, made = _product(level)
    statement = aff_g.Statement(theirs, own.public, *made, pedersen(level, 2).public)
    return Instance(
        statement,
        secret(witness),
        lambda c, s: aff_g.prove(level, c, s, witness),
        lambda c, s, p: aff_g.verify(level, c, s, p),
    )


def _aff_g_star(level: Level) -> Instance:
    own, theirs, witness, made = _product(level)
    statement = aff_g_star.Statement(theirs, own.public, *made)
    return Instance(
        statement,
        secret(witness),
        lambda c, s: aff_g_star.prove(level, c, s, witness),
        lambda c, s, p: aff_g_star.verify(level, c, s, p),
    )


def _dec(level: Level) -> Instance:
    own, signers = paillier(level, 1), 3
    x, k, B = centered(random_scalar()), centered(random_scalar()), mul_base(random_scalar())
    K = int(own.encrypt(k, unit(int(own.N))))
    mask = 2 * symmetric(1 << level.ell_prime + level.epsilon)
    D = int(own.encrypt(mask, unit(int(own.N))))
    product = int(own.add(own.power(K, x), D))
    witness = dec.Witness(x, int(own.decrypt(product)), int(own.nonce(product)))
    statement = dec.Statement(own.public, K, D, mul_base(x), witness.y * B, B, signers)
    return Instance(
        statement,
        secret(witness),
        lambda c, s: dec.prove(level, c, s, witness, own),
        lambda c, s, p: dec.verify(level, c, s, p),
    )


def _fac(level: Level) -> Instance:
    own, rp = paillier(level, 1), pedersen(level, 2).public
    p, q = own.factors
    return Instance(
        fac.Statement(own.public, rp),
        {"p": shown(p), "q": shown(q)},
        lambda c, _: fac.prove(level, c, rp, own),
        lambda c, s, p: fac.verify(level, c, s, p),
    )


def _mod(level: Level) -> Instance:
    own = paillier(level, 1)
    p, q = own.factors
    return Instance(
        own.public,
        {"p": shown(p), "q": shown(q)},
        lambda c, _: mod.prove(level, c, own),
        lambda c, s, p: mod.verify(level, c, s, p),
    )


def _prm(level: Level) -> Instance:
    own = pedersen(level, 1)
    p, q, lam = own.secret
    return Instance(
        own.public,
        {"p": shown(p), "q": shown(q), "lambda": shown(lam)},
        lambda c, _: prm.prove(level, c, own),
        lambda c, s, p: prm.verify(level, c, s, p),
    )


PROOFS: dict[str, tuple[Level, Callable[[Level], Instance]]] = {
    "sch": (L112, _sch),
    "elog": (L112, _elog),
    "enc-elg": (L112, _enc_elg),
    "aff-g": (L112, _aff_g),
    "fac": (L112, _fac),
    "mod": (TOY, _mod),
    "prm": (TOY, _prm),
    "dec": (TOY, _dec),
    "aff-g*": (TOY, _aff_g_star),
}


def proof_file(name: str) -> Json:
    """The whole file of a proof."""
    level, make = PROOFS[name]
    instance, proof = Stream(f"{name} instance"), Stream(f"{name} proof")
    with seeded(instance):
        place = context(instance.token_bytes(64))
        made = make(level)
    with seeded(proof), hashing() as seen:
        honest = made.prove(place, made.statement)
    made.verify(place, made.statement, honest)
    first = {} if made.first is None else {"first_message": shown(made.first)}
    return {
        "proof": name,
        "level": sizes(level),
        "streams": {stream.label: [shown(value) for value in stream.drawn] for stream in (instance, proof)},
        "witness": made.witness,
        "context": document(place),
        "statement": document(made.statement),
        **first,
        "challenge": _challenge(name, level, seen[-1]),
        "proof_made": document(honest),
        "refused": list(_refused(name, level, place, made, honest)),
        "false": list(_false(name, place, made)),
    }


def _challenge(name: str, level: Level, hashed: Hashed) -> Json:
    """What was hashed, the first 64 bytes of the stream, and what the proof reads from it."""
    assert hashed.context == f"challenge {name}"
    place, statement, commitment = hashed.items
    challenge = Challenge(name, place, statement, commitment)
    match name:
        case "fac":
            read: Any = challenge.signed(level.ell)
        case "mod":
            read = challenge.residues(int(statement.N), level.repetitions)
        case "prm" | "dec" | "aff-g*":
            read = challenge.bits(level.repetitions)
        case _:
            read = challenge.scalar()
    return {
        "input": hashed.input.hex(),
        "shake256": hashlib.shake_256(hashed.input).hexdigest(64),
        "read": shown(read),
    }


def _refused(name: str, level: Level, place: ProofContext, made: Instance, honest: Any) -> Iterator[Json]:
    """One change each, with the claim that fails."""
    whole = {"context": place, "statement": made.statement, "proof_made": honest}
    for change in spoilt(name, level, whole):
        claim = _failing(made, *change.whole.values())
        yield {"path": list(change.path), **change.written, "claim": claim}


def _false(name: str, place: ProofContext, made: Instance) -> Iterator[Json]:
    """False statements, each with the proof that honest code makes of it, and the claim that fails."""
    for field, value in falsehoods(name, made.statement):
        statement = replace(made.statement, **{field: value})
        with seeded(Stream(f"{name} false {field}")):
            proof = made.prove(place, statement)
        claim = _failing(made, place, statement, proof)
        yield {"path": ["statement", field], "to": shown(value), "proof_made": shown(proof), "claim": claim}


def _failing(made: Instance, place: ProofContext, statement: Any, proof: Any) -> str:
    try:
        made.verify(place, statement, proof)
    except ProofInvalid as error:
        return error.message
    raise AssertionError("a spoilt proof verifies")
