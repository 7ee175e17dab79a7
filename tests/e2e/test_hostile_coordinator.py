"""Acceptance: a coordinator that lies, alone and with corrupt cosigners; nothing is signed but what people approved.

How the coordinator lies about an order is in the order's purpose (`tests.attack.evil_coordinator`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from oms.client import fresh
from oms.devnet.cast import COLD, ETHER, KRAKEN
from oms.devnet.network import Network
from oms.signer import ProposalSigner
from oms_core.chains.intent import Bounds, Call, Intent, Transfer, What
from oms_core.encoding import decode, encode
from oms_core.errors import Reason
from oms_core.evidence import SignedRefusal
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import Workspace, member
from proto import oms_pb2 as pb
from tests import cluster

pytestmark = pytest.mark.attack
EVIL = "tests.attack.evil_coordinator"
REAL, CORRUPT = ("cosigner",), ("tests.attack.corrupt_cosigner",)
COIN = "eip155:31337/slip44:60"
BLOCK = 1.5  # seconds


@pytest.fixture(scope="module")
def _besieged() -> Iterator[Network]:
    """A network of its own, with a coordinator that lies about orders that say so.

    What it asks for stands in the log, and would hold against limits for a day: some is worth nobody knows how much.
    """
    network = cluster.start(without=("limit-coin", "limit-trader"))
    network.processes.stop("coordinator")
    network.start_coordinator(EVIL)
    yield network
    network.remove()


@pytest.fixture
async def besieged(_besieged: Network) -> Network:
    """Five honest cosigners, and a coordinator that lies."""
    await cluster.ready(_besieged)
    return _besieged


def order(purpose: str, what: What | None = None, initiator: str = "desk") -> Intent:
    """2 ETH to a known address, which takes a risk officer."""
    now = int(time.time())
    return Intent(
        intent_id=f"int_{fresh()}",
        wallet_id=cluster.WALLET,
        path=(),
        chain="eip155:31337",
        action=what or Transfer(COIN, KRAKEN, 2 * ETHER),
        bounds=Bounds(10**16, 200_000),
        initiator=initiator,
        purpose=purpose,
        valid_from=now - 1,
        valid_until=now + 900,
    )


async def lied_about(network: Network, subject: Intent, *approvers: str) -> pb.Transaction:
    """Submit, have people approve, and see how it ends."""
    signer = network.desk()
    if subject.initiator != "desk":
        signer = ProposalSigner.load(network.root / "people" / "tara.pem", "tara-1")
    async with network.client() as client:
        tx = await client.submit(signer.propose(subject))
        await cluster.approve(network, client, tx.transaction_id, *approvers)
        return await client.ended(tx.transaction_id)


def reasons(workspace: Workspace, tx: pb.Transaction) -> dict[int, str]:
    """By cosigner: the reason of its refusal, which it has signed."""
    found: dict[int, str] = {}
    for one in tx.refusals:
        signed = decode(SignedRefusal, one.signed_refusal)
        said = signed.refusal
        verify_identity(member(workspace, said.index).identity, "refusal", encode(said), signed.signature)
        assert found.setdefault(said.index, said.reason) == said.reason
    return found


async def funds(network: Network) -> tuple[object, object]:
    """What the two known addresses have."""
    accounts = ("0x" + KRAKEN.hex(), "0x" + COLD.hex())
    return tuple([await network.rpc_call("eth_getBalance", one, "latest") for one in accounts])  # type: ignore[return-value]


def weth(network: Network) -> bytes:
    assert network.workspace is not None
    return next(one.address for one in network.workspace.contracts if one.entry_id == "weth")


AFTER = {
    "recipient": Reason.CHALLENGE_MISMATCH,
    "recipient without the desk's key": Reason.SIGNATURE_INVALID,
    "amount": Reason.CHALLENGE_MISMATCH,
    "calldata": Reason.CHALLENGE_MISMATCH,
    "chain": Reason.CHALLENGE_MISMATCH,
    "path": Reason.CHALLENGE_MISMATCH,
    "path of the session": Reason.DIGEST_MISMATCH,
    "digest of the session": Reason.DIGEST_MISMATCH,
    "fee": Reason.FEE_EXCEEDED,
    "workspace": Reason.POLICY_VERSION_MISMATCH,
    "decision": Reason.DIGEST_MISMATCH,
    "approver": Reason.CREDENTIAL_UNKNOWN,
    "approvals dropped": Reason.APPROVAL_MISSING,
}
INVENTED = {
    "unapproved": Reason.APPROVAL_MISSING,
    "unregistered key": Reason.CREDENTIAL_UNKNOWN,
    "revoked key": Reason.CREDENTIAL_REVOKED,
    "another order's": Reason.CHALLENGE_MISMATCH,
    "unverified": Reason.UV_REQUIRED,
    "another origin": Reason.ORIGIN_MISMATCH,
    "the initiator's own": Reason.SELF_APPROVAL,
}


async def refused_by_all(network: Network, subject: Intent, reason: Reason, *approvers: str) -> None:
    before = await funds(network)
    tx = await lied_about(network, subject, *approvers)
    assert (tx.state, tx.reason, tx.raw) == ("REJECTED", reason, b"")
    assert network.workspace is not None
    assert reasons(network.workspace, tx) == dict.fromkeys(cluster.ALL, reason)
    await asyncio.sleep(BLOCK)
    assert await funds(network) == before


@pytest.mark.covers("C04", "C05")
@pytest.mark.parametrize("trick", AFTER)
async def test_what_was_changed_after_approval_is_refused_by_all_five_and_moves_nothing(
    besieged: Network, trick: str
) -> None:
    what = Call(weth(besieged), 2 * ETHER, bytes.fromhex("d0e30db0")) if trick == "calldata" else None
    await refused_by_all(besieged, order(trick, what), AFTER[trick], "ravi")


@pytest.mark.covers("C01", "A01", "A02", "A03")
@pytest.mark.parametrize("trick", INVENTED)
async def test_an_invented_approval_is_refused_by_all_five_each_with_its_own_code(
    besieged: Network, trick: str
) -> None:
    initiator = "tara" if trick == "the initiator's own" else "desk"
    await refused_by_all(besieged, order(trick, initiator=initiator), INVENTED[trick])


async def replaced(network: Network, module: tuple[str, ...], *indices: int) -> None:
    """Run another build at these cosigners."""
    await cluster.restarted(network, *indices, module=module)


@pytest.fixture
async def corrupt(besieged: Network) -> Any:
    """Whoever was corrupted runs the real build again afterwards."""
    done: list[int] = []

    async def corrupted(*indices: int) -> None:
        done.extend(indices)
        await replaced(besieged, CORRUPT, *indices)

    yield corrupted
    await replaced(besieged, REAL, *done)


@pytest.mark.covers("C01", "C04")
async def test_two_corrupt_cosigners_and_a_corrupt_coordinator_get_no_signature(
    besieged: Network, corrupt: Any
) -> None:
    await corrupt(1, 2)
    before = await funds(besieged)
    for trick, reason, approvers in (
        ("recipient", Reason.CHALLENGE_MISMATCH, ("ravi",)),
        ("unapproved", Reason.APPROVAL_MISSING, ()),
    ):
        tx = await lied_about(besieged, order(f"{trick}; 1 2"), *approvers)
        assert (tx.state, tx.reason, tx.raw) == ("REJECTED", reason, b"")
        assert besieged.workspace is not None
        assert reasons(besieged.workspace, tx) == dict.fromkeys((3, 4, 5), reason)
    await asyncio.sleep(BLOCK)
    assert await funds(besieged) == before
    tx = await lied_about(besieged, order("honest this time"), "ravi")
    assert tx.state == "CONFIRMED"


@pytest.mark.covers("C01", "C04")
async def test_with_three_corrupt_cosigners_the_same_lie_does_move_the_money(besieged: Network, corrupt: Any) -> None:
    """So that it is the third one's no that stands in the way of the test above."""
    await corrupt(1, 2, 3)
    _, before = await funds(besieged)
    tx = await lied_about(besieged, order("recipient; 1 2 3"), "ravi")
    assert (tx.state, list(tx.signers)) == ("CONFIRMED", [1, 2, 3]), (tx.reason, tx.detail)
    _, after = await funds(besieged)
    assert int(str(after), 16) - int(str(before), 16) == 2 * ETHER
