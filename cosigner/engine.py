"""Runs protocol sessions off the event loop, and composes what the core offers into what a cosigner does.

The order of effects is the point here: key material is sealed before it is acknowledged, and the ledger has an entry
on disk before a signature share leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from cosigner.guard import Creation, Signing
from cosigner.hsm import Token
from cosigner.ledger import Ledger
from cosigner.primes import PrimeReserve
from cosigner.vault import KeyState, Vault
from oms_core.crypto.params import level
from oms_core.encoding import encode
from oms_core.errors import Conflict, Malformed, NotFound, Reason, Unavailable
from oms_core.protocol.auxinfo import Primes
from oms_core.protocol.create_key import acknowledge, confirmation, make_key
from oms_core.protocol.envelope import Channel, SessionSpec
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Done, Outgoing, Session, Steps, resume
from oms_core.protocol.shares import Moduli, SignedConfirmation, moduli
from oms_core.protocol.sign import sign
from oms_core.workspace import identities

log = structlog.get_logger()


@dataclass
class Run:
    """One session at this node."""

    spec: SessionSpec
    granted: Creation | Signing
    channel: Channel = field(repr=False)
    primes: Primes | None = field(repr=False)
    deadline: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    protocol: Steps[bytes] | None = field(default=None, repr=False)
    waiting: Outgoing | None = field(default=None, repr=False)
    round: int = 0


@dataclass(frozen=True, slots=True)
class RoundOut:
    """Packets of a round by receiver."""

    round: int
    step: str
    packets: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Finished:
    """The session's result, as canonical bytes."""

    result: bytes


class Engine:
    """The sessions of this node. Called on the event loop only."""

    def __init__(
        self, token: Token, vault: Vault, ledger: Ledger, reserve: PrimeReserve, limit: int, seconds: float
    ) -> None:
        self._token, self._vault, self._ledger, self._reserve = token, vault, ledger, reserve
        self._limit, self._seconds = limit, seconds
        self._runs: dict[bytes, Run] = {}
        self._moduli: dict[tuple[bytes, int], Moduli] = {}

    @property
    def open_sessions(self) -> int:
        """How many sessions are open."""
        self._drop_overdue()
        return len(self._runs)

    def check_room(self) -> None:
        """Raises `Unavailable` (OVERLOADED) when no further session fits."""
        if self.open_sessions >= self._limit:
            raise Unavailable(f"{self._limit} sessions are open", Reason.OVERLOADED)

    async def begin(self, spec: SessionSpec, granted: Creation | Signing) -> bytes:
        """Open a session; returns the signed hello."""
        self.check_room()
        size = level(spec.level)
        primes = await self._reserve.take(size) if isinstance(granted, Creation) else None
        roster = identities(granted.workspace)
        channel = await asyncio.to_thread(Channel, spec, size, self._token, roster)
        self._runs[spec.session_id] = Run(spec, granted, channel, primes, time.monotonic() + self._seconds)
        log.info("session opened", session=spec.session_id.hex()[:16], protocol=spec.protocol, parties=spec.parties)
        return channel.hello()

    async def start(self, session_id: bytes, hellos: Mapping[int, bytes]) -> RoundOut | Finished:
        """Fix the session id and make the first round."""
        run = self._run(session_id)
        async with run.lock:
            if run.protocol is not None:
                raise Conflict("the session has started", Reason.WRONG_STATE)

            def first() -> RoundOut | Finished:
                session = run.channel.start(hellos)
                run.protocol = self._protocol(run, session)
                return self._step(run, None)

            return await self._off_loop(run, first)

    async def deliver(self, session_id: bytes, number: int, packets: Mapping[int, bytes]) -> RoundOut | Finished:
        """Take a round's packets in, and make the next round, or the end."""
        run = self._run(session_id)
        async with run.lock:
            if run.waiting is None or number != run.round:
                raise Conflict(f"round {number} is not the one that is open", Reason.WRONG_STATE)
            return await self._off_loop(run, lambda: self._step(run, packets))

    def abort(self, session_id: bytes) -> None:
        """Forget a session and everything secret in it."""
        if self._runs.pop(session_id, None) is not None:
            log.info("session dropped", session=session_id.hex()[:16])

    async def _off_loop(self, run: Run, action: Any) -> RoundOut | Finished:
        """A session that fails at any point is over: nothing of it is ever used again (rule R17)."""
        try:
            made: RoundOut | Finished = await asyncio.to_thread(action)
        except BaseException:
            self.abort(run.spec.session_id)
            raise
        if isinstance(made, Finished):
            self._runs.pop(run.spec.session_id, None)
            log.info("session finished", session=run.spec.session_id.hex()[:16], protocol=run.spec.protocol)
        return made

    def _step(self, run: Run, packets: Mapping[int, bytes] | None) -> RoundOut | Finished:
        assert run.protocol is not None
        inbox = None
        if packets is not None:
            assert run.waiting is not None
            inbox = run.channel.unpack(run.waiting, packets)
        step = resume(run.protocol, inbox)
        if isinstance(step, Done):
            run.waiting = None
            return Finished(step.result)
        run.waiting, run.round = step, run.round + 1
        return RoundOut(run.round, step.step, run.channel.pack(step))

    def _protocol(self, run: Run, session: Session) -> Steps[bytes]:
        if isinstance(run.granted, Creation):
            assert run.primes is not None
            return self._creating(run.granted, run.spec, session, run.primes)
        return self._signing(run.granted, session)

    def _creating(self, granted: Creation, spec: SessionSpec, session: Session, primes: Primes) -> Steps[bytes]:
        wish, roster = granted.wish, identities(granted.workspace)
        material = yield from make_key(session, spec.key_id, wish.threshold, roster, primes)
        self._vault.put_key(wish.wallet_id, material)
        mine = confirmation(wish.wallet_id, material)
        yield from acknowledge(session, mine)
        self._vault.advance_key(spec.key_id, KeyState.PENDING, KeyState.PRE_ACTIVE)
        signature = self._token.sign("key-confirmation", encode(mine))
        return encode(SignedConfirmation(mine, signature))

    def _signing(self, granted: Signing, session: Session) -> Steps[bytes]:
        material = granted.material
        presignature = yield from presign(session, material.share, self._arithmetic(granted))
        if granted.authorized is not None:
            self._ledger.record(granted.account, granted.authorized, int(time.time()))
        signature = yield from sign(session, presignature, granted.digest)
        return encode(signature)

    def _arithmetic(self, granted: Signing) -> Moduli:
        share = granted.material.share
        key = (share.key_id, share.epoch)
        if key not in self._moduli:
            self._moduli[key] = moduli(granted.material)
        return self._moduli[key]

    def _run(self, session_id: bytes) -> Run:
        if len(session_id) != 32:
            raise Malformed("a session id has 32 bytes")
        self._drop_overdue()
        try:
            return self._runs[session_id]
        except KeyError:
            raise NotFound("no such session at this cosigner", Reason.UNKNOWN_SESSION) from None

    def _drop_overdue(self) -> None:
        now = time.monotonic()
        for session_id in [i for i, run in self._runs.items() if run.deadline < now]:
            self.abort(session_id)
