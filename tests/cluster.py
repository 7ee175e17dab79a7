"""A real network of processes for tests, and what tests do with it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from oms.authenticator import SoftwareAuthenticator
from oms.client import Client, Waiting
from oms.devnet import cast
from oms.devnet.cast import ETHER, ORIGIN
from oms.devnet.network import Network
from oms_core.chains.intent import CreateWallet
from oms_core.errors import CountersealError, Unavailable
from oms_core.keys import Change, ChangeKey
from oms_core.workspace import User
from proto import oms_pb2 as pb

WALLET = "wal_treasury"
ALL = (1, 2, 3, 4, 5)
PATIENT = 300.0
"""Seconds for what is to come; nobody waits for them but a test that fails, on however busy a machine."""


async def ready(network: Network, seconds: float = PATIENT) -> None:
    """All cosigners are attached, and vouch for the log: else people would be asked about an exact transaction."""
    await network.attached(ALL, seconds)
    async with network.client() as client:
        await mode(client, "FULL", seconds)


async def mode(client: Client, wanted: str, seconds: float = PATIENT) -> pb.LogStatus:
    """Wait until so many vouch for the log."""
    deadline = time.monotonic() + seconds
    while (said := (await client.status()).log).mode != wanted:
        assert time.monotonic() < deadline, (said.mode, said.detail)
        await asyncio.sleep(0.1)
    return said


async def covered(client: Client) -> None:
    """Wait until as many as it takes in full have cosigned all that is in the log by now."""
    _, size = await client.log_items(0, 1)
    async with asyncio.timeout(PATIENT):
        while (await client.checkpoint(4)).size < size:
            await asyncio.sleep(0.1)


async def restarted(network: Network, *indices: int, module: tuple[str, ...] = ("cosigner",)) -> None:
    """Kill these cosigners, and start them again once the coordinator has noticed; until all is as it was."""
    for index in indices:
        network.kill_cosigner(index)
    await network.attached(set(ALL) - set(indices))
    for index in indices:
        network.start_cosigner(index, module)
    await ready(network)


def wish(wallet_id: str = WALLET) -> CreateWallet:
    now = int(time.time())
    return CreateWallet(wallet_id, "Treasury", 3, ALL, "L112", "desk", "tests", now, now + 7200)


async def approve(network: Network, client: Client, subject_id: str, *people: str) -> None:
    """Each person approves once it is in her inbox."""
    for person in people:
        async with asyncio.timeout(PATIENT):
            while not (waiting := [one for one in await client.inbox(person) if one.subject_id == subject_id]):
                await asyncio.sleep(0.05)
        claim = waiting[0].claim
        await client.decide(subject_id, network.authenticator(person).approve(claim, ORIGIN))


async def approve_all(network: Network, client: Client, person: str) -> None:
    """Whatever reaches her inbox, for ever."""
    while True:
        waiting = list[Waiting]()
        with contextlib.suppress(Unavailable):  # nobody would notice that she has stopped
            waiting = await client.inbox(person)
        for one in waiting:
            approval = network.authenticator(person).approve(one.claim, ORIGIN)
            with contextlib.suppress(CountersealError):  # it may have been chosen anew meanwhile
                await client.decide(one.subject_id, approval)
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def approving(network: Network, client: Client, *people: str) -> AsyncIterator[None]:
    """These approve whatever reaches them."""
    tasks = [asyncio.create_task(approve_all(network, client, person)) for person in people]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def settle(network: Network, client: Client, person: str = "ravi", wei: int = ETHER + 1) -> pb.Transaction:
    """An order just large enough that she has to approve it, naming its transaction where she has to; to its end."""
    tx = await propose(network, client, wei=wei)
    async with approving(network, client, person):
        return await client.ended(tx.transaction_id)


async def make_wallet(network: Network, wallet_id: str = WALLET) -> str:
    """A funded, active wallet; returns its address."""
    async with network.client() as client:
        await client.create_wallet(network.desk().propose(wish(wallet_id)))
        await approve(network, client, wallet_id, "sam", "sonja")
        async for event in client.watch_wallet(wallet_id):
            last = event.wallet
        assert last.state == "ACTIVE", (last.state, last.reason, last.detail)
        await network.fund(last.address, 1000 * ETHER)
        return last.address


def with_somebody_who_left(root: Path) -> tuple[User, ...]:
    """The development network's people, and Lena, whose only key is revoked."""
    key = SoftwareAuthenticator.create(root / "people" / "lena.json", cast.RP_ID).credential
    held, keys = ("RISK_OFFICER",), (replace(key, revoked=True),)
    return (*PEOPLE(root), User("lena", "person-lena", "Lena", "risk", "", held, keys, (), enabled=True))


PEOPLE, RULES = cast.people, cast.rules_from_yaml


def start(without: tuple[str, ...] = ()) -> Network:
    """Five cosigners, a coordinator, a chain with four blocks a second, and one funded wallet.

    ``without`` names rules of the development network that are left out.
    """
    network = Network(Path(tempfile.mkdtemp(prefix="cs-test-")), block_seconds=0.25)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cast, "people", with_somebody_who_left)
            patch.setattr(
                cast, "rules_from_yaml", lambda *told: tuple(r for r in RULES(*told) if r.rule_id not in without)
            )
            network.prepare()
        network.start()
        asyncio.run(network.attached(ALL))
        asyncio.run(make_wallet(network))
    except BaseException:
        network.remove()
        raise
    return network


async def propose(
    network: Network, client: Client, to: str = "entry:kraken-hot", wei: int = ETHER // 10
) -> pb.Transaction:
    """A transfer under the desk's key; at most 1 ETH needs no approval."""
    intent, _ = await client.prepare_transfer(WALLET, to, wei, "desk", "tests")
    return await client.submit(network.desk().propose(intent))


async def until(
    client: Client, transaction_id: str, *states: str, reason: str = "", seconds: float = PATIENT
) -> pb.Transaction:
    """Poll until the order is in one of these states (and stands there for this reason)."""
    deadline = time.monotonic() + seconds
    while True:
        tx = await client.transaction(transaction_id)
        if tx.state in states and (not reason or tx.reason == reason):
            return tx
        assert time.monotonic() < deadline, (tx.state, tx.reason, tx.detail)
        await asyncio.sleep(0.02)


def wish_to_change(change: Change, wallet: pb.Wallet, parties: tuple[int, ...] = (), threshold: int = 0) -> ChangeKey:
    now = int(time.time())
    key = (wallet.key_id, wallet.public_key, wallet.chain_code)
    return ChangeKey(WALLET, *key, change, wallet.epoch, threshold, parties, "desk", "tests", now, now + 3600)


async def change_key(
    network: Network, client: Client, change: Change, parties: tuple[int, ...] = (), threshold: int = 0
) -> pb.KeyChange:
    """Ask, have security people approve, and wait for the end."""
    wish = wish_to_change(change, await client.wallet(WALLET), parties, threshold)
    asked = await client.change_key(network.desk().propose(wish))
    await approve(network, client, asked.change_id, *(("sam",) if change is Change.SUSPEND else ("sam", "sonja")))
    return [seen async for seen in client.watch_key_change(asked.change_id)][-1]


async def pooled(client: Client, seconds: float = PATIENT) -> None:
    """Wait until a quorum held presignatures for the treasury when it was last asked, which may be a while ago."""
    deadline = time.monotonic() + seconds
    while True:
        held = [one.index for one in (await client.status()).cosigners if one.stock]
        if len(held) >= 3:
            return
        assert time.monotonic() < deadline, held
        await asyncio.sleep(0.5)
