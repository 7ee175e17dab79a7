"""False accusations: whatever a party makes of the words of an honest one, the judge convicts the accuser.

Party 1 accuses party 3, which is honest. Its case is made of a real run; what it changes, it signs as far as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oms_core.crypto.curve import G
from oms_core.crypto.params import TOY
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Blame, Malformed, ProofInvalid, ProtocolAbort
from oms_core.protocol.accuse import Case, SignedCase, sign_case, unsigned_cases
from oms_core.protocol.judge import ROUNDS, NotProven, Verdict, convict, judge
from oms_core.protocol.packets import Packet, SignedHello, content_hash, session_id
from oms_core.protocol.presign_rounds import Third
from oms_core.protocol.rounds import Session, echo_hash
from oms_core.protocol.sign import sign
from tests.parties import channels, identity, roster, start
from tests.protocol.rooms import sign_header
from tests.protocol.runs import (
    ALL,
    DIGEST,
    Held,
    play,
    read,
    run_alert,
    run_auxinfo,
    run_keygen,
    run_presign,
    run_refresh,
    run_signing,
)

pytestmark = pytest.mark.attack

ACCUSER, ACCUSED = 1, 3


def run_online() -> Held:
    """Signing with a presignature of an earlier session."""
    made = run_presign().results
    return play(lambda s: sign(s, made[s.me], DIGEST), presignature=made[1].public, protocol="sign", digest=DIGEST)


RUNS: dict[str, Callable[[], Held]] = {
    "keygen": run_keygen,
    "auxinfo": run_auxinfo,
    "presign": run_presign,
    "presign.nonce-alert": lambda: run_alert("nonce", liar=2),
    "presign.chi-alert": lambda: run_alert("chi", liar=2),
    "sign": run_signing,
    "reshare": run_refresh,
}
PLACES = [(step, RUNS.get(step, RUNS[step.partition(".")[0]])) for step in ROUNDS] + [("sign.1", run_online)]
every_step = pytest.mark.parametrize(
    ("step", "go"), PLACES, ids=[*ROUNDS, "sign.1 with a presignature of an earlier session"]
)


@cache
def run_once(go: Callable[[], Held], number: int = 0) -> Held:
    return go()


def case(step: str, go: Callable[[], Held], number: int = 0) -> Case:
    """What party 1 can say of party 3 at a step of an honest run."""
    outcome = run_once(go, number)
    error = ProtocolAbort(Blame(ACCUSED, step, "nothing"))
    [made] = unsigned_cases(outcome.channels[ACCUSER], error, outcome.epoch, outcome.presignature)
    assert isinstance(made, Case)
    return made


def verdict(made: Case) -> Verdict:
    return judge(sign_case(made, identity(made.accuser)), roster(ALL), TOY)


def backfires(made: Case) -> None:
    found = verdict(made)
    assert (found.culprit, found.step) == (made.accuser, "accusation"), found


def with_packets(made: Case, change: Callable[[Packet], Packet | None]) -> Case:
    return replace(made, packets=tuple(new for packet in made.packets if (new := change(packet)) is not None))


@every_step
def test_accusing_an_honest_party_of_an_honest_run_convicts_the_accuser(step: str, go: Callable[[], Held]) -> None:
    assert verdict(case(step, go)).reason.startswith("accuses party 3 falsely: ")
    with pytest.raises(NotProven):
        convict(case(step, go), roster(ALL), TOY)


@every_step
def test_an_honest_party_is_not_convicted_by_a_part_of_what_was_said(step: str, go: Callable[[], Held]) -> None:
    """Without any one packet, without any one sender's, and with no words but the accused's of any one step."""
    made = case(step, go)
    for lost in made.packets:
        backfires(with_packets(made, lambda packet, lost=lost: None if packet is lost else packet))  # type: ignore[misc]
    for sender in ALL:
        backfires(with_packets(made, lambda p, sender=sender: None if p.header.sender == sender else p))  # type: ignore[misc]
    for at in {packet.header.step for packet in made.packets}:
        for kept in ({ACCUSED}, {ACCUSER, ACCUSED}, {ACCUSER}, {2}, set()):

            def partly(packet: Packet, at: str = at, kept: set[int] = kept) -> Packet | None:
                return packet if packet.header.step != at or packet.header.sender in kept else None

            backfires(with_packets(made, partly))
    backfires(replace(made, packets=()))
    backfires(replace(made, packets=made.packets + made.packets[:1]))


def tampered(packet: Packet) -> Iterator[Packet]:
    """As the accuser would have it, without a signature of its sender."""
    header, data = packet.header, packet.broadcast or b""
    yield replace(packet, broadcast=data[:-1] + bytes([data[-1] ^ 1]))
    yield replace(packet, broadcast=None)
    yield replace(packet, signature=bytes(64))
    yield replace(packet, header=replace(header, broadcast=content_hash("broadcast", b"")), broadcast=b"")
    yield replace(packet, header=replace(header, directs=header.directs[1:] or ((1, bytes(32), bytes(32)),)))
    yield replace(packet, header=replace(header, round=header.round + 1))
    yield replace(packet, header=replace(header, sender=2))
    if packet.sealed is not None:
        yield replace(packet, sealed=None)
        yield replace(packet, sealed=b"")
        yield replace(packet, sealed=packet.sealed[:-1] + bytes([packet.sealed[-1] ^ 1]))


@every_step
def test_an_honest_party_is_not_convicted_by_what_it_did_not_sign(step: str, go: Callable[[], Held]) -> None:
    made = case(step, go)
    for packet in made.packets:
        if packet.header.sender == ACCUSED:
            for bent in tampered(packet):
                backfires(with_packets(made, lambda p, packet=packet, bent=bent: bent if p is packet else p))  # type: ignore[misc]


def resigned(packet: Packet, other: Packet) -> Iterator[Packet]:
    """What its dishonest sender may sign afterwards in the place of what it said; ``other`` is of another run."""
    header = packet.header
    variants = [
        (replace(header, broadcast=content_hash("broadcast", other.broadcast)), other.broadcast),
        (replace(header, broadcast=content_hash("broadcast", b"junk")), b"junk"),
        (replace(header, broadcast=content_hash("broadcast", None)), None),
        (replace(header, round=header.round + 7), packet.broadcast),
        (replace(header, round=0), packet.broadcast),
        (replace(header, directs=()), packet.broadcast),
        (replace(header, directs=((3, bytes(32), bytes(32)),)), packet.broadcast),
    ]
    for changed, data in variants:
        if changed != header:
            yield replace(packet, header=changed, signature=sign_header(header.sender, changed), broadcast=data)


@every_step
@pytest.mark.parametrize("sender", [ACCUSER, 2], ids=["the accuser", "its accomplice"])
def test_an_honest_party_is_not_convicted_by_what_others_say_afterwards(
    step: str, go: Callable[[], Held], sender: int
) -> None:
    """They equivocate offline: the accused's echo tells what it has really received."""
    made, elsewhere = case(step, go), case(step, go, number=1)
    other = {(p.header.step, p.header.sender): p for p in elsewhere.packets}
    for packet in made.packets:
        if packet.header.sender == sender:
            for bent in resigned(packet, other[packet.header.step, sender]):
                backfires(with_packets(made, lambda p, packet=packet, bent=bent: bent if p is packet else p))  # type: ignore[misc]


