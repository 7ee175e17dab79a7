"""The process of a drill that holds one restored backup: a fresh token, a throw-away identity, one thing to sign.

It opens and verifies its own backup, seals the share where a node would, and signs with what it reads back from there.
Whoever drives it, over standard input and output, is hostile input: it signs the `drill_digest` of its key and nothing
else. Its folder is removed by its parent; the PIN is gone as soon as the token is open.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError

from cosigner import logs
from cosigner.backup import read_file, read_recovery_secret
from cosigner.config import Hsm
from cosigner.enclave import PROTOCOL_VERSION, harden
from cosigner.hsm import Token, initialise
from cosigner.store import open_store
from cosigner.vault import Vault
from oms_core.backup import open_backup, read_backup
from oms_core.crypto.params import level
from oms_core.encoding import decode, document, encode
from oms_core.errors import CountersealError, Malformed, ProtocolAbort, Reason, Refused
from oms_core.evidence import drill_digest
from oms_core.protocol.envelope import Channel
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Done, Outgoing, Session, Steps, resume
from oms_core.protocol.shares import KeyMaterial, Moduli, moduli
from oms_core.protocol.sign import sign
from proto import cosigner_pb2 as pb

FRAME = 16 << 20
PROTOCOL = "drill"
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


@document("drill-roster/1")
class DrillRoster:
    """Index and throw-away identity key of each process of a drill's session."""

    members: tuple[tuple[int, bytes], ...]


class Restored:
    """One share, out of its backup and into a token's vault, and the session that it takes part in."""

    def __init__(self, backup: Path, recovery: Path, home: Path) -> None:
        """Open, verify, seal, and read back. Raises `BackupInvalid` or `LocalError`."""
        signed = read_backup(read_file(backup))
        label = signed.backup.label
        material = open_backup(signed, read_recovery_secret(recovery))
        self.token = _fresh_token(home, label.index)
        vault = Vault(open_store(home / "store.sqlite"), self.token)
        vault.restore_key(label.wallet_id, material, label.state, label.drill)
        self._material: KeyMaterial = vault.epoch(label.epoch.key_id, label.epoch.epoch)
        self._moduli: Moduli = moduli(self._material)
        self._channel: Channel | None = None
        self._protocol: Steps[bytes] | None = None
        self._waiting: Outgoing | None = None
        self._round = 0

    def answer(self, request: pb.ToCosigner) -> pb.FromCosigner:
        """One request, one answer."""
        try:
            return self._answer(request)
        except ProtocolAbort as error:
            blames = [pb.Blame(culprit=b.culprit, step=b.step, reason=b.reason) for b in error.blames]
            return pb.FromCosigner(aborted=pb.Aborted(reason=error.reason, detail=error.message, blames=blames))
        except CountersealError as error:
            return failed(error)

    def _answer(self, request: pb.ToCosigner) -> pb.FromCosigner:
        match request.WhichOneof("body"):
            case "begin":
                return self._begin(decode(SessionSpec, request.begin.spec, 8192), request.begin.request)
            case "start" if self._channel is not None and self._protocol is None:
                self._protocol = self._signing(self._channel.start(dict(request.start.hellos)))
                return self._made(resume(self._protocol))
            case "deliver" if (
                self._channel and self._protocol and self._waiting and request.deliver.round == self._round
            ):
                inbox = self._channel.unpack(self._waiting, dict(request.deliver.packets))
                return self._made(resume(self._protocol, inbox))
        raise Malformed("nothing that a drill asks for now", Reason.WRONG_STATE)

    def _begin(self, spec: SessionSpec, roster: bytes) -> pb.FromCosigner:
        share, digest = self._material.share, self.digest
        about = (spec.protocol, spec.key_id, spec.epoch, spec.epoch_hash, spec.threshold, spec.level)
        own = (PROTOCOL, share.key_id, share.epoch, self._material.epoch_hash, share.threshold, self._material.level)
        if about != own or (spec.digest, spec.path, spec.presignature, spec.resharing) != (digest, (), b"", None):
            raise Refused("a restored backup signs the drill of its own key, and nothing else", Reason.DIGEST_MISMATCH)
        members = dict(decode(DrillRoster, roster, 8192).members)
        self._channel = Channel(spec, level(spec.level), self.token, members)
        self._protocol, self._waiting, self._round = None, None, 0
        return pb.FromCosigner(begun=pb.Begun(hello=self._channel.hello()))

    @property
    def digest(self) -> bytes:
        """All that this process signs."""
        share = self._material.share
        return drill_digest(share.key_id, share.epoch, share.public_key.to_bytes())

    def _signing(self, session: Session) -> Steps[bytes]:
        presignature = yield from presign(session, self._material.share, self._moduli)
        return encode((yield from sign(session, presignature, self.digest)))

    def _made(self, step: Outgoing | Done[bytes]) -> pb.FromCosigner:
        assert self._channel is not None
        if isinstance(step, Done):
            self._channel, self._waiting = None, None
            return pb.FromCosigner(finished=pb.Finished(result=step.result))
        self._waiting, self._round = step, self._round + 1
        packets = self._channel.pack(step)
        return pb.FromCosigner(round_out=pb.RoundOut(round=self._round, step=step.step, packets=packets))


def failed(error: CountersealError) -> pb.FromCosigner:
    """What the parent is told of an error."""
    return pb.FromCosigner(failed=pb.Failed(reason=error.reason, detail=error.message))


def _fresh_token(home: Path, index: int) -> Token:
    """A token of its own, whose PIN nobody can read once it is open."""
    (home / "tokens").mkdir(mode=0o700)
    conf, pin = home / "softhsm2.conf", home / "pin"
    conf.write_text(f"directories.tokendir = {home / 'tokens'}\nlog.level = ERROR\n")
    pin.touch(mode=0o600)
    pin.write_text(secrets.token_hex(16))
    config = Hsm(MODULE, f"drill-{index}", pin, conf)
    initialise(config, index)
    token = Token(config, index)
    pin.unlink()
    return token


def serve(backup: Path, recovery: Path, home: Path, source: BinaryIO, sink: BinaryIO) -> None:
    """Say hello, or what is wrong with the backup; then answer until the other end closes."""
    try:
        made = Restored(backup, recovery, home)
    except CountersealError as error:
        _write(sink, failed(error))
        return
    hello = pb.Hello(index=made.token.index, protocol_version=PROTOCOL_VERSION, identity=made.token.public)
    _write(sink, pb.FromCosigner(hello=hello))
    while (request := _read(source)) is not None:
        _write(sink, made.answer(request))
    made.token.close()


def _read(source: BinaryIO) -> pb.ToCosigner | None:
    head = source.read(4)
    size = int.from_bytes(head, "big")
    if len(head) < 4 or size > FRAME:
        return None
    try:
        return pb.ToCosigner.FromString(source.read(size))
    except DecodeError:
        return None


def _write(sink: BinaryIO, answer: pb.FromCosigner) -> None:
    data = answer.SerializeToString()
    sink.write(len(data).to_bytes(4, "big") + data)
    sink.flush()


def main() -> None:
    """Entry point: BACKUP RECOVERY_KEY HOME."""
    harden()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it dies with its parent
    backup, recovery, home = map(Path, sys.argv[1:])
    logs.configure("drill", 0)
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)  # what else is printed is no answer
        serve(backup, recovery, home, sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
