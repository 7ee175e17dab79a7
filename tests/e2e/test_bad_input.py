"""Bad input and wrong peers at the coordinator's ports: a typed error with a stable reason, and nothing is kept."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from oms.client import Client, Tls, fresh
from oms.devnet import cast
from oms.devnet.cast import ETHER, ORIGIN
from oms.devnet.network import Network
from oms.devnet.processes import run
from oms_core.chains.intent import Bounds, Intent, Proposal, Transfer
from oms_core.encoding import decode, encode
from oms_core.errors import (
    Conflict,
    CountersealError,
    Malformed,
    NotFound,
    Reason,
    Refused,
    Unauthenticated,
    Unavailable,
)
from proto import cosigner_pb2, cosigner_pb2_grpc
from tests import cluster


def intent(**changes: object) -> Intent:
    now = int(time.time())
    plain = Intent(
        intent_id=f"int_{fresh()}",
        wallet_id=cluster.WALLET,
        path=(),
        chain="eip155:31337",
        action=Transfer("eip155:31337/slip44:60", cast.KRAKEN, ETHER // 100),
        bounds=Bounds(10**16, 100_000),
        initiator="desk",
        purpose="",
        valid_from=now,
        valid_until=now + 600,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


async def orders(client: Client) -> list[str]:
    """Those of the desk: the log's service asks for its own when it is time."""
    found = [(one, decode(Proposal, one.proposal).subject) for one in await client.transactions(limit=500)]
    return [one.transaction_id for one, subject in found if getattr(subject, "initiator", "") == "desk"]


async def refused(network: Network, subject: Intent) -> CountersealError:
    """Submit and expect a refusal; nothing may be kept."""
    async with network.client() as client:
        before = await orders(client)
        with pytest.raises(CountersealError) as caught:
            await client.submit(network.desk().propose(subject))
        assert await orders(client) == before
    return caught.value


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("0x1234", Reason.BAD_ADDRESS),
        ("not an address", Reason.BAD_ADDRESS),
        ("0x28C6c06298d514Db089934071355E5743bf21d6g", Reason.BAD_ADDRESS),
        ("0x28c6C06298d514Db089934071355E5743bf21d60", Reason.BAD_CHECKSUM),
        ("entry:nobody", Reason.BAD_ADDRESS),
    ],
)
async def test_a_malformed_address_is_refused_with_its_reason(network: Network, to: str, reason: Reason) -> None:
    async with network.client() as client:
        with pytest.raises(CountersealError) as caught:
            await client.prepare_transfer(cluster.WALLET, to, 1, "desk")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ("-1", Reason.NEGATIVE_AMOUNT),
        ("1.5", Reason.PRECISION),
        ("1e18", Reason.MALFORMED),
        ("٣", Reason.MALFORMED),
        ("", Reason.MALFORMED),
        ("0", Reason.MALFORMED),
        (str(1 << 256), Reason.MALFORMED),
    ],
)
async def test_an_amount_that_is_none_is_refused_with_its_reason(network: Network, amount: str, reason: Reason) -> None:
    async with network.client() as client:
        with pytest.raises(Malformed) as caught:
            await client.prepare_transfer(cluster.WALLET, "entry:kraken-hot", amount, "desk")
    assert caught.value.reason == reason


async def test_an_unknown_wallet_is_not_found(network: Network) -> None:
    error = await refused(network, intent(wallet_id="wal_nowhere"))
    assert (type(error), error.reason) == (NotFound, Reason.UNKNOWN_WALLET)


async def test_an_unknown_transaction_is_not_found(network: Network) -> None:
    async with network.client() as client:
        with pytest.raises(NotFound) as caught:
            await client.transaction("txn_nothing")
    assert caught.value.reason == Reason.UNKNOWN_TRANSACTION


async def test_a_stranger_as_initiator_is_refused(network: Network) -> None:
    assert (await refused(network, intent(initiator="mallory"))).reason == Reason.UNKNOWN_USER


async def test_a_key_of_somebody_else_cannot_propose_for_an_initiator(network: Network) -> None:
    assert (await refused(network, intent(initiator="tara"))).reason == Reason.CREDENTIAL_UNKNOWN