@every_step
def test_an_honest_party_is_not_convicted_by_what_it_said_elsewhere(step: str, go: Callable[[], Held]) -> None:
    made, elsewhere = case(step, go), case(step, go, number=1)
    backfires(replace(made, packets=elsewhere.packets))
    backfires(replace(elsewhere, spec=made.spec))
    backfires(replace(elsewhere, hellos=made.hellos))
    backfires(replace(elsewhere, opening=made.opening))
    backfires(replace(made, hellos=made.hellos[:2]))
    backfires(replace(made, hellos=made.hellos[::-1]))
    backfires(replace(made, hellos=(elsewhere.hellos[0], *made.hellos[1:])))
    for packet in elsewhere.packets:
        here = packet.header.step, packet.header.sender

        def swapped(p: Packet, packet: Packet = packet, here: tuple[str, int] = here) -> Packet:
            return packet if (p.header.step, p.header.sender) == here else p

        backfires(with_packets(made, swapped))


@every_step
def test_an_honest_party_is_not_convicted_of_another_step(step: str, go: Callable[[], Held]) -> None:
    made = case(step, go)
    for other in (*ROUNDS, "hello", "create.done", "", "x" * 99):
        backfires(replace(made, step=other))


SPECS: dict[str, Any] = {
    "session_id": bytes(32),
    "protocol": "other",
    "level": "L112",
    "key_id": bytes(32),
    "epoch": 5,
    "epoch_hash": bytes(32),
    "threshold": 3,
    "parties": (1, 3),
    "subject": bytes(32),
    "path": (5,),
    "digest": bytes(32),
    "presignature": bytes(32),
}


