"""The process without a network: one request in, one answer out, over a Unix socket. All input is hostile.

It alone opens the HSM slot and unseals shares. It opens no socket but its own Unix one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import socket
import struct
import time
from pathlib import Path
from typing import Any

import gmpy2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from cosigner.boots import Boots
from cosigner.chain import Chain
from cosigner.config import Config
from cosigner.convictions import Convictions
from cosigner.engine import Engine, Finished, RoundOut
from cosigner.frames import read_frame, write_frame
from cosigner.guard import Guard
from cosigner.halt import Halt
from cosigner.history import History
from cosigner.hsm import Token
from cosigner.keys import Keys
from cosigner.ledger import Ledger
from cosigner.local_rules import LocalRules
from cosigner.parts import Parts
from cosigner.past import Past
from cosigner.pool import Pool
from cosigner.primes import PrimeReserve
from cosigner.store import open_store
from cosigner.upgrading import upgrade
from cosigner.vault import Vault
from cosigner.versions import LIMIT
from cosigner.witness import Witness
from oms_core.chains.intent import subject_digest
from oms_core.crypto.params import level
from oms_core.encoding import decode, decode_one_of, encode
from oms_core.errors import (
    CountersealError,
    Malformed,
    NotFound,
    ProtocolAbort,
    Reason,
    Refused,
)
from oms_core.evidence import (
    ChangeRequest,
    CreateRequest,
    PresignRequest,
    ProbeRequest,
    ReadRequest,
    Request,
    SignRequest,
    request_digest,
)
from oms_core.log.entries import Item
from oms_core.protocol.packets import SessionSpec
from oms_core.words import in_words
from oms_core.workspace import workspace_digest
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

PROTOCOL_VERSION = 1
STORE_FAILED = 74  # exit code: the ledger or vault could not be written, so nothing may leave (EX_IOERR)
AT_ONCE = 256  # requests of one connection that are not answered yet
BYTES_AT_ONCE = 64 << 20  # of them together
_REQUEST_LIMIT = 256 * 1024
_REQUESTS: tuple[type[Any], ...] = (CreateRequest, SignRequest, ProbeRequest, ChangeRequest, PresignRequest)


class Enclave:
    """Guard, vault, engine and ledger of one node behind its socket."""

    def __init__(self, config: Config) -> None:
        """Open the token and the store. Raises `LocalError`."""
        self.config = config
        self.token = Token(config.hsm, config.index)
        engine = open_store(config.store)
        upgrade(engine)
        self.vault, self.boots, self.pool = Vault(engine, self.token), Boots(engine, self.token), Pool()
        self.boots.begin()
        self.vault.finish_erasing()
        self.convictions, self.halt = Convictions(engine, self.token), Halt(engine)
        self.chain = Chain(engine, self.token, self.vault.versions, self.boots)
        history = History()
        self.witness = Witness(engine, self.token, self.vault.workspace, self.boots, history.fold)
        self.parts = Parts(
            token=self.token,
            vault=self.vault,
            ledger=Ledger(engine),
            boots=self.boots,
            pool=self.pool,
            convictions=self.convictions,
            halt=self.halt,
            local=LocalRules.load(config.local_rules),
            past=Past(engine, history, self.witness),
        )
        self.keys, self.guard = Keys(self.parts), Guard(self.parts, level(config.level))
        self._started = time.monotonic()

    async def serve(self) -> None:
        """Serve until cancelled."""
        gmpy2.get_context().allow_release_gil = True
        self._reserve = PrimeReserve(level(self.config.level))
        self._reserve.prepare()
        config, path = self.config, self.config.socket
        self.engine = Engine(self.parts, self._reserve, config.max_sessions, config.session_seconds)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._connected, str(path))
        finally:
            os.umask(mask)
        mine = path.stat()
        log.info("enclave ready", index=config.index, generation=self.boots.generation)
        try:
            async with server:
                try:
                    await server.serve_forever()
                finally:
                    _unlink_own(path, mine)  # while it is open: its number can then be nobody else's
        finally:
            self._reserve.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: dict[asyncio.Task[None], int] = {}  # with the bytes of their requests
        turn = asyncio.Lock()
        try:
            _check_peer(writer.get_extra_info("socket"))
            await write_frame(writer, pb.FromCosigner(hello=self._hello()))
            while True:
                while len(tasks) >= AT_ONCE or sum(tasks.values()) >= BYTES_AT_ONCE:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                request = await read_frame(reader, pb.ToCosigner, self.config.max_message_bytes)
                task = asyncio.create_task(self._answer(request, writer, turn))
                tasks[task] = request.ByteSize()
                task.add_done_callback(tasks.pop)
        except (EOFError, ConnectionError):
            pass
        except CountersealError as error:
            log.warning("connection refused", reason=error.reason, detail=error.message)
        finally:
            for task in tasks:
                task.cancel()
            writer.close()

    async def _answer(self, request: pb.ToCosigner, writer: asyncio.StreamWriter, turn: asyncio.Lock) -> None:
        answer = await self.handle(request)
        answer.id = request.id
        async with turn:
            try:
                await write_frame(writer, answer)
            except ConnectionError:
                log.info("gateway went away before its answer")

    async def handle(self, request: pb.ToCosigner) -> pb.FromCosigner:
        """One request, one answer; every error becomes an answer with its reason."""
        try:
            return await self._dispatch(request)
        except ProtocolAbort as error:
            blames = [pb.Blame(culprit=b.culprit, step=b.step, reason=b.reason) for b in error.blames]
            log.warning("session aborted", reason=error.reason, detail=error.message)
            aborted = pb.Aborted(
                reason=error.reason, detail=error.message, blames=blames, accusations=list(error.evidence)
            )
            return pb.FromCosigner(aborted=aborted)
        except CountersealError as error:
            log.warning("request failed", reason=error.reason, detail=error.message)
            return pb.FromCosigner(failed=pb.Failed(reason=error.reason, detail=error.message))
        except SQLAlchemyError as error:
            # A write that failed must not be tried again, and nothing that stands on it may leave.
            log.critical("store failed", kind=type(error).__name__)
            os._exit(STORE_FAILED)
        except Exception as error:
            log.exception("internal error", kind=type(error).__name__)
            return pb.FromCosigner(failed=pb.Failed(reason=Reason.INTERNAL, detail="internal error"))

    async def _dispatch(self, request: pb.ToCosigner) -> pb.FromCosigner:
        match request.WhichOneof("body"):
            case "ping":
                return pb.FromCosigner(pong=pb.Pong(nonce=request.ping.nonce, halted=self.halt.why()))
            case "begin":
                return await self._begin(request.begin)
            case "read":
                return await self._read(request.read)
            case "start":
                return _made(await self.engine.start(request.start.session_id, dict(request.start.hellos)))
            case "deliver":
                deliver = request.deliver
                return _made(await self.engine.deliver(deliver.session_id, deliver.round, dict(deliver.packets)))
            case "abort":
                self.engine.abort(request.abort.session_id)
                return pb.FromCosigner(acknowledged=pb.Acknowledged())
            case "confirm_wallet":
                confirm = request.confirm_wallet
                signed = tuple(confirm.confirmations)
                await asyncio.to_thread(self.keys.confirm, confirm.key_id, signed, confirm.probe, confirm.drill)
                return pb.FromCosigner(acknowledged=pb.Acknowledged())
            case "change_key":
                wish = request.change_key
                receipt = await asyncio.to_thread(self.keys.change, wish.request, wish.checkpoint)
                return pb.FromCosigner(key_changed=pb.KeyChanged(receipts=[encode(receipt)]))
            case "commit_epoch":
                commit = request.commit_epoch
                signed = tuple(commit.confirmations)
                gone = await asyncio.to_thread(self.keys.commit, commit.key_id, signed, commit.request)
                return pb.FromCosigner(key_changed=pb.KeyChanged(receipts=[encode(gone)] if gone else []))
            case "get_certificates":
                held = await asyncio.to_thread(self.keys.certificates)
                return pb.FromCosigner(certificates=pb.Certificates(documents=[encode(one) for one in held]))
            case "get_epoch":
                epoch = await asyncio.to_thread(self.keys.public, request.get_epoch.key_id)
                return pb.FromCosigner(epoch_public=pb.EpochPublic(epoch=encode(epoch)))
            case "drop_presignatures":
                self.pool.drop(tuple(request.drop_presignatures.ids))
                return pb.FromCosigner(acknowledged=pb.Acknowledged())
            case "offer_workspace":
                said = await asyncio.to_thread(self.chain.offer, request.offer_workspace.request, int(time.time()))
                adoption = encode(said.adoption) if said.adoption else b""
                told = pb.WorkspaceAnswer(scheduling=encode(said.scheduling), adoption=adoption)
                return pb.FromCosigner(workspace_answer=told)
            case "get_workspace_requests":
                after = await asyncio.to_thread(self.chain.requests, request.get_workspace_requests.after)
                return pb.FromCosigner(workspace_requests=pb.WorkspaceRequests(requests=after))
            case "witness":
                return await self._witness(request.witness)
            case "gossip":
                notes = list(request.gossip.notes)
                head, conflict = await asyncio.to_thread(self.witness.gossip, notes, int(time.time()))
                return pb.FromCosigner(gossiped=pb.Gossiped(head=head, conflict=conflict))
            case "recall":
                head, recalled = await asyncio.to_thread(self.witness.recall, request.recall.start)
                told_items = [pb.LogItem(entry=one.entry, record=one.record, salt=one.salt) for one in recalled]
                return pb.FromCosigner(recalled=pb.Recalled(head=head, items=told_items))
            case "get_status":
                return pb.FromCosigner(status=await asyncio.to_thread(self._status))
        raise Malformed("no such request", Reason.UNSUPPORTED_TYPE)

    async def _begin(self, begin: pb.Begin) -> pb.FromCosigner:
        spec = decode(SessionSpec, begin.spec, 8192)
        request: Request = decode_one_of(_REQUESTS, begin.request, _REQUEST_LIMIT)
        self.engine.check_room()
        now = int(time.time())
        try:
            granted = await asyncio.to_thread(self.guard.decide, spec, request, now, begin.checkpoint)
        except (Refused, Malformed, NotFound) as error:
            at = {"session": spec.session_id.hex()[:16], "words": _words(request)}
            log.warning("refused", reason=error.reason, detail=error.message, **at)
            refusal = self.guard.refuse(spec.session_id, request_digest(request), error, now)
            return pb.FromCosigner(refused=pb.Refused(signed_refusal=encode(refusal)))
        log.info("granted", session=spec.session_id.hex()[:16], protocol=spec.protocol, words=_words(request))
        return pb.FromCosigner(begun=pb.Begun(hello=await self.engine.begin(spec, granted)))

    async def _read(self, asked: pb.Read) -> pb.FromCosigner:
        request, now = decode(ReadRequest, asked.request, LIMIT), int(time.time())
        words = in_words(subject_digest(request.proposal.subject))
        try:
            signed, rendering = await asyncio.to_thread(self.guard.read, request, now)
        except (Refused, Malformed, NotFound) as error:
            log.warning("refused to read", words=words, reason=error.reason, detail=error.message)
            refusal = self.guard.refuse(b"", request_digest(request), error, now)
            return pb.FromCosigner(refused=pb.Refused(signed_refusal=encode(refusal)))
        log.info("read", words=words, first=rendering.lines[0])
        return pb.FromCosigner(reading=pb.Reading(signed_reading=encode(signed), lines=rendering.lines))

    async def _witness(self, asked: pb.Witness) -> pb.FromCosigner:
        items = [Item(one.entry, one.record, one.salt) for one in asked.items]
        now = int(time.time())
        said = await asyncio.to_thread(self.witness.follow, asked.request, items, now, asked.asked_at)
        line = said.line.encode()
        witnessed = pb.Witnessed(status=said.answer, size=said.size, cosignature=line, detail=said.detail)
        return pb.FromCosigner(witnessed=witnessed)

    def _hello(self) -> pb.Hello:
        workspace = self.vault.workspace()
        return pb.Hello(
            index=self.config.index,
            protocol_version=PROTOCOL_VERSION,
            workspace=workspace_digest(workspace),
            version=workspace.version,
            identity=self.token.public,
        )

    def _status(self) -> pb.Status:
        self.token.check()
        standing = self.witness.standing(int(time.time()))
        return pb.Status(
            index=self.config.index,
            workspace=workspace_digest(self.vault.workspace()),
            version=self.vault.workspace().version,
            boot_generation=self.boots.generation,
            open_sessions=self.engine.open_sessions,
            uptime_seconds=int(time.monotonic() - self._started),
            hsm="OK",
            wallets=[
                pb.WalletStatus(
                    wallet_id=c.wallet_id,
                    key_id=c.key_id,
                    epoch=c.epoch,
                    state=c.state,
                )
                for c in self.vault.all_keys()
            ],
            epochs=[pb.EpochSeen(key_id=key_id, newest=e) for key_id, e in self.vault.newest_epochs().items()],
            stock=[
                pb.Stock(
                    wallet_id=one.wallet_id,
                    path=one.path,
                    quorum=one.quorum,
                    count=one.count,
                    oldest_seconds=one.oldest,
                )
                for one in self.pool.stock()
            ],
            presignatures=self.pool.ids(),
            rolled_back=self.boots.rolled_back,
            convicted=self.convictions.convicted(),
            halted=self.halt.why(),
            log_size=standing.head.size,
            log_root=standing.head.root,
            log_full_at=standing.full_at,
            log_mode=standing.mode,
            log_detail=standing.detail,
        )


def _words(request: Request) -> str:
    """The check words of what people have decided about; a session without that has none."""
    if isinstance(request, ProbeRequest | PresignRequest):
        return ""
    return in_words(subject_digest(request.proposal.subject))


def _made(made: RoundOut | Finished) -> pb.FromCosigner:
    if isinstance(made, Finished):
        return pb.FromCosigner(finished=pb.Finished(result=made.result))
    return pb.FromCosigner(round_out=pb.RoundOut(round=made.round, step=made.step, packets=made.packets))


def _unlink_own(path: Path, mine: os.stat_result) -> None:
    """Remove the socket, unless another enclave of this node has put its own there since."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), mine):
            path.unlink()


def _check_peer(connection: socket.socket) -> None:
    """Only processes of this user may speak to the enclave. Raises `Refused`."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    if uid != os.getuid():
        raise Refused("the peer process belongs to another user", Reason.PEER_IDENTITY)


def harden() -> None:
    """No core dumps, and no other process of this user may read the memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def check_socket_directory(path: Path) -> None:
    """The socket's folder must be this user's alone. Raises `Refused`."""
    if path.parent.exists() and path.parent.stat().st_mode & 0o077:
        raise Refused(f"{path.parent.name} is open to other users; chmod 700 it", Reason.CONFIG_INVALID)
