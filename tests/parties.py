"""All parties of a protocol in one process: in lockstep, raw or through real channels, with liars and a relay."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from oms_core.crypto.params import TOY, Level
from oms_core.encoding import decode, encode
from oms_core.errors import ProtocolAbort
from oms_core.protocol.create_key import DONE, make_key
from oms_core.protocol.envelope import Channel
from oms_core.protocol.identity import identity_digest
from oms_core.protocol.judge import ROUNDS
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.presign_rounds import Third
from oms_core.protocol.rounds import Done, Echo, Inbox, Incoming, Outgoing, Session, Steps, resume
from oms_core.protocol.shares import KeyMaterial, Moduli
from tests.primes import primes

_EVERY = ROUNDS | {DONE.step: DONE}


@dataclass(frozen=True)
class Turn:
    """What a liar knows when it speaks: step, receiver (None: all), the honest message, its protocol's variables."""

    step: str
    to: int | None
    message: Any
    memory: Mapping[str, Any]


@dataclass(frozen=True)
class Split:
    """An equivocation: another broadcast for some receivers than for the rest."""

    to: Mapping[int, Any]


Lie = Callable[[Turn], Any]
"""What is sent instead of the honest message: a document, bytes, or (for a broadcast) a `Split`."""

Relay = Callable[[str, dict[int, dict[int, bytes]]], None]
"""(step, packets by receiver and sender): may change, swap, lose or replay them in place."""


def at(step: str, change: Callable[[Turn], Any], secret: bool = False) -> Lie:
    """A liar that bends its broadcast of one step, or its secret messages instead."""
    return lambda turn: change(turn) if turn.step == step and (turn.to is not None) == secret else turn.message


def both(*lies: Lie) -> Lie:
    """A liar that tells several lies, each about the honest message left by the one before."""

    def lie(turn: Turn) -> Any:
        for one in lies:
            turn = replace(turn, message=one(turn))
        return turn.message

    return lie


class SoftIdentity:
    """A P-256 identity key in memory."""

    def __init__(self, index: int) -> None:
        self.index = index
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.signatures = 0

    def sign(self, domain: str, message: bytes) -> bytes:
        self.signatures += 1
        der = self._key.sign(identity_digest(domain, message), ec.ECDSA(Prehashed(hashes.SHA256())))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@cache
def identity(index: int) -> SoftIdentity:
    return SoftIdentity(index)


