"""What holds in every round alike: junk names its sender, a gap names nobody, an equivocation is noticed in time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.params import TOY
from oms_core.encoding import encode
from oms_core.errors import Malformed, ProtocolAbort, Unattributed
from oms_core.protocol import alert, keygen, reshare
from oms_core.protocol.create_key import DONE
from oms_core.protocol.judge import ROUNDS
from oms_core.protocol.rounds import (
    Done,
    Echo,
    Incoming,
    Nothing,
    Record,
    Round,
    Session,
    Steps,
    echo_hash,
    resume,
    speak,
    xor,
)
from oms_core.zk import elog, prm
from tests.parties import Lie, Split, Turn, at, both, sessions
from tests.protocol.runs import (
    ALL,
    HONEST,
    LIAR,
    Held,
    convicted,
    exposed,
    run_acknowledge,
    run_auxinfo,
    run_keygen,
    run_signing,
    unattributed,
    verdicts,
)

RUNS: dict[str, Callable[[dict[int, Lie] | None], Held]] = {
    "keygen": run_keygen,
    "auxinfo": run_auxinfo,
    "presign": run_signing,
    "sign": run_signing,
    "create": run_acknowledge,
}
SPOKEN = {
    step: made
    for step, made in (ROUNDS | {DONE.step: DONE}).items()
    if step.partition(".")[0] in RUNS and made not in (alert.NONCE_ALERT, alert.CHI_ALERT)
}
"""Every round of a run without an alert; resharing has tests of its own (`test_reshare`)."""
DIRECTS = [step for step, made in SPOKEN.items() if made.expects_direct]
ECHOES = [step for step in SPOKEN if step.endswith(".echo")]


def runner(step: str) -> Callable[[dict[int, Lie] | None], Held]:
    return RUNS[step.partition(".")[0]]


def test_every_round_of_every_protocol_is_listed_here() -> None:
    spoken = {step for go in RUNS.values() for step in go(None).spoke[1]}
    assert spoken == set(SPOKEN)
    assert set(ROUNDS) - spoken == {
        *(step for step in ROUNDS if step.startswith("reshare.")),
        alert.NONCE_ALERT.step,
        alert.CHI_ALERT.step,
    }
    assert reshare.COMMIT.step in ROUNDS


@pytest.mark.attack
@pytest.mark.parametrize(
    "junk", [b"", b"\xff" * 40, encode(Echo(b"", ())) + b"\x00"], ids=["empty", "junk", "trailing"]
)
@pytest.mark.parametrize("step", SPOKEN)
def test_a_broadcast_that_does_not_decode_names_its_sender(step: str, junk: bytes) -> None:
    """What a new key's confirmation is held against is its own party's alone: no judge has it."""
    convicted(runner(step)({LIAR: at(step, lambda turn: junk)}), step, "", offline=step != DONE.step)


@pytest.mark.attack
@pytest.mark.parametrize("step", DIRECTS)
def test_a_secret_message_that_does_not_decode_names_its_sender(step: str) -> None:
    convicted(runner(step)({LIAR: at(step, lambda turn: b"\x00", secret=True)}), step, "")


@pytest.mark.attack
def test_an_empty_envelope_names_its_sender() -> None:
    protocol = chat(sessions(ALL)[1])
    resume(protocol)
    with pytest.raises(ProtocolAbort, match="the message is missing") as aborted:
        resume(protocol, {2: Incoming(encode(Echo(b"", ())), None), 3: Incoming(None, None)})
    assert aborted.value.culprits == {3}


@pytest.mark.attack
@pytest.mark.parametrize("step", ["keygen.2", "presign.1", "presign.2", "auxinfo.2"])
def test_a_message_beyond_the_limit_of_its_round_names_its_sender(step: str) -> None:
    """A packet is read up to twice the limit: what is larger might be the relay's."""
    limit = ROUNDS[step].limit(sessions(ALL)[1])
    outcome = runner(step)({LIAR: at(step, lambda turn: encode(b"0" * (limit + 1)))})
    convicted(outcome, step, "are allowed")
    outcome = runner(step)({LIAR: at(step, lambda turn: encode(b"0" * (3 * limit + 5000)))})
    unattributed(outcome, "are allowed")


@pytest.mark.attack
def test_senders_of_undecodable_broadcasts_and_of_undecodable_secrets_are_named_together() -> None:
    outcome = run_keygen({2: at("keygen.2", lambda _: b""), 3: at("keygen.2", lambda _: b"", secret=True)})
    assert outcome.errors[1].culprits == {2, 3}


def wrong_hash(turn: Turn) -> Any:
    return replace(turn.message, hash=bytes(32))


