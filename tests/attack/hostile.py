"""One honest enclave as a process, and around it nothing but enemies: coordinator, relay, gateway and its peer."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosigner.frames import read_frame, write_frame
from oms_core.chains.evm import derive, signing_digest
from oms_core.chains.intent import Intent
from oms_core.crypto.params import L112
from oms_core.encoding import decode, encode
from oms_core.evidence import PresignRequest, SignRequest, request_digest
from oms_core.keys import KeyState
from oms_core.log.witness import Answer
from oms_core.protocol.envelope import Channel
from oms_core.protocol.heads import sign_head
from oms_core.protocol.packets import Packet, SessionSpec
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Done, Steps, resume
from oms_core.protocol.shares import Presignature
from oms_core.protocol.sign import SHARE, SignatureShare, sign
from oms_core.readings import plain_decision
from oms_core.workspace import Member, Workspace, identities, workspace_digest
from proto import cosigner_pb2 as pb
from tests.parties import arithmetic, identity, key
from tests.people import EXECUTION, KNOWN, intent, propose, workspace
from tests.unit.cosigner.node import Node
from tests.witnessed import Logbook

QUORUM = (1, 2)
LIMIT = 16 << 20


class Refusal(Exception):
    """The enclave's no, or its failure, with its reason."""


class Besieged:
    """The node 1 of a key 2 of 3. Its owner has pinned the workspace; everything else is in hostile hands."""

    def __init__(self, node: Node) -> None:
        node.start()
        self.home = node.home
        mine = Member(1, "node-1", "op-1", "team-1", "site-1", node.token.public, node.token.witness)
        self.workspace: Workspace = replace(workspace(), roster=(mine, *workspace().roster[1:]))
        node.vault.pin_workspace(self.workspace)
        node.vault.put_key("wal_1", key(3, 2, L112)[1], KeyState.ACTIVE)
        node.stop()
        self.log = Logbook(self.workspace)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, module: str) -> None:
        """Start the enclave, honest or not."""
        command = [sys.executable, "-m", module, "--config", str(self.home / "cosigner.toml"), "enclave"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        environment.pop("SOFTHSM2_CONF", None)
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.home, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not (self.home / "run" / "enclave.sock").exists():
            assert time.monotonic() < deadline, (self.home / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        (self.home / "run" / "enclave.sock").unlink(missing_ok=True)

    def copy(self, to: Path) -> None:
        """What a thief, or a backup, takes: everything that is on the disk, the token included."""
        shutil.copytree(self.home, to, ignore=shutil.ignore_patterns("*.sock"))

    def put_back(self, copy: Path) -> None:
        """Everything as it was when the copy was made."""
        shutil.rmtree(self.home)
        shutil.copytree(copy, self.home)

    async def ask(self, request: pb.ToCosigner) -> pb.FromCosigner:
        """One request, as a gateway sends it."""
        reader, writer = await asyncio.open_unix_connection(str(self.home / "run" / "enclave.sock"))
        try:
            await read_frame(reader, pb.FromCosigner, LIMIT)
            await write_frame(writer, request)
            answer = await asyncio.wait_for(read_frame(reader, pb.FromCosigner, LIMIT), 300)
        finally:
            writer.close()
        if answer.WhichOneof("body") in ("failed", "aborted"):
            raise Refusal((answer.failed if answer.WhichOneof("body") == "failed" else answer.aborted).reason)
        if answer.WhichOneof("body") == "refused":
            raise Refusal(str(answer.refused.signed_refusal))
        return answer

    def spec(self, protocol: str, request: Any, **more: Any) -> SessionSpec:
        """A session for this request, as the protocol asks for it."""
        public = key(3, 2, L112)[1].public
        return SessionSpec(
            session_id=secrets.token_bytes(32),
            protocol=protocol,
            level="L112",
            key_id=public.key_id,
            epoch=0,
            epoch_hash=public.hash,
            threshold=2,
            parties=QUORUM,
            subject=request_digest(request),
            **more,
        )

    async def logged(self, request: SignRequest) -> bytes:
        """Put it in the log, have the enclave follow that, and have the other witnesses vouch for it."""
        now = int(time.time())
        self.log.authorize(request, at=now)
        size, old = self.log.size, 0
        while old < size:
            items = [pb.LogItem(entry=one.entry, record=one.record, salt=one.salt) for one in self.log.items[old:]]
            asked = pb.Witness(request=self.log.request(old), items=items)
            said = (await self.ask(pb.ToCosigner(id=1, witness=asked))).witnessed
            assert said.status in (Answer.OK, Answer.CONFLICT), said.detail
            old = said.size
        return self.log.note(by=(2, 3, 4, 5), at=now)

    async def play(
        self, spec: SessionSpec, request: Any, mine: Any, checkpoint: bytes = b""
    ) -> tuple[list[Packet], Any]:
        """Drive a session to its end; returns the enclave's packets, and what the accomplice's protocol comes to."""
        head = encode(sign_head(identity(2), 1, b"b" * 16))
        channel = Channel(spec, L112, identity(2), identities(self.workspace), head)
        begin = pb.Begin(spec=encode(spec), request=encode(request), checkpoint=checkpoint)
        begun = await self.ask(pb.ToCosigner(id=1, begin=begin))
        hellos = {1: begun.begun.hello, 2: channel.hello()}
        protocol: Steps[Any] = mine(channel.start(hellos))
        answer = await self.ask(pb.ToCosigner(id=1, start=pb.Start(session_id=spec.session_id, hellos=hellos)))
        out, heard = resume(protocol), []
        while answer.WhichOneof("body") == "round_out":
            assert not isinstance(out, Done)
            data = answer.round_out.packets[2]
            heard.append(decode(Packet, data, LIMIT))
            packets = {2: channel.pack(out)[1]}
            number = answer.round_out.round
            deliver = pb.Deliver(session_id=spec.session_id, round=number, packets=packets)
            out = resume(protocol, channel.unpack(out, {1: data}))
            answer = await self.ask(pb.ToCosigner(id=1, deliver=deliver))
        assert isinstance(out, Done)
        return heard, out.result

    async def presignature(self) -> Presignature:
        """Make one with the enclave; the accomplice's part of it."""
        request = PresignRequest(key(3, 2, L112)[1].share.key_id, "wal_1", ())
        share, moduli = key(3, 2, L112)[2].share, arithmetic(3, 2, 2, L112)
        _, made = await self.play(self.spec("presign", request), request, lambda s: presign(s, share, moduli))
        assert isinstance(made, Presignature)
        return made

    async def release(self, number: int, made: Presignature) -> tuple[bytes, int]:
        """Have a permitted order signed with this presignature; returns its digest and the enclave's σ."""
        order, execution = self.order(number), replace(EXECUTION, nonce=number)
        decision = plain_decision(order, self.workspace)
        request = SignRequest(propose(order), execution, workspace_digest(self.workspace), (), decision)
        digest = signing_digest(derive(order, execution))
        spec = self.spec("sign-online", request, digest=digest, presignature=made.public.id)
        again = Presignature(made.public, list(made.secret))
        heard, _ = await self.play(spec, request, lambda s: sign(s, again, digest), await self.logged(request))
        (packet,) = [one for one in heard if one.header.step == SHARE.step]
        return digest, decode(SignatureShare, packet.broadcast or b"").sigma

    @staticmethod
    def order(number: int) -> Intent:
        """A small transfer to a known address: permitted without approvals."""
        now = int(time.time())
        return intent(10, KNOWN, intent_id=f"int_{number}", valid_from=now - 10, valid_until=now + 600)
