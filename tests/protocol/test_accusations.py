"""What an accusation has to be, to come to a verdict at all: signed, complete, among parties whom the judge knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.params import TOY
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Blame, Malformed, ProofInvalid, ProtocolAbort, Reason
from oms_core.protocol.accuse import Case, Equivocation, SignedCase, sign_case, unsigned_cases
from oms_core.protocol.judge import ROUNDS, NotProven, convict, judge
from oms_core.protocol.packets import Packet, SignedHello, content_hash, session_id
from oms_core.protocol.presign_rounds import Third
from oms_core.protocol.rounds import Session, echo_hash
from tests.parties import channels, identity, roster, start
from tests.protocol.accusations import (
    ACCUSED,
    ACCUSER,
    RUNS,
    backfires,
    case,
    every_step,
    verdict,
)
from tests.protocol.rooms import sign_header
from tests.protocol.runs import (
    ALL,
    Held,
    read,
    run_keygen,
)

pytestmark = pytest.mark.attack


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


def test_an_equivocation_that_was_made_up_comes_to_no_verdict() -> None:
    [first, second] = (packet.header.place for packet in case("keygen.3", run_keygen).packets[:2])
    mine = replace(first, sender=ACCUSER)
    other = replace(mine, content=bytes(32))
    true = Equivocation(mine, identity(1).sign("round", encode(mine)), other, identity(1).sign("round", encode(other)))
    assert judge(true, roster(ALL), TOY).culprit == ACCUSER
    for false in (
        replace(true, second=mine, second_signature=true.first_signature),
        replace(true, second_signature=true.first_signature),
        replace(true, first_signature=b""),
        replace(true, first=replace(mine, sender=ACCUSED), second=replace(other, sender=ACCUSED)),
        replace(true, second=replace(second, sender=2)),
    ):
        with pytest.raises(ProofInvalid):
            judge(false, roster(ALL), TOY)
    with pytest.raises(Malformed):
        judge(true, roster((2, 3)), TOY)


def test_an_accusation_among_parties_that_the_judge_does_not_know_comes_to_no_verdict() -> None:
    made = case("keygen.2", run_keygen)
    for known in ({2: identity(2).public, 3: identity(3).public}, roster((1, 2)), {}):
        with pytest.raises(Malformed):
            judge(sign_case(made, identity(ACCUSER)), known, TOY)


def test_an_accusation_under_other_identity_keys_than_the_judge_has_comes_to_no_verdict() -> None:
    """Else a key that was changed since would make a liar of whoever accused before."""
    made = case("keygen.2", run_keygen)
    with pytest.raises(Malformed) as refused:
        judge(sign_case(made, identity(ACCUSER)), {**roster(ALL), 3: identity(7).public}, TOY)
    assert refused.value.reason == Reason.PEER_IDENTITY
    for digest_ in (b"", bytes(32)):
        with pytest.raises(Malformed):
            judge(sign_case(replace(made, roster=digest_), identity(ACCUSER)), roster(ALL), TOY)
    assert judge(sign_case(made, identity(ACCUSER)), roster((*ALL, 4)), TOY).culprit == ACCUSER


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


def of_hello() -> Case:
    """What party 1 can say of party 3's hello in a session that has started well."""
    made = channels(ALL)
    start(made)
    [unsigned] = unsigned_cases(made[ACCUSER], ProtocolAbort(Blame(ACCUSED, "hello", "nothing")))
    assert isinstance(unsigned, Case)
    return unsigned


def test_a_hello_that_can_be_used_convicts_nobody() -> None:
    backfires(of_hello())


def test_a_hello_that_its_sender_has_not_signed_convicts_nobody() -> None:
    made = of_hello()
    bent = replace(made.hellos[2].hello, nonce=b"")
    for signature in (made.hellos[2].signature, b"", identity(ACCUSER).sign("hello", encode(bent))):
        backfires(replace(made, hellos=(*made.hellos[:2], SignedHello(bent, signature))))


def test_a_hello_for_a_session_with_others_convicts_nobody() -> None:
    larger = channels((*ALL, 4))
    start(larger)
    made, elsewhere = of_hello(), larger[1].hellos[2]
    assert elsewhere.hello.sender == ACCUSED
    backfires(replace(made, hellos=(*made.hellos[:2], elsewhere)))


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


def test_under_a_spec_out_of_shape_nobody_is_convicted_but_who_accuses() -> None:
    made = case("keygen.1", run_keygen)

    def lying(packet: Packet) -> bytes | None:
        return b"" if (packet.header.sender, packet.header.step) == (ACCUSED, "keygen.1") else packet.broadcast

    assert verdict(made_up(made, lying)).culprit == ACCUSED
    for values in ({"threshold": 0}, {"threshold": 4}, {"session_id": b""}, {"key_id": b""}, {"epoch": -1}):
        assert verdict(made_up(made, lying, **values)).culprit == ACCUSER