@every_step
def test_an_honest_party_is_not_convicted_under_another_spec(step: str, go: Callable[[], Held]) -> None:
    made = case(step, go)
    for name, value in SPECS.items():
        spec = replace(made.spec, **{name: value})
        backfires(replace(made, spec=spec))
        own = replace(made.hellos[0].hello, spec=b"s" * 32)
        mine = replace(made.hellos[0], hello=own, signature=identity(ACCUSER).sign("hello", encode(own)))
        backfires(replace(made, spec=spec, hellos=(mine, *made.hellos[1:])))


@pytest.mark.parametrize("step", [step for step, made in ROUNDS.items() if made.expects_direct])
def test_a_key_that_does_not_open_what_was_sealed_convicts_the_accuser(step: str) -> None:
    made = case(step, RUNS[step.partition(".")[0]])
    mine = run_once(RUNS[step.partition(".")[0]]).channels[ACCUSER]
    for opening in (
        b"",
        made.opening[1:],
        bytes(32),
        X25519PrivateKey.generate().private_bytes_raw(),
        mine._kems[2].private_bytes_raw(),
    ):
        backfires(replace(made, opening=opening))


def other_epochs(made: Case) -> Iterator[Any]:
    assert made.epoch is not None
    epoch = made.epoch
    yield None
    yield replace(epoch, threshold=3)
    yield replace(epoch, public_shares=tuple((j, X + G) for j, X in epoch.public_shares))
    yield replace(epoch, aux=epoch.aux[1:])
    yield replace(epoch, aux=epoch.aux[::-1])
    yield replace(epoch, chain_code=bytes(32))
    yield replace(epoch, epoch=7)


@pytest.mark.parametrize(
    "step",
    ["presign.1", "presign.2", "presign.3", "presign.nonce-alert", "presign.chi-alert", "sign.1", "reshare.2"],
)
def test_another_epoch_document_than_the_session_names_convicts_the_accuser(step: str) -> None:
    made = case(step, RUNS.get(step, RUNS[step.partition(".")[0]]))
    for epoch in other_epochs(made):
        backfires(replace(made, epoch=epoch))


def test_another_presignature_than_the_session_names_convicts_the_accuser() -> None:
    made = case("sign.1", run_online)
    assert made.presignature is not None
    for other in (None, replace(made.presignature, Gamma=G), replace(made.presignature, epoch=4)):
        backfires(replace(made, presignature=other))


def test_who_accuses_itself_or_nobody_of_the_session_convicts_itself() -> None:
    made = case("keygen.2", run_keygen)
    for accused in (ACCUSER, 0, 4, -1, 2**40):
        backfires(replace(made, accused=accused))


def test_who_accuses_in_a_session_of_others_convicts_itself() -> None:
    made = replace(case("keygen.2", run_keygen), accuser=4)
    found = judge(sign_case(made, identity(4)), roster((*ALL, 4)), TOY)
    assert (found.culprit, found.step) == (4, "accusation")


def test_an_accusation_that_nobody_signed_comes_to_no_verdict() -> None:
    made = case("keygen.2", run_keygen)
    true = sign_case(made, identity(ACCUSER))
    for signature in (
        b"",
        bytes(64),
        identity(2).sign("accusation", encode(made)),
        identity(ACCUSER).sign("round", encode(made)),
        identity(ACCUSER).sign("accusation", encode(replace(made, step="keygen.1"))),
    ):
        with pytest.raises(ProofInvalid):
            judge(SignedCase(made, signature), roster(ALL), TOY)
    with pytest.raises(ProofInvalid):
        judge(replace(true, case=replace(made, accuser=2)), roster(ALL), TOY)


def test_an_accusation_among_parties_that_the_judge_does_not_know_comes_to_no_verdict() -> None:
    made = case("keygen.2", run_keygen)
    for known in ({2: identity(2).public, 3: identity(3).public}, roster((1, 2)), {}):
        with pytest.raises(Malformed):
            judge(sign_case(made, identity(ACCUSER)), known, TOY)


def test_a_judge_with_another_identity_key_of_the_accused_does_not_convict_it() -> None:
    made = case("keygen.2", run_keygen)
    found = judge(sign_case(made, identity(ACCUSER)), {**roster(ALL), 3: identity(7).public}, TOY)
    assert found.culprit == ACCUSER