@pytest.mark.attack
@pytest.mark.parametrize("step", ECHOES)
@pytest.mark.covers("R16")
def test_a_false_echo_stops_everyone_and_convicts_its_sender(step: str) -> None:
    outcome = runner(step)({LIAR: at(step, wrong_hash)})
    exposed(outcome, "did not all receive the same broadcasts", step, "the echo is of what was received")
    assert all(outcome.spoke[i][-1] == step for i in HONEST)


@pytest.mark.attack
@pytest.mark.parametrize("step", ["keygen.1.echo", "presign.3.echo"])
@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda receipts: (), "a receipt of each other party"),
        (lambda receipts: receipts[:1], "a receipt of each other party"),
        (lambda receipts: receipts[::-1], "a receipt of each other party"),
        (lambda receipts: (*receipts, receipts[0]), "a receipt of each other party"),
        (lambda receipts: (replace(receipts[0], content=bytes(32)), receipts[1]), "the key signed this"),
        (lambda receipts: (replace(receipts[0], signature=receipts[1].signature), receipts[1]), "the key signed this"),
        (lambda receipts: (replace(receipts[0], signature=b""), receipts[1]), "the key signed this"),
    ],
    ids=["none", "one", "swapped", "one twice", "other content", "other signature", "no signature"],
)
def test_a_false_echo_with_false_receipts_convicts_its_sender(
    step: str, bend: Callable[[Any], Any], reason: str
) -> None:
    def lie(turn: Turn) -> Any:
        return replace(turn.message, hash=bytes(32), receipts=bend(turn.message.receipts))

    outcome = runner(step)({LIAR: at(step, lie)})
    for i in HONEST:
        [verdict] = verdicts(outcome, i)
        assert (verdict.culprit, verdict.step) == (LIAR, step)
        assert reason in verdict.reason


def other_commit(turn: Turn) -> Any:
    return type(turn.message)(bytes(64))


def other_reveal(turn: Turn) -> Any:
    return replace(turn.message, u=bytes(32))


def other_first(turn: Turn) -> Any:
    """Another valid-looking round 1: the same plaintexts under fresh nonces."""
    N = turn.memory["N"]
    return replace(turn.message, K=int(N.encrypt(turn.memory["k"], 7)))


def other_second(turn: Turn) -> Any:
    """As valid as the first: a second proof of the same statement."""
    memory = turn.memory
    witness = elog.Witness(memory["gamma"], memory["b"])
    return replace(
        turn.message, proof=elog.prove(memory["session"].context("elogR2", LIAR), memory["of_gamma"], witness)
    )


def other_third(turn: Turn) -> Any:
    """As valid as the first: a second proof of the same statement."""
    memory = turn.memory
    witness = elog.Witness(memory["k"], memory["a"])
    return replace(turn.message, proof=elog.prove(memory["session"].context("elogR3", LIAR), memory["of_k"], witness))


def other_proof(turn: Turn) -> Any:
    memory = turn.memory
    return replace(turn.message, proof=prm.prove(TOY, memory["session"].context("prm", LIAR), memory["pedersen"]))


EQUIVOCATIONS: dict[str, tuple[Callable[[Turn], Any], str]] = {
    "keygen.1": (other_commit, "keygen.1.echo"),
    "keygen.2": (other_reveal, "keygen.2.echo"),
    "auxinfo.1": (other_commit, "auxinfo.1.echo"),
    "auxinfo.2": (other_proof, "auxinfo.2.echo"),
    "presign.1": (other_first, "presign.1.echo"),
    "presign.2": (other_second, "presign.3"),
    "presign.3": (other_third, "presign.3.echo"),
}
"""Step: another message that does as well, and the last step at which an honest party may have spoken."""


def test_every_echoed_round_has_an_equivocation_here() -> None:
    assert set(EQUIVOCATIONS) == {step for step, made in SPOKEN.items() if made.echoed_by}


@pytest.mark.attack
@pytest.mark.parametrize("step", EQUIVOCATIONS)
@pytest.mark.covers("R16", "K08")
def test_an_equivocation_is_noticed_before_the_next_secret_leaves_and_convicts_its_sender(step: str) -> None:
    """By what each honest party holds by itself: the other's echo has the receipt of what that one was told."""
    change, last = EQUIVOCATIONS[step]
    outcome = runner(step)({LIAR: at(step, lambda turn: Split({2: change(turn)}))})
    text = "did not all receive the same broadcasts"
    exposed(outcome, text, step, "signed two different contents of one round")
    assert all(outcome.spoke[i][-1] == last for i in HONEST)
    assert not HONEST & set(outcome.results)


