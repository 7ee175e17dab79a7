"""Whether an accusation holds, for anybody, from public data alone: the checks of the protocol are run once more.

A verdict is CONFIRMED by construction: `judge` either convicts the accused by its own signed words, or the accuser,
whose signature is on an accusation that does not hold. What nobody signed (silence, a broken line) comes to no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oms_core.crypto.params import Level, level
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.protocol import alert, auxinfo, keygen, presign_rounds, reshare, sign
from oms_core.protocol.accuse import Case, Equivocation, SignedCase, check_equivocation, roster_digest
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.packets import (
    Packet,
    Place,
    check_header,
    check_hello,
    check_spec,
    content_hash,
    open_sealed,
    session_id,
)
from oms_core.protocol.presign import public_part
from oms_core.protocol.rounds import Echo, Party, Record, Round, Session, echo_hash, echo_round, ensure, keep

_MADE: tuple[Round[Any, Any], ...] = (
    keygen.COMMIT,
    keygen.REVEAL,
    keygen.PROVE,
    auxinfo.COMMIT,
    auxinfo.REVEAL,
    auxinfo.PROVE,
    presign_rounds.FIRST,
    presign_rounds.SECOND,
    presign_rounds.THIRD,
    alert.NONCE_ALERT,
    alert.CHI_ALERT,
    sign.SHARE,
    reshare.COMMIT,
    reshare.REVEAL,
    reshare.PROVE,
)
ROUNDS: dict[str, Round[Any, Any]] = {made.step: made for made in _MADE} | {
    f"{made.step}.echo": echo_round(made.step) for made in _MADE if made.echoed_by == f"{made.step}.echo"
}
_CARRIES = {made.echoed_by: made.step for made in _MADE if made.echoed_by}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who lied, at which step, and the claim that failed. Transferable: anyone with the evidence comes to the same."""

    culprit: int
    step: str
    reason: str


class NotProven(Malformed):
    """The evidence does not convict the accused."""


def judge(accusation: SignedCase | Equivocation, roster: Mapping[Party, bytes], size: Level | None = None) -> Verdict:
    """The verdict on an accusation; ``roster`` are the identity keys that the judge has pinned.

    Raises `ProofInvalid` for an accusation that nobody signed, `Malformed` for parties that are not in the roster.
    """
    if isinstance(accusation, Equivocation):
        sender = accusation.first.sender
        check_equivocation(accusation, _identity(roster, sender))
        return Verdict(sender, accusation.first.step, "signed two different contents of one round")
    case = accusation.case
    verify_identity(_identity(roster, case.accuser), "accusation", encode(case), accusation.signature)
    pinned = {j: _identity(roster, j) for j in case.spec.parties}
    if roster_digest(pinned) != case.roster:
        raise Malformed("the parties had other identity keys than this roster's", Reason.PEER_IDENTITY)
    try:
        return convict(case, roster, size)
    except (Malformed, ProofInvalid) as error:
        whom = f"party {case.accused}" if case.accused in case.spec.parties else "nobody of the session"
        return Verdict(case.accuser, "accusation", f"accuses {whom} falsely: {error.message}")


def convict(case: Case, roster: Mapping[Party, bytes], size: Level | None = None) -> Verdict:
    """The verdict on the accused. Raises `NotProven`, or what is wrong with the case itself."""
    spec, j = case.spec, case.accused
    check_spec(spec)
    if j not in spec.parties or case.accuser not in spec.parties or j == case.accuser:
        raise NotProven("a party of the session accuses another")
    size = size or level(spec.level)
    if size.name != spec.level:
        raise NotProven("the session has another level")
    if bad := _hellos(case, roster):
        return bad
    session = Session(session_id(spec, size, roster, [h.hello for h in case.hellos]), case.accuser, spec.parties, size)
    packets = _packets(case, session, roster)
    packet, made = packets.get((case.step, j)), ROUNDS.get(case.step)
    if packet is None or made is None:
        raise NotProven("the accused's packet of a known round is there")
    record = Record(session)
    for (step, sender), other in packets.items():
        if (step, sender) != (case.step, j):
            keep_broadcast(record, ROUNDS[step], sender, other.broadcast)
    try:
        check_header(session, packet.header, True, made.expects_direct)
    except ProofInvalid as error:  # the header alone is at fault, whatever came with it
        return Verdict(j, case.step, error.message)
    if content_hash("broadcast", packet.broadcast) != packet.header.broadcast:
        raise NotProven("the broadcast is not as it was signed")
    try:
        direct = _direct(case, session, packet) if made.expects_direct else None
        keep(record, made, j, packet.broadcast, direct)
        _testimony(record, packets, roster, case.step, j)
    except (ProofInvalid, Malformed) as error:
        if isinstance(error, NotProven):
            raise
        return Verdict(j, case.step, error.message)
    _saw_the_same(record, made, j)
    if made.check is None:
        raise NotProven("the round is as it should be")
    try:
        ground = _ground(case, record)
        try:
            made.check(record, ground, j)
        except (ProofInvalid, Malformed) as error:
            return Verdict(j, case.step, error.message)
    except (LookupError, ValueError, ArithmeticError):
        # A check relies on those of earlier rounds, which are not run here. Who is honest has made them.
        raise NotProven("what the check builds on is missing, or would have ended the run before") from None
    raise NotProven("all checks of the round hold")


def keep_broadcast(record: Record, made: Round[Any, Any], sender: Party, data: bytes | None) -> None:
    """Read a broadcast that is not at issue. Raises `NotProven`."""
    if data is None:
        raise NotProven("a broadcast is missing")
    record.broadcasts.setdefault(made.step, {})[sender] = decode(made.broadcast, data, made.limit(record.session))


