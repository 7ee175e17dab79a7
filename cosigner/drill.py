"""The proof that backups sign: each is restored in a process of its own (`restored`), and quorums of them sign.

The parent relays between the processes, over their standard input and output, as a coordinator does between enclaves.
It never sees a share or a recovery key, and verifies what they have signed under the public key of the backups.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosigner.backup import read_file
from cosigner.frames import read_frame, write_frame
from cosigner.restored import FRAME, PROTOCOL, DrillRoster
from oms_core.backup import Backup, BackupInvalid, DrillRecord, Label, read_backup
from oms_core.crypto import ecdsa
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, ProofInvalid, Reason, Refused
from oms_core.evidence import drill_digest
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.shares import Epoch
from proto import cosigner_pb2 as pb

_SECONDS = 120.0
_SHM = Path("/dev/shm")  # noqa: S108 - memory, not disk, where there is such a folder

Say = Callable[[str], None]


@dataclass
class Child:
    """A process that holds one restored backup."""

    name: str
    label: Label
    process: asyncio.subprocess.Process = field(repr=False)
    identity: bytes = b""

    @property
    def index(self) -> int:
        """The node's."""
        return self.label.index

    async def ask(self, request: pb.ToCosigner) -> pb.FromCosigner:
        """One request, one answer. Raises what the process says that went wrong."""
        assert self.process.stdin is not None
        try:
            await write_frame(self.process.stdin, request)
        except ConnectionError:
            raise BackupInvalid("its process has ended") from None
        return await self.hear()

    async def hear(self) -> pb.FromCosigner:
        """The next answer."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(_SECONDS):
                answer = await read_frame(self.process.stdout, pb.FromCosigner, FRAME)
        except (EOFError, TimeoutError):
            raise BackupInvalid("its process has ended, or does not answer") from None
        if answer.WhichOneof("body") == "failed":
            raise BackupInvalid(answer.failed.detail)
        return answer


def drill_backups(pairs: list[tuple[Path, Path]], say: Say) -> DrillRecord:
    """Prove that these backups, each with the file of its recovery key, sign together under their key.

    Every usable backup takes part in a signature; bad ones are named. Raises `Refused` (QUORUM_UNAVAILABLE) if fewer
    than the threshold are good. Nothing is left behind, also on failure.
    """
    return asyncio.run(_until_told(_drill(pairs, say)))


async def _drill(pairs: list[tuple[Path, Path]], say: Say) -> DrillRecord:
    usable = _usable(pairs, say)
    epoch = usable[0][2].label.epoch
    folder = _SHM if _SHM.is_dir() and os.access(_SHM, os.W_OK) else None
    children: list[Child] = []
    with tempfile.TemporaryDirectory(prefix=f"cs-drill-{os.getpid()}-", dir=folder) as root:
        try:
            for number, (file, secret, backup) in enumerate(usable):
                home = Path(root) / str(number)
                home.mkdir(mode=0o700)
                children.append(await _spawn(file, secret, backup.label, home))
            ready = await _ready(children, epoch.threshold, say)
            return await _prove(ready, say)
        finally:
            for child in children:
                await _end(child.process)


def _usable(pairs: list[tuple[Path, Path]], say: Say) -> list[tuple[Path, Path, Backup]]:
    """Backups of one epoch of one key, one of each node; the others are named."""
    read = []
    for file, secret in pairs:
        try:
            read.append((file, secret, read_backup(read_file(file)).backup))
        except BackupInvalid as error:
            say(f"{file}: BAD: {error.message}")
    if not read:
        raise Refused("no backup can be read", Reason.QUORUM_UNAVAILABLE)
    counted = Counter(backup.label.epoch.hash for _, _, backup in read)
    newest = max(read, key=lambda one: (counted[one[2].label.epoch.hash], one[2].label.epoch.epoch))[2].label
    usable: dict[int, tuple[Path, Path, Backup]] = {}
    for file, secret, backup in read:
        label = backup.label
        if (label.epoch, label.wallet_id, label.level) != (newest.epoch, newest.wallet_id, newest.level):
            say(f"{file}: BAD: {_difference(label, newest)}")
        elif label.index in usable:
            say(f"{file}: BAD: node {label.index} is there twice")
        else:
            usable[label.index] = file, secret, backup
    threshold = newest.epoch.threshold
    if len(usable) < threshold:
        raise Refused(f"{len(usable)} usable backups, {threshold} are needed", Reason.QUORUM_UNAVAILABLE)
    return [usable[index] for index in sorted(usable)]


def _difference(label: Label, other: Label) -> str:
    mine, theirs = label.epoch, other.epoch
    if mine.key_id != theirs.key_id:
        return f"it is of another key ({mine.key_id.hex()[:16]}) than the others ({theirs.key_id.hex()[:16]})"
    if mine.epoch != theirs.epoch:
        return f"it is of epoch {mine.epoch}, the others are of epoch {theirs.epoch}"
    return "its public data are others than the others have"


async def _spawn(file: Path, secret: Path, label: Label, home: Path) -> Child:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cosigner.restored", str(file.resolve()), str(secret.resolve()), str(home)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath), "SOFTHSM2_CONF": str(home / "softhsm2.conf")},
        cwd=home,
        start_new_session=True,
    )
    return Child(str(file), label, process)


async def _ready(children: list[Child], threshold: int, say: Say) -> list[Child]:
    """Those that have opened, verified and sealed their backup."""
    ready = []
    for child in children:
        try:
            child.identity = (await child.hear()).hello.identity
            ready.append(child)
            say(f"{child.name}: opened and verified: share {child.index} of epoch {child.label.epoch.epoch}")
        except CountersealError as error:
            say(f"{child.name}: BAD: {error.message}")
    _check_enough(ready, threshold)
    return ready


async def _prove(ready: list[Child], say: Say) -> DrillRecord:
    """Let quorums sign until every backup has taken part in a signature."""
    label = ready[0].label
    epoch, proven = label.epoch, dict[int, bytes]()
    digest = drill_digest(epoch.key_id, epoch.epoch, epoch.public_key.to_bytes())
    while missing := [child for child in ready if child.index not in proven]:
        _check_enough(ready, epoch.threshold)
        rest = [child for child in ready if child.index in proven]
        quorum = sorted([*missing, *rest][: epoch.threshold], key=lambda child: child.index)
        try:
            made = await _sign(quorum, epoch, label.level, digest)
            ecdsa.verify(epoch.public_key, digest, decode(ecdsa.Signature, made, 512))
        except _Failed as failed:
            for child in failed.culprits:
                say(f"{child.name}: BAD: {failed.text}")
                ready.remove(child)
            continue
        except ProofInvalid as error:
            raise Refused(f"the signature does not verify: {error.message}", Reason.BACKUP_INVALID) from error
        proven |= {child.index: made for child in quorum}
        names = ", ".join(child.name for child in quorum)
        say(f"signed under the key, and verified by two libraries: {names}")
    at, indices = int(time.time()), tuple(sorted(proven))
    return DrillRecord(label.wallet_id, epoch.key_id, epoch.epoch, indices, proven[indices[0]], at)


class _Failed(Exception):
    """A session ended because of these."""

    def __init__(self, culprits: list[Child], text: str) -> None:
        super().__init__(text)
        self.culprits, self.text = culprits, text


async def _sign(quorum: list[Child], epoch: Epoch, level: str, digest: bytes) -> bytes:
    """One session from hello to signature. Raises `_Failed`."""
    spec = SessionSpec(
        session_id=secrets.token_bytes(32),
        protocol=PROTOCOL,
        level=level,
        key_id=epoch.key_id,
        epoch=epoch.epoch,
        epoch_hash=epoch.hash,
        threshold=epoch.threshold,
        parties=tuple(child.index for child in quorum),
        subject=digest,
        digest=digest,
    )
    roster = encode(DrillRoster(tuple((child.index, child.identity) for child in quorum)))
    begin = pb.ToCosigner(begin=pb.Begin(spec=encode(spec), request=roster))
    begun = await _all(quorum, dict.fromkeys(spec.parties, begin))
    hellos = {j: answer.begun.hello for j, answer in begun.items()}
    start = pb.ToCosigner(start=pb.Start(session_id=spec.session_id, hellos=hellos))
    answers = await _all(quorum, dict.fromkeys(spec.parties, start))
    while all(answer.WhichOneof("body") == "round_out" for answer in answers.values()):
        number = answers[spec.parties[0]].round_out.round
        sent = {j: dict(answer.round_out.packets) for j, answer in answers.items()}
        heard = {j: {k: packets[j] for k, packets in sent.items() if k != j} for j in spec.parties}
        deliver = {j: pb.Deliver(session_id=spec.session_id, round=number, packets=heard[j]) for j in spec.parties}
        answers = await _all(quorum, {j: pb.ToCosigner(deliver=deliver[j]) for j in spec.parties})
    results = {answer.finished.result for answer in answers.values()}
    if len(results) != 1 or results == {b""}:
        raise _Failed(quorum, "they do not come to the same signature")
    return results.pop()


async def _all(quorum: list[Child], requests: dict[int, pb.ToCosigner]) -> dict[int, pb.FromCosigner]:
    """Ask all at once. Raises `_Failed` naming whose process failed, or whom the others name."""
    answers = await asyncio.gather(*(child.ask(requests[child.index]) for child in quorum), return_exceptions=True)
    fallen = [child for child, answer in zip(quorum, answers, strict=True) if isinstance(answer, BaseException)]
    if fallen:
        error = next(answer for answer in answers if isinstance(answer, BaseException))
        raise _Failed(fallen, error.message if isinstance(error, CountersealError) else type(error).__name__)
    heard = zip(quorum, answers, strict=True)
    got = {child.index: answer for child, answer in heard if not isinstance(answer, BaseException)}
    named = {blame.culprit: blame for answer in got.values() for blame in answer.aborted.blames}
    if named:
        text = "; ".join(sorted({f"{blame.step}: {blame.reason}" for blame in named.values()}))
        raise _Failed([child for child in quorum if child.index in named], text)
    if aborted := [answer.aborted.detail for answer in got.values() if answer.WhichOneof("body") == "aborted"]:
        raise Refused(f"the drill failed, and nobody can be named: {aborted[0]}", Reason.SESSION_FAILED)
    return got


def _check_enough(ready: list[Child], threshold: int) -> None:
    if len(ready) < threshold:
        raise Refused(f"{len(ready)} usable backups, {threshold} are needed", Reason.QUORUM_UNAVAILABLE)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(2):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _until_told(work: Coroutine[Any, Any, DrillRecord]) -> DrillRecord:
    """Run to the end; SIGTERM and SIGINT end it cleanly."""
    task = asyncio.ensure_future(work)
    with contextlib.suppress(RuntimeError, ValueError):  # signals are the main thread's alone
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise Refused("the drill was stopped", Reason.SESSION_FAILED) from None