@pytest.mark.attack
@pytest.mark.parametrize("step", EQUIVOCATIONS)
@pytest.mark.covers("R16", "K08")
def test_an_equivocator_that_echoes_to_each_what_it_told_it_is_convicted_as_well(step: str) -> None:
    change, carrier = EQUIVOCATIONS[step]
    seen: dict[str, Any] = {}

    def tell(turn: Turn) -> Any:
        seen.update(mine=turn.message, other=change(turn))
        return Split({2: seen["other"]})

    def confirm(turn: Turn) -> Any:
        """What party 2 would echo, had all heard what it has."""
        memory = turn.memory
        said = {**memory["record"].broadcasts[step], LIAR: seen["other"]}
        hash_of_2 = echo_hash(memory["record"].session, step, said)
        if carrier == "presign.3":
            return Split({2: replace(turn.message, echo=replace(turn.message.echo, hash=hash_of_2))})
        return Split({2: replace(turn.message, hash=hash_of_2)})

    outcome = runner(step)({LIAR: both(at(step, tell), at(carrier, confirm))})
    exposed(outcome, "did not all receive the same broadcasts", step, "signed two different contents of one round")


@pytest.mark.attack
@pytest.mark.parametrize("step", [step for step in SPOKEN if step != DONE.step])
@pytest.mark.covers("P39", "R14")
def test_a_message_from_another_run_does_not_serve_in_this_one(step: str) -> None:
    """Rule R14. Confirmations of a key are the same in each run; there the envelope tells runs apart."""
    heard: dict[int | None, Any] = {}

    def record(turn: Turn) -> Any:
        if turn.step == step:
            heard[turn.to] = turn.message
        return turn.message

    runner(step)({LIAR: record})
    outcome = runner(step)({LIAR: lambda turn: heard[turn.to] if turn.step == step else turn.message})
    assert not HONEST & set(outcome.results)
    assert set(outcome.errors) >= HONEST
    assert outcome.culprits(HONEST) <= {LIAR}
    for i in HONEST:
        assert {verdict.culprit for verdict in verdicts(outcome, i)} == {LIAR}


@pytest.mark.attack
@pytest.mark.parametrize("absent", [{2}, {2, 3}])
def test_a_party_that_falls_silent_is_not_blamed(absent: set[int]) -> None:
    made = sessions(ALL)
    protocol = keygen.keygen(made[1], b"k" * 32, 2, dict.fromkeys(ALL, b""))
    resume(protocol)
    with pytest.raises(Unattributed):
        resume(protocol, {j: Incoming(encode(keygen.Commit(bytes(64))), None) for j in {2, 3} - absent})


@pytest.mark.attack
@pytest.mark.parametrize("extra", [{1}, {0}, {4}])
def test_a_message_of_nobody_is_not_taken(extra: set[int]) -> None:
    protocol = keygen.keygen(sessions(ALL)[1], b"k" * 32, 2, dict.fromkeys(ALL, b""))
    resume(protocol)
    with pytest.raises(Unattributed):
        resume(protocol, {j: Incoming(encode(keygen.Commit(bytes(64))), None) for j in {2, 3} | extra})


@pytest.mark.parametrize("parties", [(), (1,), (2, 3), (2, 1), (1, 1), (0, 1), (-1, 1), (1, 2**16), (1, 2**256)])
@pytest.mark.covers("R21", "K06")
def test_parties_that_cannot_be_make_no_session(parties: tuple[int, ...]) -> None:
    with pytest.raises(Malformed):
        Session(bytes(64), 1, parties, TOY)


@pytest.mark.parametrize("ssid", [b"", bytes(32), bytes(65)])
def test_a_session_id_of_another_length_makes_no_session(ssid: bytes) -> None:
    with pytest.raises(Malformed):
        Session(ssid, 1, ALL, TOY)


CHAT = Round("chat", Echo, Nothing, lambda _: 128)


def chat(session: Session) -> Steps[dict[int, Echo]]:
    record = Record(session)
    yield from speak(record, CHAT, Echo(bytes([session.me]), ()))
    return record.said(CHAT)


def test_a_protocol_may_be_driven_from_changing_threads() -> None:
    def drive() -> dict[int, Any]:
        made = sessions(ALL)
        protocols = {i: chat(made[i]) for i in ALL}
        with ThreadPoolExecutor(3) as pool:
            sent = {i: pool.submit(resume, protocols[i]).result() for i in ALL}
            inbox = {i: {j: Incoming(sent[j].broadcast, None) for j in ALL if j != i} for i in ALL}  # type: ignore[union-attr]
            return {i: pool.submit(resume, protocols[i], inbox[i]).result() for i in ALL}

    for done in drive().values():
        assert isinstance(done, Done)
        assert done.result == {i: Echo(bytes([i]), ()) for i in ALL}


def test_contributions_add_up_by_exclusive_or() -> None:
    assert xor([b"\x01\x02", b"\x03\x00", b"\x00\xff"]) == b"\x02\xfd"
    with pytest.raises(ValueError):
        xor([b"\x01", b"\x01\x02"])