@pytest.mark.parametrize("level", [None, replace(TOY, name="L112")])
def test_a_session_of_another_level_than_the_judge_knows_convicts_nobody_accused(level: Any) -> None:
    made = case("keygen.2", run_keygen)
    assert judge(sign_case(made, identity(ACCUSER)), roster(ALL), level).culprit == ACCUSER


@pytest.mark.parametrize("step", ["keygen.2", "auxinfo.3", "presign.1", "presign.2"])
def test_what_a_relay_has_changed_is_never_signed_as_an_accusation(step: str) -> None:
    """Even a party that would blame the sender asks the judge's function first, and is told that nothing is proven."""

    def relay(at: str, packets: dict[int, dict[int, bytes]]) -> None:
        if at == step:
            packets[1][3] = packets[1][3][:-9] + bytes([packets[1][3][-9] ^ 1]) + packets[1][3][-8:]

    go: Any = RUNS[step.partition(".")[0]]
    outcome: Held = go(relay=relay)
    error = outcome.errors[1]
    assert unsigned_cases(outcome.channels[1], error, outcome.epoch) == []
    for made in unsigned_cases(outcome.channels[1], ProtocolAbort(Blame(3, step, "changed")), outcome.epoch):
        assert isinstance(made, Case)
        with pytest.raises(NotProven):
            convict(made, roster(ALL), TOY)


def test_a_hello_that_can_be_used_convicts_nobody() -> None:
    made = channels(ALL)
    start(made)
    for case_ in unsigned_cases(made[1], ProtocolAbort(Blame(3, "hello", "nothing"))):
        assert isinstance(case_, Case)
        backfires(case_)


@pytest.mark.parametrize("number", range(4))
def test_a_bit_changed_anywhere_in_a_signed_accusation_leaves_nothing_of_it(number: int) -> None:
    data = encode(sign_case(case("keygen.2", run_keygen), identity(ACCUSER)))
    for position in range(number, len(data), 53):
        bent = data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
        with pytest.raises((Malformed, ProofInvalid)):
            judge(read(bent), roster(ALL), TOY)


def made_up(made: Case, change: Callable[[Packet], bytes | None], **values: Any) -> Case:
    """The same words in a session that never was, with everybody's signature: all parties make it up together."""
    spec = replace(made.spec, **values)
    hellos = []
    for old in made.hellos:
        hello = replace(old.hello, spec=digest("spec", spec))
        hellos.append(SignedHello(hello, identity(hello.sender).sign("hello", encode(hello))))
    session = Session(session_id(spec, TOY, roster(ALL), [one.hello for one in hellos]), ACCUSER, ALL, TOY)
    said: dict[str, dict[int, Any]] = {}
    packets = []
    for packet in made.packets:
        header, data = packet.header, change(packet)
        if data:
            document = decode(ROUNDS[header.step].broadcast, data, len(data))
            said.setdefault(header.step, {})[header.sender] = document = echoing(session, said, header.step, document)
            data = encode(document)
        header = replace(header, ssid=session.ssid, broadcast=content_hash("broadcast", data))
        packets.append(replace(packet, header=header, broadcast=data, signature=sign_header(header.sender, header)))
    return replace(made, spec=spec, hellos=tuple(hellos), packets=tuple(packets))


def echoing(session: Session, said: dict[str, dict[int, Any]], step: str, document: Any) -> Any:
    """With the echo of what was made up before."""
    about = next((earlier for earlier, made in ROUNDS.items() if made.echoed_by == step), "")
    if about not in said:
        return document
    fresh = echo_hash(session, about, said[about])
    if step == "presign.3":
        return replace(document, echo=replace(document.echo, hash=fresh))
    return replace(document, hash=fresh)


@every_step
def test_a_case_that_all_have_made_up_together_convicts_one_of_them_and_the_judge_stands(
    step: str, go: Callable[[], Held]
) -> None:
    made = case(step, go)

    def vanishing(packet: Packet) -> bytes | None:
        if packet.header.step != "presign.3":
            return packet.broadcast
        return encode(replace(decode(Third, packet.broadcast or b""), delta=0))

    for change in (lambda packet: packet.broadcast, vanishing, lambda packet: b"", lambda packet: None):
        for values in ({}, {"resharing": None}, {"digest": b""}, {"path": (2**31,)}, {"path": (3,)}, {"threshold": 3}):
            found = verdict(made_up(made, change, **values))
            assert found.culprit in {ACCUSER, ACCUSED}