@cache
def witness_key(index: int) -> Ed25519PrivateKey:
    """The key with which a party cosigns checkpoints; 0 is the log's own."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"witness %d" % index).digest())


def roster(parties: tuple[int, ...]) -> dict[int, bytes]:
    return {j: identity(j).public for j in parties}


def sessions(parties: tuple[int, ...], level: Level = TOY) -> dict[int, Session]:
    ssid = secrets.token_bytes(64)
    return {i: Session(ssid, i, parties, level) for i in parties}


@dataclass
class Outcome:
    """What each party ended with, the steps that each spoke at, and its channel if there was one."""

    results: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, ProtocolAbort] = field(default_factory=dict)
    spoke: dict[int, list[str]] = field(default_factory=dict)
    channels: Mapping[int, Channel] = field(default_factory=dict)

    def culprits(self, by: set[int]) -> set[int]:
        """Everybody named by any of these parties."""
        return {c for i in by if i in self.errors for c in self.errors[i].culprits}

    def reasons(self, by: set[int]) -> str:
        """All that these parties give as reasons."""
        return "\n".join(self.errors[i].message for i in sorted(by) if i in self.errors)


def run(
    protocols: Mapping[int, Steps[Any]],
    liars: Mapping[int, Lie] | None = None,
    channels: Mapping[int, Channel] | None = None,
    relay: Relay | None = None,
) -> Outcome:
    """Lockstep until all have ended. With ``channels`` every round goes through envelopes, and through ``relay``."""
    outcome, waiting = Outcome(spoke={i: [] for i in protocols}, channels=channels or {}), {}
    for i, protocol in protocols.items():
        _step(outcome, waiting, i, lambda protocol=protocol: resume(protocol))  # type: ignore[misc]
    liars = liars or {}
    while waiting:
        honest = next((out for i, out in waiting.items() if i not in liars), None)
        said = {i: _say(out, liars.get(i), protocols[i], honest) for i, out in waiting.items()}
        current, waiting = waiting, {}
        packets = _pack(current, said, channels) if channels else {}
        if relay is not None:
            relay(next(iter(current.values())).step, packets)

        def go(i: int, out: Outgoing) -> Outgoing | Done[Any]:
            inbox = channels[i].unpack(out, packets[i]) if channels else _carry(i, said)  # noqa: B023
            return resume(protocols[i], _reassured(out, inbox) if i in liars else inbox)

        for i, out in current.items():
            _step(outcome, waiting, i, lambda i=i, out=out: go(i, out))  # type: ignore[misc]
    return outcome


def _step(outcome: Outcome, waiting: dict[int, Outgoing], i: int, go: Callable[[], Outgoing | Done[Any]]) -> None:
    try:
        step = go()
    except ProtocolAbort as error:
        outcome.errors[i] = error
        return
    if isinstance(step, Done):
        outcome.results[i] = step.result
    else:
        outcome.spoke[i].append(step.step)
        waiting[i] = step


def _say(out: Outgoing, lie: Lie | None, protocol: Steps[Any], honest: Outgoing | None) -> Callable[[int], Outgoing]:
    """By receiver: what a party says to it in this round, lies included."""
    if lie is None:
        return lambda _: out
    if honest is not None and honest.step == out.step:
        out = _covered(out, honest)
    made = _EVERY[out.step]
    memory = _memory(protocol)
    assert out.broadcast is not None
    told = lie(Turn(out.step, None, decode(made.broadcast, out.broadcast, out.limit), memory))
    direct = {}
    for j, data in out.direct.items():
        direct[j] = _bytes(lie(Turn(out.step, j, decode(made.secret, data, out.limit), memory)))
    versions: dict[bytes, Outgoing] = {}

    def version(j: int) -> Outgoing:
        data = _bytes(told.to[j]) if isinstance(told, Split) and j in told.to else out.broadcast
        data = data if isinstance(told, Split) else _bytes(told)
        assert data is not None
        return versions.setdefault(data, replace(out, broadcast=data, direct=direct))

    return version


def _covered(out: Outgoing, honest: Outgoing) -> Outgoing:
    """A liar's echo is that of an honest party, so that it does not show that the liar believes its own true words.

    The receipts stay its own: they are of what it has really received.
    """
    mine, theirs = _echo(out), _echo(honest)
    return out if mine is None or theirs is None else _echoing(out, replace(mine, hash=theirs.hash))


def _reassured(out: Outgoing, inbox: Inbox) -> Inbox:
    """Everyone's echo as a liar's own protocol expects it, so that it goes on lying."""
    mine = _echo(out)
    if mine is None:
        return inbox
    assert out.broadcast is not None
    if out.step.endswith(".echo"):
        return {j: replace(incoming, broadcast=out.broadcast) for j, incoming in inbox.items()}
    said = {j: decode(Third, incoming.broadcast or b"") for j, incoming in inbox.items()}
    return {j: replace(inbox[j], broadcast=encode(replace(third, echo=mine))) for j, third in said.items()}


def _echo(out: Outgoing) -> Echo | None:
    assert out.broadcast is not None
    if out.step == "presign.3":
        return decode(Third, out.broadcast).echo
    return decode(Echo, out.broadcast) if out.step.endswith(".echo") else None


def _echoing(out: Outgoing, echo: Echo) -> Outgoing:
    assert out.broadcast is not None
    third = out.step == "presign.3"
    return replace(out, broadcast=encode(replace(decode(Third, out.broadcast), echo=echo) if third else echo))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else encode(value)


_PROTOCOLS = {"keygen", "auxinfo", "presign", "sign", "acknowledge", "reshare"}


def _memory(protocol: Steps[Any]) -> Mapping[str, Any]:
    """The variables of the protocol function that waits in this generator."""
    memory: Mapping[str, Any] = {}
    for generator in _nested(protocol):
        if generator.gi_code.co_name in _PROTOCOLS:
            memory = generator.gi_frame.f_locals
    return memory


def _nested(generator: Any) -> Iterator[Generator[Any, Any, Any]]:
    while generator is not None:
        yield generator
        generator = generator.gi_yieldfrom


def _carry(i: int, said: Mapping[int, Callable[[int], Outgoing]]) -> dict[int, Incoming]:
    heard = {j: say(i) for j, say in said.items() if j != i}
    return {j: Incoming(out.broadcast, out.direct.get(i)) for j, out in heard.items()}


def _pack(
    current: Mapping[int, Outgoing], said: Mapping[int, Callable[[int], Outgoing]], channels: Mapping[int, Channel]
) -> dict[int, dict[int, bytes]]:
    """Packets by receiver and sender. Each version of an equivocation is signed, as its own header of the round."""
    packets: dict[int, dict[int, bytes]] = {i: {} for i in current}
    for j in current:
        number, made = channels[j]._round, {}
        for i in current:
            out = said[j](i)
            if i == j:
                continue
            if id(out) not in made:
                channels[j]._round = number
                made[id(out)] = channels[j].pack(out)
            packets[i][j] = made[id(out)][i]
    return packets


def channels(parties: tuple[int, ...], level: Level = TOY, **changes: Any) -> dict[int, Channel]:
    """A channel per party for a fresh session, not started. ``changes`` are fields of the spec."""
    spec = SessionSpec(
        session_id=secrets.token_bytes(32),
        protocol="test",
        level=level.name,
        key_id=b"k" * 32,
        epoch=0,
        epoch_hash=b"",
        threshold=2,
        parties=parties,
        subject=b"s" * 32,
    )
    spec = replace(spec, **changes)
    return {i: Channel(spec, level, identity(i), roster(parties)) for i in parties}


def start(channels: Mapping[int, Channel]) -> dict[int, Session]:
    """Exchange all hellos."""
    hellos = {i: channel.hello() for i, channel in channels.items()}
    return {i: channel.start(hellos) for i, channel in channels.items()}


def key(n: int, t: int, level: Level = TOY) -> dict[int, KeyMaterial]:
    """A key t of n, made once."""
    return _key(n, t, level)


@cache
def _key(n: int, t: int, level: Level) -> dict[int, KeyMaterial]:
    parties = tuple(range(1, n + 1))
    made = sessions(parties, level)
    outcome = run({i: make_key(made[i], b"k" * 32, t, roster(parties), primes(level, i)) for i in parties})
    assert not outcome.errors, outcome.errors
    return outcome.results


def arithmetic(n: int, t: int, i: int, level: Level = TOY) -> Moduli:
    """A party's moduli with tables, made once."""
    return _arithmetic(n, t, i, level)


@cache
def _arithmetic(n: int, t: int, i: int, level: Level) -> Moduli:
    return Moduli(i, level, key(n, t, level)[i].aux)