def _identity(roster: Mapping[Party, bytes], j: Party) -> bytes:
    if j not in roster:
        raise Malformed("a party is not in the roster", Reason.PEER_IDENTITY)
    return roster[j]


def _hellos(case: Case, roster: Mapping[Party, bytes]) -> Verdict | None:
    spec = case.spec
    if tuple(signed.hello.sender for signed in case.hellos) != spec.parties:
        raise NotProven("one hello of each party")
    for signed in case.hellos:
        hello = signed.hello
        verify_identity(roster[hello.sender], "hello", encode(hello), signed.signature)
        if hello.spec != digest("spec", spec):
            raise NotProven("a hello is for another session")
        at_issue = case.step == "hello" and hello.sender == case.accused
        try:
            if at_issue or case.step != "hello":  # of several unusable hellos, each is judged by itself
                check_hello(hello, spec)
        except ProofInvalid as error:
            if at_issue:
                return Verdict(case.accused, "hello", error.message)
            raise
    return None


def _packets(case: Case, session: Session, roster: Mapping[Party, bytes]) -> dict[tuple[str, Party], Packet]:
    """By step and sender. All of a step are of one round: what is put together is signed together."""
    found: dict[tuple[str, Party], Packet] = {}
    rounds: dict[str, int] = {}
    for packet in case.packets:
        header = packet.header
        if header.ssid != session.ssid or header.sender not in session.parties or header.step not in ROUNDS:
            raise NotProven("a packet of another session")
        verify_identity(roster[header.sender], "round", encode(header.place), packet.signature)
        at_issue = (header.step, header.sender) == (case.step, case.accused)
        if not at_issue and content_hash("broadcast", packet.broadcast) != header.broadcast:
            raise NotProven("a broadcast is not as it was signed")
        if rounds.setdefault(header.step, header.round) != header.round:
            raise NotProven("packets of one step are of one round")
        if found.setdefault((header.step, header.sender), packet) is not packet:
            raise NotProven("a packet twice")
    return found


def _direct(case: Case, session: Session, packet: Packet) -> bytes:
    signed = {to: sealed for to, _, sealed in packet.header.directs}
    if packet.sealed is None or content_hash("sealed", packet.sealed) != signed[session.me]:
        raise NotProven("the sealed message is not as it was signed")
    key = X25519PrivateKey.from_private_bytes(case.opening) if len(case.opening) == 32 else None
    mine = next(signed.hello for signed in case.hellos if signed.hello.sender == session.me)
    if key is None or dict(mine.keys)[case.accused] != key.public_key().public_bytes_raw():
        raise NotProven("the key that opens the sealed message")
    return open_sealed(session.me, packet, key)


def _carried(record: Record, step: str, j: Party) -> Echo | None:
    """The echo that j sent at ``step``, if that step carries one."""
    if step not in _CARRIES or j not in record.broadcasts.get(step, {}):
        return None
    said = record.broadcasts[step][j]
    echo: Echo = said if isinstance(said, Echo) else said.echo
    return echo


def _testimony(
    record: Record, packets: Mapping[tuple[str, Party], Packet], roster: Mapping[Party, bytes], step: str, j: Party
) -> None:
    """j's echo is what j itself says that it received. Raises `ProofInvalid` if it is not."""
    echo = _carried(record, step, j)
    if echo is None:
        return
    session, about = record.session, _CARRIES[step]
    others = [k for k in session.parties if k != j]
    ensure([receipt.sender for receipt in echo.receipts] == others, "a receipt of each other party")
    headers = {k: packet.header for (at, k), packet in packets.items() if at == about}
    if set(headers) != set(session.parties):
        return
    for receipt in echo.receipts:
        place = headers[receipt.sender].place
        received = Place(place.ssid, place.step, place.round, place.sender, receipt.content)
        verify_identity(roster[receipt.sender], "round", encode(received), receipt.signature)
    if all(receipt.content == headers[receipt.sender].place.content for receipt in echo.receipts):
        expected = echo_hash(session, about, record.broadcasts[about])
        ensure(echo.hash == expected, "the echo is of what was received")


def _saw_the_same(record: Record, made: Round[Any, Any], j: Party) -> None:
    """What others said, as far as the check looks at it, is what j received. Raises `NotProven`."""
    for step, said in record.broadcasts.items():
        carrier = ROUNDS[step].echoed_by
        if not carrier or (step == made.step and set(said) == {j}):
            continue
        echo = _carried(record, carrier, j)
        if set(said) != set(record.session.parties) or echo is None:
            raise NotProven(f"what all said at {step}, and the accused's echo of it")
        if echo.hash != echo_hash(record.session, step, said):
            raise NotProven(f"the accused received something else at {step}")


def _ground(case: Case, record: Record) -> Any:
    spec, family = case.spec, case.step.partition(".")[0]
    if family == "keygen":
        return keygen.Ground(spec.threshold)
    if family == "auxinfo":
        return auxinfo.Ground(record.said(auxinfo.REVEAL)[record.session.me].pedersen, ())
    if family == "sign" and spec.presignature:
        if case.presignature is None or case.presignature.id != spec.presignature:
            raise NotProven("the presignature that the session names")
        return sign.Ground(case.presignature, spec.digest)
    if case.epoch is None or case.epoch.hash != spec.epoch_hash:
        raise NotProven("the epoch that the session names")
    if family == "reshare":
        if spec.resharing is None:
            raise NotProven("the session reshares")
        return reshare.Ground(case.epoch, spec.resharing)
    ground = presign_rounds.ground(case.epoch, spec.parties, spec.path)
    if family == "presign":
        return ground
    made = public_part(record, case.epoch.key_id, case.epoch.epoch, spec.path, ground.X)
    return sign.Ground(made, spec.digest)
