"""Rule R12: every received residue is a unit in its range, or no equation about it means anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import pytest

from oms_core.crypto.params import TOY
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.zk import enc_elg, prm
from tests.primes import paillier, pedersen
from tests.unit.zk.cases import CASES, CONTEXT, Case, enc_elg_parts

PROVER, RECEIVER, VERIFIER = "paillier 1", "paillier 2", "pedersen 2"
OWN = "pedersen 1"

RESIDUES: dict[str, dict[str, tuple[str, int]]] = {
    # proof: path of a residue -> whose modulus, and to which power
    "enc-elg": {
        "statement.C": (PROVER, 2),
        "proof.commitment.S": (VERIFIER, 1),
        "proof.commitment.T": (VERIFIER, 1),
        "proof.commitment.D": (PROVER, 2),
        "proof.z2": (PROVER, 1),
    },
    "aff-g": {
        "statement.C": (RECEIVER, 2),
        "statement.D": (RECEIVER, 2),
        "statement.Y": (PROVER, 2),
        "proof.commitment.A": (RECEIVER, 2),
        "proof.commitment.B_y": (PROVER, 2),
        "proof.commitment.E": (VERIFIER, 1),
        "proof.commitment.S": (VERIFIER, 1),
        "proof.commitment.F": (VERIFIER, 1),
        "proof.commitment.T": (VERIFIER, 1),
        "proof.w": (RECEIVER, 1),
        "proof.w_y": (PROVER, 1),
    },
    "fac": {f"proof.commitment.{name}": (VERIFIER, 1) for name in ("P", "Q", "A", "B", "T")},
    "prm": {"proof.A": (OWN, 1)},
    "mod": {"proof.w": (PROVER, 1), "proof.answers.x": (PROVER, 1), "proof.answers.z": (PROVER, 1)},
    "aff-g*": {
        "statement.C": (RECEIVER, 2),
        "statement.D": (RECEIVER, 2),
        "statement.Y": (PROVER, 2),
        "proof.commitment.A": (RECEIVER, 2),
        "proof.commitment.B": (PROVER, 2),
        "proof.w": (RECEIVER, 1),
        "proof.lam": (PROVER, 1),
    },
    "dec": {
        "statement.K": (PROVER, 2),
        "statement.D": (PROVER, 2),
        "proof.commitment.A": (PROVER, 2),
        "proof.nu": (PROVER, 1),
    },
}
INTEGERS = {  # what is an integer and no residue: answers with ranges, bits, the number of signers
    "enc-elg": {"proof.z1", "proof.z3", "proof.w"},
    "aff-g": {"proof.z1", "proof.z2", "proof.z3", "proof.z4"},
    "fac": {"proof.z1", "proof.z2", "proof.w1", "proof.w2", "proof.v"},
    "prm": {"proof.z"},
    "mod": {"proof.answers.a", "proof.answers.b"},
    "aff-g*": {"proof.z", "proof.z_y"},
    "dec": {"proof.z", "proof.w", "statement.signers"},
}


@cache
def case(name: str) -> Case:
    return CASES[name](TOY)


def modulus(whose: str, power: int) -> tuple[int, int, int]:
    kind, party = whose.split()
    key: Any = (paillier if kind == "paillier" else pedersen)(TOY, int(party))
    p, q = (key.factors if kind == "paillier" else key.secret)[:2]
    return int(key.N**power), int(p), int(q)


def integers(value: Any, path: str) -> Iterator[str]:
    """Paths of all integers in a document; a vector's items share one path."""
    if is_dataclass(value):
        for field in fields(value):
            yield from integers(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, tuple):
        yield from integers(value[0], path)
    elif hasattr(value, "__index__"):
        yield path


def bend(value: Any, path: list[str], change: Any) -> Any:
    """The document with the integer at this path changed; in a vector the last item."""
    if isinstance(value, tuple):
        return (*value[:-1], bend(value[-1], path, change))
    if not path:
        return change(int(value))
    return replace(value, **{path[0]: bend(getattr(value, path[0]), path[1:], change)})


@pytest.mark.covers("R12")
@pytest.mark.parametrize("name", RESIDUES)
def test_the_table_names_every_integer_of_every_proof(name: str) -> None:
    made = case(name)
    found = {*integers(made.statement, "statement"), *integers(made.proof, "proof")}
    assert found == {*RESIDUES[name], *INTEGERS[name]}


