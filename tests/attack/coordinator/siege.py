"""One honest cosigner in real sessions with two corrupt ones, which keep all that they learn and skip every check.

The honest one is the real engine with its token, vault and ledger; the sizes are toy, so that hundreds of sessions fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import coincurve
import ecdsa as independent
import pytest
from ecdsa.util import sigdecode_string

from cosigner import engine as module
from cosigner.engine import Engine, Finished, RoundOut
from oms_core.crypto.curve import Q
from oms_core.crypto.params import TOY
from oms_core.encoding import decode, encode
from oms_core.evidence import Request, SignRequest
from oms_core.protocol import judge as judging
from oms_core.protocol.envelope import Channel
from oms_core.protocol.heads import sign_head
from oms_core.protocol.packets import Packet, SessionSpec
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Done, Outgoing, Session, Steps, resume
from oms_core.protocol.shares import KeyMaterial, Moduli, Presignature
from oms_core.protocol.sign import SHARE, SignatureShare, sign
from oms_core.workspace import identities
from tests.attack.coordinator.nodes import Five, material
from tests.attack.coordinator.world import NOW

SIZE = replace(TOY, name="L112")
LIMIT = 16 << 20


def arithmetic(held: KeyMaterial) -> Moduli:
    """Moduli of toy sizes, whatever level the material says that it has; made once for each party."""
    if held.share.index not in _made:
        _made[held.share.index] = Moduli(held.share.index, SIZE, held.aux)
    return _made[held.share.index]


_made: dict[int, Moduli] = {}


def toy(monkeypatch: pytest.MonkeyPatch, now: int = NOW) -> None:
    """Let engines take toy sizes for L112, at this time."""
    monkeypatch.setattr(module, "level", lambda _: SIZE)
    monkeypatch.setattr(judging, "level", lambda _: SIZE)
    monkeypatch.setattr(module, "moduli", arithmetic)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now, monotonic=module.time.monotonic))


class Siege:
    """An honest node, its two corrupt peers, and the coordinator that is one of them."""

    def __init__(self, five: Five, honest: int, corrupt: tuple[int, int], now: int = NOW) -> None:
        self.five, self.node, self.corrupt, self.now = five, five.nodes[honest], corrupt, now
        self.parties = tuple(sorted((honest, *corrupt)))
        self.roster = identities(five.workspace)
        no_primes: Any = None
        self.engine = Engine(self.node.parts, no_primes, 64, 600.0)
        self.secrets: dict[bytes, dict[int, tuple[int, int]]] = {}
        """By presignature: the corrupt parties' own nonce and key shares, which they keep."""
        self.public: dict[bytes, Any] = {}
        self.heard: dict[bytes, list[SignatureShare]] = {}
        """By presignature: all shares of signatures that the honest node has ever let go."""
        self.shown: SessionSpec | None = None
        """What the corrupt ones were shown, if it is another session than the honest one's."""
        self.relay: Callable[[int, dict[int, bytes]], dict[int, bytes]] = lambda _, packets: packets
        """What the coordinator makes of the packets of a round that are for the honest node."""

    async def presignature(self, spec: SessionSpec, request: Request) -> bytes:
        """Have the honest node make a presignature with the two; nobody has to approve that. Returns its id."""
        made = await self._play(spec, request, self._presigning)
        identity: bytes = next(iter(made.values())).public.id
        self.public[identity] = next(iter(made.values())).public
        self.secrets[identity] = {j: (int(one.secret[0][0]), int(one.secret[0][1])) for j, one in made.items()}
        return identity

    async def signature(self, spec: SessionSpec, request: SignRequest) -> bytes:
        """Sign with a presignature. Returns r ‖ s as the corrupt parties see it."""

        def go(j: int, session: Session) -> Steps[Any]:
            mine = Presignature(self.public[spec.presignature], [self.secrets[spec.presignature][j]])
            return sign(session, mine, spec.digest)

        made = await self._play(spec, request, go)
        signature = next(iter(made.values()))
        return int(signature.r).to_bytes(32, "big") + int(signature.s).to_bytes(32, "big")

    def forgeries(self, presignature: bytes, digest: bytes) -> list[bytes]:
        """All that two corrupt parties can put together for this digest: their shares, and what they have heard."""
        made, m = self.public[presignature], int.from_bytes(digest, "big") % Q
        r = int(made.Gamma.x) % Q
        own = sum(k * m + r * chi for k, chi in self.secrets[presignature].values()) % Q
        others = {0, own, *(share.sigma for share in self.heard.get(presignature, []))}
        sums = {(own + other) % Q for other in others}
        return [r.to_bytes(32, "big") + s.to_bytes(32, "big") for one in sums for s in (one, Q - one) if 0 < s < Q]

    def valid(self, signature: bytes, digest: bytes) -> bool:
        """Whether two libraries that are not ours take this for the wallet's signature; they have to agree."""
        point = material(1).share.public_key.to_bytes()
        key = independent.VerifyingKey.from_string(point, independent.SECP256k1)
        try:
            first = key.verify_digest(signature, digest, sigdecode=sigdecode_string)
        except independent.BadSignatureError:
            first = False
        low = min(int.from_bytes(signature[32:], "big"), Q - int.from_bytes(signature[32:], "big"))
        der = independent.util.sigencode_der_canonize(int.from_bytes(signature[:32], "big"), low, Q)
        second = coincurve.PublicKey(point).verify(der, digest, None)
        assert bool(first) == bool(second)
        return bool(first)

    def _presigning(self, j: int, session: Session) -> Steps[Any]:
        return presign(session, material(j).share, arithmetic(material(j)), ())

    async def _play(self, spec: SessionSpec, request: Request, go: Any) -> dict[int, Any]:
        """One session to its end; what it comes to for each corrupt party. Raises what the honest node raises."""
        granted = self.node.decide(spec, request, self.now)
        hellos = {self.node.index: await self.engine.begin(spec, granted)}
        channels: dict[int, Channel] = {}
        for j in self.corrupt:
            token = self.five.nodes[j].token
            head = encode(sign_head(token, 1, bytes(16)))
            channels[j] = Channel(self.shown or spec, SIZE, token, self.roster, head)
            hellos[j] = channels[j].hello()
        said: RoundOut | Finished = await self.engine.start(spec.session_id, hellos)
        protocols = {j: go(j, channel.start(hellos)) for j, channel in channels.items()}
        outs: dict[int, Outgoing | Done[Any]] = {j: resume(protocol) for j, protocol in protocols.items()}
        while isinstance(said, RoundOut):
            self._listen(spec, said)
            sent = {j: channels[j].pack(out) for j, out in outs.items() if isinstance(out, Outgoing)}
            inboxes = {
                j: channels[j].unpack(
                    out, {self.node.index: said.packets[j], **{k: to[j] for k, to in sent.items() if k != j}}
                )
                for j, out in outs.items()
                if isinstance(out, Outgoing)
            }
            mine = self.relay(said.round, {j: to[self.node.index] for j, to in sent.items()})
            said = await self.engine.deliver(spec.session_id, said.round, mine)
            outs = {j: resume(protocols[j], inboxes[j]) for j in inboxes}
        return {j: out.result for j, out in outs.items() if isinstance(out, Done)}

    def _listen(self, spec: SessionSpec, said: RoundOut) -> None:
        if said.step == SHARE.step:
            packet = decode(Packet, next(iter(said.packets.values())), LIMIT)
            share = decode(SignatureShare, packet.broadcast or b"")
            self.heard.setdefault(spec.presignature, []).append(share)
