"""All parties of a protocol in one process: in lockstep, raw or through real channels, with liars among them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from oms_core.crypto.params import TOY, Level
from oms_core.encoding import decode, encode
from oms_core.errors import ProtocolAbort
from oms_core.protocol.create_key import make_key
from oms_core.protocol.envelope import Channel, SessionSpec, identity_digest
from oms_core.protocol.rounds import Done, Inbox, Incoming, Outgoing, Session, Steps, resume
from oms_core.protocol.shares import KeyMaterial, Moduli
from tests.primes import primes

Lie = Callable[[str, int | None, Any], Any]
"""(step, receiver or None for the broadcast, message) -> the message that is sent instead, as document or bytes."""


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


def roster(parties: tuple[int, ...]) -> dict[int, bytes]:
    return {j: identity(j).public for j in parties}


def sessions(parties: tuple[int, ...], level: Level = TOY) -> dict[int, Session]:
    ssid = secrets.token_bytes(64)
    return {i: Session(ssid, i, parties, level) for i in parties}


@dataclass
class Outcome:
    """What each party ended with, and the steps that were sent."""

    results: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, ProtocolAbort] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def culprits(self, by: set[int]) -> set[int]:
        """Everybody named by any of these parties."""
        return {c for i in by if i in self.errors for c in self.errors[i].culprits}


def run(
    protocols: Mapping[int, Steps[Any]],
    liars: Mapping[int, Lie] | None = None,
    kinds: Mapping[str, tuple[Any, Any]] | None = None,
    deliver: Callable[[str, int, int, Incoming], Incoming | None] | None = None,
) -> Outcome:
    """Lockstep without envelopes. ``liars`` bend decoded messages (``kinds``: step to broadcast and direct class)."""
    outcome, waiting = Outcome(), {}
    for i, protocol in protocols.items():
        _step(outcome, waiting, i, protocol, None)
    while waiting:
        sent = {i: _bend(out, (liars or {}).get(i), kinds or {}) for i, out in waiting.items()}
        outcome.steps.append(next(iter(waiting.values())).step)
        current, waiting = waiting, {}
        for i, out in current.items():
            inbox: dict[int, Incoming] = {}
            for j in sent:
                if j == i:
                    continue
                broadcast, direct = sent[j]
                said = broadcast(i) if callable(broadcast) else broadcast
                incoming: Incoming | None = Incoming(said, direct.get(i))
                if deliver is not None and incoming is not None:
                    incoming = deliver(out.step, j, i, incoming)
                if incoming is not None:
                    inbox[j] = incoming
            _step(outcome, waiting, i, protocols[i], inbox)
    return outcome


def _step(outcome: Outcome, waiting: dict[int, Outgoing], i: int, protocol: Steps[Any], inbox: Inbox | None) -> None:
    try:
        step = resume(protocol, inbox)
    except ProtocolAbort as error:
        outcome.errors[i] = error
        return
    if isinstance(step, Done):
        outcome.results[i] = step.result
    else:
        waiting[i] = step


def _bend(out: Outgoing, lie: Lie | None, kinds: Mapping[str, tuple[Any, Any]]) -> tuple[Any, dict[int, bytes]]:
    broadcast, direct = out.broadcast, dict(out.direct)
    if lie is None or out.step not in kinds:
        return broadcast, direct
    said, secret = kinds[out.step]
    if broadcast is not None:
        honest = decode(said, broadcast)
        told = lie(out.step, None, honest)
        broadcast = (lambda i: _bytes(told(i))) if callable(told) else _bytes(told)  # type: ignore[assignment]
    for j, data in direct.items():
        direct[j] = _bytes(lie(out.step, j, decode(secret, data)))
    return broadcast, direct


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else encode(value)


def channels(parties: tuple[int, ...], level: Level = TOY, **changes: Any) -> dict[int, Channel]:
    """A channel per party for a fresh session, not started."""
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