@pytest.mark.covers("R12")
@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in RESIDUES.items() for path in paths])
def test_a_residue_that_is_no_unit_in_its_range_is_refused(name: str, path: str) -> None:
    made = case(name)
    M, p, q = modulus(*RESIDUES[name][path])
    where, *rest = path.split(".")
    for change in (
        lambda v: 0,
        lambda v: M,
        lambda v: 2 * M,
        lambda v: -M,
        lambda v: M * M,
        lambda v: v + M,
        lambda v: v - M,
        lambda v: -v,
        lambda v: p,
        lambda v: q * 2,
        lambda v: M // p,
        lambda v: v * p % M,
    ):
        parts = {"statement": made.statement, "proof": made.proof}
        parts[where] = bend(parts[where], rest, change)
        with pytest.raises(ProofInvalid, match=r"unit|Jacobi"):
            made.check(CONTEXT, parts["statement"], parts["proof"])
    # Units, and still meaningless: 1 encrypts 0 with nonce 1, N - 1 has order two, 1 + N encrypts 1 with nonce 1.
    for value in (1, M - 1, 1 + p * q):
        parts = {"statement": made.statement, "proof": made.proof}
        parts[where] = bend(parts[where], rest, lambda v, value=value: value)
        with pytest.raises(ProofInvalid):
            made.check(CONTEXT, parts["statement"], parts["proof"])


@pytest.mark.covers("R12")
@pytest.mark.parametrize("name", RESIDUES)
def test_a_proof_of_zeros_alone_is_refused(name: str) -> None:
    made = case(name)
    statement, proof = made.statement, made.proof
    for path in RESIDUES[name]:
        where, *rest = path.split(".")
        if where == "statement":
            statement = every(statement, rest, 0)
        else:
            proof = every(proof, rest, 0)
    with pytest.raises(ProofInvalid, match=r"unit|Jacobi"):
        made.check(CONTEXT, statement, proof)
    for path in INTEGERS[name]:
        where, *rest = path.split(".")
        if where == "proof":
            proof = every(proof, rest, 0)
    with pytest.raises(ProofInvalid, match=r"unit|Jacobi"):
        made.check(CONTEXT, statement, proof)


def every(value: Any, path: list[str], new: int) -> Any:
    if isinstance(value, tuple):
        return tuple(every(item, path, new) for item in value)
    if not path:
        return new
    return replace(value, **{path[0]: every(getattr(value, path[0]), path[1:], new)})


@pytest.mark.covers("R12", "R10")
def test_a_coherent_proof_of_zeros_would_satisfy_the_encryption_equation_for_any_plaintext() -> None:
    statement, witness = enc_elg_parts(TOY)
    zero = replace(statement, C=0)
    honest = enc_elg.prove(TOY, CONTEXT, statement, witness)
    proof = replace(honest, commitment=replace(honest.commitment, D=0, S=0, T=0), z2=0)
    for z1 in (0, honest.z1, 1 << 100):
        left = zero.N0.encrypt(z1, proof.z2)
        assert left == proof.commitment.D * zero.C == 0
    with pytest.raises(ProofInvalid, match="C and D are units"):
        enc_elg.verify(TOY, CONTEXT, zero, proof)
    with pytest.raises(ProofInvalid, match="S and T are units"):
        enc_elg.verify(TOY, CONTEXT, statement, replace(proof, commitment=replace(proof.commitment, D=1)))
    with pytest.raises(ProofInvalid, match="z2 is a unit"):
        enc_elg.verify(TOY, CONTEXT, statement, replace(honest, z2=0))


@pytest.mark.covers("R12", "R31")
def test_what_is_no_integer_at_all_never_becomes_a_proof() -> None:
    data = encode(prm.Proof((5,), (7,)))
    for bad in (b"\xf5", b"\xf6", b"\x41\x05", b"\x61a", b"\x81\x05", b"\xf9\x45\x00"):
        with pytest.raises(Malformed):
            decode(prm.Proof, data.replace(b"\x81\x05", b"\x81" + bad))
    assert decode(prm.Proof, data) == prm.Proof((5,), (7,))
