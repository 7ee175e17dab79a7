"""False accusations: whatever a party makes of the words of an honest one, the judge convicts the accuser.

Party 1 accuses party 3, which is honest. Its case is made of a real run; what it changes, it signs as far as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oms_core.crypto.curve import G
from oms_core.crypto.params import TOY
from oms_core.encoding import encode
from oms_core.protocol.accuse import Case, roster_digest
from oms_core.protocol.judge import ROUNDS, NotProven, Verdict, convict
from oms_core.protocol.packets import Packet, content_hash
from tests.parties import identity, roster
from tests.protocol.accusations import (
    ACCUSED,
    ACCUSER,
    RUNS,
    backfires,
    case,
    every_step,
    every_step_and_slow_alerts,
    run_once,
    run_online,
    verdict,
    with_packets,
)
from tests.protocol.rooms import sign_header
from tests.protocol.runs import (
    ALL,
    Held,
)

pytestmark = pytest.mark.attack


@every_step
@pytest.mark.covers("K07")
def test_accusing_an_honest_party_of_an_honest_run_convicts_the_accuser(step: str, go: Callable[[], Held]) -> None:
    """The case is complete: the judge comes to the check of the round, and finds nothing."""
    found = "all checks of the round hold" if ROUNDS[step].check else "the round is as it should be"
    assert verdict(case(step, go)) == Verdict(ACCUSER, "accusation", f"accuses party 3 falsely: {found}")
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


@every_step_and_slow_alerts
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
        bent = replace(made, spec=spec, roster=roster_digest(roster(spec.parties)))
        backfires(bent)
        own = replace(made.hellos[0].hello, spec=b"s" * 32)
        mine = replace(made.hellos[0], hello=own, signature=identity(ACCUSER).sign("hello", encode(own)))
        backfires(replace(bent, hellos=(mine, *made.hellos[1:])))


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
    ["presign.1", "presign.2", "presign.3", "presign.nonce-alert", "sign.1", "reshare.2"],
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
