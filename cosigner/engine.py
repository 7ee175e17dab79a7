"""Runs protocol sessions off the event loop, and composes what the core offers into what a cosigner does.

The order of effects is the point here: key material is sealed before it is acknowledged, a presignature is out of the
pool before anything is computed with it, and the ledger has an entry on disk before a signature share leaves.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection

from cosigner.guard import Creation, Dealing, Granted, Presigning, Signing, check_wanted
from cosigner.ledger import Also
from cosigner.parts import Parts
from cosigner.primes import PrimeReserve
from cosigner.vault import SealedAux
from oms_core.authorize import Authorized, look_back, versions_since
from oms_core.chains.intent import subject_digest
from oms_core.crypto.params import level
from oms_core.encoding import encode
from oms_core.errors import Conflict, Malformed, NotFound, ProtocolAbort, Reason, Refused, Unavailable
from oms_core.evidence import SignRequest
from oms_core.history import AUTHORIZED_FOR
from oms_core.keys import KeyState
from oms_core.policy.facts import Facts
from oms_core.protocol.auxinfo import Primes, auxinfo
from oms_core.protocol.create_key import acknowledge, confirmation, make_key
from oms_core.protocol.envelope import Channel
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.presign import presign
from oms_core.protocol.reshare import reshare
from oms_core.protocol.rounds import Done, Outgoing, Session, Steps, resume
from oms_core.protocol.shares import (
    Epoch,
    KeyMaterial,
    Moduli,
    Presignature,
    PublicPresignature,
    SignedConfirmation,
    aux_digest,
    moduli,
)
from oms_core.protocol.sign import sign
from oms_core.workspace import Workspace, identities

log = structlog.get_logger()


@dataclass
class Run:
    """One session at this node."""

    spec: SessionSpec
    granted: Granted
    channel: Channel = field(repr=False)
    primes: Primes | None = field(repr=False)
    deadline: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    protocol: Steps[bytes] | None = field(default=None, repr=False)
    waiting: Outgoing | None = field(default=None, repr=False)
    round: int = 0
    presignature: PublicPresignature | None = None


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

    def __init__(self, parts: Parts, reserve: PrimeReserve, limit: int, seconds: float) -> None:
        """At most ``limit`` sessions at a time, each of so many ``seconds``."""
        self._token, self._vault, self._ledger = parts.token, parts.vault, parts.ledger
        self._boots, self._pool, self._convictions = parts.boots, parts.pool, parts.convictions
        self._halt, self._local, self._past = parts.halt, parts.local, parts.past
        self._reserve, self._limit, self._seconds = reserve, limit, seconds
        self._runs: dict[bytes, Run] = {}
        self._moduli: dict[tuple[bytes, int], Moduli] = {}
        self._turn = threading.Lock()

    @property
    def open_sessions(self) -> int:
        """How many sessions are open."""
        self._drop_overdue()
        return len(self._runs)

    def check_room(self) -> None:
        """Raises `Unavailable` (OVERLOADED) when no further session fits."""
        if self.open_sessions >= self._limit:
            raise Unavailable(f"{self._limit} sessions are open", Reason.OVERLOADED)

    async def begin(self, spec: SessionSpec, granted: Granted) -> bytes:
        """Open a session; returns the signed hello."""
        self.check_room()
        size = level(spec.level)
        new = isinstance(granted, Creation) or (isinstance(granted, Dealing) and granted.epoch is None)
        primes = await self._reserve.take(size) if new else None
        roster = identities(granted.workspace)
        known = self._boots.known(spec.parties)
        channel = await asyncio.to_thread(Channel, spec, size, self._token, roster, self._boots.head(), known)
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
                roster = identities(run.granted.workspace)
                self._boots.examine(tuple(signed.hello for signed in run.channel.hellos), roster)
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
        except ProtocolAbort as error:
            self.abort(run.spec.session_id)
            await asyncio.to_thread(self._convictions.convict, run.channel, error, _epoch(run), run.presignature)
            raise
        except BaseException:
            self.abort(run.spec.session_id)
            raise
        if isinstance(made, Finished):
            self._runs.pop(run.spec.session_id, None)
            log.info("session finished", session=run.spec.session_id.hex()[:16], protocol=run.spec.protocol)
        return made

    def _step(self, run: Run, packets: Mapping[int, bytes] | None) -> RoundOut | Finished:
        assert run.protocol is not None
        self._boots.check()
        self._halt.check()
        inbox, waiting = None, run.waiting
        run.waiting = None  # a step that fails is never gone on from
        if packets is not None:
            assert waiting is not None
            inbox = run.channel.unpack(waiting, packets)
        step = resume(run.protocol, inbox)
        if isinstance(step, Done):
            return Finished(step.result)
        run.waiting, run.round = step, run.round + 1
        return RoundOut(run.round, step.step, run.channel.pack(step))

    def _protocol(self, run: Run, session: Session) -> Steps[bytes]:
        match run.granted:
            case Creation():
                return self._creating(run.granted, run, session)
            case Presigning():
                return self._presigning(run.granted, run, session)
            case Dealing() if run.granted.epoch is None:
                return self._making_moduli(run.granted, run, session)
            case Dealing():
                return self._dealing(run.granted, run, session)
        return self._signing(run.granted, run, session)

    def _creating(self, granted: Creation, run: Run, session: Session) -> Steps[bytes]:
        wish, roster, key_id = granted.wish, identities(granted.workspace), run.spec.key_id
        assert run.primes is not None
        material = yield from make_key(session, key_id, wish.threshold, roster, run.primes)
        self._vault.put_new_key(wish.wallet_id, material, wish.drill)
        mine = confirmation(wish.wallet_id, material)
        yield from acknowledge(session, mine)
        counted = self._counted(granted.workspace, material)
        self._vault.advance_key(key_id, 0, KeyState.PENDING, KeyState.PRE_ACTIVE, counted)
        self._boots.settle()
        return self._confirmed(wish.wallet_id, material)

    def _presigning(self, granted: Presigning, run: Run, session: Session) -> Steps[bytes]:
        presignature = yield from presign(session, granted.material.share, self._arithmetic(granted), run.spec.path)
        self._check_current(granted.material)
        self._pool.put(granted.wallet_id, presignature)
        return presignature.public.id

    def _signing(self, granted: Signing, run: Run, session: Session) -> Steps[bytes]:
        material, spec = granted.material, run.spec
        presignature: Presignature
        if spec.presignature:
            presignature = self._pool.take(spec.presignature, spec.key_id, spec.epoch, spec.path)
            run.presignature = presignature.public
        else:
            presignature = yield from presign(session, material.share, self._arithmetic(granted), spec.path)
        if granted.request is not None:
            self._commit_to(granted, granted.request, spec.parties)
        signature = yield from sign(session, presignature, granted.digest)
        return encode(signature)

    def _making_moduli(self, granted: Dealing, run: Run, session: Session) -> Steps[bytes]:
        assert run.primes is not None
        made = yield from auxinfo(session, run.primes)
        self._vault.put_aux(granted.wish.wallet_id, run.spec.key_id, run.spec.epoch, SealedAux(run.spec.level, made))
        return aux_digest(made)

    def _dealing(self, granted: Dealing, run: Run, session: Session) -> Steps[bytes]:
        assert granted.epoch is not None
        assert run.spec.resharing is not None
        share = granted.material.share if granted.material else None
        roster = identities(granted.workspace)
        if granted.material is not None:
            self._check_current(granted.material)
        made = yield from reshare(session, granted.epoch, run.spec.resharing, share, roster)
        if made is None or granted.aux is None:
            return b""
        material = KeyMaterial(granted.aux.level, made, granted.aux.aux)
        moduli(material)
        if granted.material is not None:
            self._check_current(granted.material)
        self._vault.put_key(granted.wish.wallet_id, material)
        self._vault.note(self._counted(granted.workspace, material))
        self._boots.settle()
        return self._confirmed(granted.wish.wallet_id, material)

    def _commit_to(self, granted: Signing, request: SignRequest, parties: tuple[int, ...]) -> None:
        """Nothing leaves before this is on disk, and the token knows that it is. Raises `Refused`."""
        self._boots.check_alone()
        workspace, share, local = granted.workspace, granted.material.share, self._local
        subject, now = subject_digest(request.proposal.subject), int(time.time())
        # Read now: within the ledger's transaction no other one may be waited for.
        older = versions_since(request.approvals, workspace, granted.older)
        back = max(look_back(request, workspace, older), local.horizon(workspace))

        def count(connection: Connection) -> Facts:
            self._past.check_logged(connection, request, workspace, now)
            if now > granted.at + AUTHORIZED_FOR:  # what witnesses vouched for then says little about now
                raise Refused("this session was begun too long ago to sign by what was known", Reason.LOG_STALE)
            return self._past.facts_within(connection, subject, now, back, granted.share)

        def also(connection: Connection, authorized: Authorized, facts: Facts) -> None:
            if authorized.digest != granted.digest:
                raise Refused("the order derives to something else by now", Reason.DOUBLE_SIGN_GUARD)
            self._halt.check_within(connection)
            self._vault.check_workspace(connection, workspace)
            wanted = local.check_authorized(workspace, authorized, facts)
            check_wanted((*authorized.cosigners, *wanted), parties)
            self._vault.check_state(connection, share.key_id, share.epoch, KeyState.ACTIVE)
            self._boots.count(connection)

        self._ledger.record(granted.account, request, workspace, older, count, also)
        self._boots.settle()

    def _counted(self, workspace: Workspace, made: KeyMaterial) -> Also:
        """What counts a write, if the version under which it was granted still counts, and the node goes on."""

        def also(connection: Connection) -> None:
            self._halt.check_within(connection)
            self._past.check_due(connection, workspace, int(time.time()))
            self._vault.check_workspace(connection, workspace)
            self._vault.check_sealed(connection, made)
            self._boots.count(connection)

        return also

    def _confirmed(self, wallet_id: str, material: KeyMaterial) -> bytes:
        """My word that I hold this epoch: said only when it is sealed."""
        mine = confirmation(wallet_id, material)
        return encode(SignedConfirmation(mine, self._token.sign("key-confirmation", encode(mine))))

    def _check_current(self, material: KeyMaterial) -> None:
        """The key, and this node, are still as they were when the session began (rule R32). Raises `Refused`."""
        self._boots.check_alone()
        clear, _ = self._vault.key(material.share.key_id, KeyState.ACTIVE)
        if clear.epoch != material.share.epoch:
            raise Refused("the key has another epoch by now", Reason.EPOCH_STALE)

    def _arithmetic(self, granted: Signing | Presigning) -> Moduli:
        share = granted.material.share
        key = (share.key_id, share.epoch)
        with self._turn:
            if key not in self._moduli:
                self._moduli = {k: v for k, v in self._moduli.items() if k[0] != share.key_id}
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


def _epoch(run: Run) -> Epoch | None:
    """What is public of the epoch that the session's spec names."""
    match run.granted:
        case Signing() | Presigning():
            return run.granted.material.public
        case Dealing():
            return run.granted.epoch
    return None