async def test_an_intent_for_another_chain_is_refused(network: Network) -> None:
    assert (await refused(network, intent(chain="eip155:1"))).reason == Reason.CHAIN_MISMATCH


async def test_an_expired_intent_is_refused(network: Network) -> None:
    assert (await refused(network, intent(valid_from=1, valid_until=2))).reason == Reason.EXPIRED


async def test_a_negative_amount_inside_a_signed_intent_is_refused(network: Network) -> None:
    bad = Transfer("eip155:31337/slip44:60", cast.KRAKEN, -1)
    assert (await refused(network, intent(action=bad))).reason == Reason.NEGATIVE_AMOUNT


@pytest.mark.parametrize("change", ["truncated", "trailing", "empty", "non-canonical", "another kind"])
async def test_bytes_that_are_not_a_canonical_proposal_are_refused(network: Network, change: str) -> None:
    good = encode(network.desk().propose(intent()))
    bad = {
        "truncated": good[:-1],
        "trailing": good + b"\x00",
        "empty": b"",
        "non-canonical": b"\xb8\x04" + good[1:],
        "another kind": encode(intent()),
    }[change]
    async with network.client() as client:
        with pytest.raises(Malformed) as caught:
            await client.submit_bytes(bad)
    assert caught.value.reason == Reason.MALFORMED


async def test_a_message_above_the_size_limit_is_refused(network: Network) -> None:
    async with network.client() as client:
        with pytest.raises(Malformed) as caught:
            await client.submit_bytes(bytes(65 * 1024))
        assert caught.value.reason == Reason.TOO_LARGE
        with pytest.raises(Malformed) as caught:
            await client.submit_bytes(bytes(17 * 1024 * 1024))
        assert caught.value.reason == Reason.TOO_LARGE


async def test_the_same_request_id_and_body_give_the_same_order(network: Network) -> None:
    proposal, request_id = network.desk().propose(intent()), fresh()
    async with network.client() as client:
        first = await client.submit(proposal, request_id)
        again = await client.submit(proposal, request_id)
        await client.ended(first.transaction_id)
    assert first.transaction_id == again.transaction_id


async def test_the_same_request_id_with_another_body_is_a_conflict(network: Network) -> None:
    request_id = fresh()
    async with network.client() as client:
        first = await client.submit(network.desk().propose(intent()), request_id)
        with pytest.raises(Conflict) as caught:
            await client.submit(network.desk().propose(intent()), request_id)
        await client.ended(first.transaction_id)
    assert caught.value.reason == Reason.IDEMPOTENCY_CONFLICT


async def test_an_intent_is_taken_on_once_whatever_the_request_id(network: Network) -> None:
    proposal = network.desk().propose(intent())
    async with network.client() as client:
        first = await client.submit(proposal)
        with pytest.raises(Conflict):
            await client.submit(proposal)
        await client.ended(first.transaction_id)


async def test_an_approval_is_refused_unless_it_is_for_exactly_this(network: Network) -> None:
    async with network.client() as client:
        tx = await cluster.propose(network, client, wei=2 * ETHER)
        other = await cluster.propose(network, client, wei=3 * ETHER)
        for one in (tx, other):
            await cluster.until(client, one.transaction_id, "PENDING_APPROVAL")
        waiting = {one.subject_id: one for one in await client.inbox("ravi")}
        key = network.authenticator("ravi")
        claim = waiting[tx.transaction_id].claim
        cases = {
            Reason.CHALLENGE_MISMATCH: key.approve(waiting[other.transaction_id].claim, ORIGIN),
            Reason.ORIGIN_MISMATCH: key.approve(claim, "https://evil.example"),
            Reason.APPROVAL_EXPIRED: key.approve(replace(claim, expires_at=1), ORIGIN),
            Reason.POLICY_VERSION_MISMATCH: key.approve(replace(claim, workspace=bytes(32)), ORIGIN),
            Reason.CREDENTIAL_UNKNOWN: network.authenticator("olga").approve(claim, ORIGIN),
            Reason.NOT_ELIGIBLE: network.authenticator("sam").approve(replace(claim, approver="sam"), ORIGIN),
        }
        for reason, approval in cases.items():
            with pytest.raises(Refused) as caught:
                await client.decide(tx.transaction_id, approval)
            assert caught.value.reason == reason
        assert (await client.transaction(tx.transaction_id)).state == "PENDING_APPROVAL"
        for one in (tx, other):
            await cluster.approve(network, client, one.transaction_id, "ravi")
            assert (await client.ended(one.transaction_id)).state == "CONFIRMED"


