"""A protocol is a generator: it yields what it sends in a round and is sent what it received. It knows no transport.

`speak` makes one `Round` of it and keeps what was said in a `Record`; `blame` puts every peer's message to the round's
check and turns failures into an abort that names everyone who failed. A check is a function of a record and of public
data alone, so that a judge who has the same signed messages comes to the same verdict (`judge`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from oms_core.crypto.params import Level
from oms_core.crypto.shamir import check_indices
from oms_core.crypto.transcript import ProofContext
from oms_core.encoding import decode, digest, document, encode
from oms_core.errors import Blame, Malformed, ProofInvalid, ProtocolAbort, Unattributed

Party = int
R = TypeVar("R")
B = TypeVar("B")
D = TypeVar("D")

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


@document("receipt/1")
class Receipt:
    """What a peer signed in a round, short: the digest of its header's content, and its signature."""

    sender: int
    content: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """What one peer sent in a round, and, where messages are signed, the receipt for it."""

    broadcast: bytes | None
    direct: bytes | None = field(repr=False)
    receipt: Receipt | None = None


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
class Round(Generic[B, D]):
    """The shape of a round: its name, what is broadcast, what is told each peer in secret, what one may weigh.

    ``check(record, ground, j)`` raises `ProofInvalid` or `Malformed` unless what j said in this round is as it has to
    be; ``ground`` is the protocol's public data. ``echoed_by`` names the round that carries this one's echo.
    """

    step: str
    broadcast: type[B]
    secret: type[D]
    limit: Callable[[Session], int]
    check: Callable[[Record, Any, Party], None] | None = None
    echoed_by: str = ""

    @property
    def expects_direct(self) -> bool:
        """Whether each peer is told something in secret."""
        return self.secret is not Nothing


@document("nothing/1")
class Nothing:
    """The secret part of a round that has none: never sent."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one party has of a run, by step and sender: broadcasts (its own, too), secret messages to it, receipts."""

    session: Session
    broadcasts: dict[str, dict[Party, Any]] = field(default_factory=dict)
    directs: dict[str, dict[Party, Any]] = field(default_factory=dict, repr=False)
    receipts: dict[str, tuple[Receipt, ...]] = field(default_factory=dict)

    def said(self, made: Round[B, Any]) -> dict[Party, B]:
        """What all broadcast in a round."""
        return self.broadcasts[made.step]

    def told(self, made: Round[Any, D]) -> dict[Party, D]:
        """What each peer told me in secret in a round."""
        return self.directs[made.step]


def speak(record: Record, made: Round[B, D], message: B, directs: Mapping[Party, D] | None = None) -> Steps[None]:
    """One round: broadcast, and a secret message to each peer where the round has one.

    Raises `Unattributed` unless there is one message of each peer; undecodable messages blame their senders.
    """
    session, step = record.session, made.step
    limit = made.limit(session)
    packed = {j: encode((directs or {})[j]) for j in session.peers} if made.expects_direct else {}
    inbox = yield Outgoing(step, encode(message), packed, made.expects_direct, limit)
    if set(inbox) != set(session.peers):
        raise Unattributed(f"{step} needs one message of each peer")
    record.broadcasts[step] = {session.me: message}
    record.directs[step] = {}
    record.receipts[step] = tuple(got for j in session.peers if (got := inbox[j].receipt) is not None)
    blame_each(step, session.peers, lambda j: keep(record, made, j, inbox[j].broadcast, inbox[j].direct))


def keep(record: Record, made: Round[B, D], j: Party, broadcast: bytes | None, direct: bytes | None) -> None:
    """Read what j sent into the record. Raises `Malformed`."""
    limit = made.limit(record.session)
    record.broadcasts.setdefault(made.step, {})[j] = _decoded(made.broadcast, broadcast, limit)
    if made.expects_direct:
        record.directs.setdefault(made.step, {})[j] = _decoded(made.secret, direct, limit)


def blame(record: Record, made: Round[B, D], ground: Any) -> None:
    """Put every peer's message to the round's check. Raises `ProtocolAbort` that names all who fail."""
    assert made.check is not None
    check = made.check
    blame_each(made.step, record.session.peers, lambda j: check(record, ground, j))


def blame_each(step: str, parties: Iterable[Party], check: Callable[[Party], None]) -> None:
    """Run ``check`` for every party before aborting, so that a round names every liar, not the first.

    ``check`` raises `ProofInvalid` or `Malformed`, whose text becomes the reason. Raises `ProtocolAbort`.
    """
    blames = []
    for j in parties:
        try:
            check(j)
        except (ProofInvalid, Malformed) as error:
            blames.append(Blame(j, step, error.message))
    if blames:
        raise ProtocolAbort(*blames)


@document("echo/1")
class Echo:
    """Hash of all that was broadcast in a round, ascending by sender, and the receipts of it but for one's own.

    With the receipts a differing echo always convicts somebody: who signed two things, or who echoes what it did not
    receive (`judge`).
    """

    hash: bytes
    receipts: tuple[Receipt, ...]


def echo_of(record: Record, made: Round[Any, Any]) -> Echo:
    """The echo of a round, to be sent in a round of its own or merged into the next one."""
    said = record.said(made)
    return Echo(echo_hash(record.session, made.step, said), record.receipts.get(made.step, ()))


def echo_hash(session: Session, step: str, messages: Mapping[Party, object]) -> bytes:
    """32 bytes for what all said at a step."""
    return digest("echo", session.ssid, step, [encode(messages[j]) for j in sorted(messages)])


def check_echo(record: Record, made: Round[Any, Any], echoes: Mapping[Party, Echo]) -> None:
    """All saw the same broadcasts, or nobody goes on.

    Raises `EchoesDiffer`: either a sender told two things, or somebody lies about what it saw.
    """
    mine = echo_hash(record.session, made.step, record.said(made))
    differing = tuple(j for j in record.session.peers if echoes[j].hash != mine)
    if differing:
        raise EchoesDiffer(made.step, differing)


class EchoesDiffer(Unattributed):
    """The parties in ``differing`` echo other broadcasts of ``step`` than I received."""

    def __init__(self, step: str, differing: tuple[Party, ...]) -> None:
        super().__init__(f"the parties did not all receive the same broadcasts in {step}")
        self.step, self.differing = step, differing


def echo_round(step: str) -> Round[Echo, Nothing]:
    """The round that echoes ``step``."""
    return Round(f"{step}.echo", Echo, Nothing, lambda session: 256 + 192 * len(session.parties))


def echo(record: Record, made: Round[Any, Any]) -> Steps[None]:
    """A round of echo broadcast (spec §2.9): no secret of the next round leaves before all have agreed on this one."""
    echoing = echo_round(made.step)
    yield from speak(record, echoing, echo_of(record, made))
    check_echo(record, made, record.said(echoing))


def _decoded(kind: type[B], data: bytes | None, limit: int) -> B:
    if data is None:
        raise Malformed("the message is missing")
    return decode(kind, data, limit)


def ensure(holds: object, text: str) -> None:
    """A claim inside a check. Raises `ProofInvalid` with its text."""
    if not holds:
        raise ProofInvalid(text)


def xor(values: Iterable[bytes]) -> bytes:
    """The sum of equally long contributions: random if one of them is."""
    result = b""
    for value in values:
        result = bytes(a ^ b for a, b in zip(result, value, strict=True)) if result else value
    return result
