"""Rule R22 in the proofs: under the identity as a base every logarithm is as good as another, so none is proven."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.crypto.curve import IDENTITY, G, Q, mul_base, random_scalar
from oms_core.crypto.params import TOY
from oms_core.errors import ProofInvalid
from oms_core.zk import dec, elog, enc_elg, sch
from tests.primes import paillier
from tests.unit.zk.cases import CONTEXT, dec_parts, elog_case, enc_elg_parts


@pytest.mark.covers("R22")
def test_a_logarithm_to_the_base_identity_is_refused() -> None:
    # Y = O = y·O for every y: the proof is true, and says nothing about the y in M.
    y, lam, X = random_scalar(), random_scalar(), mul_base(random_scalar())
    x = elog.Statement(mul_base(lam), mul_base(y) + lam * X, X, IDENTITY, IDENTITY)
    with pytest.raises(ProofInvalid, match="not the identity"):
        elog.verify(CONTEXT, x, elog.prove(CONTEXT, x, elog.Witness(y, lam)))


@pytest.mark.covers("R22")
def test_a_commitment_under_the_identity_as_a_key_is_refused() -> None:
    y, lam, H = random_scalar(), random_scalar(), mul_base(random_scalar())
    x = elog.Statement(mul_base(lam), mul_base(y), IDENTITY, y * H, H)
    with pytest.raises(ProofInvalid, match="not the identity"):
        elog.verify(CONTEXT, x, elog.prove(CONTEXT, x, elog.Witness(y, lam)))


@pytest.mark.covers("R22")
@pytest.mark.parametrize("field", ["A", "B"])
def test_a_range_proof_with_the_identity_in_its_commitment_is_refused(field: str) -> None:
    statement, witness = enc_elg_parts(TOY)
    if field == "A":
        x, w = replace(statement, A=IDENTITY, X=mul_base(witness.x)), witness
    else:
        x, w = replace(statement, B=IDENTITY, X=mul_base(witness.x)), replace(witness, b=0)
    with pytest.raises(ProofInvalid, match="not the identity"):
        enc_elg.verify(TOY, CONTEXT, x, enc_elg.prove(TOY, CONTEXT, x, w))


@pytest.mark.covers("R22", "R13")
def test_a_decryption_to_the_base_identity_is_refused() -> None:
    statement, witness = dec_parts(TOY)
    x = replace(statement, B=IDENTITY, T=IDENTITY)
    with pytest.raises(ProofInvalid, match="not the identity"):
        dec.verify(TOY, CONTEXT, x, dec.prove(TOY, CONTEXT, x, witness, paillier(TOY, 1)))


@pytest.mark.covers("R22")
def test_knowledge_of_zero_is_not_accepted_as_knowledge_of_a_share() -> None:
    tau, A = sch.commit()
    x = sch.Statement(IDENTITY)
    with pytest.raises(ProofInvalid, match="not the identity"):
        sch.verify(CONTEXT, x, A, sch.respond(CONTEXT, x, A, tau, 0))
    secret = random_scalar()
    x = sch.Statement(mul_base(secret))
    with pytest.raises(ProofInvalid, match="not the identity"):
        sch.verify(CONTEXT, x, IDENTITY, sch.respond(CONTEXT, x, IDENTITY, 0, secret))


@pytest.mark.covers("R22", "R12")
def test_a_scalar_has_one_form() -> None:
    made = elog_case(TOY)
    for changed in (
        replace(made.proof, z=made.proof.z + Q),
        replace(made.proof, u=made.proof.u - Q),
        replace(made.proof, z=made.proof.z - Q, u=made.proof.u + Q),
    ):
        with pytest.raises(ProofInvalid, match=r"z, u ∈"):
            made.check(CONTEXT, made.statement, changed)
    secret = random_scalar()
    x = sch.Statement(secret * G)
    tau, A = sch.commit()
    proof = sch.respond(CONTEXT, x, A, tau, secret)
    sch.verify(CONTEXT, x, A, proof)
    for z in (proof.z + Q, proof.z - Q, -proof.z):
        with pytest.raises(ProofInvalid, match="z ∈"):
            sch.verify(CONTEXT, x, A, sch.Proof(z))


@pytest.mark.covers("R22")
def test_the_identity_between_two_sides_of_an_equation_is_legal() -> None:
    # 5.2: an intermediate result may be O. Here z·G = A + e·L with A = -e·L cannot be aimed at, but M = O can.
    lam, X = random_scalar(), mul_base(7)
    y = -7 * lam % Q
    x = elog.Statement(mul_base(lam), mul_base(y) + lam * X, X, y * G, G)
    assert x.M.is_identity
    elog.verify(CONTEXT, x, elog.prove(CONTEXT, x, elog.Witness(y, lam)))
