"""A party, its own judge and everybody else come to the same verdict, whatever numbers a liar sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from cosigner.convictions import Convictions
from oms_core.crypto.paillier import PaillierPublic, PaillierSecret
from oms_core.crypto.params import TOY
from oms_core.crypto.sampling import unit
from oms_core.encoding import decode, decode_one_of, encode
from oms_core.errors import Blame, Malformed, ProofInvalid, ProtocolAbort
from oms_core.protocol import judge as judging
from oms_core.protocol.accuse import CASE_LIMIT, Case, Equivocation, SignedCase, sign_case
from oms_core.protocol.judge import Verdict, judge
from tests.parties import Turn, at, identity, key, roster
from tests.primes import primes
from tests.protocol.accusations import PLACES, case
from tests.protocol.runs import Held, run_keygen, run_presign, run_refresh, run_signing
from tests.unit.cosigner.node import Node

LIAR = 3
KINDS: Any = (SignedCase, Equivocation)
HUGE, BEYOND = 10**4000, 10**5000


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions of these tests have toy sizes, which no judge accepts otherwise."""
    monkeypatch.setattr(judging, "level", lambda _: TOY)


def own_judge(node: Node, outcome: Held, i: int, error: ProtocolAbort) -> tuple[bytes, ...]:
    """The evidence that party i signs, after it has put it to its own judge."""
    me: Any = identity(i)
    Convictions(node.store, me).convict(outcome.channels[i], error, outcome.epoch, outcome.presignature)
    return error.evidence


# Nonces that are off by -1: enc(m; -r) = -enc(m; r), which a batch of equations may or may not show


def test_a_batch_is_weighted_alike_by_whoever_checks_it() -> None:
    secret = PaillierSecret(*primes(TOY, 1)[:2])
    public = PaillierPublic(int(secret.N))
    seen = set()
    for _ in range(32):
        nonces = [unit(public.N) for _ in range(2)]
        equations = [(m, int(r), int(public.encrypt(m, r))) for m, r in enumerate(nonces)]
        m, r, c = equations[1]
        equations[1] = (m, int(public.N) - r, c)
        answers = {who.encrypts_all(equations) for who in (secret, public) for _ in range(3)}
        assert len(answers) == 1
        seen |= answers
        assert not public.encrypts_all([(m + 1, r, c), equations[1]])
    assert seen == {True, False}


def negated(turn: Turn) -> Any:
    proof, N = turn.message.G, int(key(3, 2)[LIAR].public.aux[LIAR - 1].paillier.N)
    return replace(turn.message, G=replace(proof, z2=N - proof.z2))


def test_a_nonce_that_is_off_by_minus_one_is_accepted_by_all_or_convicted_by_all(node: Node) -> None:
    lie, seen = at("presign.1", negated, secret=True), set()
    for _ in range(20):
        outcome = run_presign({LIAR: lie})
        for i in (1, 2):
            blames = outcome.errors[i].blames if i in outcome.errors else ()
            error = ProtocolAbort(Blame(LIAR, "presign.1", "Π^enc-elg: enc(z1; z2) = D·C^e"))
            evidence = own_judge(node, outcome, i, error)
            assert bool(evidence) == bool(blames)
            for data in evidence * 5:
                assert judge(decode_one_of(KINDS, data, CASE_LIMIT), roster((1, 2, 3))).culprit == LIAR
            seen.add(bool(blames))
        if seen == {True, False}:
            return
    pytest.fail("it was always the same")


# Integers that are huge, and those that Python does not write out


