"""A node in the middle of a session: its real engine, peers in memory, and key material of toy sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cosigner import engine as module
from cosigner.convictions import Convictions
from cosigner.engine import Engine, Finished, RoundOut
from oms_core.crypto.params import TOY, Level
from oms_core.encoding import encode
from oms_core.evidence import Request
from oms_core.protocol.auxinfo import Primes
from oms_core.protocol.create_key import acknowledge, confirmation, make_key
from oms_core.protocol.envelope import Channel
from oms_core.protocol.heads import sign_head
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.presign import presign
from oms_core.protocol.reshare import reshare
from oms_core.protocol.rounds import Done, Outgoing, Session, Steps, resume
from oms_core.protocol.shares import KeyMaterial, Moduli
from oms_core.protocol.sign import sign
from tests.parties import identity, roster
from tests.people import NOW
from tests.primes import primes
from tests.unit.cosigner.node import Node, material

SIZE = replace(TOY, name="L112")
ME = 1


def arithmetic(held: KeyMaterial) -> Moduli:
    """Moduli of toy sizes, whatever level the material says that it has."""
    return Moduli(held.share.index, SIZE, held.aux)


def make_engine(node: Node, monkeypatch: pytest.MonkeyPatch, local: str = "") -> Engine:
    """The node's engine under the tests' identity key, which is in the tests' roster; it takes toy sizes for L112."""
    monkeypatch.setattr(module, "level", lambda _: SIZE)
    monkeypatch.setattr(module, "moduli", arithmetic)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW, monotonic=module.time.monotonic))
    me, reserve = cast(Any, identity(ME)), cast(Any, Reserve())
    return Engine(replace(node.parts(me, local), convictions=Convictions(node.store, me)), reserve, 8, 60.0)


class Reserve:
    """Primes of toy sizes, at once; the first party's."""

    async def take(self, _: Level) -> Primes:
        return primes(TOY, ME)


def creating(spec: SessionSpec) -> Callable[[Session], Steps[Any]]:
    """What a peer does in a session that makes a key for wal_2."""

    def go(session: Session) -> Steps[Any]:
        mine = primes(TOY, session.me)
        made = yield from make_key(session, spec.key_id, spec.threshold, roster(spec.parties), mine)
        return (yield from acknowledge(session, confirmation("wal_2", made)))

    return go


def signing(spec: SessionSpec) -> Callable[[Session], Steps[Any]]:
    """What a peer does in a session that signs."""

    def go(session: Session) -> Steps[Any]:
        held = material(session.me)
        made = yield from presign(session, held.share, arithmetic(held), spec.path)
        return (yield from sign(session, made, spec.digest))

    return go


def resharing(spec: SessionSpec) -> Callable[[Session], Steps[Any]]:
    """What a peer does in a session that deals the tests' key anew."""

    def go(session: Session) -> Steps[Any]:
        new = spec.resharing
        assert new is not None
        share = material(session.me).share if session.me in new.dealers else None
        return reshare(session, material().public, new, share, roster(new.receivers))

    return go


class Running:
    """One session of node 1 with its peers, round by round."""

    def __init__(self, engine: Engine, spec: SessionSpec) -> None:
        self.engine, self.spec = engine, spec
        self.said: list[str] = []
        self._peers: dict[int, Channel] = {}
        self._protocols: dict[int, Steps[Any]] = {}
        self._out: dict[int, Outgoing] = {}
        self._mine: RoundOut | None = None

    async def begin(self, node: Node, request: Request, go: Callable[[SessionSpec], Callable[[Session], Any]]) -> None:
        """Ask the guard, exchange hellos, and make the first round."""
        spec = self.spec
        hellos = {ME: await self.engine.begin(spec, node.guard.decide(spec, request, NOW))}
        for j in spec.parties:
            if j != ME:
                head = encode(sign_head(identity(j), 1, bytes(16)))
                self._peers[j] = Channel(spec, SIZE, identity(j), roster(spec.parties), head)
                hellos[j] = self._peers[j].hello()
        for j, peer in self._peers.items():
            self._protocols[j] = go(spec)(peer.start(hellos))
            self._advance(j, None)
        self._take(await self.engine.start(spec.session_id, hellos))

    async def round(self) -> RoundOut | Finished:
        """Deliver a round to everybody; what node 1 makes of it."""
        mine = self._mine
        assert mine is not None
        sent = {j: self._peers[j].pack(out) for j, out in self._out.items()}
        made = await self.engine.deliver(self.spec.session_id, mine.round, {j: to[ME] for j, to in sent.items()})
        for j in list(self._out):
            others = {k: to[j] for k, to in sent.items() if k != j}
            inbox = self._peers[j].unpack(self._out[j], {ME: mine.packets[j], **others})
            self._advance(j, inbox)
        return self._take(made)

    async def until(self, step: str) -> None:
        """Go on until node 1 has spoken at this step."""
        while not self.said or self.said[-1] != step:
            await self.round()

    async def end(self) -> Finished:
        """Go on to the end."""
        while not isinstance(made := await self.round(), Finished):
            pass
        return made

    def _advance(self, j: int, inbox: Any) -> None:
        step = resume(self._protocols[j], inbox)
        if isinstance(step, Done):
            self._out.pop(j, None)
        else:
            self._out[j] = step

    def _take(self, made: RoundOut | Finished) -> RoundOut | Finished:
        if isinstance(made, RoundOut):
            self._mine = made
            self.said.append(made.step)
        return made
