"""A protocol is a generator: it yields what it sends in a round and is sent what it received. It knows no transport.

`exchange` and its short forms make one round of it; `blame` turns failed checks into an abort that names everyone
who failed. `resume` drives a generator one step, for any driver: lockstep in tests, the engine in a cosigner.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from oms_core.crypto.params import Level
from oms_core.crypto.shamir import check_indices
from oms_core.crypto.transcript import ProofContext
from oms_core.encoding import decode, digest, document, encode
from oms_core.errors import Blame, Malformed, ProofInvalid, ProtocolAbort, Unattributed

Party = int
R = TypeVar("R")
B = TypeVar("B")
D = TypeVar("D")
T = TypeVar("T")

SSID_BYTES = 64


@dataclass(frozen=True, slots=True)
class Session:
    """One run: its id (64 bytes, spec §2.2), who I am, all participants in ascending order, the security level.

    A session serves one run of each protocol: what binds a proof to its place is the id with the protocol's own slot.
    Raises `Malformed` for parties that cannot be (rule R21).
    """

    ssid: bytes
    me: Party
    parties: tuple[Party, ...]
    level: Level

    def __post_init__(self) -> None:
        check_indices(self.parties)
        if list(self.parties) != sorted(self.parties) or self.me not in self.parties or len(self.parties) < 2:
            raise Malformed("a session has at least two parties in ascending order, me among them")
        if len(self.ssid) != SSID_BYTES:
            raise Malformed("a session id has 64 bytes")

    @property
    def peers(self) -> tuple[Party, ...]:
        """All participants but me."""
        return tuple(j for j in self.parties if j != self.me)

    def context(self, slot: str, prover: Party, verifier: Party | None = None, extra: bytes = b"") -> ProofContext:
        """Where a proof belongs: it verifies nowhere else."""
        return ProofContext(self.ssid, slot, prover, verifier, extra)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One round's output: the same ``broadcast`` bytes for all, and secret ``direct`` bytes per peer.

    ``limit`` bounds what one peer's broadcast or direct message may weigh, in bytes.
    """

    step: str
    broadcast: bytes | None
    direct: Mapping[Party, bytes] = field(repr=False)
    expects_direct: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """What one peer sent in a round."""

    broadcast: bytes | None
    direct: bytes | None = field(repr=False)


Inbox = Mapping[Party, Incoming]
Steps = Generator[Outgoing, Inbox, R]


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """The protocol has ended with this result."""

    result: R = field(repr=False)


def resume(protocol: Steps[R], inbox: Inbox | None = None) -> Outgoing | Done[R]:
    """Drive one step: the first with no inbox. Raises what the protocol raises."""
    try:
        return next(protocol) if inbox is None else protocol.send(inbox)
    except StopIteration as stop:
        return Done(cast(R, stop.value))


@dataclass(frozen=True, slots=True)
class Received(Generic[B, D]):
    """A round's messages by sender. ``broadcasts`` holds my own, too; ``directs`` are my peers' alone."""

    broadcasts: dict[Party, B]
    directs: dict[Party, D] = field(repr=False)


def exchange(
    session: Session,
    step: str,
    message: B,
    directs: Mapping[Party, D],
    kind: type[D],
    limit: int,
) -> Steps[Received[B, D]]:
    """One round with a broadcast and a secret message to each peer. Undecodable messages blame their senders."""
    packed = {j: encode(directs[j]) for j in session.peers}
    inbox = yield Outgoing(step, encode(message), packed, True, limit)
    check_senders(session, step, inbox)
    read: Received[B, D] = Received({session.me: message}, {})

    def parse(j: Party, incoming: Incoming) -> None:
        read.broadcasts[j] = _decoded(type(message), incoming.broadcast, limit)
        read.directs[j] = _decoded(kind, incoming.direct, limit)

    blame(step, {j: inbox[j] for j in session.peers}, parse)
    return read


def broadcast(session: Session, step: str, message: B, limit: int) -> Steps[dict[Party, B]]:
    """One round in which each party tells all the same. The result holds my own message, too."""
    inbox = yield Outgoing(step, encode(message), {}, False, limit)
    check_senders(session, step, inbox)
    read = {session.me: message}

    def parse(j: Party, incoming: Incoming) -> None:
        read[j] = _decoded(type(message), incoming.broadcast, limit)

    blame(step, {j: inbox[j] for j in session.peers}, parse)
    return read


@document("echo/1")
class Echo:
    """Hash of all that was broadcast in a round, in ascending order of senders."""

    hash: bytes


def echo_of(session: Session, step: str, messages: Mapping[Party, object]) -> Echo:
    """The echo of a round, to be sent in a round of its own or merged into the next one."""
    return echo_of_bytes(session.ssid, step, {j: encode(message) for j, message in messages.items()})


def echo_of_bytes(ssid: bytes, step: str, broadcasts: Mapping[Party, bytes]) -> Echo:
    """As `echo_of`, from what was on the wire."""
    return Echo(digest("echo", ssid, step, [broadcasts[j] for j in sorted(broadcasts)]))


def check_echo(step: str, mine: Echo, echoes: Iterable[Echo]) -> None:
    """All saw the same broadcasts, or nobody goes on.

    Raises `Unattributed`: either the sender told two things, or somebody lies about what it saw. The parties' signed
    packets together tell which (`evidence.equivocations`, `evidence.false_echoes`).
    """
    if any(theirs != mine for theirs in echoes):
        raise Unattributed(f"the parties did not all receive the same broadcasts in {step}")


def echo(session: Session, step: str, messages: Mapping[Party, object]) -> Steps[None]:
    """A round of echo broadcast (spec §2.9): no secret of the next round leaves before all have agreed on this one."""
    mine = echo_of(session, step, messages)
    echoes = yield from broadcast(session, f"{step}.echo", mine, 128)
    check_echo(step, mine, echoes.values())


def blame(step: str, items: Mapping[Party, T], check: Callable[[Party, T], None]) -> None:
    """Run ``check`` for every party before aborting, so that a round names every liar, not the first.

    ``check`` raises `ProofInvalid` or `Malformed`, whose text becomes the reason. Raises `ProtocolAbort`.
    """
    blames = []
    for j, item in items.items():
        try:
            check(j, item)
        except (ProofInvalid, Malformed) as error:
            blames.append(Blame(j, step, error.message))
    if blames:
        raise ProtocolAbort(*blames)


def check_senders(session: Session, step: str, inbox: Inbox) -> None:
    """Exactly one message of each peer. Raises `Unattributed`, since a relay may have lost one."""
    if set(inbox) != set(session.peers):
        raise Unattributed(f"{step} needs one message of each peer")


def _decoded(kind: type[T], data: bytes | None, limit: int) -> T:
    if data is None:
        raise Malformed("the message is missing")
    return decode(kind, data, limit)


def ensure(holds: object, text: str) -> None:
    """A check inside `blame`. Raises `ProofInvalid` with its text."""
    if not holds:
        raise ProofInvalid(text)


def xor(values: Iterable[bytes]) -> bytes:
    """The sum of equally long contributions: random if one of them is."""
    result = b""
    for value in values:
        result = bytes(a ^ b for a, b in zip(result, value, strict=True)) if result else value
    return result
