"""Puts the parts together and serves both ports until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Protocol

import grpc
import structlog

from coordinator import durable, key_changes, wallets
from coordinator.anchorbook import AnchorBook
from coordinator.anchoring import Anchoring
from coordinator.api import OmsService
from coordinator.approving import Approving
from coordinator.authorizing import Authorizing
from coordinator.bringing import Bringing
from coordinator.chain.evm import EvmChain
from coordinator.chain.rpc import Rpc
from coordinator.chainbook import ChainBook
from coordinator.config import Config
from coordinator.conflicts import Conflicts
from coordinator.cosigners import Cosigners
from coordinator.database import open_database
from coordinator.desk import Desk
from coordinator.journal import Journal
from coordinator.key_changes import KeyChanges
from coordinator.keybook import KeyBook
from coordinator.log_key import log_keys
from coordinator.news import News
from coordinator.outcomes import Outcomes
from coordinator.parts import Books, Ways
from coordinator.preflight import Preflight
from coordinator.presigning import Presigning
from coordinator.standing import Standing
from coordinator.statuses import ErrorInterceptor
from coordinator.store import Store
from coordinator.tls import server_credentials, server_options
from coordinator.voiding import Voiding
from coordinator.wallets import Wallets
from coordinator.witnessing import Witnessing
from coordinator.workspaces import Workspaces
from oms_core.encoding import decode
from oms_core.errors import LocalError, Reason
from oms_core.lifecycle import TERMINAL, State
from oms_core.log.cover import Mode
from oms_core.workspace import Workspace
from oms_core.workspace.check import check_workspace
from oms_core.workspace.lifecycle import ENDED, ChangeState
from proto import cosigner_pb2_grpc, oms_pb2_grpc

log = structlog.get_logger()


class Loop(Protocol):
    """What runs in the background."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""


_END_SECONDS = 5.0  # for a loop to finish what it does


def read_workspace(config: Config) -> Workspace:
    """The workspace that this coordinator works for. Raises `LocalError` or `Malformed`."""
    try:
        data = config.workspace.read_bytes()
    except OSError:
        raise LocalError(f"cannot read {config.workspace.name}", Reason.CONFIG_INVALID) from None
    workspace = decode(Workspace, data, 4 << 20)
    check_workspace(workspace)
    return workspace


async def serve(config: Config, desk_of: Callable[..., Desk] = Desk) -> None:
    """Serve until SIGTERM or SIGINT."""
    standing, (key, *others) = Standing(read_workspace(config)), log_keys(config.log)
    engine = await open_database(config.database)
    journal = Journal(engine, key, standing.current.log.origin, *others)
    book, chain_book, anchors = KeyBook(engine), ChainBook(engine), AnchorBook(engine)
    later = await chain_book.versions(standing.current.version)
    await journal.begin(standing.current, tuple(bytes(row["request"]) for row in later))
    conflicts = Conflicts(engine)
    await conflicts.load()
    store, news, rpc = Store(engine, lambda: standing.horizon), News(), Rpc(config.chain.rpc)
    chain, cosigners = EvmChain(config.chain.id, rpc), Cosigners(standing)
    preflight, seconds = Preflight(store, standing, cosigners), config.approval_seconds
    witnessing = Witnessing(journal, conflicts, standing, cosigners, config.log.heartbeat_seconds)
    authorizing = Authorizing(engine, standing, witnessing)
    approving = Approving(store, standing, preflight, seconds, lambda: witnessing.mode() is Mode.DEGRADED)
    voiding = Voiding(store, book, standing, news)
    bringing = Bringing(chain_book, standing, cosigners, voiding, witnessing, news)
    await bringing.load()
    await witnessing.recall()
    outcomes = Outcomes(book, cosigners)
    await outcomes.load()
    keys = Wallets(store, standing, cosigners, approving, outcomes, authorizing, news)
    presigning = Presigning(book, store, standing, cosigners, keys, outcomes, config.presignatures)
    changes = KeyChanges(book, store, standing, cosigners, keys, approving, outcomes, authorizing, news)
    workspaces = Workspaces(chain_book, store, standing, cosigners, bringing, preflight, news, seconds)
    parts = (store, standing, cosigners, keys, approving, outcomes, presigning, authorizing)
    desk = desk_of(*parts, chain, config.chain.confirmations, news)
    loops: list[Loop] = [presigning, changes, bringing, witnessing]
    if config.anchoring is not None:
        sources = (anchors, store, standing, keys, desk, chain, journal)
        loops.append(Anchoring(config.anchoring, *sources, durable.begin))

    inner = await cosigners_server(config, cosigners)
    outer = grpc.aio.server(
        interceptors=[ErrorInterceptor()], options=server_options(config), maximum_concurrent_rpcs=500
    )
    books, ways = Books(store, book, chain_book, anchors, journal), Ways(desk, keys, changes, workspaces)
    service = OmsService(books, ways, standing, approving, cosigners, witnessing, chain, news)
    oms_pb2_grpc.add_OmsServicer_to_server(service, outer)
    await _listen(outer, config.listen_oms, config)
    durable.launch("counterseal", durable_url(config.database), config.executor_id, ways.steps())
    for kind, subject_id in await under_way(store, book, chain_book):
        await durable.resume(kind, subject_id)
    stop = asyncio.Event()
    background = [asyncio.create_task(loop.run(stop)) for loop in loops]
    log.info("coordinator ready", oms=config.listen_oms, cosigners=config.listen_cosigners)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    log.info("stopping")
    with contextlib.suppress(Exception):
        await asyncio.gather(outer.stop(1), inner.stop(1))
    cosigners.close()  # whoever waits for an answer learns that there will be none
    _, late = await asyncio.wait(background, timeout=_END_SECONDS)
    for task in late:
        log.warning("cancelled in the middle of its work", task=task.get_name())
        task.cancel()
    await asyncio.to_thread(durable.close)
    await rpc.close()
    await engine.dispose()


async def under_way(store: Store, book: KeyBook, chain_book: ChainBook) -> list[tuple[str, str]]:
    """Kind and id of all that has not ended."""
    open_orders = await store.orders_in(*(state for state in State if state not in TERMINAL))
    found = [("order", row["order_id"]) for row in open_orders]
    found += [("wallet", row["wallet_id"]) for row in await store.wallets() if row["state"] in wallets.UNDER_WAY]
    found += [("change", row["change_id"]) for row in await book.changes() if row["state"] not in key_changes.ENDED]
    changes = await chain_book.changes(*(state for state in ChangeState if state not in ENDED))
    return found + [("workspace", row["change_id"]) for row in changes]


async def cosigners_server(config: Config, cosigners: Cosigners) -> grpc.aio.Server:
    """The port that cosigners dial, listening. Raises `LocalError` (CONFIG_INVALID) if it cannot."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=server_options(config))
    cosigner_pb2_grpc.add_CosignerLinkServicer_to_server(cosigners, server)
    await _listen(server, config.listen_cosigners, config)
    return server


async def _listen(server: grpc.aio.Server, address: str, config: Config) -> None:
    try:
        server.add_secure_port(address, server_credentials(config))
    except RuntimeError:
        text = f"cannot listen on {address}: does a coordinator run here already?"
        raise LocalError(text, Reason.CONFIG_INVALID) from None
    await server.start()


def durable_url(database: str) -> str:
    """Where durable execution keeps its own tables: beside ours."""
    if database.startswith("sqlite:///"):
        return database + ".durable"
    return database
