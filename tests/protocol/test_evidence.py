"""What parties keep of a session: enough to convict a liar, and nothing that convicts an honest party."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.encoding import encode
from oms_core.errors import ProofInvalid, ProtocolAbort, Unattributed
from oms_core.protocol.accuse import check_equivocation, equivocations, unsigned_cases
from oms_core.protocol.judge import Verdict
from oms_core.protocol.packets import Packet
from tests.parties import Split, at, both, identity
from tests.protocol.rooms import Room, opened, sign_header, signed
from tests.protocol.runs import (
    ALL,
    LIAR,
    Held,
    run_auxinfo,
    run_keygen,
    run_signing,
    tried,
    unattributed,
    verdicts,
)
from tests.protocol.test_rounds import EQUIVOCATIONS, runner

RUNS = {"keygen": run_keygen, "auxinfo": run_auxinfo, "sign": run_signing}


def pooled(outcome: Held, parties: tuple[int, ...] = ALL) -> list[Packet]:
    return [packet for i in parties for packet in outcome.channels[i].evidence]


@pytest.mark.parametrize("name", RUNS)
def test_an_honest_run_convicts_nobody(name: str) -> None:
    outcome = RUNS[name]()
    assert set(outcome.results) == set(ALL)
    assert equivocations(pooled(outcome)) == {}
    for channel in outcome.channels.values():
        assert unsigned_cases(channel, Unattributed("nothing happened"), outcome.epoch) == []


@pytest.mark.attack
@pytest.mark.parametrize("step", EQUIVOCATIONS)
def test_pooled_packets_convict_an_equivocator_by_its_two_headers(step: str) -> None:
    change, _ = EQUIVOCATIONS[step]
    outcome = runner(step)({LIAR: at(step, lambda turn: Split({2: change(turn)}))})
    [(culprit, evidence)] = equivocations(pooled(outcome, (1, 2))).items()
    assert culprit == LIAR
    check_equivocation(evidence, identity(LIAR).public)


@pytest.mark.attack
@pytest.mark.parametrize("step", ["keygen.2", "auxinfo.2", "presign.2", "presign.3.echo", "sign.1"])
@pytest.mark.parametrize("deed", ["drop", "swap", "corrupt", "replay"])
def test_a_relay_that_meddles_with_a_run_stops_it_and_nobody_is_accused(step: str, deed: str) -> None:
    earlier: dict[int, dict[int, bytes]] = {}

    def relay(at_step: str, packets: dict[int, dict[int, bytes]]) -> None:
        if at_step != step:
            earlier.update(packets)
            return
        mine = packets[1]
        match deed:
            case "drop":
                del mine[3]
            case "swap":
                mine[2], mine[3] = mine[3], mine[2]
            case "corrupt":
                mine[3] = mine[3][:-9] + bytes([mine[3][-9] ^ 1]) + mine[3][-8:]
            case _:
                mine[3] = earlier[1][3]

    outcome = RUNS["sign" if step.startswith("presign") else step.split(".")[0]](relay=relay)
    assert set(outcome.results) == (set() if step != "sign.1" else {2, 3})
    for i in set(ALL) - set(outcome.results):
        unattributed(outcome, "", by={i})
    assert equivocations(pooled(outcome)) == {}


def test_the_order_of_delivery_does_not_matter() -> None:
    def relay(step: str, packets: dict[int, dict[int, bytes]]) -> None:
        for i, mine in packets.items():
            packets[i] = dict(reversed(mine.items()))

    outcome = run_keygen(relay=relay)
    assert len({encode(share.public_key) for share in outcome.results.values()}) == 1


@pytest.mark.attack
def test_of_two_liars_one_who_equivocates_does_not_cover_the_other() -> None:
    """Party 2 signs two headers at once to party 1, who keeps both; party 3 hands out a bad share."""
    bad_share = at("keygen.2", lambda turn: replace(turn.message, value=turn.message.value ^ 1), secret=True)
    false_name = at("keygen.1", lambda turn: Split({3: type(turn.message)(bytes(64))}))
    outcome = run_keygen({2: false_name, 3: both(bad_share)})
    assert {verdict.culprit for verdict in verdicts(outcome, 1)} == {3}


@pytest.mark.attack
def test_two_headers_for_one_round_convict_their_signer_at_once() -> None:
    room = Room()
    first = room.packets[1][3]
    room.unpack(1)
    header = replace(opened(first).header, step="chat.9")
    room.packets[1][3] = signed(3, header, opened(first))
    with pytest.raises(ProtocolAbort, match="one header for each round") as aborted:
        room.unpack(1)
    assert aborted.value.culprits == {3}
    assert tried(room.channels[1], aborted.value) == [
        Verdict(3, "chat.1", "signed two different contents of one round")
    ]


def test_evidence_that_was_made_up_convicts_nobody() -> None:
    room = Room()
    packet = opened(room.packets[1][3])
    made_up = replace(packet, header=replace(packet.header, broadcast=bytes(32)))
    [evidence] = equivocations([packet, made_up]).values()
    first, second = evidence.first, evidence.second
    later = replace(first, round=2)
    elsewhere = replace(second, ssid=bytes(64))
    signature = {place: identity(3).sign("round", encode(place)) for place in (first, second, later, elsewhere)}
    for false in (
        evidence,
        replace(
            evidence,
            first=second,
            first_signature=evidence.second_signature,
            second=first,
            second_signature=evidence.first_signature,
        ),
        replace(evidence, second=first),
        replace(evidence, second=later, second_signature=signature[later]),
        replace(evidence, second=elsewhere, second_signature=signature[elsewhere]),
        replace(evidence, second_signature=identity(2).sign("round", encode(second))),
        replace(evidence, second_signature=identity(3).sign("hello", encode(second))),
    ):
        with pytest.raises(ProofInvalid):
            check_equivocation(false, identity(3).public)
    true = replace(evidence, second_signature=signature[second])
    check_equivocation(true, identity(3).public)
    with pytest.raises(ProofInvalid):
        check_equivocation(true, identity(2).public)


def test_the_same_header_under_two_signatures_is_no_equivocation() -> None:
    room = Room()
    packet = opened(room.packets[1][3])
    again = replace(packet, signature=sign_header(3, packet.header))
    assert again.signature != packet.signature
    assert equivocations([packet, again]) == {}