def numbers(value: Any, change: Callable[[int], int]) -> Iterator[Any]:
    """``value`` with one of its integers changed, for each."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield change(value)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            for other in numbers(item, change):
                yield [*value[:i], other, *value[i + 1 :]]
    elif isinstance(value, dict):
        for name, item in value.items():
            for other in numbers(item, change):
                yield {**value, name: other}


@pytest.mark.parametrize("huge", [HUGE, -HUGE, 1 << 63], ids=["10^4000", "-10^4000", "2^63"])
@pytest.mark.parametrize("step", ["keygen.2", "auxinfo.3", "presign.2", "sign.1", "reshare.2"])
def test_an_accusation_with_whatever_integer_comes_to_a_verdict_or_is_malformed(step: str, huge: int) -> None:
    """The accuser signs it; it is convicted by that, or nobody can read it."""
    made, tried = case(step, PLACES[step]), 0
    for plain in numbers(cbor2.loads(encode(made)), lambda _: huge):
        try:
            bent = decode(Case, encode(plain), CASE_LIMIT)
        except Malformed:
            continue
        tried += 1
        try:
            found = judge(sign_case(bent, identity(1)), roster((1, 2, 3)))
        except (Malformed, ProofInvalid):
            continue
        assert isinstance(found, Verdict)
        assert found.culprit == 1
    assert tried > 10


@pytest.mark.parametrize("beyond", [BEYOND, -BEYOND], ids=["10^5000", "-10^5000"])
def test_an_accusation_with_an_integer_beyond_words_is_malformed_wherever_it_stands(beyond: int) -> None:
    tried = 0
    for plain in numbers(cbor2.loads(encode(case("presign.2", PLACES["presign.2"]))), lambda _: beyond):
        tried += 1
        with pytest.raises(Malformed):
            decode(Case, encode(plain), CASE_LIMIT)
    assert tried > 10


def test_two_stories_with_whatever_integer_come_to_a_verdict_or_are_refused() -> None:
    channel = run_keygen().channels[1]
    packet = next(p for p in channel.evidence if p.header.sender == LIAR)
    first = packet.header.place
    for name in ("round", "sender"):
        one, two = replace(first, **{name: HUGE}), replace(first, **{name: HUGE, "content": bytes(32)})
        signatures = [identity(LIAR).sign("round", encode(place)) for place in (one, two)]
        double = decode(Equivocation, encode(Equivocation(one, signatures[0], two, signatures[1])))
        if name == "round":
            assert judge(double, roster((1, 2, 3))).culprit == LIAR
        else:
            with pytest.raises(Malformed):
                judge(double, roster((1, 2, 3)))


@pytest.mark.parametrize(
    ("step", "go"),
    [
        ("keygen.2", run_keygen),
        ("keygen.3", run_keygen),
        ("presign.1", run_signing),
        ("presign.2", run_signing),
        ("presign.3", run_signing),
        ("sign.1", run_signing),
        ("reshare.2", run_refresh),
        ("reshare.3", run_refresh),
    ],
)
@pytest.mark.parametrize("secret", [False, True], ids=["to all", "in secret"])
@pytest.mark.parametrize("huge", [HUGE, BEYOND], ids=["10^4000", "10^5000"])
def test_a_message_with_whatever_integer_convicts_its_sender_and_nobody_else(
    node: Node, step: str, go: Callable[..., Held], secret: bool, huge: int
) -> None:
    bends = 0

    def bend(number: int) -> Callable[[Turn], Any]:
        def change(turn: Turn) -> Any:
            nonlocal bends
            said = cbor2.loads(encode(turn.message))
            echo = {"echo": said.pop("echo")} if "echo" in said else {}  # receipts are looked at if hashes differ
            plains = [{**plain, **echo} for plain in numbers(said, lambda _: huge)]
            bends = len(plains)
            return encode(plains[number % len(plains)]) if plains else turn.message

        return change

    for number in (0, -1):
        outcome = go({LIAR: at(step, bend(number), secret)})
        if not bends:
            return
        for i in (1, 2):
            assert outcome.errors[i].culprits == {LIAR}
            evidence = own_judge(node, outcome, i, outcome.errors[i])
            assert [judge(decode_one_of(KINDS, data, CASE_LIMIT), roster((1, 2, 3))).culprit for data in evidence] == [
                LIAR
            ]