def files(network: Network, cert: str = "front-end", ca: Path | None = None) -> Tls:
    tls = network.root / "tls"
    return Tls(ca or network.root / "ca" / "ca.pem", tls / f"{cert}.pem", tls / f"{cert}.key")


async def test_a_client_that_trusts_another_ca_does_not_connect(network: Network, tmp_path: Path) -> None:
    run(sys.executable, "-m", "certs", "init", str(tmp_path / "ca"))
    async with Client(f"localhost:{network.oms}", files(network, ca=tmp_path / "ca" / "ca.pem")) as client:
        with pytest.raises(Unavailable) as caught:
            await client.status()
    assert caught.value.reason == Reason.PEER_UNREACHABLE


async def test_a_client_certificate_of_another_ca_is_not_let_in(network: Network, tmp_path: Path) -> None:
    tool = (sys.executable, "-m", "certs")
    run(*tool, "init", str(tmp_path / "ca"))
    run(*tool, "issue", str(tmp_path / "ca"), "--kind", "oms", "--name", "front-end", "--out", str(tmp_path))
    tls = Tls(network.root / "ca" / "ca.pem", tmp_path / "front-end.pem", tmp_path / "front-end.key")
    async with Client(f"localhost:{network.oms}", tls) as client:
        with pytest.raises(Unavailable):
            await client.status()


async def test_a_client_without_a_certificate_is_not_let_in(network: Network) -> None:
    credentials = grpc.ssl_channel_credentials((network.root / "ca" / "ca.pem").read_bytes())
    options = [("grpc.ssl_target_name_override", "coordinator.counterseal")]
    async with grpc.aio.secure_channel(f"localhost:{network.oms}", credentials, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/counterseal.oms.v1.Oms/GetStatus")(b"", timeout=120)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_a_cosigner_certificate_does_not_open_the_oms_port(network: Network) -> None:
    async with Client(f"localhost:{network.oms}", files(network, "1")) as client:
        with pytest.raises(Unauthenticated) as caught:
            await client.status()
    assert caught.value.reason == Reason.PEER_IDENTITY


async def attach(network: Network, cert: str, hello: cosigner_pb2.Hello) -> grpc.aio.AioRpcError:
    tls = files(network, cert)
    credentials = grpc.ssl_channel_credentials(tls.ca.read_bytes(), tls.key.read_bytes(), tls.cert.read_bytes())
    options = [("grpc.ssl_target_name_override", "coordinator.counterseal")]
    async with grpc.aio.secure_channel(f"localhost:{network.inner}", credentials, options=options) as channel:

        async def first() -> AsyncIterator[cosigner_pb2.FromCosigner]:
            yield cosigner_pb2.FromCosigner(hello=hello)
            await asyncio.sleep(600)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(anext(aiter(cosigner_pb2_grpc.CosignerLinkStub(channel).Attach(first()))), 300)
        return caught.value


async def test_an_oms_certificate_does_not_attach_as_a_cosigner(network: Network) -> None:
    error = await attach(network, "front-end", cosigner_pb2.Hello(index=1))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_cosigner_cannot_attach_under_another_index(network: Network) -> None:
    error = await attach(network, "1", cosigner_pb2.Hello(index=2))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_cosigner_with_another_identity_key_than_the_rosters_does_not_attach(network: Network) -> None:
    error = await attach(network, "1", cosigner_pb2.Hello(index=1, protocol_version=1, identity=bytes(65)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_cosigner_on_another_workspace_does_not_attach(network: Network) -> None:
    assert network.workspace is not None
    identity = network.workspace.roster[0].identity
    hello = cosigner_pb2.Hello(index=1, protocol_version=1, identity=identity, workspace=bytes(32))
    error = await attach(network, "1", hello)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
