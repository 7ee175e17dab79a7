"""Where an echo differs, the packets that the honest parties kept name the liar together, and nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.params import TOY
from oms_core.encoding import encode
from oms_core.errors import Unattributed
from oms_core.protocol.auxinfo import auxinfo
from oms_core.protocol.envelope import Channel, Packet
from oms_core.protocol.evidence import check_equivocation, equivocations, false_echoes
from oms_core.protocol.keygen import keygen
from oms_core.protocol.rounds import Echo, Session, Steps
from tests.parties import KINDS, Lie, Outcome, Relay, Split, at, channels, identity, roster, run, start
from tests.primes import primes
from tests.protocol.runs import ALL, HONEST, LIAR, presigning
from tests.protocol.test_rounds import EQUIVOCATIONS

pytestmark = pytest.mark.attack


def protocol(step: str, session: Session) -> Steps[Any]:
    if step.startswith("keygen"):
        return keygen(session, b"k" * 32, 2, roster(ALL))
    return auxinfo(session, primes(TOY, session.me)) if step.startswith("auxinfo") else presigning(session)


def run_in_channels(
    step: str, liars: Mapping[int, Lie] | None = None, relay: Relay | None = None
) -> tuple[Outcome, dict[int, Channel]]:
    made = channels(ALL)
    sessions = start(made)
    return run({i: protocol(step, sessions[i]) for i in ALL}, liars, made, relay), made


def pooled(made: Mapping[int, Channel]) -> list[Packet]:
    """What the honest parties kept. Of their own words, each kept those of the others."""
    return [packet for i in HONEST for packet in made[i].evidence]


@pytest.mark.parametrize("step", EQUIVOCATIONS)
def test_an_equivocator_is_convicted_by_its_two_headers(step: str) -> None:
    change, _ = EQUIVOCATIONS[step]
    outcome, made = run_in_channels(step, {LIAR: at(step, lambda turn: Split({2: change(turn)}))})
    assert all(isinstance(outcome.errors[i], Unattributed) for i in HONEST)
    [(culprit, evidence)] = equivocations(pooled(made)).items()
    assert culprit == LIAR
    check_equivocation(evidence, identity(LIAR).public)


ECHOES = [*(step for step in KINDS if step.endswith(".echo")), "presign.3"]


@pytest.mark.parametrize("step", ECHOES)
def test_a_false_echo_is_convicted_by_what_all_broadcast(step: str) -> None:
    def lie(message: Any) -> Any:
        return replace(message, echo=Echo(bytes(32))) if step == "presign.3" else Echo(bytes(32))

    outcome, made = run_in_channels(step, {LIAR: at(step, lambda turn: lie(turn.message))})
    assert all(isinstance(outcome.errors[i], Unattributed) for i in HONEST)
    assert equivocations(pooled(made)) == {}
    assert false_echoes(pooled(made), ALL) == {LIAR}


@pytest.mark.parametrize("step", ["keygen", "auxinfo", "presign"])
def test_an_honest_run_convicts_nobody(step: str) -> None:
    outcome, made = run_in_channels(step)
    assert set(outcome.results) == set(ALL)
    packets = [packet for channel in made.values() for packet in channel.evidence]
    assert equivocations(packets) == {}
    assert false_echoes(packets, ALL) == set()


def test_an_undecodable_echo_is_a_false_one_and_a_gap_is_passed_over() -> None:
    outcome, made = run_in_channels("keygen", {LIAR: at("keygen.1.echo", lambda turn: b"junk")})
    assert outcome.culprits(HONEST) == {LIAR}
    assert false_echoes(pooled(made), ALL) == {LIAR}
    assert false_echoes([p for p in pooled(made) if p.header.sender != 1], ALL) == set()


@pytest.mark.parametrize("step", ["keygen.2", "auxinfo.2", "presign.2", "presign.3.echo"])
@pytest.mark.parametrize("deed", ["drop", "swap", "corrupt", "replay"])
def test_a_relay_that_meddles_with_a_run_stops_it_and_nobody_is_named(step: str, deed: str) -> None:
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

    outcome, made = run_in_channels(step, relay=relay)
    assert not outcome.results or step == "presign.3.echo"
    assert 1 not in outcome.results
    assert all(isinstance(error, Unattributed) for error in outcome.errors.values())
    assert outcome.culprits(set(ALL)) == set()
    packets = [packet for channel in made.values() for packet in channel.evidence]
    assert equivocations(packets) == {}
    assert false_echoes(packets, ALL) == set()


def test_the_order_of_delivery_does_not_matter() -> None:
    def relay(step: str, packets: dict[int, dict[int, bytes]]) -> None:
        for i, mine in packets.items():
            packets[i] = dict(reversed(mine.items()))

    outcome, _ = run_in_channels("keygen", relay=relay)
    assert len({encode(share.public_key) for share in outcome.results.values()}) == 1


def test_liars_are_named_through_envelopes_as_without() -> None:
    bad_share = at("keygen.2", lambda turn: replace(turn.message, value=turn.message.value ^ 1), secret=True)
    outcome, made = run_in_channels("keygen", {LIAR: bad_share})
    assert outcome.culprits(HONEST) == {LIAR}
    assert any(p.header.sender == LIAR and p.header.step == "keygen.2" for p in made[1].evidence)
