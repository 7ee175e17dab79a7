"""Rules R14 and R15: a challenge depends on all that was there before it, and a proof holds in one place only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import cbor2
import pytest

from oms_core.crypto import transcript
from oms_core.crypto.curve import G, Point, mul_base, random_scalar
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import TOY
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.crypto.transcript import ProofContext
from oms_core.encoding import encode, xof
from oms_core.errors import ProofInvalid
from oms_core.zk import sch
from tests.primes import paillier, pedersen
from tests.unit.zk.cases import CASES, CONTEXT, Case

FULL = replace(TOY, repetitions=128)
"""Small moduli and all repetitions: no two challenges of the tests below are the same by chance."""

ANSWERS = {  # fields of each proof that answer the challenge; all others come before it
    "sch": {"z"},
    "elog": {"z", "u"},
    "enc-elg": {"z1", "z2", "z3", "w"},
    "aff-g": {"z1", "z2", "z3", "z4", "w", "w_y"},
    "prm": {"z"},
    "mod": {"answers"},
    "fac": {"z1", "z2", "w1", "w2", "v"},
    "aff-g*": {"z", "z_y", "w", "lam"},
    "dec": {"z", "w", "nu"},
}


@cache
def case(name: str) -> Case:
    return CASES[name](FULL)


@cache
def hashed(name: str) -> tuple[str, tuple[Any, ...]]:
    """What a verifier hashes for an honest proof: the tag, and context, statement and first message."""
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def record(tag: str, *items: object) -> Any:
        calls.append((tag, items))
        return xof(tag, *items)

    made = case(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcript, "xof", record)
        made.check(CONTEXT, made.statement, made.proof)
    (call,) = calls
    return call


def leaves(value: Any) -> Iterator[Any]:
    """The value with one leaf changed, for every leaf."""
    if isinstance(value, Point):
        yield value + G
    elif isinstance(value, PaillierPublic):
        yield PaillierPublic(int(value.N) + 2)
    elif isinstance(value, PedersenPublic):
        N, s, t = value.__canonical__()
        yield from (PedersenPublic(N + 2, s, t), PedersenPublic(N, s + 1, t), PedersenPublic(N, s, t + 1))
    elif is_dataclass(value):
        for field in fields(value):
            for changed in leaves(getattr(value, field.name)):
                yield replace(value, **{field.name: changed})  # type: ignore[type-var]
    elif isinstance(value, tuple):
        for at, item in enumerate(value):
            for changed in leaves(item):
                yield (*value[:at], changed, *value[at + 1 :])
    elif isinstance(value, bytes):
        yield bytes([value[0] ^ 1]) + value[1:]
    elif isinstance(value, str):
        yield value + "'"
    else:
        yield int(value) ^ 1


def count(plain: Any) -> int:
    """Leaves of an encoded document; its kind is none."""
    if isinstance(plain, list):
        return sum(map(count, plain))
    if isinstance(plain, dict):
        return sum(count(item) for key, item in plain.items() if key != "@")
    return 1


@pytest.mark.covers("R15")
@pytest.mark.parametrize("name", CASES)
def test_all_that_precedes_the_challenge_is_hashed(name: str) -> None:
    tag, (context, statement, first) = hashed(name)
    made = case(name)
    assert context == CONTEXT
    assert encode(statement) == encode(made.statement)
    before = [f.name for f in fields(made.proof) if f.name not in ANSWERS[name]]
    assert ANSWERS[name] < {f.name for f in fields(made.proof)} or name == "sch"
    if name == "sch":  # its first message was sent beforehand
        assert isinstance(first, Point)
        assert before == []
    else:
        (field,) = before
        assert encode(first) == encode(getattr(made.proof, field))
    assert tag == f"challenge {name}"


@pytest.mark.covers("R15")
@pytest.mark.parametrize("name", CASES)
def test_every_leaf_of_statement_context_and_first_message_changes_the_challenge(name: str) -> None:
    tag, items = hashed(name)
    digests = {xof(tag, *items).digest(64)}
    variants = list(leaves(items))
    assert len(variants) == count(cbor2.loads(encode(items)))
    for variant in variants:
        digests.add(xof(tag, *variant).digest(64))
    assert len(digests) == len(variants) + 1


@pytest.mark.covers("R15")
@pytest.mark.parametrize("name", CASES)
def test_every_leaf_changes_the_challenge_inside_the_verifier_too(name: str) -> None:
    # Not what was passed to the hash, but what the verifier draws: a new challenge, or a refusal before there is one.
    _, items = hashed(name)
    made = case(name)
    drawn: list[bytes] = []

    def record(tag: str, *hashed_items: object) -> Any:
        state = xof(tag, *hashed_items)
        drawn.append(state.digest(64))
        return state

    refused = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcript, "xof", record)
        made.check(CONTEXT, made.statement, made.proof)
        for context, statement, first in leaves(items):
            if encode(first) != encode(items[2]):
                continue
            before = len(drawn)
            with pytest.raises(ProofInvalid):
                made.check(context, statement, made.proof)
            refused += len(drawn) == before
    assert len(drawn) == len(set(drawn)) >= 6  # the proof's own place, and the five parts of the context
    # Under a changed modulus some residues are no units any more, and fewer signers have a smaller range.
    assert refused <= moduli(made.statement) + hasattr(made.statement, "signers")


def moduli(statement: Any) -> int:
    parts = [getattr(statement, f.name) for f in fields(statement)] if is_dataclass(statement) else [statement]
    return sum(isinstance(part, PaillierPublic | PedersenPublic) for part in parts)


@pytest.mark.covers("R15")
def test_tags_of_proofs_are_different() -> None:
    assert len({hashed(name)[0] for name in CASES}) == len(CASES)


@pytest.mark.covers("R15")
def test_a_first_message_outside_the_hash_could_be_solved_for() -> None:
    # The attack that the tests above exclude: choose answer and challenge, and compute the first message from them.
    X = mul_base(random_scalar())
    fixed, z = sch.Statement(X), random_scalar()
    e = transcript.Challenge("sch", CONTEXT, fixed, None).scalar()
    A = mul_base(z) - e * X
    assert mul_base(z) == A + e * X
    with pytest.raises(ProofInvalid, match="z·G"):
        sch.verify(CONTEXT, fixed, A, sch.Proof(z))


ELSEWHERE = {
    "another session": replace(CONTEXT, ssid=b"t" * 32),
    "a session whose id is a prefix": replace(CONTEXT, ssid=CONTEXT.ssid[:-1]),
    "another slot": replace(CONTEXT, slot="slot1"),
    "another prover": replace(CONTEXT, prover=3),
    "another verifier": replace(CONTEXT, verifier=3),
    "no verifier": replace(CONTEXT, verifier=None),
    "reflected": replace(CONTEXT, prover=2, verifier=1),
    "another common string": replace(CONTEXT, extra=b"y"),
    "no common string": replace(CONTEXT, extra=b""),
}


@pytest.mark.covers("R14")
@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("name", CASES)
def test_a_proof_replayed_elsewhere_is_refused(name: str, place: str) -> None:
    made = case(name)
    made.check(CONTEXT, made.statement, made.proof)
    context: ProofContext = ELSEWHERE[place]
    with pytest.raises(ProofInvalid) as refused:
        made.check(context, made.statement, made.proof)
    assert "=" in refused.value.message  # by an equation: the proof itself is well formed


@pytest.mark.covers("R14")
@pytest.mark.parametrize("name", CASES)
def test_a_proof_about_something_else_of_the_same_kind_is_refused(name: str) -> None:
    made, other = case(name), CASES[name](FULL)
    keys = {  # what is proven of a key is another's when the key is
        "prm": pedersen(FULL, 3).public,
        "mod": paillier(FULL, 3).public,
        "fac": replace(made.statement, N0=paillier(FULL, 3).public) if name == "fac" else None,
    }
    statement = keys.get(name) or other.statement
    assert encode(statement) != encode(made.statement)
    with pytest.raises(ProofInvalid):
        made.check(CONTEXT, statement, made.proof)


@pytest.mark.covers("R14", "R15")
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("sch", "mod")])
def test_answers_of_one_proof_do_not_fit_the_first_message_of_another(name: str) -> None:
    made = case(name)
    (first,) = (f.name for f in fields(made.proof) if f.name not in ANSWERS[name])
    other = CASES[name](FULL)
    mixed = replace(made.proof, **{first: getattr(other.proof, first)})
    with pytest.raises(ProofInvalid):
        made.check(CONTEXT, made.statement, mixed)
